"""Locks that need no clean-up: `flock` on a file, released by the kernel when the holder dies."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import LockedError, ResourceError, UnsuitableError

# A look by another process holds the lock for a moment, without a note of its own.
LOOK_SECONDS = 0.5


@contextlib.contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file for the block; raises LockedError (exit code 4) at once if another process has it.

    The holder's pid and host stand in the file for that message only. Raises UnsuitableError where the disk
    can't lock (network disks need NFS v4), ResourceError where the file can't be made.
    """
    descriptor = _open_locked(path, what)
    try:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Tell whether some process holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open_locked(path: Path, what: str) -> int:
    deadline = time.monotonic() + LOOK_SECONDS
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace")
            os.close(descriptor)
            if holder or time.monotonic() > deadline:
                shown = holder or "another process"
                raise LockedError(f"{what} is held by {shown} ({path}): wait for it, or stop it.") from None
            time.sleep(0.01)
            continue
        except OSError as error:
            os.close(descriptor)
            raise UnsuitableError(
                f"can't lock {path}: {error.strerror}. flock needs NFS v4 there."
            ) from error
        # The folder may have been deleted between open and flock: a lock on an unlinked file guards nothing.
        with contextlib.suppress(OSError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ResourceError(f"can't write {path}: {error.strerror}. Make room, or see [paths].") from error
