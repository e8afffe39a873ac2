"""Folds: stratified by class and never through a group of duplicates, or blocks in the order of time.

Up to a size scikit-learn's StratifiedGroupKFold proposes; it can leave a fold empty or without a class that
could be in all, so its answer is checked, and where it fails or would take minutes, `placement` does it. Fold
−1 marks rows that are never scored. `training_rows` says which rows train a fold: nothing else decides that.
"""

import warnings

import numpy as np

from pipeline.score.fold_checks import check_folds
from pipeline.score.placement import place_groups

# StratifiedGroupKFold takes about 0.4 ms a group, and more beyond 100 classes: so at most some seconds.
SCIKIT_LEARN_GROUPS = 5000


def make_folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each row, int64 [n] in 0 … count−1, from labels [n] and groups [n] (any sortable values).

    Equal arguments give equal folds; the order of the rows counts, so sort them by something stable (the id)
    first. Raises ValueError for fewer than two folds or fewer groups than folds.

    >>> make_folds(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3]), count=2, seed=0)
    array([1, 0, 0, 1])
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    if labels.shape != groups.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} and groups {groups.shape} must be one value a row")
    if count < 2:
        raise ValueError(f"{count} folds: there must be at least 2")
    _, classes = np.unique(labels, return_inverse=True)
    _, group_of = np.unique(groups, return_inverse=True)
    n_groups = int(group_of.max(initial=-1)) + 1
    if n_groups < count:
        raise ValueError(f"{count} folds need at least as many groups of images, there are {n_groups}")
    sizes = np.bincount(classes)
    alone = n_groups == len(labels)
    if sizes.max() >= count and (alone or n_groups * max(len(sizes), 100) <= 100 * SCIKIT_LEARN_GROUPS):
        fold_of = _scikit_learn_folds(classes, None if alone else group_of, count, seed)
        if not check_folds(fold_of, classes, group_of, count):
            return fold_of
    return place_groups(classes, group_of, count, seed)


def _scikit_learn_folds(
    classes: np.ndarray, group_of: np.ndarray | None, count: int, seed: int
) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    # without duplicates both promise the same, and the grouped one is a thousand times slower
    kind = StratifiedKFold if group_of is None else StratifiedGroupKFold
    splitter = kind(n_splits=count, shuffle=True, random_state=seed)
    fold_of = np.full(len(classes), -1, np.int64)
    with warnings.catch_warnings():
        # a class with fewer images than folds: whoever makes the folds tells
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(classes, classes, group_of)):
            fold_of[held_out] = fold
    return fold_of


def time_folds(times: np.ndarray, count: int) -> np.ndarray:
    """Cut rows in the order of their times [n] into count + 1 blocks of nearly equal size: int64 [n].

    The first block is fold −1, the others folds 0 … count−1. Equal times stay in one block. Raises ValueError
    for fewer different times than blocks.

    >>> time_folds(np.array([5, 1, 2, 2, 9, 7, 1]), count=2)
    array([ 0, -1,  0,  0,  1,  1, -1])
    """
    values, place, sizes = np.unique(np.asarray(times), return_inverse=True, return_counts=True)
    if len(values) <= count:
        raise ValueError(
            f"{count} folds and the block before them need at least {count + 1} different times,"
            f" there are {len(values)}"
        )
    ends = np.cumsum(sizes)[:-1]  # the rows before each possible cut
    cuts: list[int] = []
    for block in range(1, count + 1):
        first, last = cuts[-1] + 1 if cuts else 0, len(ends) - (count - block)
        wanted = len(place) * block / (count + 1)
        cuts.append(first + int(np.abs(ends[first:last] - wanted).argmin()))
    return np.searchsorted(cuts, np.arange(len(values)))[place].astype(np.int64) - 1


def training_rows(fold_of: np.ndarray, groups: np.ndarray, k: int | None, kind: str) -> np.ndarray:
    """Tell which rows train the model that is scored on fold k: bool [n], from fold_of and groups int [n].

    Those of other folds and fold −1, for the kind "time" only of earlier ones; never a row in whose group is
    a row of fold k, unless the kind is "stratified", which ignores groups. With None nothing is held out.

    >>> fold_of, groups = np.array([-1, -1, 0, 1, 2]), np.array([0, 1, 1, 2, 3])
    >>> training_rows(fold_of, groups, 0, "grouped")
    array([ True, False, False,  True,  True])
    >>> training_rows(fold_of, groups, 1, "time")
    array([ True,  True,  True, False, False])
    """
    if k is None:
        return np.ones(len(fold_of), bool)
    rows = fold_of < k if kind == "time" else fold_of != k
    if kind != "stratified":
        rows &= ~np.isin(groups, groups[fold_of == k])
    return rows
