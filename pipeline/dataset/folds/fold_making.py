"""Which images are split into folds, and how: by class and group, by class alone, by time, or by a file."""

import numpy as np
import pandas as pd

from pipeline.artifacts import paths
from pipeline.config import Config
from pipeline.dataset.folds import folds_check
from pipeline.dataset.folds.fold_times import parse_times
from pipeline.dataset.folds.folds_file import Folds, build_folds, read_images
from pipeline.dataset.folds.own_folds import own_path, with_own_folds
from pipeline.dataset.layouts.image_files import LABELLED
from pipeline.dataset.twins import duplicates
from pipeline.errors import DataError
from pipeline.score import fold_checks, splits

# Why folds may be kept where `misfit` finds nothing.
KEPT = {
    "grouped": "no group lies in two folds",
    "stratified": "groups don't count",
    "time": "each fold is trained on the same images",
}


def fold_rows(config: Config) -> pd.DataFrame:
    """Return the labelled images that can be used, by id, so that the order of train.csv changes nothing.

    The columns are the audit table's, with the groups of folds.file joined into in_group, and own_fold and
    own_group of `own_folds`. Raises DataError where `prepare` hasn't run, or the file doesn't fit.
    """
    audit = read_images(config)
    labelled = audit[audit["split"].isin(LABELLED)].sort_values("id")
    rows = with_own_folds(config, labelled)
    rows = rows[rows["shard"] >= 0].reset_index(drop=True)
    return rows.assign(in_group=_joined(rows["in_group"], rows["own_group"]))


def make_folds(config: Config, rows: pd.DataFrame) -> Folds:
    """Assign each row of `fold_rows` to a fold: the images of data.extra to none, −1.

    Raises DataError where that can't be: too few groups or times, groups of folds.file in several folds.
    """
    kind, count = folds_check.kind_of(config), config.folds.count
    train = (rows["split"] == "train").to_numpy()
    classes = rows["label"].factorize(sort=True)[0]
    _refuse_one_class(config, rows[train])
    groups = rows["in_group"].factorize()[0]
    fold_of = np.full(len(rows), -1, np.int64)
    try:
        if config.folds.file:
            fold_of[train] = rows["own_fold"][train]
            _check_own(config, kind, rows[train])
        elif kind == "time":
            fold_of[train] = splits.time_folds(_times(config, rows[train]), count)
        else:
            apart = np.arange(len(rows)) if kind == "stratified" else groups
            fold_of[train] = splits.make_folds(classes[train], apart[train], count, config.folds.seed)
    except ValueError as error:
        raise DataError(f"{paths.data_root(config)}: {error}. Set folds.count.") from error
    return build_folds(rows["id"].tolist(), rows["label"].tolist(), groups, fold_of, kind)


def misfit(config: Config, kept: Folds, rows: pd.DataFrame) -> str:
    """Say why folds made earlier don't hold for the groups and times of `rows` now; "" where they do."""
    fold_of = dict(zip(kept.ids, kept.fold_of.tolist(), strict=True))
    rows = rows.assign(fold=rows["id"].map(fold_of))
    if kept.kind == "grouped" and (torn := folds_check.straddling(rows)):
        return torn
    if kept.kind == "time" and config.data.time_column and (wrong := _out_of_order(config, rows)):
        return wrong
    groups = rows["in_group"].factorize()[0]
    return folds_check.other_training(kept.ids, kept.fold_of, kept.groups, groups, kept.kind)


def _out_of_order(config: Config, rows: pd.DataFrame) -> str:
    """Say which images of folds by time (column `fold`) contradict data.time_column; "" where none do."""
    train = rows[rows["split"] == "train"].reset_index(drop=True)
    pair = fold_checks.out_of_order(train["fold"].to_numpy(), _times(config, train))
    if pair is None:
        return ""
    late, early = (train.loc[row] for row in pair)
    return (
        f"its folds aren't in the order of data.time_column: {late['id']!r} (fold {late['fold']},"
        f" {late['time']}) is later than {early['id']!r} (fold {early['fold']}, {early['time']})"
    )


def _joined(groups: pd.Series, own: pd.Series) -> np.ndarray:
    """Join groups that share a value of `own`: int64 [n]; "" joins nothing."""
    if (own == "").all():
        return groups.to_numpy()
    rows = np.arange(len(groups))
    named = (own != "").to_numpy()
    first = pd.Series(rows).groupby(groups.to_numpy()).transform("first")
    first_own = pd.Series(rows[named]).groupby(own[named].to_numpy()).transform("first")
    pairs = np.concatenate([np.stack([rows, first], axis=1), np.stack([rows[named], first_own], axis=1)])
    return duplicates.components(len(rows), pairs)


def _times(config: Config, rows: pd.DataFrame) -> np.ndarray:
    return parse_times(rows["id"], rows["time"], config.data.time_column)


def _refuse_one_class(config: Config, train: pd.DataFrame) -> None:
    found = train["label"].unique().tolist()
    if len(found) < 2:
        what = f"all {len(train):,} show {found[0]!r}" if found else "there is none"
        raise DataError(
            f"{paths.data_root(config)}: there must be training images of at least two classes; of those that"
            f" can be used {what}."
        )


def _check_own(config: Config, kind: str, train: pd.DataFrame) -> None:
    """Refuse folds.file where a group lies in several folds, or blocks of time aren't in order."""
    train = train.assign(fold=train["own_fold"])
    if kind == "grouped" and (torn := folds_check.straddling(train)):
        raise DataError(
            f'{own_path(config)}: {torn}. Put them in one fold, or set folds.kind = "stratified", which'
            " takes the file as it is: the score then flatters itself."
        )
    if kind == "time" and config.data.time_column and (wrong := _out_of_order(config, train)):
        raise DataError(f'{own_path(config)}: {wrong}. Set folds.kind = "grouped", or mend the file.')
