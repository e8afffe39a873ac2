"""Images found by id: by file name or stem, in folders that aren't another split's."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.dataset.layouts.image_files import TEST_WORDS, TRAIN_WORDS, VALID_WORDS, is_image
from pipeline.errors import DataError

IMAGE_WORDS = {"images", "image", "imgs", "img", "jpg", "jpeg", "png", "photos", "pictures", "data"}
OWN_WORDS = {"train": TRAIN_WORDS, "val": VALID_WORDS, "test": TEST_WORDS}
# val.csv and val.txt may list images of train's folder; ids of train.csv may lie in a folder val
OTHER_WORDS = {"train": TEST_WORDS, "val": TEST_WORDS, "test": TRAIN_WORDS}
LEADS_OUT = "leads out of the data folder: a name inside it is needed."
Index = dict[str, str | list[str]]


@dataclass(frozen=True)
class Lookup:
    """Finds the images of a split by id; `ranks` says of each folder how likely it holds them."""

    root: Path
    files: list[str]
    ranks: dict[str, int | None]
    _indices: dict[tuple[bool, bool], Index] = field(default_factory=dict, repr=False)

    def find(self, name: str) -> str | None:
        """Return the path of an id's image, or None; raises DataError for an unsafe or unclear one."""
        if leads_out(name):
            raise DataError(f"{self.root}: id {name!r} {LEADS_OUT}")
        deep = "/" in name
        for by_stem in (False, True):
            known = self._index(by_stem, deep).get(_key(name, deep))
            if known is None:
                continue
            if not deep and isinstance(known, str):
                return known
            found = [path for path in ([known] if isinstance(known, str) else known) if _ends(path, name)]
            ranks = [self.ranks[path.rpartition("/")[0]] or 0 for path in found]
            best = sorted(path for path, rank in zip(found, ranks, strict=True) if rank == min(ranks))
            if len(best) > 1:
                raise DataError(f"{self.root}: id {name!r} could be {best[0]!r} or {best[1]!r}: remove one.")
            if best:
                return best[0]
        return None

    def expected(self, name: str) -> str:
        """Say what was looked for, where an id has no image."""
        return name if is_image(name) else f"{name} or {name}.jpg, .png …"

    def _index(self, by_stem: bool, deep: bool) -> Index:
        """Return the paths by name or stem, with the folder right above it for ids that have folders."""
        found = self._indices.get((by_stem, deep))
        if found is None:
            files = list(filter(is_image, self.files)) if by_stem else self.files
            keys = [_key(path.rpartition(".")[0] if by_stem else path, deep) for path in files]
            found = self._indices[by_stem, deep] = dict(zip(keys, files, strict=True))
            if len(found) < len(files):
                _share(found, keys, files)
        return found


def build_lookup(root: Path, split: str, files: Iterable[str]) -> Lookup:
    """Keep the files that may be of `split` ("train", "val", "test"): those of no other split's folder."""
    ranks: dict[str, int | None] = {}
    kept = []
    for path in files:
        folder = path.rpartition("/")[0]
        if folder not in ranks:
            ranks[folder] = folder_rank(folder, split)
        if ranks[folder] is not None:
            kept.append(path)
    return Lookup(root, kept, ranks)


def folder_rank(folder: str, split: str) -> int | None:
    """Say how likely a folder holds a split's images: 0 by name, 1 images, 2 others, None the other split's.

    >>> folder_rank("test-data/train", "train"), folder_rank("test-data/train", "test")
    (0, None)
    >>> folder_rank("images", "train"), folder_rank("masks", "train"), folder_rank("train", "val")
    (1, 2, 2)
    """
    for part in reversed(folder.split("/")):
        words = _words(part)
        if words & OWN_WORDS[split]:
            return 0
        if words & OTHER_WORDS[split]:
            return None
    return 1 if _words(folder) <= IMAGE_WORDS else 2


def leads_out(name: str) -> bool:
    """Tell whether an id or file name leads, or would lead on some system, out of the data folder.

    >>> leads_out("ant/7.jpg"), leads_out("a..b"), leads_out("../7.jpg"), leads_out("/7"), leads_out(r"C:\\7")
    (False, False, True, True, True)
    """
    if ".." not in name and "\\" not in name and ":" not in name:
        return name.startswith("/")
    absolute = name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", name)
    return bool(absolute) or ".." in re.split(r"[/\\]", name)


def _share(index: Index, keys: list[str], files: list[str]) -> None:
    """Give all files of one key to it."""
    for key, path in zip(keys, files, strict=True):
        held = index[key]
        if isinstance(held, list):
            held.append(path)
        elif held is not path:
            index[key] = [path]  # the last one is there, and comes again


def _key(name: str, deep: bool) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder.rpartition('/')[2]}/{last}" if deep else last


def _words(folder: str) -> set[str]:
    return set(re.split(r"[^a-z]+", folder.lower())) - {""}


def _ends(path: str, name: str) -> bool:
    folder = name.rpartition("/")[0]
    held = path.rpartition("/")[0]
    return not folder or held == folder or held.endswith("/" + folder)
