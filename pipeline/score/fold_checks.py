"""What is wrong with folds, or should be known about them: each finding is a sentence that names it."""

from collections.abc import Sequence

import numpy as np


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
    group_names, group_of = np.unique(groups, return_inverse=True)
    class_names, classes = np.unique(labels, return_inverse=True)
    problems = [f"fold {fold} is empty" for fold in np.setdiff1d(np.arange(count), fold_of)]
    in_folds = _pairs(group_of, fold_of, count)
    for group in np.flatnonzero(np.bincount(in_folds[0]) > 1):
        first, last = np.searchsorted(in_folds[0], [group, group + 1])
        problems.append(f"group {group_names[group]} lies in {_folds(in_folds[1][first:last])}")
    sizes = np.bincount(_pairs(classes, group_of, len(group_names))[0])
    missing = (fold_balance(fold_of, classes, len(class_names), count) == 0) & (sizes >= count)[:, None]
    for row in np.flatnonzero(missing.any(1)):
        folds = _folds(np.flatnonzero(missing[row]))
        problems.append(f"class {class_names[row]} is missing from {folds}, with {sizes[row]} groups")
    return problems


def unlearnt_classes(
    trains: Sequence[np.ndarray], classes: np.ndarray, names: Sequence[str], told: np.ndarray
) -> list[str]:
    """Name the classes that some fold's model never sees, of those to be `told`, bool [C]: one sentence each.

    `trains` holds a bool [n] a fold, the rows that train it; classes are int [n], counted as `names`.

    >>> trains = [np.array([True, False, False]), np.array([True, True, False])]
    >>> unlearnt_classes(trains, np.array([0, 1, 2]), ["ant", "bee", "fly"], np.array([True, True, False]))
    ['class bee has no image that trains fold 0']
    """
    seen = np.stack([np.bincount(classes[rows], minlength=len(names)) > 0 for rows in trains], axis=1)
    return [
        f"class {names[int(row)]} has no image that trains {_folds(np.flatnonzero(~seen[row]))}"
        for row in np.flatnonzero(~seen.all(1) & told)
    ]


def out_of_order(fold_of: np.ndarray, times: np.ndarray) -> tuple[int, int] | None:
    """Return a row that is later than one of a later fold, and that one; None where folds go with the times.

    >>> out_of_order(np.array([-1, 0, 1]), np.array([1, 3, 2])), out_of_order(np.array([-1, 0]), np.zeros(2))
    ((1, 2), None)
    """
    latest = -1
    for fold in np.unique(fold_of):
        rows = np.flatnonzero(fold_of == fold)
        first, last = rows[times[rows].argmin()], rows[times[rows].argmax()]
        if latest >= 0 and times[first] < times[latest]:
            return int(latest), int(first)
        latest = last
    return None


def fold_balance(
    fold_of: np.ndarray, classes: np.ndarray, n_classes: int | None = None, count: int | None = None
) -> np.ndarray:
    """Rows int [K, folds] of each class, int [n] from 0, in each fold; rows of fold −1 are left out.

    >>> fold_balance(np.array([0, 1, 1, -1]), np.array([0, 0, 1, 1]))
    array([[1, 1],
           [0, 1]])
    """
    n_classes = int(np.max(classes, initial=-1)) + 1 if n_classes is None else n_classes
    count = int(np.max(fold_of, initial=-1)) + 1 if count is None else count
    scored = fold_of >= 0
    cells = np.bincount(classes[scored] * count + fold_of[scored], minlength=n_classes * count)
    return cells.reshape(n_classes, count)


def _pairs(one: np.ndarray, other: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the different pairs of two numbers, the second below n, sorted."""
    keys = np.sort(one * max(n, 1) + other)  # np.unique hashes, which takes ten times as long here
    first, second = np.divmod(keys[np.diff(keys, prepend=-1) > 0], max(n, 1))
    return first, second


def _folds(folds: np.ndarray) -> str:
    return f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"
