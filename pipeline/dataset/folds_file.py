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

    Raises DataError for folds that are missing, edited by hand, made for other images or labels, or not yet
    checked against the images' bytes and the user's groups as they are now.
    """
    folds, why = read_checked(config)
    if why:
        raise DataError(
            f"{paths.folds_table(config)} may hold no more: {why}. python -m pipeline.folds tells."
        )
    return folds


def read_checked(config: Config) -> tuple[Folds, str]:
    """Read the folds, and say why a group may lie in several of them now; "" where none can.

    Raises DataError for folds that are missing, edited by hand, or made for other images or labels.
    """
    table, record = paths.folds_table(config), paths.folds_record(config)
    folds, made_with = read_folds(table), read_record(record)
    if folds.digest != made_with.get("digest"):
        raise DataError(f"{table} isn't what {record} says: it was edited by hand. {WAY_OUT}")
    rows = cache.open_cache(paths.cache(config)).table
    rows = rows[rows["split"] == "train"]
    other = differences(folds, rows["id"].tolist(), rows["label"].tolist())
    if other:
        raise DataError(f"{table} was made for other data: {other}. {WAY_OUT}")
    return folds, _regrouped(config, made_with, rows)


def look(config: Config) -> tuple[str, Folds | None]:
    """Say why the folds on disk may not be the configuration's and the images', "" where they are.

    The folds come with it unless they certainly are others.
    """
    table, record = paths.folds_table(config), paths.folds_record(config)
    missing = [str(path) for path in (table, record) if not path.exists()]
    if missing:
        return (f"{missing[0]} is missing" if len(missing) == 1 else "not done yet"), None
    try:
        made_with = read_record(record)
        folds, why = read_checked(config)
    except DataError as error:
        return str(error).removesuffix(WAY_OUT).rstrip(), None
    for key, wanted in (("seed", config.folds.seed), ("count", config.folds.count)):
        if made_with.get(key) != wanted:
            return f"{table} was made with folds.{key}={made_with.get(key)}, not {wanted}.", None
    return why, folds


def images_digest(rows: pd.DataFrame) -> str:
    """Digest what the groups of training images come from: id, sha256 and the user's group of each row.

    Neither the cache's size nor test images count, which hold no fold: at most, one links two pictures that
    aren't alike enough themselves. The order of the rows changes nothing.
    """
    return manifest.digest(rows.sort_values("id")[["id", "sha256", "group"]].to_numpy().tolist())


def _regrouped(config: Config, made_with: Mapping[str, Any], rows: pd.DataFrame) -> str:
    if "images_digest" not in made_with or "group_column" not in made_with:
        return f"{paths.folds_record(config)} doesn't say which images its groups hold for"
    was, now = made_with["group_column"], config.data.group_column
    if was != now:
        return f'data.group_column changed from "{was}" to "{now}"'
    if made_with["images_digest"] != images_digest(rows):
        return "the bytes or groups of images changed after the folds were made"
    return ""


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
    write_record(record, folds, facts)


def write_record(record: Path, folds: Folds, facts: Mapping[str, Any]) -> None:
    """Publish NAME.json alone, for folds that are kept."""
    text = json.dumps({**facts, "digest": folds.digest}, sort_keys=True, indent=1, ensure_ascii=False)
    writer.publish_bytes(record, text.encode() + b"\n")


def straddling(rows: pd.DataFrame) -> str:
    """Say which images of one group lie in several folds, the first by row; "" where none do.

    rows: id, fold (fold −1 is never scored, and may share a group with any), the user's group ("" is none),
    and picture and in_group as `duplicates.find_groups` numbers them.

    >>> rows = pd.DataFrame({"id": ["a", "b", "c"], "fold": [0, 1, 1], "group": ["", "", ""]})
    >>> straddling(rows.assign(picture=[0, 1, 0], in_group=[0, 1, 0]))
    "1 group lies in several folds: 'a' (fold 0) and 'c' (fold 1) show the same picture"
    >>> straddling(rows.assign(picture=[0, 1, 1], in_group=[0, 1, 1]))
    ''
    """
    scored = rows[rows["fold"] >= 0]
    torn = scored[scored.groupby("in_group")["fold"].transform("nunique") > 1]
    if torn.empty:
        return ""
    groups = torn["in_group"].drop_duplicates().astype(str).tolist()
    counted = _count(groups, "group lies", "groups lie") + " in several folds"
    for column, how in (
        ("picture", "show the same picture"),
        ("group", "have the same value of data.group_column, {!r}"),
        ("in_group", "belong together through other images"),
    ):
        named = torn[torn[column].astype(str) != ""]
        named = named[named.groupby(column)["fold"].transform("nunique") > 1]
        if not named.empty:
            one = named.iloc[0]
            other = named[(named[column] == one[column]) & (named["fold"] != one["fold"])].iloc[0]
            pair = " and ".join(f"{row['id']!r} (fold {row['fold']})" for row in (one, other))
            return f"{counted}: {pair} {how.format(one[column])}"
    return counted


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
