"""The labels of best expected F1: an assignment, solved on calibrated probabilities alone, no label fitted.

The best label for F1 averaged over classes is argmax_k ω_k (2 p_k − F_k) / (P_k + N_k): with N_k the expected
rows of class k, P_k the rows predicted as k, F_k the class's expected F1. (Ye et al. 2012, "Optimizing
F-measure: a tale of two approaches", for one class; the sum over classes couples them through argmax.)
"""

from dataclasses import dataclass

import numpy as np

PATIENCE = 8
ROWS_AT_ONCE = 2048


def class_weights(probs: np.ndarray, metric_name: str) -> np.ndarray:
    """ω float [C], summing to one: equal for macro-f1, the expected prior for weighted-f1.

    >>> class_weights(np.array([[0.75, 0.25]]), "weighted-f1")
    array([0.75, 0.25])
    """
    if metric_name == "weighted-f1":
        return probs.mean(0) / probs.mean(0).sum()
    return np.full(probs.shape[1], 1.0 / probs.shape[1])


@dataclass(frozen=True)
class ExpectedF1:
    """A solved assignment: labels [n]; of each class [C] its F, P + N, ω, and if it may be predicted."""

    labels: np.ndarray
    f: np.ndarray
    denominator: np.ndarray
    omega: np.ndarray
    allowed: np.ndarray

    @property
    def score(self) -> float:
        """The expected metric Σ_k ω_k F_k."""
        return float(self.omega @ self.f)


def solve_expected_f1(probs: np.ndarray, omega: np.ndarray, iterations: int = 60) -> ExpectedF1:
    """Labels for probs [n, C] that maximise Σ_k ω_k 2 TP_k / (P_k + N_k), expected under probs itself.

    Fixed-point iterations with damping from argmax p/N^t, t of 0, .25, .5; the best expected score met; then
    moves of single rows by their exact gain until none helps. A class with less than half an expected row is
    not predicted, unless every class is so small: scikit-learn leaves a class that is in neither truth nor
    prediction out of the mean, so one guess at such a class costs a whole zero.
    """
    probs = np.asarray(probs, np.float64)
    if probs.ndim != 2 or not len(probs):
        raise ValueError(f"expected probabilities [rows, classes] with at least one row, got {probs.shape}")
    expected = probs.sum(0)
    allowed = expected >= min(0.5, expected.max())
    columns = np.flatnonzero(allowed)
    kept, small_omega = np.ascontiguousarray(probs[:, columns]), omega[columns]
    labels, best = np.zeros(len(probs), np.int64), -1.0
    for power in (0.0, 0.25, 0.5):
        start = np.argmax(kept / expected[columns] ** power, axis=1)
        candidate = _move_rows(kept, small_omega, _iterate(kept, small_omega, start, iterations))
        score = _expected_score(kept, small_omega, candidate)
        if score > best:
            labels, best = columns[candidate], score
    hits, predicted = _tally(probs, labels)
    denominator = np.maximum(predicted + expected, 1e-12)
    return ExpectedF1(labels, 2.0 * hits / denominator, denominator, omega, allowed)


def _tally(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected hits TP [C] and predicted rows P [C]."""
    n_classes = probs.shape[1]
    hits = np.bincount(labels, probs[np.arange(len(labels)), labels], n_classes)
    return hits, np.bincount(labels, minlength=n_classes).astype(np.float64)


def _expected_score(probs: np.ndarray, omega: np.ndarray, labels: np.ndarray) -> float:
    hits, predicted = _tally(probs, labels)
    return float(omega @ (2.0 * hits / (predicted + probs.sum(0))))


def _iterate(probs: np.ndarray, omega: np.ndarray, labels: np.ndarray, iterations: int) -> np.ndarray:
    """The labels of best expected score on the damped fixed point's way, until PATIENCE steps gain nothing.

    Rows are compared in float32; scores of whole assignments are float64.
    """
    expected, coarse = probs.sum(0), probs.astype(np.float32)
    hits, predicted = _tally(probs, labels)
    best_labels, best, waited = labels, float(omega @ (2.0 * hits / (predicted + expected))), 0
    for _ in range(iterations):
        slope = omega / (predicted + expected)
        scale, offset = 2.0 * slope, slope * (2.0 * hits / (predicted + expected))
        following = _best_classes(coarse, scale.astype(np.float32), offset.astype(np.float32))
        if waited == PATIENCE or (following == labels).all():
            break
        labels = following
        now_hits, now_predicted = _tally(probs, labels)
        score = float(omega @ (2.0 * now_hits / (now_predicted + expected)))
        if score > best:
            best_labels, best, waited = labels, score, 0
        else:
            waited += 1
        hits, predicted = (hits + now_hits) / 2, (predicted + now_predicted) / 2
    return best_labels


def _best_classes(probs: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """argmax_k (scale_k p_k − offset_k) int64 [n], by pieces that fit the processor's cache."""
    pieces = (probs[first : first + ROWS_AT_ONCE] for first in range(0, len(probs), ROWS_AT_ONCE))
    return np.concatenate([(piece * scale - offset).argmax(1) for piece in pieces])


def _move_rows(probs: np.ndarray, omega: np.ndarray, labels: np.ndarray, sweeps: int = 20) -> np.ndarray:
    """Move one row at a time to the class of largest exact gain, until no move gains or sweeps are over."""
    labels, expected = labels.copy(), probs.sum(0)
    pieces = np.split(np.arange(len(labels)), range(ROWS_AT_ONCE, len(labels), ROWS_AT_ONCE))
    hits, predicted = _tally(probs, labels)

    def gains(chosen: np.ndarray) -> np.ndarray:
        """What each move of the rows chosen would change in the expected score, [len(chosen), C]."""
        denominator = predicted + expected
        f, p, own = 2.0 * hits / denominator, probs[chosen], labels[chosen]
        leave = (
            omega[own]
            * (f[own] - 2.0 * p[np.arange(len(chosen)), own])
            / np.maximum(denominator[own] - 1, 1e-12)
        )
        change = omega * (2.0 * p - f) / (denominator + 1) + leave[:, None]
        change[np.arange(len(chosen)), own] = 0.0
        return change

    for _ in range(sweeps):
        best = np.concatenate([gains(some).max(1) for some in pieces])
        helpful = np.flatnonzero(best > 1e-13)
        if not len(helpful):
            break
        for row in helpful[np.argsort(-best[helpful], kind="stable")]:
            change = gains(row[None])[0]
            to = int(np.argmax(change))
            if change[to] > 1e-13:
                own = labels[row]
                hits[own], predicted[own] = hits[own] - probs[row, own], predicted[own] - 1
                hits[to], predicted[to] = hits[to] + probs[row, to], predicted[to] + 1
                labels[row] = to
    return labels
