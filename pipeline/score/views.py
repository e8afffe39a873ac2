"""Weights of a member's views (test-time augmentations): the most likely mixture of those that pay."""

from dataclasses import dataclass

import numpy as np

from pipeline.score.blends.mixture import maximise_likelihood
from pipeline.score.metrics import SMALLEST_PROB


@dataclass(frozen=True)
class ViewWeights:
    """Weights [V] of a member's views, summing to one, 0 for a dropped one.

    `gains` and `standard_errors` [V]: how much log-loss a row each view saves beside the others that were
    there when it was looked at last; NaN for the first view, which always stays.
    """

    weights: np.ndarray
    gains: np.ndarray
    standard_errors: np.ndarray


def fit_views(true_class_probs: np.ndarray, pull: float = 50.0) -> ViewWeights:
    """Weights for a member's views from its true-class probs [n, V], the first view being the plain image.

    EM with a pull to equal weights, as the members' own. View by view the one that helps least is dropped, as
    long as its paired gain in log-loss is at most one standard error.

    >>> fit_views(np.array([[0.5, 0.5], [0.6, 0.6], [0.7, 0.7]])).weights
    array([1., 0.])
    """
    columns = np.clip(np.asarray(true_class_probs, np.float64), SMALLEST_PROB, 1.0)
    rows, count = columns.shape
    gains, errors = np.full(count, np.nan), np.full(count, np.nan)
    kept = list(range(count))
    weights = _weights(columns, kept, pull)
    while len(kept) > 1 and rows > 1:
        mixture = np.log(columns @ weights)
        excess = {}
        for view in kept[1:]:
            rest = [other for other in kept if other != view]
            saved = mixture - np.log(columns @ _weights(columns, rest, pull))
            gains[view], errors[view] = saved.mean(), saved.std(ddof=1) / rows**0.5
            excess[view] = gains[view] - errors[view]
        least = min(excess, key=lambda view: excess[view])
        if excess[least] > 0:
            break
        kept.remove(least)
        weights = _weights(columns, kept, pull)
    return ViewWeights(weights, gains, errors)


def mix_views(views: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mixture, float32 [n, C], of a member's views [V, n, C]; one view alone comes back as it is.

    >>> mix_views(np.array([[[1.0, 0.0]], [[0.5, 0.5]]], np.float32), np.array([0.5, 0.5]))
    array([[0.75, 0.25]], dtype=float32)
    """
    kept = np.flatnonzero(weights)
    if len(kept) == 1:
        return views[kept[0]]
    mixed = np.zeros(views.shape[1:], np.float32)
    for view in kept:
        mixed += np.float32(weights[view]) * views[view]
    return mixed


def _weights(columns: np.ndarray, kept: list[int], pull: float) -> np.ndarray:
    weights = np.zeros(columns.shape[1])
    weights[kept] = maximise_likelihood(columns[:, kept], pull)
    return weights
