"""What folds/NAME.json says beside the settings: sizes, what is odd about the folds, what of the images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest, paths
from pipeline.config import Config
from pipeline.dataset.folds import folds_check
from pipeline.dataset.folds.folds_file import Folds, read_images
from pipeline.dataset.folds.own_folds import own_digest
from pipeline.errors import DataError
from pipeline.score import fold_checks, splits

RECORDED = 100  # of each kind of finding
SHOWN = 5
FLATTERS = 'folds.kind = "stratified" ignores groups, so the score flatters itself'


def record_facts(config: Config, folds: Folds, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the record of folds over the rows of `fold_making.fold_rows`, all but its digest.

    `balance` counts the scored images of each class in each fold; `rare_classes` have fewer training images
    than there are folds, perhaps none; `left_out` counts for each fold the images that don't train it since
    one of their group is scored there. Raises DataError for folds that can't be used.
    """
    return {
        **folds_check.settings(config),
        "file_digest": own_digest(config),
        **_assignment(config, folds, rows),
        "group_column": config.data.group_column,
        "images_digest": folds_check.images_digest(rows, folds.kind),
        **_images(config, rows),
    }


def _assignment(config: Config, folds: Folds, rows: pd.DataFrame) -> dict[str, Any]:
    count, fold_of = config.folds.count, folds.fold_of
    names = sorted({*manifest.facts(paths.cache_manifest(config))["classes"], *folds.labels})
    number = {name: i for i, name in enumerate(names)}
    classes = np.array([number[label] for label in folds.labels])
    own = (rows["split"] == "train").to_numpy()
    sizes = np.bincount(classes[own], minlength=len(names))
    balance = fold_checks.fold_balance(fold_of, classes, len(names), count)
    trains = _trains(folds, folds.groups, count)
    alone = _trains(folds, np.arange(len(own)), count)  # as if no image had a twin
    told = sizes >= (1 if folds.kind == "time" else count)  # else it is rare, which is told
    unscored = np.flatnonzero((sizes > 0) & (balance.sum(1) == 0))
    problems = [
        *_torn(folds, rows),
        *_faults(folds, trains),
        *fold_checks.unlearnt_classes(trains, classes, names, told),
        *(f"class {names[row]} is never scored: its images are in no fold" for row in unscored),
    ]
    return {
        "rows": len(own),
        "extra": int((~own).sum()),
        "unscored": int((fold_of < 0).sum()),
        "groups": int(folds.groups.max()) + 1,
        "balance": dict(zip(names, balance.tolist(), strict=True)),
        "rare_classes": [names[row] for row in np.flatnonzero(sizes < count)],
        "left_out": [int((all_rows & ~kept).sum()) for all_rows, kept in zip(alone, trains, strict=True)],
        "problems": problems[:RECORDED],
        "problem_count": len(problems),
    }


def _trains(folds: Folds, groups: np.ndarray, count: int) -> list[np.ndarray]:
    return [splits.training_rows(folds.fold_of, groups, k, folds.kind) for k in range(count)]


def _torn(folds: Folds, rows: pd.DataFrame) -> list[str]:
    if folds.kind != "stratified":
        return []
    torn = folds_check.straddling(rows.assign(fold=folds.fold_of))
    return [f"{torn}; {FLATTERS}"] if torn else []


def _faults(folds: Folds, trains: Sequence[np.ndarray]) -> list[str]:
    """Return which classes folds lack; raises DataError for empty folds and split groups."""
    labels = np.array(folds.labels, dtype=object)
    groups = folds.groups if folds.kind == "grouped" else np.arange(len(labels))
    problems = fold_checks.check_folds(folds.fold_of, labels, groups, len(trains))
    problems += [f"fold {k} has no image to train on" for k in range(len(trains)) if not trains[k].any()]
    fatal = [problem for problem in problems if not problem.startswith("class ")]
    if fatal:
        raise DataError(
            f"the folds came out wrong: {'; '.join(fatal[:SHOWN])}. Set another folds.count or folds.seed."
        )
    # blocks of time lack classes by their nature: what matters is which of them a model never sees
    return [] if folds.kind == "time" else problems


def _images(config: Config, rows: pd.DataFrame) -> dict[str, Any]:
    """Return what is known of pictures that occur twice: counts, and the first of each kind by id."""
    known = manifest.facts(paths.cache_manifest(config))
    audit = read_images(config)
    table = audit[audit["shard"] >= 0].sort_values(["split", "id"])
    labels_of = rows.groupby("picture")["label"].nunique()
    torn = rows[rows["picture"].isin(labels_of.index[labels_of > 1])]
    torn = torn.drop_duplicates(["picture", "label"])
    conflicts = [part[["id", "label"]].to_numpy().tolist() for _, part in torn.groupby("picture", sort=False)]
    test = table[table["split"] == "test"]
    twins = test[test["picture"].isin(rows["picture"])]
    unique = rows.drop_duplicates("picture")
    first_of = dict(zip(unique["picture"], unique["id"], strict=True))
    seen = twins[["id", "picture"]].head(RECORDED).to_numpy().tolist()
    files = rows["sha256"].nunique()
    crowds = [part["id"].tolist() for _, part in table[table["crowd"] >= 0].groupby("crowd")]
    return {
        "classes_digest": known["classes_digest"],
        "train_digest": known["train_digest"],
        "duplicates": {
            "exact": len(rows) - files,
            "near": files - rows["picture"].nunique(),
            "groups_too_large": len(crowds),
            "label_conflicts": len(conflicts),
            "test_twins": len(twins),
            "exact_test_twins": int(twins["sha256"].isin(rows["sha256"]).sum()),
        },
        "conflicts": conflicts[:RECORDED],
        "test_twins": [[name, first_of[picture]] for name, picture in seen],
        "too_large": [ids[:RECORDED] for ids in crowds[:RECORDED]],
    }
