"""The layout `lists`: train.txt, val.txt, test.txt of lines `00002.jpg 0`, images, perhaps a classes.txt."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.dataset.layouts import class_names, csv_file
from pipeline.dataset.layouts.csv_file import CsvFile
from pipeline.dataset.layouts.image_files import VALID_WORDS, Found, Listing, Row, escape_name, is_image
from pipeline.dataset.layouts.image_lookup import LEADS_OUT, folder_rank, leads_out
from pipeline.errors import DataError

IMAGE, LABEL = "image", "label"
TRIED = 100  # names of a list that are looked for in each folder, to find the one that holds its images
DEEPEST = 2  # folders between a list, or the root, and its images


class Lists(NamedTuple):
    """The lists of a competition by split, and its classes.txt, relative to the root; `folder` holds them."""

    folder: str
    files: dict[str, str]
    classes: str | None


def find_lists(listing: Listing) -> Lists | None:
    """Find train.txt and its companions in the root, or in the one folder of it that has a train.txt."""
    texts = [name for name in listing.files if name[-4:].lower() == ".txt" and name.count("/") <= 1]
    holders = sorted({name.rpartition("/")[0] for name in texts if _word(name) == "train"})
    if not holders or (holders[0] and len(holders) > 1):
        return None
    folder = holders[0]
    beside = {_word(name): name for name in reversed(texts) if name.rpartition("/")[0] == folder}
    files = {"train": beside["train"]}
    for split, words in (("val", VALID_WORDS), ("test", {"test"})):
        files |= dict([(split, beside[word]) for word in sorted(words) if word in beside][:1])
    above = (f"{folder}/{class_names.FILE}", class_names.FILE) if folder else (class_names.FILE,)
    return Lists(folder, files, next((name for name in above if name in texts), None))


def resolves(root: Path, listing: Listing, lists: Lists) -> bool:
    """Tell whether train.txt names files of one folder near it; class folders are several."""
    names = _read_lines(root / lists.files["train"]).values(IMAGE)
    places = _places(listing, names)
    hits = _hits(places, listing, lists.folder, "train", names)
    best = max(hits, key=lambda base: hits[base][0])
    rest = [name for name in _tried(names) if _join(best, name) not in places]
    return hits[best][0] > 0 and not any(_join(base, name) in places for base in hits for name in rest)


def read_rows(root: Path, listing: Listing, lists: Lists, joined: bool) -> Found:
    """Return the rows of the lists in their order, train, val, test: an image's id is its name in the list.

    `joined` val rows may have classes that train has none of. Raises DataError with the line for what is
    doubled, blank, unknown, listed twice, or leads out of the root.
    """
    tables = {split: _read(root / name, split) for split, name in lists.files.items()}
    places = _places(listing, [name for table in tables.values() for name in table.values(IMAGE)])
    # a test list that is only filled up has one label throughout
    labelled = {
        split: table
        for split, table in tables.items()
        if split != "test" or len(set(table.values(LABEL))) > 1
    }
    csv_file.check_labels(LABEL, *labelled.values())
    names = class_names.by_label(root / lists.classes, LABEL, *labelled.values()) if lists.classes else {}
    trained = [tables[split] for split in tables if split == "train" or (split == "val" and joined)]
    known = {label for table in trained for label in table.values(LABEL)}
    found = {split: _paths(places, listing, lists.folder, split, table) for split, table in tables.items()}
    listed = _check_once(tables, {split: paths for split, (_, paths) in found.items()})
    rows: list[Row] = []
    for split, table in tables.items():
        if split in labelled:
            csv_file.check_known(table, LABEL, known)
        base, paths = found[split]
        for (name, label), path in zip(table.rows, paths, strict=True):
            expected = "" if path else escape_name(_join(base, name))
            named = (names.get(label) or escape_name(label)) if split in labelled else ""
            rows.append(Row(escape_name(name), escape_name(path), expected, named, split, ""))
    unlisted = sum(is_image(path) and path not in listed for path in listing.files)
    note = "; labels count from 1" if next(iter(names), "").lstrip("0") == "1" else ""
    note += f"; images in no list: {unlisted:,}" if unlisted else ""
    return Found("lists", rows, note, names)


def _word(name: str) -> str:
    return name.rpartition("/")[2][:-4].lower()


def _read_lines(path: Path) -> CsvFile:
    """Return the lines of a list, unchecked: a label is what follows the last space or tab.

    A line that ends in an image's name has no label. Names are bytes, as the disk's are, whatever they mean.
    """
    rows, lines = [], []
    for line, content in enumerate(os.fsdecode(csv_file.read_bytes(path)).split("\n"), 1):
        text = content.rstrip(" \t\r")
        if not text:
            continue
        cut = max(text.rfind(" "), text.rfind("\t"))
        label = text[cut + 1 :]
        if cut <= 0 or is_image(label):
            cut, label = len(text), ""
        rows.append([text[:cut].rstrip(" \t").removeprefix("./"), label])
        lines.append(line)
    return CsvFile(path, [IMAGE, LABEL], rows, lines, delimiter=" ")


def _read(path: Path, split: str) -> CsvFile:
    table = _read_lines(path)
    rows = table.rows
    if not rows and split != "test":
        raise DataError(f"{path} is empty: it needs lines such as '00002.jpg 0'.")
    bare = next((number for number, (_, label) in enumerate(rows) if not label), None)
    if bare is not None and (split != "test" or _has_labels(table)):
        others = "" if split != "test" else ", while other lines have one"
        raise DataError(
            f"{path}, {table.row_text(bare).rstrip()}: no label{others}: a line is NAME LABEL, with a space"
            " or a tab between them."
        )
    outside = next((number for number, (name, _) in enumerate(rows) if leads_out(name)), None)
    if outside is not None:
        raise DataError(f"{path}, {table.row_text(outside)}: this {LEADS_OUT}")
    csv_file.check_ids(table, IMAGE, LABEL)
    return table


def _has_labels(table: CsvFile) -> bool:
    return any(label for _, label in table.rows)


def _places(listing: Listing, names: Iterable[str]) -> dict[str, str]:
    """Return the files by what lists may call them: their paths, and without suffix where a name has none.

    Two images that differ only in their suffix are "" there.
    """
    places = dict(zip(listing.files, listing.files, strict=True))
    if not all(map(is_image, names)):
        for path in filter(is_image, listing.files):
            bare = path.rpartition(".")[0]
            other = places.setdefault(bare, path)
            if other not in (bare, path):
                places[bare] = ""
    return places


def _join(base: str, name: str) -> str:
    return f"{base}/{name}" if base else name


def _tried(names: Sequence[str]) -> Sequence[str]:
    return names[:: -(-len(names) // TRIED) or 1]


def _hits(
    places: Mapping[str, str], listing: Listing, folder: str, split: str, names: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Return, for each folder that may hold a list's images, how many it does hold and its rank."""
    hits: dict[str, tuple[int, int]] = {}
    for above in dict.fromkeys((folder, "")):
        start = len(above) + bool(above)
        near = [name for name in listing.folders if name.startswith(above and above + "/")]
        for base in (above, *(name for name in near if name[start:].count("/") < DEEPEST)):
            rank = folder_rank(base[start:], split)
            if rank is not None and base not in hits:
                hits[base] = (sum(_join(base, name) in places for name in _tried(names)), rank)
    return hits


