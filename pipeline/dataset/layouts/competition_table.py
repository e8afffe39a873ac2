"""The layout `table`: train.csv with ids and labels, folders of images, sample_submission.csv for test."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline import config
from pipeline.dataset.layouts import csv_file
from pipeline.dataset.layouts.csv_file import CsvFile
from pipeline.dataset.layouts.image_files import (
    Listing,
    Row,
    by_folder,
    escape_name,
    is_image,
    plain_name,
    stem,
)
from pipeline.dataset.layouts.image_lookup import build_lookup, folder_rank
from pipeline.errors import DataError

TRAIN_NAMES = ("train.csv", "trainlabels.csv", "training.csv")
# A labels.csv may also list the classes of class folders, so it counts only beside a folder of loose images.
LABELS_NAME = "labels.csv"
SAMPLE_NAMES = ("samplesubmission.csv",)
TEST_NAMES = ("test.csv",)
VALID_NAMES = ("val.csv", "valid.csv", "validation.csv")
ID_COLUMNS = ("id", "imageid", "image", "imagename", "imagepath", "img", "filename", "file", "filepath",
              "path", "name")  # fmt: skip
LABEL_COLUMNS = ("label", "labels", "class", "classname", "classid", "category", "categoryid", "target",
                 "species", "breed", "diagnosis", "y")  # fmt: skip


class Tables(NamedTuple):
    """The CSV files of a competition, relative to the root."""

    train: str | None
    sample: str | None
    test: str | None
    val: str | None


class Columns(NamedTuple):
    """The columns of train.csv; "" where there is none, which only `group` and `time` may be."""

    id: str
    label: str
    group: str
    time: str


def find_tables(listing: Listing) -> Tables:
    """Find train.csv and its companions in the root, or in the one folder with a train.csv (or a sample)."""
    tables = [name for name in listing.files if name[-4:].lower() == ".csv"]
    base = ""
    for wanted in (TRAIN_NAMES[0], SAMPLE_NAMES[0]):
        holders = {name.rpartition("/")[0] for name in tables if plain_name(name) == wanted}
        top = sorted(folder for folder in holders if "/" not in folder)
        if holders:
            base = top[0] if len(top) == 1 else ""
            break
    inside = {plain_name(name): name for name in reversed(tables) if name.rpartition("/")[0] == base}

    def first(names: Sequence[str]) -> str | None:
        return next((inside[name] for name in names if name in inside), None)

    loose = {name.split("/")[0] for name in listing.files if name.count("/") == 1 and is_image(name)}
    flat = any(folder_rank(folder, "train") == 0 for folder in loose)
    train = first((*TRAIN_NAMES, LABELS_NAME) if flat else TRAIN_NAMES)
    return Tables(train, first(SAMPLE_NAMES), first(TEST_NAMES), first(VALID_NAMES) if train else None)


def read_rows(data: config.Data, root: Path, listing: Listing, tables: Tables) -> tuple[list[Row], str]:
    """Return the rows of train.csv, val.csv and the test set in the files' order, a note on the columns.

    Test rows carry the labels of test.csv, where it has train.csv's column of them. Raises DataError with
    the line for what is doubled, blank, multi-label, or whose columns can't be told.
    """
    if tables.train is None:
        raise DataError(f"{root} has no train.csv, which data.layout = 'table' needs.")
    train = csv_file.read(root / tables.train)
    sample = csv_file.read(root / tables.sample) if tables.sample else None
    columns = _columns(data, train, sample)
    files, note = {"train": train}, ""
    if tables.val:
        lacking = {columns.id, columns.label}.difference(csv_file.read_columns(root / tables.val))
        if lacking:
            note = f"; {tables.val} isn't used: it has no column {', '.join(sorted(lacking))}"
        else:
            files["val"] = csv_file.read(root / tables.val)
    rows = [
        row for split, file in files.items() for row in _labelled(root, listing, file, columns, split, data)
    ]
    csv_file.check_labels(columns.label, *files.values())
    known = dict.fromkeys(row.label for row in rows if row.split == "train" or data.use_val == "train")
    if "val" in files:
        csv_file.check_known(files["val"], columns.label, known)
    official = _official(data, root, tables.test, columns, known)
    if sample is not None:
        rows += sample_rows(data, root, listing, sample, columns.id, official)
    elif tables.test:
        rows += sample_rows(data, root, listing, csv_file.read(root / tables.test), columns.id, official)
    else:
        rows += _folder_rows(listing, with_suffix=any(is_image(row.id) for row in rows))
    used = {row.path for row in rows}
    extra = sum(is_image(name) and escape_name(name) not in used for name in listing.files)
    note += f"; images in no table: {extra:,}" if extra else ""
    return rows, f" ({tables.train}: {columns.id}, {columns.label}){note}"


def sample_rows(
    data: config.Data,
    root: Path,
    listing: Listing,
    table: CsvFile,
    id_column: str,
    labels: Mapping[str, str],
) -> list[Row]:
    """Return the test rows that sample_submission.csv (or test.csv) lists, in its order.

    Its id column is the configured one, the one called `id_column`, else its first. `labels` are the official
    ones by id.
    """
    column = _test_column(data, table.columns, id_column)
    csv_file.check_ids(table, column)
    lookup = build_lookup(root, "test", listing.files)
    rows = []
    for name in table.values(column):
        path = lookup.find(name)
        expected = "" if path else lookup.expected(name)
        rows.append(Row(name, escape_name(path or ""), expected, labels.get(name, ""), "test", ""))
    return rows


def _labelled(
    root: Path, listing: Listing, file: CsvFile, columns: Columns, split: str, data: config.Data
) -> list[Row]:
    """Return the rows of train.csv or val.csv."""
    csv_file.check_ids(file, columns.id, columns.label)
    blank = [""] * len(file.rows)
    groups = file.values(_configured(file, "data.group_column", columns.group)) if columns.group else blank
    times = file.values(_configured(file, "data.time_column", columns.time)) if columns.time else blank
    if columns.time:
        csv_file.check_filled(file, columns.time)
    lookup = build_lookup(root, split, listing.files)
    rows = []
    for name, label, group, time in zip(
        file.values(columns.id), file.values(columns.label), groups, times, strict=True
    ):
        path = lookup.find(name)
        expected = "" if path else lookup.expected(name)
        rows.append(Row(name, escape_name(path or ""), expected, label, split, group, time))
    return rows


def _official(
    data: config.Data, root: Path, name: str | None, columns: Columns, known: Collection[str]
) -> dict[str, str]:
    """Return the labels of test.csv by id; none where that column is missing or holds one value only."""
    if name is None or columns.label not in csv_file.read_columns(root / name):
        return {}
    test = csv_file.read(root / name)
    labels = test.values(columns.label)
    if len(set(map(str.strip, labels)) - csv_file.BLANK) < 2:
        return {}
    csv_file.check_known(test, columns.label, known)
    ids = test.values(_test_column(data, test.columns, columns.id))
    return {key: label for key, label in zip(ids, labels, strict=True) if label.strip() not in csv_file.BLANK}


def _folder_rows(listing: Listing, with_suffix: bool) -> list[Row]:
    """Return the images of a test folder that no file lists, called as train.csv calls its images."""
    inside = by_folder(filter(is_image, listing.files))
    rows = []
    for name in (name for folder in inside if folder_rank(folder, "test") == 0 for name in inside[folder]):
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


def _test_column(data: config.Data, columns: Sequence[str], id_column: str) -> str:
    known = {plain_name(column): column for column in reversed(columns)}
    return known.get(plain_name(data.id_column or id_column), columns[0])


def _columns(data: config.Data, train: CsvFile, sample: CsvFile | None) -> Columns:
    id_column = _id_column(data, train, sample)
    label_column = _label_column(data, train, sample, id_column)
    return Columns(id_column, label_column, data.group_column, data.time_column)


def _id_column(data: config.Data, train: CsvFile, sample: CsvFile | None) -> str:
    if data.id_column:
        return _configured(train, "data.id_column", data.id_column)
    shared = [column for column in (sample.columns[:1] if sample else []) if column in train.columns]
    return shared[0] if shared else _known(train, ID_COLUMNS, train.columns, "ids", "data.id_column")


def _label_column(data: config.Data, train: CsvFile, sample: CsvFile | None, id_column: str) -> str:
    if data.label_column:
        return _configured(train, "data.label_column", data.label_column)
    taken = (id_column, data.group_column, data.time_column)
    rest = [column for column in train.columns if column not in taken]
    shared = [column for column in rest if sample and column in sample.columns]
    if len(shared) == 1 or len(rest) == 1:
        return (shared or rest)[0]
    return _known(train, LABEL_COLUMNS, rest, "labels", "data.label_column")


def _configured(train: CsvFile, key: str, column: str) -> str:
    if column not in train.columns:
        raise DataError(f"{train.path} has no column {column!r} ({key}): it has {', '.join(train.columns)}.")
    return column


def _known(train: CsvFile, names: Sequence[str], columns: Sequence[str], what: str, key: str) -> str:
    plain = {plain_name(column): column for column in reversed(columns)}
    found = next((plain[name] for name in names if name in plain), None)
    if found is None:
        raise DataError(
            f"{train.path}: which column holds the {what}? Set {key} to one of"
            f" {', '.join(columns) or 'its columns (there is none left)'}."
        )
    return found
