"""The user's own fold assignment, folds.file: a CSV file with the columns id and fold, perhaps group, label.

It must hold exactly the training images; those of data.extra may be left out, since they are never scored.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest, paths
from pipeline.config import Config
from pipeline.dataset.folds.folds_check import differences
from pipeline.dataset.layouts import csv_file
from pipeline.dataset.layouts.csv_file import CsvFile
from pipeline.errors import DataError, UsageError

WHOLE = re.compile(r"\s*(-1|[0-9]{1,9})\s*")


def own_path(config: Config) -> Path:
    """Return folds.file's path; raises UsageError where the folds themselves are written there."""
    path, table = Path(config.folds.file).expanduser(), paths.folds_table(config)
    if path.resolve() == table.resolve():
        raise UsageError(f"folds.file is {table}, where the folds are written: give it another name.")
    return path


def own_digest(config: Config) -> str:
    """Digest the file's bytes, "" where folds.file isn't set; raises DataError where it can't be read."""
    return manifest.bytes_digest(csv_file.read_bytes(own_path(config))) if config.folds.file else ""


def with_own_folds(config: Config, rows: pd.DataFrame) -> pd.DataFrame:
    """Add the columns own_fold, int64, and own_group, text, to all labelled rows of the audit.

    −1 and "" stand for rows that the file doesn't hold. Raises DataError for a file that isn't an assignment
    of exactly these rows to folds.count folds.
    """
    if not config.folds.file:
        return rows.assign(own_fold=-1, own_group="")
    found = csv_file.read(own_path(config))
    for column in ("id", "fold"):
        if column not in found.columns:
            raise DataError(
                f"{found.path} has no column {column!r}: it has {', '.join(found.columns)}. folds.file needs"
                " id and fold, and may have group and label."
            )
    csv_file.check_ids(found, "id")
    folds = _folds(found, config.folds.count)
    _check_rows(found, rows)
    groups = found.values("group") if "group" in found.columns else [""] * len(folds)
    own = pd.DataFrame({"own_fold": folds, "own_group": groups}, index=found.values("id"))
    own = own.reindex(rows["id"])
    added = {
        "own_fold": own["own_fold"].fillna(-1).astype(np.int64),
        "own_group": own["own_group"].fillna(""),
    }
    rows = rows.assign(**{name: values.to_numpy() for name, values in added.items()})
    scored = rows[(rows["split"] == "extra") & (rows["own_fold"] >= 0)]
    if len(scored):
        row = scored.iloc[0]
        raise DataError(
            f"{found.path}: {row['id']!r} comes from data.extra, which is never scored: its fold must be −1"
            f" (written -1), not {row['own_fold']}."
        )
    return rows


def _folds(found: CsvFile, count: int) -> list[int]:
    values = found.values("fold")
    for number, value in enumerate(values):
        if not WHOLE.fullmatch(value):
            raise DataError(
                f"{found.path}, {found.row_text(number)}: the fold is {value!r}, expected a whole number: 0"
                f" to {count - 1}, or -1 for a row that is never scored."
            )
    folds = list(map(int, values))
    present = set(folds) - {-1}
    largest = max(present, default=-1)
    if largest < 1:
        raise DataError(f"{found.path}: all scored rows are in one fold, there must be at least 2.")
    if len(present) <= largest:
        gap = min(set(range(len(present) + 1)) - present)
        raise DataError(
            f"{found.path}: no row has fold {gap}, though the folds go up to {largest}: they count from 0."
        )
    if largest + 1 != count:
        raise DataError(
            f"{found.path} has {largest + 1} folds (0 to {largest}), folds.count is {count}: set"
            f" folds.count={largest + 1}."
        )
    return folds


def _check_rows(found: CsvFile, rows: pd.DataFrame) -> None:
    ids = found.values("id")
    listed = rows[(rows["split"] == "train") | rows["id"].isin(ids)]
    known = dict(zip(listed["id"], listed["label"], strict=True))
    given = found.values("label") if "label" in found.columns else [known.get(name, "") for name in ids]
    other = differences(dict(zip(ids, given, strict=True)), known)
    if other:
        raise DataError(f"{found.path} doesn't fit the training images: {other}.")
