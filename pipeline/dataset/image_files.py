"""What lies in a data folder: one listing, safe against links that leave it; and images found by id."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TRAIN_WORDS = {"train", "training", "trainset", "trainimages"}
TEST_WORDS = {"test", "testing", "testset", "testimages"}
IMAGE_WORDS = {"images", "image", "imgs", "img", "jpg", "jpeg", "png", "photos", "pictures", "data"}


class Row(NamedTuple):
    """One image of a competition; `layouts.Table` says what the fields hold."""

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
        """Return the folder that a path of the table starts from, and the file's name in it, for `open`."""
        number, sign, rest = path.partition("//")
        if not sign:
            return self.data, unescape_name(path)
        return self.extra[int(number) - 1], unescape_name(rest)


@dataclass(frozen=True)
class Listing:
    """All visible files and folders below a root, as relative posix paths in sorted order."""

    files: list[str]
    folders: list[str]


def scan(root: Path) -> Listing:
    """List a data folder once; hidden names are left out, links are followed as long as they stay inside.

    Raises DataError for a folder that can't be read, a link that leaves the root, an image that is a pipe.
    """
    files: list[str] = []
    folders: list[str] = []
    # every folder with the real folders above it: a link back to one of them would never end
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(root),))]
    while waiting:
        folder, above = waiting.pop()
        try:
            entries = list(os.scandir(root / folder))
        except OSError as error:
            raise DataError(f"can't read the data folder {root / folder}: {error.strerror}.") from error
        for entry in entries:
            name = folder + entry.name
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            real = f"{above[-1]}/{entry.name}"
            if entry.is_symlink():
                real = _inside(root, name, above[0])
            if entry.is_dir():
                folders.append(name)
                if real not in above:
                    waiting.append((name + "/", (*above, real)))
            # a link to nothing is listed too: the audit names it with the others that can't be read
            elif entry.is_file() or not Path(entry).exists():
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
    return name.lower().endswith(IMAGE_SUFFIXES)


def stem(name: str) -> str:
    """Return the file's name without folders and without an image's suffix.

    >>> stem("train/1.0.jpg"), stem("train/1.0")
    ('1.0', '1.0')
    """
    name = name.rpartition("/")[2]
    return name.rpartition(".")[0] if is_image(name) else name


def natural_key(text: str) -> tuple:
    """Sort names as a person counts: numbers by value, the rest by characters; equal only for equal texts.

    >>> sorted(["10", "9", "a10", "a9", "09"], key=natural_key)
    ['09', '9', '10', 'a9', 'a10']
    """
    parts = re.split(r"([0-9]+)", text)
    digits = [number.lstrip("0") for number in parts[1::2]]
    numbers = [(len(number), number) for number in digits]
    return (*zip(parts[::2], [*numbers, (-1, "")], strict=True), text)


def escape_name(name: str) -> str:
    r"""Turn any file name into text that UTF-8 can hold: bytes that are no UTF-8 as `\xNN`, `\` doubled.

    >>> escape_name("caf\udce9.jpg"), escape_name("a\\b.jpg"), escape_name("käfer 1.jpg")
    ('caf\\xe9.jpg', 'a\\\\b.jpg', 'käfer 1.jpg')
    """
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

    return re.sub(r"\\(\\|x[0-9a-f]{2})", original, text)


@dataclass(frozen=True)
class Lookup:
    """Finds the images of a split by id: by file name or stem, in folders that aren't the other split's."""

    root: Path
    split: str
    names: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    stems: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))

    def find(self, name: str) -> str | None:
        """Return the path of an id's image, or None; raises DataError for an unsafe or unclear one."""
        _check_safe(self.root, name)
        for candidates in (self.names, self.stems):
            last = name.rpartition("/")[2]
            found = [(rank, path) for rank, path in candidates.get(last, ()) if _ends(path, name)]
            best = sorted(path for rank, path in found if rank == min(found)[0])
            if len(best) > 1:
                raise DataError(f"{self.root}: id {name!r} could be {best[0]!r} or {best[1]!r}: remove one.")
            if best:
                return best[0]
        return None

    def expected(self, name: str) -> str:
        """Say what was looked for, where an id has no image."""
        return name if is_image(name) else f"{name} or {name}.jpg, .png …"


def build_lookup(root: Path, split: str, files: Iterable[str]) -> Lookup:
    """Index the files for the ids of `split` ("train", "test"): its own folders first, then image folders."""
    lookup = Lookup(root, split)
    ranks: dict[str, int | None] = {}
    for path in files:
        folder, _, last = path.rpartition("/")
        if folder not in ranks:
            ranks[folder] = folder_rank(folder, split)
        rank = ranks[folder]
        if rank is not None:
            lookup.names[last].append((rank, path))
            if is_image(last):
                lookup.stems[stem(last)].append((rank, path))
    return lookup


def folder_rank(folder: str, split: str) -> int | None:
    """Say how likely a folder holds a split's images: 0 by name, 1 images, 2 others, None the other split's.

    >>> folder_rank("test-data/train", "train"), folder_rank("test-data/train", "test")
    (0, None)
    >>> folder_rank("images", "train"), folder_rank("masks", "train")
    (1, 2)
    """
    own, other = (TRAIN_WORDS, TEST_WORDS) if split == "train" else (TEST_WORDS, TRAIN_WORDS)
    for part in reversed(folder.split("/")):
        words = _words(part)
        if words & own:
            return 0
        if words & other:
            return None
    return 1 if _words(folder) <= IMAGE_WORDS else 2


def _words(folder: str) -> set[str]:
    return set(re.split(r"[^a-z]+", folder.lower())) - {""}


def _ends(path: str, name: str) -> bool:
    folder = name.rpartition("/")[0]
    held = path.rpartition("/")[0]
    return not folder or held == folder or held.endswith("/" + folder)


def _check_safe(root: Path, name: str) -> None:
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", name) or ".." in re.split(r"[/\\]", name):
        raise DataError(f"{root}: id {name!r} leads out of the data folder: ids must be names inside it.")


def _inside(root: Path, name: str, real_root: str) -> str:
    real = os.path.realpath(root / name)
    if not real.startswith(real_root.rstrip("/") + "/") and real != real_root:
        raise DataError(
            f"{root / name} is a link out of the data folder (to {real}): copy the files in, or point"
            " data.root at the folder that holds them all."
        )
    return real
