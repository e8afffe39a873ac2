"""What lies in a data folder: one listing, safe against links that leave it; rows, roots, file names."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TRAIN_WORDS = {"train", "training", "trainset", "trainimages"}
VALID_WORDS = {"val", "valid", "validation", "dev"}
TEST_WORDS = {"test", "testing", "testset", "testimages"}
ZEROS = str.maketrans("123456789", "0" * 9)
LABELLED = ("train", "extra")  # the splits that are trained on


class Row(NamedTuple):
    """One image of a competition; `table.Table` says what the fields hold."""

    id: str
    path: str
    expected: str
    label: str
    split: str
    group: str
    time: str = ""


class Roots(NamedTuple):
    """The folders that the table's paths start from: data.root, and data.extra's, whose paths are `N//PATH`.

    >>> Roots(Path("birds"), (Path("more"),)).place("1//ant/7.jpg")
    (PosixPath('more'), 'ant/7.jpg')
    >>> Roots(Path("birds"), (Path("more"),)).place("ant/7.jpg")
    (PosixPath('birds'), 'ant/7.jpg')
    """

    data: Path
    extra: tuple[Path, ...] = ()

    def place(self, path: str) -> tuple[Path, str]:
        """Return the folder that a path of the table starts from, and the name in it, as `open` takes it."""
        number, sign, rest = path.partition("//")
        if not sign:
            return self.data, unescape_name(path)
        return self.extra[int(number) - 1], unescape_name(rest)


class Found(NamedTuple):
    """What a layout's reader made of a folder: rows with split "train", "val" or "test"; no rows, no luck.

    `note` is for people. `names` are the class names by what the files write instead (numbers), in the order
    of those; empty where labels stand in the files as they are. `sample` is the sample submission.
    """

    layout: str
    rows: list[Row]
    note: str
    names: dict[str, str]
    sample: str | None = None


@dataclass(frozen=True)
class Listing:
    """All visible files and folders below a root, as relative posix paths in sorted order."""

    files: list[str]
    folders: list[str]


def scan(root: Path, without: Collection[str] = ()) -> Listing:
    """List a data folder once; hidden names are left out, links are followed as long as they stay inside.

    `without` are real paths of folders below it that don't belong to it. Raises DataError for a folder that
    can't be read, a link that leaves the root, an image that is a pipe.
    """
    files: list[str] = []
    folders: list[str] = []
    # every folder with the real folders above it: a link back to one of them would never end
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(root),))]
    while waiting:
        folder, above = waiting.pop()
        try:
            with os.scandir(root / folder) as found:
                entries = list(found)
        except OSError as error:
            raise DataError(f"can't read the data folder {root / folder}: {error.strerror}.") from error
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            name = folder + entry.name
            if entry.is_dir():
                real = _real_folder(root, name, entry, above, without)
                if real not in without:
                    folders.append(name)
                    if real not in above:
                        waiting.append((name + "/", (*above, real)))
                continue
            if entry.is_symlink():
                _inside(root, name, above[0])
            # a link to nothing is listed too: the audit names it with the others that can't be read
            if entry.is_file() or not Path(entry).exists():
                files.append(name)
            elif is_image(name):
                raise DataError(
                    f"{root / name} is no regular file (a pipe, a socket or a device): remove it."
                )
    return Listing(sorted(files), sorted(folders))


def is_image(name: str) -> bool:
    """Tell by its name whether a file is an image.

    >>> is_image("a/7.JPG"), is_image("Thumbs.db"), is_image("7.0")
    (True, False, False)
    """
    return name.endswith(IMAGE_SUFFIXES) or name.lower().endswith(IMAGE_SUFFIXES)


def stem(name: str) -> str:
    """Return the file's name without folders and without an image's suffix.

    >>> stem("train/1.0.jpg"), stem("train/1.0")
    ('1.0', '1.0')
    """
    name = name.rpartition("/")[2]
    return name.rpartition(".")[0] if is_image(name) else name


def plain_name(name: str) -> str:
    """Return a file's or column's name without folders, case, `_`, `-` and spaces.

    >>> plain_name("more/Sample_Submission.csv")
    'samplesubmission.csv'
    """
    return name.rpartition("/")[2].lower().replace("_", "").replace("-", "").replace(" ", "")


def natural_key(text: str) -> tuple:
    """Sort names as a person counts: numbers by value, the rest by characters; equal only for equal texts.

    >>> sorted(["10", "9", "a10", "a9", "09"], key=natural_key)
    ['09', '9', '10', 'a9', 'a10']
    """
    parts = re.split(r"([0-9]+)", text)
    digits = [number.lstrip("0") for number in parts[1::2]]
    numbers = [(len(number), number) for number in digits]
    return (*zip(parts[::2], [*numbers, (-1, "")], strict=True), text)


def by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the paths of each folder, both in natural order: quick where names are as long as each other.

    >>> by_folder(["b/10.jpg", "b/9.jpg", "a10/1.jpg", "a9/1.jpg"])
    {'a9': ['a9/1.jpg'], 'a10': ['a10/1.jpg'], 'b': ['b/9.jpg', 'b/10.jpg']}
    """
    inside: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        inside[path.rpartition("/")[0]].append(path)
    for held in inside.values():
        alike = len({path.translate(ZEROS) for path in held}) == 1  # then digits stand below digits
        held.sort(key=None if alike else natural_key)
    return {folder: inside[folder] for folder in sorted(inside, key=lambda name: natural_key(name + "/"))}


def escape_name(name: str) -> str:
    r"""Turn any file name into text that UTF-8 can hold: bytes that are no UTF-8 as `\xNN`, `\` doubled.

    >>> escape_name("caf\udce9.jpg"), escape_name("a\\b.jpg"), escape_name("käfer 1.jpg")
    ('caf\\xe9.jpg', 'a\\\\b.jpg', 'käfer 1.jpg')
    """
    if name.isascii() and "\\" not in name:
        return name
    return re.sub(
        "[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", name.replace("\\", "\\\\")
    )


def unescape_name(text: str) -> str:
    r"""Turn the text of `escape_name` back into the file's name, as `open` takes it.

    >>> unescape_name(escape_name("caf\udce9 \\x41.jpg")) == "caf\udce9 \\x41.jpg"
    True
    """

    def original(found: re.Match[str]) -> str:
        return "\\" if found[1] == "\\" else chr(0xDC00 + int(found[1][1:], 16))

    return re.sub(r"\\(\\|x[0-9a-f]{2})", original, text) if "\\" in text else text


def _real_folder(
    root: Path, name: str, entry: os.DirEntry, above: tuple[str, ...], without: Collection[str]
) -> str:
    if not entry.is_symlink():
        return f"{above[-1]}/{entry.name}"
    real = os.path.realpath(entry)
    return real if real in without else _inside(root, name, above[0])


def _inside(root: Path, name: str, real_root: str) -> str:
    real = os.path.realpath(root / name)
    if not real.startswith(real_root.rstrip("/") + "/") and real != real_root:
        raise DataError(
            f"{root / name} is a link out of the data folder (to {real}): copy the files in, or point"
            " data.root (data.extra) at the folder that holds them all."
        )
    return real
