"""Suspected wrong labels: rows ranked by how far out-of-fold probabilities speak against their label."""

from dataclasses import dataclass

import numpy as np

SMALLEST = 1e-9  # a probability below it counts as this much, so that its logarithm is a number


@dataclass(frozen=True)
class Suspects:
    """All n rows, the most suspicious first: `rows` int [n]. The others are in the rows' own order.

    `margin` float64 [n], `suggested` int [n] (the most probable other class), and `counted` bool [n]: rows
    that confident learning counts as wrong.
    """

    rows: np.ndarray
    margin: np.ndarray
    suggested: np.ndarray
    counted: np.ndarray


def rank_suspects(probs: np.ndarray, targets: np.ndarray) -> Suspects:
    """Rank rows by the margin of their label: ln(p[label] / t[label]) − ln(largest other p), lowest first.

    probs is float [n, C], out-of-fold (a model that was trained on a wrong label believes it), targets int
    [n]; t are `class_thresholds`. Dividing by t keeps a rare class, which no model is ever sure of, from
    filling the list. Equal margins keep their order. Raises ValueError for other shapes or one class.
    """
    probs, targets = np.asarray(probs, np.float64), np.asarray(targets, np.int64)
    if probs.ndim != 2 or targets.shape != probs.shape[:1] or probs.shape[1] < 2:
        raise ValueError(f"probs {probs.shape} must be [n, C] with C > 1, targets {targets.shape} [n]")
    thresholds = class_thresholds(probs, targets)
    every = np.arange(len(targets))
    others = probs.copy()
    others[every, targets] = -1.0
    suggested = others.argmax(1)
    own = np.maximum(probs[every, targets], SMALLEST) / np.maximum(thresholds[targets], SMALLEST)
    margin = np.log(own) - np.log(np.maximum(others[every, suggested], SMALLEST))
    counted = confident_classes(probs, thresholds)
    return Suspects(
        rows=np.argsort(margin, kind="stable"),
        margin=margin,
        suggested=suggested,
        counted=(counted >= 0) & (counted != targets),
    )


def class_thresholds(probs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return how sure the model is on average of a class where it is the label, [C]; ∞ without such rows.

    Northcutt, Jiang & Chuang 2021, Confident Learning, eq. 2.

    >>> class_thresholds(np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0]]), np.array([0, 0]))
    array([0.7, inf, inf])
    """
    sums = np.bincount(targets, weights=probs[np.arange(len(targets)), targets], minlength=probs.shape[1])
    counts = np.bincount(targets, minlength=probs.shape[1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def confident_classes(probs: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return each row's most probable class among those above their threshold, int [n]; −1 where none is.

    Rows with another class than their label are the off-diagonal of the confident joint (eq. 1 there).

    >>> confident_classes(np.array([[0.3, 0.7], [0.5, 0.5]]), np.array([0.2, 0.8]))
    array([0, 0])
    """
    above = np.where(probs >= thresholds, probs, -1.0)
    best = above.argmax(1)
    return np.where(above[np.arange(len(best)), best] >= 0, best, -1)
