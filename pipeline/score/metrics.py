"""The metrics of competitions, from one confusion matrix or one table of probabilities.

Every label metric here depends on the confusion matrix only, so each is a function of a stack of them
(`Metric.from_confusion`): a bootstrap of thousands of replicates is then one call. Zero, never NaN, stands
for a class that nothing was predicted as or that no row has.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

SMALLEST_PROB = 1e-7


@dataclass(frozen=True)
class Metric:
    """One competition metric.

    `function(targets, x, n_classes)` takes targets int [n] and x: labels int [n] or probs float [n, C], as
    `needs` says. `from_confusion` maps counts [..., C, C] (rows truth, columns prediction) to scores [...];
    `per_row(targets, probs)` gives values [n] whose mean is the score. Both are None where there is no such
    form: the bootstrap then calls `function` on resampled rows.
    """

    name: str
    function: Callable[[np.ndarray, np.ndarray, int], float]
    needs: Literal["labels", "probs"]
    greater_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)
    from_confusion: Callable[[np.ndarray], np.ndarray] | None = None
    per_row: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def gain(self, score: float, other: float) -> float:
        """How much better `score` is than `other`, positive for better whichever way the metric points."""
        return score - other if self.greater_is_better else other - score

    def of_probs(self, targets: np.ndarray, probs: np.ndarray) -> float:
        """Score probs [n, C] as they are or, where labels are needed, by their most probable class.

        >>> METRICS["accuracy"].of_probs(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]))
        0.5
        """
        x = probs if self.needs == "probs" else probs.argmax(axis=1)
        return self.function(targets, x, probs.shape[1])


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts int [C, C]: row = truth, column = prediction. Raises ValueError for a label outside 0 … C−1.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    for what, labels in (("targets", targets), ("predictions", predictions)):
        if len(labels) and (labels.min() < 0 or labels.max() >= n_classes):
            raise ValueError(
                f"{what} hold labels {labels.min()} to {labels.max()}, allowed are 0 to {n_classes - 1}"
            )
    if len(targets) != len(predictions):
        raise ValueError(f"{len(targets)} targets, but {len(predictions)} predictions")
    cells = np.asarray(targets, np.int64) * n_classes + predictions
    return np.bincount(cells, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, 0 where the denominator is 0."""
    return numerator / np.where(denominator == 0, 1, denominator) * (denominator != 0)


def f1_per_class(confusion: np.ndarray) -> np.ndarray:
    """F1 [..., C] of each class from counts [..., C, C]; 0 for a class with neither rows nor predictions.

    >>> f1_per_class(np.array([[1, 1], [0, 1]])).round(3)
    array([0.667, 0.667])
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _ratio(2.0 * hits, confusion.sum(-1) + confusion.sum(-2))


def recall_per_class(confusion: np.ndarray) -> np.ndarray:
    """Recall [..., C] of each class from counts [..., C, C]; 0 for a class without rows.

    >>> recall_per_class(np.array([[1, 1], [0, 1]]))
    array([0.5, 1. ])
    """
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1) * 1.0, confusion.sum(-1))


def macro_f1_from_confusion(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 [...] over the classes in truth or prediction (scikit-learn's default) of counts [..., C, C].

    >>> float(macro_f1_from_confusion(np.array([[2, 0, 0], [0, 1, 0], [0, 0, 0]])))
    1.0
    """
    rows, columns = confusion.sum(-1), confusion.sum(-2)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    present = rows + columns > 0
    return _ratio(_ratio(2.0 * hits, rows + columns).sum(-1), present.sum(-1))


def _weighted_f1(confusion: np.ndarray) -> np.ndarray:
    rows = confusion.sum(-1)
    return _ratio((f1_per_class(confusion) * rows).sum(-1), rows.sum(-1))


def _accuracy(confusion: np.ndarray) -> np.ndarray:
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1) * 1.0, confusion.sum((-1, -2)))


def _balanced_accuracy(confusion: np.ndarray) -> np.ndarray:
    return _ratio(recall_per_class(confusion).sum(-1), (confusion.sum(-1) > 0).sum(-1))


def _quadratic_kappa(confusion: np.ndarray) -> np.ndarray:
    """Cohen's kappa with squared distances of grades; 1 where all truths and predictions are one grade."""
    grades = np.arange(confusion.shape[-1])
    distance = (grades[:, None] - grades[None, :]) ** 2.0
    by_chance = confusion.sum(-1)[..., :, None] * confusion.sum(-2)[..., None, :]
    observed = (confusion * distance).sum((-1, -2)) * confusion.sum((-1, -2))
    return 1.0 - _ratio(observed, (by_chance * distance).sum((-1, -2)))


def _row_log_loss(targets: np.ndarray, probs: np.ndarray) -> np.ndarray:
    true_class = probs[np.arange(len(targets)), targets].astype(np.float64)
    return -np.log(np.clip(true_class, SMALLEST_PROB, 1.0))


