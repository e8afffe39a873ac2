"""The fold assignment on disk, folds/NAME.csv and .json: written once, read and checked by later stages.

NAME.csv has the columns id, label, group and fold, sorted by id; NAME.json, written last, says what it was
made from and carries its digest, and that of the images that its groups hold for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest, paths, writer
from pipeline.config import Config
from pipeline.dataset import survey
from pipeline.dataset.folds import folds_check
from pipeline.dataset.folds.own_folds import own_digest
from pipeline.dataset.layouts import csv_file
from pipeline.dataset.layouts.image_files import LABELLED
from pipeline.errors import DataError, UsageError

COLUMNS = ("id", "label", "group", "fold")
WAY_OUT = (
    "Undo the change or bring the file back, or start a new lineage with python -m pipeline.folds --force:"
    " every member is then trained again."
)


@dataclass(frozen=True)
class Folds:
    """Which fold holds each labelled image out: ids and labels [n] text, groups and fold_of int64 [n].

    Folds count from 0; fold −1 is never scored. `kind` is "grouped", "stratified" or "time": with the groups
    it decides, in `splits.training_rows`, what trains a fold. `digest` covers all of it.
    """

    ids: list[str]
    labels: list[str]
    groups: np.ndarray
    fold_of: np.ndarray
    digest: str
    kind: str = "grouped"


def build_folds(
    ids: Sequence[str],
    labels: Sequence[str],
    groups: np.ndarray,
    fold_of: np.ndarray,
    kind: str = "grouped",
) -> Folds:
    """Put the four columns together with their digest.

    >>> build_folds(["a", "b"], ["ant", "bee"], np.array([0, 1]), np.array([1, 0])).digest
    'e9316b6c36dc5bc7'
    """
    groups, fold_of = np.asarray(groups, np.int64), np.asarray(fold_of, np.int64)
    content = [list(ids), list(labels), groups.tolist(), fold_of.tolist()]
    # the same table trains other models where it is of another kind
    digest = manifest.digest([*content, kind] if kind != "grouped" else content)
    return Folds(list(ids), list(labels), groups, fold_of, digest, kind)


def load_folds(config: Config) -> Folds:
    """Read the folds of a competition and check them against their record, the settings and the images.

    Raises DataError for folds that are missing, edited by hand, made with other settings or for other images
    or labels, or not yet checked against the images' bytes and the user's groups as they are now.
    """
    folds, _, why = _read_checked(config)
    if why:
        raise DataError(
            f"{paths.folds_table(config)} may hold no more: {why}. python -m pipeline.folds tells."
        )
    return folds


def look(config: Config) -> tuple[str, Folds | None]:
    """Say why the folds on disk may not be the configuration's and the images', "" where they are.

    The folds come with it unless they certainly are others.
    """
    table, record = paths.folds_table(config), paths.folds_record(config)
    missing = [str(path) for path in (table, record) if not path.exists()]
    if missing:
        return (f"{missing[0]} is missing" if len(missing) == 1 else "not done yet"), None
    try:
        folds, made_with, why = _read_checked(config)
        if made_with.get("file_digest", "") != own_digest(config):
            return f"folds.file={config.folds.file} changed after {table} was made.", None
    except (DataError, UsageError) as error:
        return str(error).removesuffix(WAY_OUT).rstrip(), None
    return why, folds


def _read_checked(config: Config) -> tuple[Folds, dict[str, Any], str]:
    """Return the folds, their record, and why groups may be others now; raises DataError for other folds.

    What folds.file holds isn't compared here: its folds are in the table, and training needs no more.
    """
    table, record = paths.folds_table(config), paths.folds_record(config)
    if not table.exists():
        raise DataError(f"{table} isn't there: python -m pipeline.folds")
    made_with = read_record(record)
    folds = read_folds(table, made_with.get("kind", "grouped"))
    if folds.digest != made_with.get("digest"):
        raise DataError(f"{table} isn't what {record} says: it was edited by hand. {WAY_OUT}")
    if other := folds_check.other_settings(made_with, folds_check.settings(config)):
        raise DataError(f"{table} {other}. {WAY_OUT}")
    rows = read_images(config)
    rows = rows[rows["split"].isin(LABELLED) & (rows["shard"] >= 0)]
    images = dict(zip(rows["id"], rows["label"], strict=True))
    other = folds_check.differences(dict(zip(folds.ids, folds.labels, strict=True)), images)
    if not other:
        split_of = dict(zip(rows["id"], rows["split"], strict=True))
        splits = np.array([split_of[name] for name in folds.ids])
        other = folds_check.misplaced(
            folds.ids, folds.fold_of, splits, bool(made_with.get("file")), folds.kind
        )
    if other:
        raise DataError(f"{table} was made for other data: {other}. {WAY_OUT}")
    return folds, made_with, folds_check.regrouped(made_with, config.data.group_column, rows)


def read_images(config: Config) -> pd.DataFrame:
    """Return the audit table, images that can't be used too; raises DataError where `prepare` hasn't run."""
    audit = survey.read_audit(paths.cache(config))
    if audit is None:
        raise DataError(f"{paths.cache(config) / 'images.parquet'} can't be read: python -m pipeline.prepare")
    return audit


def read_folds(table: Path, kind: str = "grouped") -> Folds:
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
    return build_folds(found.values("id"), found.values("label"), groups, fold_of, kind)


def read_record(record: Path) -> dict[str, Any]:
    """Read NAME.json; raises DataError where it is missing or torn."""
    try:
        content = json.loads(record.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{record} isn't there: python -m pipeline.folds") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{record} can't be read ({error}). {WAY_OUT}") from error
    return content if isinstance(content, dict) else {}


def promised_digest(table: Path, record: Path, kind: str) -> str | None:
    """Return the digest that the files, or the one that is there, stand for; None where there is neither.

    A table alone doesn't say its kind: it stands for the one that is wanted.
    """
    if record.exists():
        return read_record(record).get("digest", "")
    return read_folds(table, kind).digest if table.exists() else None


def table_bytes(folds: Folds) -> bytes:
    """Return the content of NAME.csv: equal folds give equal bytes."""
    rows = zip(folds.ids, folds.labels, folds.groups.tolist(), folds.fold_of.tolist(), strict=True)
    return csv_file.csv_text(COLUMNS, list(rows)).encode()


def write_folds(table: Path, record: Path, folds: Folds, facts: Mapping[str, Any]) -> None:
    """Publish NAME.csv, then NAME.json with `facts` and the digest: the record is the commit."""
    writer.publish_bytes(table, table_bytes(folds))
    write_record(record, folds, facts)


def write_record(record: Path, folds: Folds, facts: Mapping[str, Any]) -> None:
    """Publish NAME.json alone, for folds that are kept."""
    text = json.dumps({**facts, "digest": folds.digest}, sort_keys=True, indent=1, ensure_ascii=False)
    writer.publish_bytes(record, text.encode() + b"\n")
