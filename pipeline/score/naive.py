"""What a model scores that never looks at a picture: the floor under every other score."""

import numpy as np

from pipeline.score.splits import training_rows


def naive_probs(
    targets: np.ndarray, fold_of: np.ndarray, groups: np.ndarray, kind: str, classes: int
) -> np.ndarray:
    """Answer each row with the classes' shares of the rows that train its fold: float64 [n, classes].

    targets, fold_of and groups are int [n]; rows of fold −1, which are never scored, are NaN. Its most
    probable class is the commonest one.

    >>> targets, fold_of = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, -1])
    >>> naive_probs(targets, fold_of, np.arange(5), "grouped", 2).round(2).tolist()[:2]
    [[0.33, 0.67], [0.33, 0.67]]
    """
    probs = np.full((len(targets), classes), np.nan)
    for k in range(int(fold_of.max(initial=-1)) + 1):
        counts = np.bincount(targets[training_rows(fold_of, groups, k, kind)], minlength=classes)
        probs[fold_of == k] = counts / max(counts.sum(), 1)
    return probs