def true_class_rank(targets: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Rank int [n] of the true class in probs [n, C], 0 the most probable; of equal probs the lower class.

    >>> true_class_rank(np.array([1, 0]), np.array([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]]))
    array([0, 2])
    """
    true_class = probs[np.arange(len(targets)), targets][:, None]
    before = (probs == true_class) & (np.arange(probs.shape[1]) < targets[:, None])
    return ((probs > true_class) | before).sum(1)


def _row_auc(targets: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Values [n] whose mean is the one-vs-rest AUC over classes with both rows and others; .5 if none has.

    A row's value is the AUC plus the row's influence on it (DeLong et al. 1988), so that a bootstrap of the
    values is a bootstrap of the AUC to first order, without sorting again.
    """
    counts = np.bincount(targets, minlength=probs.shape[1])
    scored = np.flatnonzero((counts > 0) & (counts < len(targets)))
    values = np.full(len(targets), 0.0 if len(scored) else 0.5)
    for label in scored:
        positive = targets == label
        inside, outside = probs[positive, label], probs[~positive, label]
        beaten, beating = _share_below(outside, inside), 1.0 - _share_below(inside, outside)
        auc = beaten.mean()
        values[positive] += (auc + (beaten - auc) * len(targets) / len(inside)) / len(scored)
        values[~positive] += (auc + (beating - auc) * len(targets) / len(outside)) / len(scored)
    return values


def _share_below(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The share of values [n] under each of at [m], equal ones counted half."""
    ordered = np.sort(values)
    twice = np.searchsorted(ordered, at, "left") + np.searchsorted(ordered, at, "right")
    return twice / (2.0 * len(values))


def _label_metric(name: str, from_confusion: Callable[[np.ndarray], np.ndarray]) -> Metric:
    def function(targets: np.ndarray, predictions: np.ndarray, n_classes: int) -> float:
        return float(from_confusion(confusion_matrix(targets, predictions, n_classes)))

    return Metric(name, function, "labels", from_confusion=from_confusion)


def _row_metric(name: str, per_row: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Metric:
    def function(targets: np.ndarray, probs: np.ndarray, n_classes: int) -> float:
        return float(per_row(targets, probs).mean()) if len(targets) else 0.0

    return Metric(name, function, "probs", per_row=per_row)


def map_at(k: int) -> Metric:
    """MAP@k with one true label a row: the mean of 1 / (rank + 1), 0 behind the first k.

    >>> map_at(2).function(np.array([1, 0]), np.array([[0.6, 0.4], [0.6, 0.4]]), 2)
    0.75
    """

    def per_row(targets: np.ndarray, probs: np.ndarray) -> np.ndarray:
        rank = true_class_rank(targets, probs)
        return np.where(rank < k, 1.0 / (rank + 1.0), 0.0)

    return _row_metric(f"map@{k}", per_row)


METRICS: dict[str, Metric] = {
    "macro-f1": _label_metric("macro-f1", macro_f1_from_confusion),
    "weighted-f1": _label_metric("weighted-f1", _weighted_f1),
    "micro-f1": _label_metric("micro-f1", _accuracy),  # one label a row: both are hits / rows
    "accuracy": _label_metric("accuracy", _accuracy),
    "balanced-accuracy": _label_metric("balanced-accuracy", _balanced_accuracy),
    "quadratic-kappa": replace(_label_metric("quadratic-kappa", _quadratic_kappa), bounds=(-1.0, 1.0)),
    "log-loss": replace(
        _row_metric("log-loss", _row_log_loss), greater_is_better=False, bounds=(0.0, float("inf"))
    ),
    "auc": _row_metric("auc", _row_auc),
    "map@5": map_at(5),
}


def find_metric(name: str) -> Metric:
    """The metric called `name`, any map@k included. Raises ValueError with the nearest name.

    >>> find_metric("map@3").name
    'map@3'
    """
    if name in METRICS:
        return METRICS[name]
    stem, _, k = name.partition("@")
    if stem == "map" and k.isdecimal() and int(k) > 0:
        return map_at(int(k))
    near = difflib.get_close_matches(name, METRICS, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"unknown metric {name!r}: {hint}Known: {', '.join(METRICS)} (map@k with any k)")


def all_metrics(targets: np.ndarray, probs: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """What is always shown beside the competition's metric, from targets [n], probs [n, C], predictions [n].

    The geometric mean of recalls is over classes with rows and 0 when one of them is never hit. Head, middle
    and tail recall are means over a third of the classes each, the classes ordered by their rows in
    `targets`.
    """
    confusion = confusion_matrix(targets, predictions, probs.shape[1])
    counts = confusion.sum(1)
    order = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    recalls = recall_per_class(confusion)[order]
    third = max(1, round(len(order) / 3))
    # with one or two classes nothing lies between head and tail: the middle is then all of them
    thirds = {"head": recalls[:third], "middle": recalls[third:-third], "tail": recalls[-third:]}
    values = {name: METRICS[name].function(targets, predictions, probs.shape[1]) for name in ALWAYS_SHOWN}
    values["geometric-mean-recall"] = float(np.exp(np.log(recalls).mean())) if recalls.all() else 0.0
    values["top-5"] = float((true_class_rank(targets, probs) < 5).mean())
    for name, part in thirds.items():
        values[f"{name}-recall"] = float(part.mean() if len(part) else recalls.mean())
    values["log-loss"] = METRICS["log-loss"].function(targets, probs, probs.shape[1])
    return values


ALWAYS_SHOWN = ("accuracy", "macro-f1", "weighted-f1")
