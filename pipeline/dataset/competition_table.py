"""The layout `table`: train.csv with ids and labels, folders of images, sample_submission.csv for test."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline import config
from pipeline.dataset import csv_file
from pipeline.dataset.csv_file import CsvFile
from pipeline.dataset.image_files import (
    Listing,
    Row,
    build_lookup,
    escape_name,
    folder_rank,
    is_image,
    natural_key,
    stem,
)
from pipeline.errors import DataError

TRAIN_NAMES = ("train.csv", "trainlabels.csv", "training.csv")
# A labels.csv may also list the classes of class folders, so it counts only beside a folder of loose images.
LABELS_NAME = "labels.csv"
SAMPLE_NAMES = ("samplesubmission.csv",)
TEST_NAMES = ("test.csv",)
ID_COLUMNS = ("id", "imageid", "image", "imagename", "imagepath", "img", "filename", "file", "filepath",
              "path", "name")  # fmt: skip
LABEL_COLUMNS = ("label", "labels", "class", "classname", "classid", "category", "categoryid", "target",
                 "species", "breed", "diagnosis", "y")  # fmt: skip


class Tables(NamedTuple):
    """The CSV files of a competition, relative to the root."""

    train: str | None
    sample: str | None
    test: str | None


def find_tables(listing: Listing) -> Tables:
    """Find train.csv and its companions in the root, or in the one folder that has a train.csv."""
    holders = sorted({name.rpartition("/")[0] for name in listing.files if _plain(name) == TRAIN_NAMES[0]})
    top = [folder for folder in holders if "/" not in folder]
    base = top[0] if len(top) == 1 else ""
    inside = {_plain(name): name for name in reversed(listing.files) if name.rpartition("/")[0] == base}

    def first(names: Sequence[str]) -> str | None:
        return next((inside[name] for name in names if name in inside), None)

    loose = {name.split("/")[0] for name in listing.files if name.count("/") == 1 and is_image(name)}
    flat = any(folder_rank(folder, "train") == 0 for folder in loose)
    train = first((*TRAIN_NAMES, LABELS_NAME) if flat else TRAIN_NAMES)
    return Tables(train, first(SAMPLE_NAMES), first(TEST_NAMES))


def read_rows(data: config.Data, root: Path, listing: Listing, tables: Tables) -> tuple[list[Row], str]:
    """Return the rows of train.csv and of the test set in the files' order, and a note on the columns.

    Raises DataError with the line for what is doubled, blank, multi-label, or whose columns can't be told.
    """
    if tables.train is None:
        raise DataError(f"{root} has no train.csv, which data.layout = 'table' needs.")
    train = csv_file.read(root / tables.train)
    sample = csv_file.read(root / tables.sample) if tables.sample else None
    id_column = _id_column(data, train, sample)
    label_column = _label_column(data, train, sample, id_column)
    csv_file.check_ids(train, id_column, label_column)
    csv_file.check_labels(train, label_column)
    groups = train.values(_group_column(data, train)) if data.group_column else [""] * len(train.rows)
    lookup = build_lookup(root, "train", listing.files)
    rows = []
    names, labels = train.values(id_column), train.values(label_column)
    for name, label, group in zip(names, labels, groups, strict=True):
        path = lookup.find(name)
        rows.append(
            Row(name, escape_name(path or ""), "" if path else lookup.expected(name), label, "train", group)
        )
    if tables.sample:
        rows += sample_rows(data, root, listing, tables.sample, id_column)
    elif tables.test:
        rows += sample_rows(data, root, listing, tables.test, id_column)
    else:
        rows += _folder_rows(listing, with_suffix=any(map(is_image, names)))
    return rows, f" ({tables.train}: {id_column}, {label_column}){_unlisted(listing, rows)}"


def sample_rows(data: config.Data, root: Path, listing: Listing, name: str, id_column: str) -> list[Row]:
    """Return the test rows that sample_submission.csv (or test.csv) lists, in its order.

    Its id column is the configured one, the one called `id_column`, else its first.
    """
    table = csv_file.read(root / name)
    known = {_plain(column): column for column in reversed(table.columns)}
    column = known.get(_plain(data.id_column or id_column), table.columns[0])
    csv_file.check_ids(table, column)
    lookup = build_lookup(root, "test", listing.files)
    rows = []
    for test_id in table.values(column):
        path = lookup.find(test_id)
        expected = "" if path else lookup.expected(test_id)
        rows.append(Row(test_id, escape_name(path or ""), expected, "", "test", ""))
    return rows


def _folder_rows(listing: Listing, with_suffix: bool) -> list[Row]:
    """Return the images of a test folder that no file lists, called as train.csv calls its images."""
    images = [
        name for name in listing.files if is_image(name) and folder_rank(name.rpartition("/")[0], "test") == 0
    ]
    rows = []
    for name in sorted(images, key=natural_key):
        test_id = name.rpartition("/")[2] if with_suffix else stem(name)
        rows.append(Row(escape_name(test_id), escape_name(name), "", "", "test", ""))
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(row.id, row)
        if other is not row:
            raise DataError(
                f"{other.path!r} and {row.path!r} are one id, {row.id!r}: rename one, or add a"
                " sample_submission.csv."
            )
    return rows


def _id_column(data: config.Data, train: CsvFile, sample: CsvFile | None) -> str:
    if data.id_column:
        return _configured(train, "data.id_column", data.id_column)
    shared = [column for column in (sample.columns[:1] if sample else []) if column in train.columns]
    return shared[0] if shared else _known(train, ID_COLUMNS, train.columns, "ids", "data.id_column")


def _label_column(data: config.Data, train: CsvFile, sample: CsvFile | None, id_column: str) -> str:
    if data.label_column:
        return _configured(train, "data.label_column", data.label_column)
    rest = [column for column in train.columns if column not in (id_column, data.group_column)]
    shared = [column for column in rest if sample and column in sample.columns]
    if len(shared) == 1 or len(rest) == 1:
        return (shared or rest)[0]
    return _known(train, LABEL_COLUMNS, rest, "labels", "data.label_column")


def _group_column(data: config.Data, train: CsvFile) -> str:
    return _configured(train, "data.group_column", data.group_column)


def _configured(train: CsvFile, key: str, column: str) -> str:
    if column not in train.columns:
        raise DataError(f"{train.path} has no column {column!r} ({key}): it has {', '.join(train.columns)}.")
    return column


def _known(train: CsvFile, names: Sequence[str], columns: Sequence[str], what: str, key: str) -> str:
    plain = {_plain(column): column for column in reversed(columns)}
    found = next((plain[name] for name in names if name in plain), None)
    if found is None:
        raise DataError(
            f"{train.path}: which column holds the {what}? Set {key} to one of"
            f" {', '.join(columns) or 'its columns (there is none left)'}."
        )
    return found


def _plain(name: str) -> str:
    """Return a file's or column's name without folders, case, `_`, `-` and spaces."""
    return name.rpartition("/")[2].lower().replace("_", "").replace("-", "").replace(" ", "")


def _unlisted(listing: Listing, rows: Sequence[Row]) -> str:
    used = {row.path for row in rows}
    extra = sum(is_image(name) and escape_name(name) not in used for name in listing.files)
    return f"; images in no table: {extra:,}" if extra else ""
