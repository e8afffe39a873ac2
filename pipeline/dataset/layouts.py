"""How a competition's files are laid out, told apart and read into one table: id, path, label, split, …"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import config
from pipeline.dataset import class_folders, competition_table
from pipeline.dataset.image_files import Listing, Roots, Row, is_image, natural_key, scan
from pipeline.errors import DataError

KNOWN = """\
  folders, train only:   CLASS/*.jpg
  folders, with splits:  train/CLASS/*.jpg, perhaps val/CLASS/*.jpg, test/*.jpg or test/CLASS/*.jpg
  table:                 train.csv with a column of ids and one of labels; images in train/, test/ …"""


@dataclass(frozen=True)
class Table:
    """What `read_table` found.

    `frame` has text columns: id; path, escaped and relative to one of the `roots`, "" where no file was
    found; expected, what was looked for then; label, "" for test rows without one; split, "train", "extra"
    (data.extra), "val" (held out by data.use_val) or "test"; group and time, the user's or "". `classes` are
    in the order of their target numbers. `found` is one line for people.
    """

    frame: pd.DataFrame
    roots: Roots
    classes: list[str]
    layout: str
    found: str
    sample_submission: Path | None


def read_table(data: config.Data, root: Path) -> Table:
    """Read ids, paths, labels and splits of all images below `root`, and say what was found.

    Rows are in a fixed order, train first: natural order of class and name for `folders`, the files' own for
    `table`. Raises DataError for what is missing, doubled, blank or leads out of the root.
    """
    if not root.is_dir():
        raise DataError(
            f"the data folder {root} isn't there: put the competition's files in it, or set data.root."
        )
    listing = scan(root)
    tables = competition_table.find_tables(listing)
    if data.layout == "table" or (data.layout == "auto" and tables.train is not None):
        layout = "table"
        rows, note = competition_table.read_rows(data, root, listing, tables)
    else:
        layout = "folders"
        rows, note = class_folders.read_rows(root, listing)
        if rows and tables.sample is not None:
            rows = [row for row in rows if row.split == "train"]
            rows += competition_table.sample_rows(data, root, listing, tables.sample, "")
    if not rows:
        raise DataError(_nothing(root, data.layout, listing))
    classes = sorted({row.label for row in rows if row.split == "train"}, key=natural_key)
    if len(classes) < 2:
        raise DataError(f"{root} ({layout}): there must be at least two classes, found {classes}.")
    train = sum(row.split == "train" for row in rows)
    found = f"{layout}: {train:,} train, {len(rows) - train:,} test, {len(classes):,} classes{note}"
    frame = pd.DataFrame(rows, columns=list(Row._fields), dtype=str)
    return Table(frame, Roots(root), classes, layout, found, root / tables.sample if tables.sample else None)


def _nothing(root: Path, layout: str, listing: Listing) -> str:
    images = sum(is_image(name) for name in listing.files)
    inside = ", ".join(name for name in (*listing.folders, *listing.files) if "/" not in name)
    return (
        f"no competition was found in {root} (data.layout = {layout!r}): it holds {images} images"
        f" and {len(listing.folders)} folders ({inside[:200] or 'nothing'}). What can be read:\n{KNOWN}"
    )
