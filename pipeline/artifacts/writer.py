"""The one writer: a file is published whole or not at all (NAME.tmp → fsync → replace → fsync folder)."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import ResourceError

# A place for tests to stand: called with the event's name and path before each write, fsync and replace.
on_event: Callable[[str, Path], None] | None = None


def publish_bytes(path: Path, data: bytes) -> None:
    """Write one file so that a reader, or a power cut, meets the old content or the new one, nothing between.

    Raises ResourceError (exit code 5) when the disk is full or the folder can't be written.
    """
    with publish_stream(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def publish_stream(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name when the block ends well, for what doesn't fit in memory."""
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _event("write", path)
        with temporary.open("wb") as stream:
            yield stream
            _sync(stream, path)
        _event("replace", path)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise _resource_error(path, error) from error
    except BaseException:
        _remove(temporary)
        raise


def publish_folder(folder: Path, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> None:
    """Write many files with one sync of the disk; the commit is the manifest that the caller publishes after.

    `files` gives (name relative to the folder, content); an iterable is consumed one file at a time.
    """
    written: list[Path] = []
    try:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _event("write", path)
            written.append(path)
            _temporary(path).write_bytes(data)
        _event("fsync", folder)
        os.sync()
        for path in written:
            _event("replace", path)
            _temporary(path).replace(path)
        for parent in sorted({path.parent for path in written}):
            _sync_folder(parent)
    except OSError as error:
        raise _resource_error(folder, error) from error
    finally:
        for path in written:
            _remove(_temporary(path))


def append_line(path: Path, line: str) -> None:
    """Append one line to a log and sync it; a line torn by a crash is ended first and spoils only itself."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _event("write", path)
        with path.open("ab+") as stream:
            if stream.tell() > 0:
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
            stream.write(line.rstrip("\n").encode() + b"\n")
            _sync(stream, path)
    except OSError as error:
        raise _resource_error(path, error) from error


def remove(path: Path) -> None:
    """Delete a file or a folder that nothing refers to any more; what isn't there is no error."""
    _event("remove", path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        _remove(path)


def require_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Refuse work that won't fit on the disk before it starts; raises ResourceError with both numbers."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        raise ResourceError(
            f"{existing} can't be written: needed for {what}. Choose another folder with [paths]."
        )
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise ResourceError(
            f"{existing}: {what} needs {needed_bytes / 1e9:.2f} GB, {free_bytes / 1e9:.2f} GB are free."
            " Make room or choose another folder with [paths]."
        )


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _event(name: str, path: Path) -> None:
    if on_event is not None:
        on_event(name, path)


def _sync(stream: BinaryIO, path: Path) -> None:
    stream.flush()
    _event("fsync", path)
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    _event("fsync", folder)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _resource_error(path: Path, error: OSError) -> ResourceError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    message = f"can't write {path}: {reason}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        existing = next(parent for parent in path.parents if parent.exists())
        message += f" ({shutil.disk_usage(existing).free} bytes free). Make room, then run the same command"
    return ResourceError(message + ".")
