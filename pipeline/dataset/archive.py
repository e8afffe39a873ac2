"""Zip archives from elsewhere: looked through whole before a byte is written, then extracted."""

import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline.artifacts import writer
from pipeline.errors import DataError

MOST_MEMBERS = 999_999
BIG_BYTES = 1_000_000_000
BIGGEST_RATIO = 100  # bytes unpacked for one packed, over BIG_BYTES
IN_MEMORY_BYTES = 64_000_000
RESERVED = ".cache"  # our own folder may lie in the data folder


class Member(NamedTuple):
    """One file of an archive: its name below the target folder, its size, and the nested archive it is in."""

    name: str
    size: int
    nested: str
    inside: str


def members(path: Path) -> list[Member]:
    """List the files that the archive unpacks to, those of zips in it (`train.csv.zip`) included.

    Raises DataError for a damaged archive, names that lead out of the folder (`..`, absolute, backslash),
    links and devices, doubled names, encryption, a million files, or a bomb (over a gigabyte that is 100
    times its packed size, or files that overlap).
    """
    found: list[Member] = []
    with _opened(path) as archive:
        for item in _checked(archive, path.name, path.stat().st_size):
            if item.filename.lower().endswith(".zip"):
                found += _members_of_nested(archive, item)
            else:
                found.append(Member(item.filename, item.file_size, "", item.filename))
    _check_whole(path, found)
    return found


def extract(
    path: Path,
    folder: Path,
    files: Sequence[Member],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Unpack `files` (from `members`) into the folder; a file that is there already is left as it is.

    `progress` is called with the bytes done and all of them. Raises DataError for damaged content.
    """
    missing = [file for file in files if not (folder / file.name).exists()]
    total = sum(file.size for file in missing)
    writer.require_space(folder, total, f"unpacking {path.name}")
    done = 0

    def contents(archive: zipfile.ZipFile, part: Sequence[Member]) -> Iterator[tuple[str, bytes]]:
        nonlocal done
        for file in part:
            if file.size > IN_MEMORY_BYTES:
                _stream(archive, file, folder / file.name)
            else:
                yield file.name, archive.read(file.inside)
            done += file.size
            if progress is not None:
                progress(done, total)

    try:
        with _opened(path) as archive:
            for nested in dict.fromkeys(file.nested for file in missing):
                part = [file for file in missing if file.nested == nested]
                if not nested:
                    writer.publish_folder(folder, contents(archive, part))
                    continue
                with archive.open(nested) as stream, _opened(stream, nested) as inner:
                    writer.publish_folder(folder, contents(inner, part))
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{path} is damaged ({error}): remove it and run the same command again.") from error


def _members_of_nested(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> list[Member]:
    folder = PurePosixPath(item.filename).parent
    try:
        with archive.open(item) as stream, _opened(stream, item.filename) as nested:
            files = _checked(nested, item.filename, item.file_size)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{item.filename} is damaged ({error}): remove the archive and try again.") from error
    return [
        Member(str(folder / file.filename), file.file_size, item.filename, file.filename) for file in files
    ]


def _stream(archive: zipfile.ZipFile, file: Member, target: Path) -> None:
    with archive.open(file.inside) as source, writer.publish_stream(target) as stream:
        while block := source.read(1 << 20):
            stream.write(block)


@contextmanager
def _opened(source: object, name: str = "") -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(source)  # type: ignore[call-overload]
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise DataError(
            f"{name or source} is no whole zip archive ({error}): remove it and try again."
        ) from error
    with archive:
        yield archive


def _checked(archive: zipfile.ZipFile, name: str, packed_bytes: int) -> list[zipfile.ZipInfo]:
    """Return the archive's files; raises DataError naming the first member that must not be unpacked."""
    items = archive.infolist()
    if len(items) > MOST_MEMBERS:
        raise DataError(f"{name} has {len(items)} members, at most {MOST_MEMBERS} are unpacked.")
    for item in items:
        fault = _name_fault(item.orig_filename) or _kind_fault(item)
        if fault:
            raise DataError(f"{name}: member {item.orig_filename!r} {fault}: nothing was unpacked.")
    if sum(item.compress_size for item in items) > packed_bytes:
        raise DataError(f"{name}: its members overlap, which no honest archive does: nothing was unpacked.")
    files = [item for item in items if not item.is_dir()]
    unpacked = sum(item.file_size for item in files)
    if unpacked > max(BIG_BYTES, BIGGEST_RATIO * packed_bytes):
        raise DataError(
            f"{name} would unpack to {unpacked / 1e9:.1f} GB from {packed_bytes / 1e9:.3f} GB, over "
            f"{BIGGEST_RATIO} times its size: nothing was unpacked."
        )
    return files


def _name_fault(name: str) -> str:
    """Say why a member's name must not be used, or "".

    >>> _name_fault("train/a.jpg"), _name_fault("../a"), _name_fault("/etc/passwd")
    ('', 'leads out of the folder', 'is an absolute path')
    """
    if "\\" in name or "\0" in name:
        return "has a backslash or NUL in its name"
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "is an absolute path"
    if ".." in name.split("/"):
        return "leads out of the folder"
    if name.partition("/")[0] == RESERVED:
        return f"would write into {RESERVED}"
    return "" if PurePosixPath(name).parts else "has no name"


def _kind_fault(item: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(item.external_attr >> 16)
    if kind and kind not in (stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    return "is encrypted" if item.flag_bits & 1 else ""


def _check_whole(path: Path, files: Sequence[Member]) -> None:
    # Also nested archives together: each may be small, all of them not.
    if len(files) > MOST_MEMBERS:
        raise DataError(f"{path.name} unpacks to {len(files)} files, at most {MOST_MEMBERS} are unpacked.")
    seen: set[str] = set()
    for file in files:
        name = str(PurePosixPath(file.name))
        if name in seen:
            raise DataError(f"{path.name}: two members unpack to {name!r}: nothing was unpacked.")
        seen.add(name)
    unpacked, packed = sum(file.size for file in files), path.stat().st_size
    if unpacked > max(BIG_BYTES, BIGGEST_RATIO * packed):
        raise DataError(
            f"{path.name} would unpack to {unpacked / 1e9:.1f} GB from {packed / 1e9:.3f} GB, over "
            f"{BIGGEST_RATIO} times its size: nothing was unpacked."
        )
