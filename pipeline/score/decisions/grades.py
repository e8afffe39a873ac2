"""Thresholds for ordered classes: where to cut the expected grade for the best expected quadratic kappa."""

import numpy as np

from pipeline.score.decisions.rule import expected_grades

CUTS = 400  # places that a threshold may take, at equal shares of the rows
SWEEPS = 20


def grade_thresholds(probs: np.ndarray) -> np.ndarray:
    """Rising thresholds float64 [C − 1] of the expected grade, for calibrated probs [n, C] of grades 0 … C−1.

    A row gets the grade of how many thresholds its expected grade exceeds. The kappa that is maximised is the
    one expected under probs itself: no labels are fitted. Thresholds move one after the other over CUTS
    places until none gains, from three starts: cuts halfway between the grades, cuts that predict each grade
    as often as expected, and cuts halfway between those.

    >>> grade_thresholds(np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8]])).round(2)
    array([0.55, 1.4 ])
    """
    probs = np.asarray(probs, np.float64)
    rows, n_classes = probs.shape
    grades = expected_grades(probs)
    order = np.argsort(grades, kind="stable")
    ordered = grades[order]
    places = np.unique(np.round(np.linspace(0, rows, CUTS + 1)).astype(np.int64))
    below = np.concatenate([np.zeros((1, n_classes)), np.cumsum(probs[order], axis=0)])[places]
    halves = np.searchsorted(ordered, np.arange(n_classes - 1) + 0.5)
    shares = np.round(np.cumsum(probs.sum(0))[:-1])
    best, best_kappa = np.zeros(n_classes - 1, np.int64), -np.inf
    for start in (halves, shares, (halves + shares) / 2):
        cuts = np.abs(places[None, :] - start[:, None]).argmin(1)
        cuts, kappa = _climb(below, places, cuts)
        if kappa > best_kappa + 1e-12:
            best, best_kappa = cuts, kappa
    return _between(ordered, places[best])


def _climb(below: np.ndarray, places: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, float]:
    """Move each cut (a place's number, [C − 1]) to its best place between its neighbours till none gains."""
    kappa = float(_kappa(below, places, cuts[None])[0])
    for _ in range(SWEEPS):
        before = kappa
        for j in range(len(cuts)):
            low = cuts[j - 1] if j else 0
            high = cuts[j + 1] if j + 1 < len(cuts) else len(places) - 1
            tried = np.repeat(cuts[None], high - low + 1, axis=0)
            tried[:, j] = np.arange(low, high + 1)
            kappas = _kappa(below, places, tried)
            if kappas.max() > kappa + 1e-12:
                cuts, kappa = tried[int(kappas.argmax())], float(kappas.max())
        if kappa <= before:
            break
    return cuts, kappa


def _kappa(below: np.ndarray, places: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Expected quadratic kappa [b] of cuts [b, C − 1]; `below` [places, C] sums probs under each place."""
    n_classes, tries = below.shape[1], len(cuts)
    ends = np.concatenate(
        [np.zeros((tries, 1), np.int64), cuts, np.full((tries, 1), len(places) - 1)], axis=1
    )
    confusion = np.diff(below[ends], axis=1)  # [b, predicted, true], expected rows
    predicted = np.diff(places[ends], axis=1)
    distance = (np.arange(n_classes)[:, None] - np.arange(n_classes)[None, :]) ** 2.0
    observed = (confusion * distance).sum((1, 2))
    by_chance = (predicted @ distance) @ below[-1] / max(places[-1], 1)
    return 1.0 - observed / np.maximum(by_chance, 1e-12)


def _between(ordered: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """The thresholds that leave `cuts` rows below: halfway between two rows, or beyond the first or last."""
    padded = np.concatenate([[ordered[0] - 1.0], ordered, [ordered[-1] + 1.0]])
    return (padded[cuts] + padded[cuts + 1]) / 2
