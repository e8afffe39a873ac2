"""How a competition's files are laid out, told apart and read into one table: id, path, label, split, …"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import config
from pipeline.dataset.layouts.csv_file import shown
from pipeline.dataset.layouts.extra_folders import find_extra, read_extra
from pipeline.dataset.layouts.image_files import Found, Listing, Roots, Row, is_image, natural_key, scan
from pipeline.dataset.layouts.layout_choice import read_found
from pipeline.errors import DataError

KNOWN = """\
  folders, train only:   CLASS/*.jpg
  folders, with splits:  train/CLASS/*.jpg, perhaps val/CLASS/*.jpg, test/*.jpg or test/CLASS/*.jpg
  lists:                 train.txt of lines '00002.jpg 0', perhaps val.txt, test.txt, classes.txt; images
  table:                 train.csv with a column of ids and one of labels; images in train/, test/ …"""
IP102 = {"train": 45_095, "val": 7_508, "test": 22_619}  # Wu et al., CVPR 2019, version 1.1
IP102_CLASSES = 102
ORDER = ("train", "extra", "val", "test")


@dataclass(frozen=True)
class Table:
    """What `read_table` found.

    `frame` has text columns: id; path, escaped and relative to one of the `roots`, "" where no file was
    found; expected, what was looked for then; label, "" where none is known (of test rows only); split,
    "train", "extra" (data.extra), "val" (held out by data.use_val) or "test"; group and time, the user's or
    "". `classes` are in the order of their target numbers, `codes` what the competition's files write for
    each: the same, or the number of a folder or in a list, where classes.txt has the names. `found` is one
    line for people.
    """

    frame: pd.DataFrame
    roots: Roots
    classes: list[str]
    codes: list[str]
    layout: str
    found: str
    sample_submission: Path | None


def read_table(data: config.Data, root: Path) -> Table:
    """Read ids, paths, labels and splits of all images below `root`, and say what was found.

    Rows are in a fixed order, train first: natural order of class and name for `folders`, the files' own for
    `lists` and `table`. Raises DataError for what is missing, doubled, blank or leads out of the root.
    """
    if not root.is_dir():
        raise DataError(
            f"the data folder {root} isn't there: put the competition's files in it, or set data.root."
        )
    extra = find_extra(data, root)
    listing = scan(root, without={os.path.realpath(folder) for folder in extra})
    found = read_found(data, root, listing)
    if not found.rows:
        raise DataError(_nothing(root, data.layout, listing))
    rows = _settle_val(found.rows, data.use_val)
    classes, codes = _classes(found, rows)
    if len(classes) < 2:
        raise DataError(f"{root} ({found.layout}): there must be at least two classes, found {classes}.")
    more, note = read_extra(data, extra, classes, codes)
    rows = sorted([*rows, *more], key=lambda row: ORDER.index(row.split))
    _check_rows(root, rows, classes)
    said = _said(found, data.use_val, len(more), len(classes)) + note
    frame = pd.DataFrame(rows, columns=list(Row._fields), dtype=str)
    sample = root / found.sample if found.sample else None
    return Table(frame, Roots(root, extra), classes, codes, found.layout, said, sample)


def _classes(found: Found, rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Return the classes of the training rows in order, and what the files write for each."""
    trained = {row.label for row in rows if row.split == "train"}
    named = {name: code for code, name in found.names.items() if name in trained}
    if named:
        return list(named), list(named.values())
    classes = sorted(trained, key=natural_key)
    return classes, classes


def _settle_val(rows: list[Row], use_val: str) -> list[Row]:
    """Make val rows training rows, or keep them; an id that would then stand twice gets `val/` before it."""
    split, beside = ("train", "train") if use_val == "train" else ("val", "test")
    taken = {row.id for row in rows if row.split == beside}
    doubled = any(row.id in taken for row in rows if row.split == "val")
    return [
        row._replace(split=split, id=f"val/{row.id}" if doubled else row.id) if row.split == "val" else row
        for row in rows
    ]


def _check_rows(root: Path, rows: Sequence[Row], classes: Sequence[str]) -> None:
    """Refuse an id that two images share, and an official label that no training row has."""
    known = {*classes, ""}
    first: dict[tuple[bool, str], Row] = {}
    for row in rows:
        if row.label not in known:
            raise DataError(
                f"{root}: {row.id!r} ({row.split}) has the label {row.label!r}, which no training image has;"
                f" {shown(classes)}."
            )
        other = first.setdefault((row.split in ("val", "test"), row.id), row)
        if other is not row:
            raise DataError(
                f"{root}: {other.path or other.expected!r} ({other.split}) and {row.path or row.expected!r}"
                f" ({row.split}) are one id, {row.id!r}: rename one."
            )


def _said(found: Found, use_val: str, extra: int, classes: int) -> str:
    """Say in one line what there is.

    >>> _said(Found("lists", [Row("1", "", "", "ant", "train", "")], "; a note", {}), "train", 0, 2)
    'lists: 1 train, 0 test, 2 classes; a note'
    """
    counts = Counter(row.split for row in found.rows)
    ours = dict(counts) == IP102 and classes == IP102_CLASSES
    val = f" {counts['val']:,} val," if counts["val"] else ""
    more = f" {extra:,} extra," if extra else ""
    text = (
        f"{'IP102 v1.1 ' if ours else ''}{found.layout}: {counts['train']:,} train,{val}"
        f" {counts['test']:,} test,{more} {classes:,} classes{found.note}"
    )
    return text + (f"; val {'joins train' if use_val == 'train' else 'is held out'}" if val else "")


def _nothing(root: Path, layout: str, listing: Listing) -> str:
    images = sum(is_image(name) for name in listing.files)
    inside = ", ".join(name for name in (*listing.folders, *listing.files) if "/" not in name)
    return (
        f"no competition was found in {root} (data.layout = {layout!r}): it holds {images} images"
        f" and {len(listing.folders)} folders ({inside[:200] or 'nothing'}). What can be read:\n{KNOWN}"
    )