def _paths(
    places: Mapping[str, str], listing: Listing, folder: str, split: str, table: CsvFile
) -> tuple[str, list[str]]:
    """Return the folder of a list's images and their paths, "" for those that aren't there."""
    names = table.values(IMAGE)
    hits = _hits(places, listing, folder, split, names)
    # with nothing found, images are expected in a folder of that name rather than beside the list
    order = sorted(hits, key=lambda base: (-hits[base][0], hits[base][1], base in (folder, ""), base))
    base = order[0]
    if len(order) > 1 and hits[base][0] and hits[order[1]] == hits[base]:
        one, other = (name or "." for name in order[:2])
        raise DataError(f"{table.path}: its images could be those in {one} or in {other}: remove one.")
    paths = []
    suffixed = sum(map(is_image, names)) * 2 > len(names)
    for number, name in enumerate(names):
        path = places.get(_join(base, name))
        if not path:
            _check_missing(places, base, table, number, suffixed, doubled=path == "")
        paths.append(path or "")
    return base, paths


def _check_missing(
    places: Mapping[str, str], base: str, table: CsvFile, number: int, suffixed: bool, doubled: bool
) -> None:
    """Tell a name that isn't there from a line of something else; raises DataError for the latter."""
    name, where = table.rows[number][0], f"{table.path}, {table.row_text(number)}"
    if doubled:
        raise DataError(f"{where}: several images have that name, with different suffixes: write the suffix.")
    words = name.rsplit(None, 1)
    if len(words) == 2 and _join(base, words[0]) in places:
        raise DataError(f"{where}: two labels. {csv_file.SINGLE_LABEL}")
    if suffixed and not is_image(name):
        raise DataError(f"{where}: names no image, as other lines do: remove it, if it is a header.")


def _check_once(tables: Mapping[str, CsvFile], paths: Mapping[str, list[str]]) -> set[str]:
    """Return the images that are listed; raises DataError with both lines for one that is listed twice."""
    found = {path for held in paths.values() for path in held if path}
    if len(found) == sum(bool(path) for held in paths.values() for path in held):
        return found
    first: dict[str, str] = {}
    for split, table in tables.items():
        for number, path in enumerate(paths[split]):
            here = f"{table.path}, {table.row_text(number)}"
            if path and first.setdefault(path, here) != here:
                raise DataError(f"{path!r} is listed twice:\n  {first[path]}\n  {here}\nRemove one of them.")
    return found
