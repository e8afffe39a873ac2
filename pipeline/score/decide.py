"""Decisions: which label to write for probabilities, so that the competition's metric is expected to be best.

argmax is right for accuracy and wrong for F1 averaged over classes. There the best label is argmax_k ω_k (2
p_k − F_k) / (P_k + N_k): with N_k the expected rows of class k, P_k the rows predicted as k, F_k the class's
expected F1. It is solved on calibrated probabilities alone, no label is fitted. (Ye et al. 2012, "Optimizing
F-measure: a tale of two approaches", for one class; the sum over classes couples them through argmax.)
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pipeline.score.metrics import Metric, find_metric

TAUS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Rule:
    """Labels row by row: argmax_k (scale_k p_k − offset_k), with scale and offset float [C].

    `fitted` says where the two come from, in the words of the rule: f and share (P + N over the rows) [C] for
    the F1 rules; tau and prior [C] for logit adjustment.
    """

    name: str
    scale: np.ndarray
    offset: np.ndarray
    fitted: dict[str, np.ndarray | float] = field(default_factory=dict)

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Labels int64 [n] for probs [n, C]; of equal classes the first."""
        return np.argmax(np.asarray(probs, np.float64) * self.scale - self.offset, axis=1)


def _argmax(probs: np.ndarray, metric: Metric, targets: np.ndarray | None) -> Rule:
    n_classes = probs.shape[1]
    return Rule("argmax", np.ones(n_classes), np.zeros(n_classes))


def _adjusted(name: str, probs: np.ndarray, tau: float) -> Rule:
    """argmax p / prior^tau with the mean of probs as prior: half a row at least, against division by 0."""
    prior = np.maximum(probs.mean(0), 0.5 / len(probs))
    return Rule(name, prior**-tau, np.zeros(probs.shape[1]), {"tau": tau, "prior": prior})


def _balanced(probs: np.ndarray, metric: Metric, targets: np.ndarray | None) -> Rule:
    return _adjusted("balanced-accuracy", probs, 1.0)


def _logit_adjustment(probs: np.ndarray, metric: Metric, targets: np.ndarray | None) -> Rule:
    """The tau of TAUS with the best metric on targets, the smaller of equals (Menon et al. 2021)."""
    if targets is None:
        raise ValueError("logit adjustment chooses its tau on labels: targets are missing")
    found, best = None, 0.0
    for tau in TAUS:
        rule = _adjusted("logit-adjustment", probs, tau)
        score = metric.function(targets, rule.apply(probs), probs.shape[1])
        if found is None or metric.gain(score, best) > 0:
            found, best = rule, score
    assert found is not None
    return found


def _expected_f1(probs: np.ndarray, metric: Metric, targets: np.ndarray | None) -> Rule:
    """The rule for macro-f1 or weighted-f1 that rows alike probs [n, C] are expected to gain most by."""
    solved = solve_expected_f1(probs, class_weights(probs, metric.name))
    scale = 2.0 * solved.omega / solved.denominator * solved.allowed
    offset = solved.omega * solved.f / solved.denominator
    # a class that is never to be predicted loses against the lowest score that another can have
    offset = np.where(solved.allowed, offset, offset.max() + 1.0)
    return Rule(metric.name, scale, offset, {"f": solved.f, "share": solved.denominator / len(probs)})


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
    """The labels of best expected score on the way of the damped fixed point."""
    expected, scores = probs.sum(0), np.empty_like(probs)
    hits, predicted = _tally(probs, labels)
    best_labels, best = labels, float(omega @ (2.0 * hits / (predicted + expected)))
    for _ in range(iterations):
        denominator = predicted + expected
        slope = omega / denominator
        np.multiply(probs, 2.0 * slope, out=scores)
        scores -= slope * (2.0 * hits / denominator)
        following = np.argmax(scores, axis=1)
        if (following == labels).all():
            break
        labels = following
        now_hits, now_predicted = _tally(probs, labels)
        score = float(omega @ (2.0 * now_hits / (now_predicted + expected)))
        if score > best:
            best_labels, best = labels, score
        hits, predicted = (hits + now_hits) / 2, (predicted + now_predicted) / 2
    return best_labels


def _move_rows(probs: np.ndarray, omega: np.ndarray, labels: np.ndarray, sweeps: int = 20) -> np.ndarray:
    """Move one row at a time to the class of largest exact gain, until no move gains or sweeps are over."""
    labels, rows = labels.copy(), np.arange(len(labels))
    expected = probs.sum(0)
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
        best = gains(rows).max(1)
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


RULES: dict[str, Callable[[np.ndarray, Metric, np.ndarray | None], Rule]] = {
    "argmax": _argmax,
    "macro-f1": _expected_f1,
    "weighted-f1": _expected_f1,
    "balanced-accuracy": _balanced,
    "logit-adjustment": _logit_adjustment,
}
# which rules are offered for a metric, fewer numbers fitted on labels first
OFFERED: dict[str, tuple[str, ...]] = {
    "macro-f1": ("argmax", "macro-f1", "logit-adjustment"),
    "weighted-f1": ("argmax", "weighted-f1", "logit-adjustment"),
    "balanced-accuracy": ("argmax", "balanced-accuracy"),
}


def offered_rules(metric_name: str) -> tuple[str, ...]:
    """Names of the rules to choose from for a label metric, the simplest first.

    >>> offered_rules("accuracy")
    ('argmax',)
    """
    return OFFERED.get(metric_name, ("argmax",))


def fit_rule(
    probs: np.ndarray, metric: str | Metric, targets: np.ndarray | None = None, rule: str | None = None
) -> Rule:
    """The rule for calibrated probs [n, C] and a metric: its own one, or the one called `rule`.

    targets int [n] are needed by rules that choose something on labels, of RULES only logit-adjustment.

    >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    >>> fit_rule(probs, "macro-f1").apply(probs), fit_rule(probs, "accuracy").apply(probs)
    (array([0, 0, 1, 1]), array([0, 0, 0, 0]))
    """
    metric = find_metric(metric) if isinstance(metric, str) else metric
    if rule is None:
        rule = metric.name if metric.name in OFFERED else "argmax"
    if rule not in RULES:
        raise ValueError(f"unknown decision rule {rule!r}, known: {', '.join(RULES)}")
    return RULES[rule](np.asarray(probs, np.float64), metric, targets)
