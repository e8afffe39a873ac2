"""The decision rules by name, and which are offered for a metric: the one that is right for it first.

argmax is right for accuracy and wrong for averages over classes, where the metric's own rule gains if the
probabilities can be believed. It fits no labels, so it goes first, and another is kept only where it does
clearly better. No rule has a fitted number a class: at 102 classes such tuned weights lost against argmax in
a simulation of 3,000 rows.
"""

from collections.abc import Callable

import numpy as np

from pipeline.score.decisions.expected_f1 import class_weights, solve_expected_f1
from pipeline.score.decisions.grades import grade_thresholds
from pipeline.score.decisions.rule import Rule
from pipeline.score.metrics import Metric, find_metric

TAUS = (0.0, 0.25, 0.5, 0.75, 1.0)


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
    fitted: dict[str, np.ndarray | float] = {"f": solved.f, "share": solved.denominator / len(probs)}
    return Rule(metric.name, scale, offset, fitted, label_free=True)


def _grades(probs: np.ndarray, metric: Metric, targets: np.ndarray | None) -> Rule:
    """The grade k whose thresholds the expected grade lies between, as argmax_k (k · grade − Σ_{j≤k} t_j)."""
    thresholds = grade_thresholds(probs)
    offset = np.concatenate([[0.0], np.cumsum(thresholds)])
    fitted: dict[str, np.ndarray | float] = {"thresholds": thresholds}
    grades = np.arange(probs.shape[1], dtype=np.float64)
    return Rule("quadratic-kappa", grades, offset, fitted, by_grade=True, label_free=True)


RULES: dict[str, Callable[[np.ndarray, Metric, np.ndarray | None], Rule]] = {
    "argmax": _argmax,
    "macro-f1": _expected_f1,
    "weighted-f1": _expected_f1,
    "balanced-accuracy": _balanced,
    "quadratic-kappa": _grades,
    "logit-adjustment": _logit_adjustment,
}
# which rules are offered for a metric, the preferred one first
OFFERED: dict[str, tuple[str, ...]] = {
    "macro-f1": ("macro-f1", "argmax", "logit-adjustment"),
    "weighted-f1": ("weighted-f1", "argmax", "logit-adjustment"),
    "balanced-accuracy": ("balanced-accuracy", "argmax"),
    "quadratic-kappa": ("quadratic-kappa", "argmax"),
}


def offered_rules(metric_name: str) -> tuple[str, ...]:
    """Names of the rules to choose from for a label metric, the preferred one first.

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
