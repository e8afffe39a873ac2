"""Placing groups of rows into folds one by one, so that every class is spread evenly; quick for any size.

Groups of several rows go first, the largest first, each where it does least harm. Then the single rows fill
up what that left uneven, a class at a time, which for them is the best there is.
"""

import numpy as np


def place_groups(classes: np.ndarray, group_of: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Place groups greedily, largest first, where Σ_c (n_cf − n_c/count)² / n_c stays least; int64 [n].

    classes and group_of are int [n] counted from 0. Of equal folds the one with the fewest rows, then a drawn
    one. Time grows with the groups of several rows and the classes, memory with the rows and classes × folds.

    >>> place_groups(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2]), count=2, seed=0)
    array([1, 1, 0, 0])
    """
    sizes = np.bincount(group_of)
    draw = np.random.default_rng(seed)
    shuffled = draw.permutation(len(sizes))
    fold_order = draw.permutation(count)
    largest_first = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    several = largest_first[: np.count_nonzero(sizes > 1)]
    placed = np.zeros((count, int(classes.max()) + 1), np.int64)
    fold_of_group = np.full(len(sizes), -1, np.int64)
    fold_of_group[several] = _place_several(classes, group_of, several, placed, fold_order)
    # a group of one row is as good as its row
    single = np.empty(len(sizes), np.int64)
    single[group_of] = classes
    alone = largest_first[len(several) :]
    alone = alone[np.argsort(single[alone], kind="stable")]
    fold_of_group[alone] = _place_single(single[alone], placed, fold_order)
    return fold_of_group[group_of]


def _place_several(
    classes: np.ndarray, group_of: np.ndarray, order: np.ndarray, placed: np.ndarray, fold_order: np.ndarray
) -> np.ndarray:
    """Place the groups of `order` in turn, adding them to `placed` int [count, C]: their folds int [m]."""
    n_classes = placed.shape[1]
    class_sizes = np.bincount(classes, minlength=n_classes)
    rank = np.full(int(group_of.max()) + 1, -1, np.int64)
    rank[order] = np.arange(len(order))
    inside = rank[group_of] >= 0
    pairs, counts = np.unique(rank[group_of[inside]] * n_classes + classes[inside], return_counts=True)
    ranks, held_classes = np.divmod(pairs, n_classes)
    starts = np.searchsorted(ranks, np.arange(len(order) + 1)).tolist()
    rows, folds = np.zeros(len(placed), np.int64), np.empty(len(order), np.int64)
    shares = counts / class_sizes[held_classes]
    for place in range(len(order)):
        own = slice(starts[place], starts[place + 1])
        held = held_classes[own]
        # the terms of the sum that depend on the fold; what is left of the square is the same for all
        cost = (placed[:, held] * shares[own]).sum(1)
        best = np.lexsort((fold_order, rows, cost.round(12)))[0]
        placed[best, held] += counts[own]
        rows[best] += counts[own].sum()
        folds[place] = best
    return folds


def _place_single(classes: np.ndarray, placed: np.ndarray, fold_order: np.ndarray) -> np.ndarray:
    """Place single rows, sorted by class, int [m], beside what is `placed` int [count, C]: their folds."""
    wanted = np.bincount(classes, minlength=placed.shape[1])
    rows = placed.sum(1)
    given = np.zeros(placed.T.shape, np.int64)
    for name in np.flatnonzero(wanted):
        given[name] = _filled(placed[:, name], int(wanted[name]), rows, fold_order)
        rows += given[name]
    return np.repeat(np.tile(np.arange(len(placed)), len(given)), given.ravel())


def _filled(held: np.ndarray, more: int, rows: np.ndarray, fold_order: np.ndarray) -> np.ndarray:
    """Say how many of `more` rows each fold gets, int [count], so that `held` [count] becomes most even.

    What is left over goes to the folds with the fewest `rows` [count].

    >>> _filled(np.array([4, 0, 1]), 4, np.array([4, 9, 9]), np.array([0, 1, 2]))
    array([0, 2, 2])
    """
    order = np.lexsort((fold_order, rows, held))
    levels = held[order]
    needed = np.arange(1, len(held) + 1) * levels - np.cumsum(levels)  # to lift the lower ones to this level
    lowest = order[: np.searchsorted(needed, more, side="right")]
    level, rest = divmod(more + int(held[lowest].sum()), len(lowest))
    given = np.zeros(len(held), np.int64)
    given[lowest] = level - held[lowest]
    total = rows + given
    given[lowest[np.lexsort((fold_order[lowest], total[lowest]))[:rest]]] += 1
    return given
