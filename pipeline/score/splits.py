"""Folds: stratified by class, never through a group of duplicates.

scikit-learn's StratifiedGroupKFold proposes; it can leave a fold empty or without a class that could be in
all, so its answer is checked, and where it fails the groups are placed one by one. Fold −1 marks rows that
are in every training fold and never scored.
"""

import warnings

import numpy as np


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
    if np.bincount(classes).max() >= count:
        fold_of = _scikit_learn_folds(classes, group_of, count, seed)
        if not check_folds(fold_of, classes, group_of, count):
            return fold_of
    return place_groups(classes, group_of, count, seed)


def _scikit_learn_folds(classes: np.ndarray, group_of: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    # without duplicates both promise the same, and the grouped one is ten times slower
    kind = StratifiedKFold if len(group_of) == group_of.max() + 1 else StratifiedGroupKFold
    splitter = kind(n_splits=count, shuffle=True, random_state=seed)
    fold_of = np.full(len(classes), -1, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # a class with fewer images than folds: `rare_classes` tells
        for fold, (_, held_out) in enumerate(splitter.split(classes, classes, group_of)):
            fold_of[held_out] = fold
    return fold_of


def place_groups(classes: np.ndarray, group_of: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Place groups greedily, largest first, where Σ_c (n_cf − n_c/count)² / n_c stays least; int64 [n].

    classes and group_of are int [n] counted from 0. Of equal folds the one with the fewest rows, then a drawn
    one.

    >>> place_groups(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2]), count=2, seed=0)
    array([1, 1, 0, 0])
    """
    n_classes, n_groups = int(classes.max()) + 1, int(group_of.max()) + 1
    sizes = np.bincount(group_of, minlength=n_groups)
    class_sizes = np.bincount(classes, minlength=n_classes)
    order = np.argsort(group_of, kind="stable")
    members = np.split(classes[order], np.cumsum(sizes)[:-1])
    draw = np.random.default_rng(seed)
    shuffled = draw.permutation(n_groups)
    fold_order = draw.permutation(count)
    placed, rows = np.zeros((count, n_classes)), np.zeros(count)
    fold_of_group = np.zeros(n_groups, np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        held, held_counts = np.unique(members[group], return_counts=True)
        # the terms of the sum that depend on the fold; what is left of the square is the same for all
        cost = (placed[:, held] * (held_counts / class_sizes[held])).sum(1)
        best = np.lexsort((fold_order, rows, cost.round(12)))[0]
        placed[best, held] += held_counts
        rows[best] += sizes[group]
        fold_of_group[group] = best
    return fold_of_group[group_of]


def check_folds(
    fold_of: np.ndarray, labels: np.ndarray, groups: np.ndarray, count: int | None = None
) -> list[str]:
    """What is wrong with folds [n], one sentence each: groups split, folds empty, classes missing needlessly.

    A class counts as missing from a fold only if it has at least as many groups as there are folds. `count`
    is the largest fold + 1 where it is not given. Rows of fold −1 may share a group with any fold.

    >>> check_folds(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), np.array(["a", "a", "b", "c"]))
    ['group a lies in folds 0, 1']
    """
    fold_of = np.asarray(fold_of)
    scored = fold_of >= 0
    fold_of, labels, groups = fold_of[scored], np.asarray(labels)[scored], np.asarray(groups)[scored]
    if count is None:
        count = int(fold_of.max(initial=-1)) + 1
    problems = [f"fold {fold} is empty" for fold in range(count) if not (fold_of == fold).any()]
    names, group_of = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.stack([group_of, fold_of]), axis=1)
    for group in np.flatnonzero(np.bincount(pairs[0], minlength=len(names)) > 1):
        folds = ", ".join(str(fold) for fold in pairs[1][pairs[0] == group])
        problems.append(f"group {names[group]} lies in folds {folds}")
    class_names, classes = np.unique(labels, return_inverse=True)
    class_groups = np.bincount(
        np.unique(np.stack([classes, group_of]), axis=1)[0], minlength=len(class_names)
    )
    balance = np.zeros((len(class_names), count), np.int64)
    np.add.at(balance, (classes, fold_of), 1)
    for row, fold in np.argwhere((balance == 0) & (class_groups >= count)[:, None]):
        problems.append(
            f"class {class_names[row]} is missing from fold {fold}, with {class_groups[row]} groups"
        )
    return problems


def fold_balance(fold_of: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rows int [K, folds] of each class (in np.unique's order) in each fold; rows of fold −1 are left out.

    >>> fold_balance(np.array([0, 1, 1, -1]), np.array(["a", "a", "b", "b"]))
    array([[1, 1],
           [0, 1]])
    """
    names, classes = np.unique(np.asarray(labels), return_inverse=True)
    scored = np.asarray(fold_of) >= 0
    balance = np.zeros((len(names), int(np.max(fold_of, initial=-1)) + 1), np.int64)
    np.add.at(balance, (classes[scored], np.asarray(fold_of)[scored]), 1)
    return balance


def rare_classes(labels: np.ndarray, count: int) -> list:
    """The classes with fewer rows than folds, so missing from some fold however they are split.

    >>> rare_classes(np.array(["ant", "bee", "bee", "bee"]), count=3)
    ['ant']
    """
    names, sizes = np.unique(np.asarray(labels), return_counts=True)
    return names[sizes < count].tolist()
