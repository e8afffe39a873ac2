"""The fold assignment on disk, folds/NAME.csv and .json: written once, read and checked by later stages.

NAME.csv has the columns id, label, group and fold, sorted by id; NAME.json, written last, says what it was
made from and carries its digest.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import manifest, paths, writer
from pipeline.config import Config
from pipeline.dataset import cache, csv_file
from pipeline.errors import DataError

COLUMNS = ("id", "label", "group", "fold")
WAY_OUT = (
    "Undo the change or bring the file back, or start a new lineage with python -m pipeline.folds --force:"
    " every member is then trained again."
)


@dataclass(frozen=True)
class Folds:
    """Which fold holds each training image out: ids and labels [n] text, groups and fold_of int64 [n].

    Folds count from 0; fold −1 is in every training fold and never scored. `digest` covers all four.
    """

    ids: list[str]
    labels: list[str]
    groups: np.ndarray
    fold_of: np.ndarray
    digest: str


def build_folds(ids: Sequence[str], labels: Sequence[str], groups: np.ndarray, fold_of: np.ndarray) -> Folds:
    """Put the four columns together with their digest.

    >>> build_folds(["a", "b"], ["ant", "bee"], np.array([0, 1]), np.array([1, 0])).digest
    'e9316b6c36dc5bc7'
    """
    groups, fold_of = np.asarray(groups, np.int64), np.asarray(fold_of, np.int64)
    digest = manifest.digest([list(ids), list(labels), groups.tolist(), fold_of.tolist()])
    return Folds(list(ids), list(labels), groups, fold_of, digest)


def load_folds(config: Config) -> Folds:
    """Read the folds of a competition and check them against their record and the images.

    Raises DataError for folds that are missing, edited by hand, or made for other images or labels.
    """
    table, record = paths.folds_table(config), paths.folds_record(config)
    folds = read_folds(table)
    if folds.digest != read_record(record).get("digest"):
        raise DataError(f"{table} isn't what {record} says: it was edited by hand. {WAY_OUT}")
    other = differences(folds, *usable_rows(config))
    if other:
        raise DataError(f"{table} was made for other data: {other}. {WAY_OUT}")
    return folds


def read_folds(table: Path) -> Folds:
    """Read NAME.csv; raises DataError where it is missing or no fold assignment."""
    if not table.exists():
        raise DataError(f"{table} isn't there: python -m pipeline.folds")
    found = csv_file.read(table)
    if tuple(found.columns) != COLUMNS:
        raise DataError(
            f"{table} has the columns {', '.join(found.columns)}, not {', '.join(COLUMNS)}. {WAY_OUT}"
        )
    csv_file.check_ids(found, "id")
    try:
        groups, fold_of = (np.array([int(value) for value in found.values(name)]) for name in COLUMNS[2:])
    except (ValueError, OverflowError) as error:
        raise DataError(f"{table}: a group or fold is no whole number ({error}). {WAY_OUT}") from error
    return build_folds(found.values("id"), found.values("label"), groups, fold_of)


def read_record(record: Path) -> dict[str, Any]:
    """Read NAME.json; raises DataError where it is missing or torn."""
    try:
        content = json.loads(record.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{record} isn't there: python -m pipeline.folds") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{record} can't be read ({error}). {WAY_OUT}") from error
    return content if isinstance(content, dict) else {}


def promised_digest(table: Path, record: Path) -> str | None:
    """Return the digest that the files, or the one that is there, stand for; None where there is neither."""
    if record.exists():
        return read_record(record).get("digest", "")
    return read_folds(table).digest if table.exists() else None


def table_bytes(folds: Folds) -> bytes:
    """Return the content of NAME.csv: equal folds give equal bytes."""
    rows = zip(folds.ids, folds.labels, folds.groups.tolist(), folds.fold_of.tolist(), strict=True)
    return csv_file.csv_text(COLUMNS, list(rows)).encode()


def write_folds(table: Path, record: Path, folds: Folds, facts: Mapping[str, Any]) -> None:
    """Publish NAME.csv, then NAME.json with `facts` and the digest: the record is the commit."""
    writer.publish_bytes(table, table_bytes(folds))
    text = json.dumps({**facts, "digest": folds.digest}, sort_keys=True, indent=1, ensure_ascii=False)
    writer.publish_bytes(record, text.encode() + b"\n")


def usable_rows(config: Config) -> tuple[list[str], list[str]]:
    """Return the ids and labels of the training images that can be used."""
    rows = cache.open_cache(paths.cache(config)).table
    rows = rows[rows["split"] == "train"]
    return rows["id"].tolist(), rows["label"].tolist()


def differences(folds: Folds, ids: Sequence[str], labels: Sequence[str]) -> str:
    """Say how the folds' rows differ from the images there are, by id; "" where they don't.

    >>> folds = build_folds(["a", "b"], ["ant", "bee"], np.array([0, 1]), np.array([0, 1]))
    >>> differences(folds, ["b", "a"], ["bee", "ant"])
    ''
    >>> differences(folds, ["b", "c"], ["ant", "ant"])
    "1 image has no fold ('c'), 1 row has no image ('a'), 1 label is another ('b': was bee, is ant)"
    """
    old, new = dict(zip(folds.ids, folds.labels, strict=True)), dict(zip(ids, labels, strict=True))
    added = [name for name in ids if name not in old]
    gone = [name for name in folds.ids if name not in new]
    other = [name for name in folds.ids if name in new and new[name] != old[name]]
    said = []
    if added:
        said.append(f"{_count(added, 'image has', 'images have')} no fold ({added[0]!r})")
    if gone:
        said.append(f"{_count(gone, 'row has', 'rows have')} no image ({gone[0]!r})")
    if other:
        name = other[0]
        counted = _count(other, "label is another", "labels are others")
        said.append(f"{counted} ({name!r}: was {old[name]}, is {new[name]})")
    return ", ".join(said)


def _count(names: Sequence[str], one: str, many: str) -> str:
    return f"{len(names):,} {one if len(names) == 1 else many}"
