"""Results a class: images, predictions, precision, recall, F1 and how far F1 may lie from the truth."""

from collections.abc import Sequence

import numpy as np

from pipeline.score.intervals import row_weights
from pipeline.score.metrics import confusion_matrix, f1_per_class, recall_per_class

RESAMPLES = 500


def class_results(
    targets: np.ndarray,
    predictions: np.ndarray,
    classes: Sequence[str],
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> list[dict[str, str | int | float]]:
    """Name, images, predicted, precision, recall, f1, low and high of each class, as JSON values.

    targets and predictions int [n]; low and high are the 95 % basic bootstrap interval of F1, rows of one
    group [n] drawn together, cut at 0 and 1. With a handful of images it is a hint, no more.

    >>> found = class_results(np.array([0, 0, 1]), np.array([0, 1, 1]), ["ant", "bee"])
    >>> found[0]["name"], found[0]["images"], found[0]["precision"], found[0]["recall"]
    ('ant', 2, 1.0, 0.5)
    """
    confusion = confusion_matrix(targets, predictions, len(classes))
    low, high = f1_intervals(targets, predictions, len(classes), groups, seed)
    columns = {
        "images": confusion.sum(1),
        "predicted": confusion.sum(0),
        "precision": recall_per_class(confusion.T),
        "recall": recall_per_class(confusion),
        "f1": f1_per_class(confusion),
        "low": low,
        "high": high,
    }
    values = {name: column.tolist() for name, column in columns.items()}
    return [{"name": name, **{key: values[key][k] for key in values}} for k, name in enumerate(classes)]


def f1_intervals(
    targets: np.ndarray,
    predictions: np.ndarray,
    n_classes: int,
    groups: np.ndarray | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high [C] of each class's F1: the basic bootstrap interval; targets and predictions int [n]."""
    cells = np.asarray(targets, np.int64) * n_classes + predictions
    weights = row_weights(len(targets), groups, np.random.default_rng(seed))
    drawn = (np.bincount(cells, next(weights), n_classes**2) for _ in range(RESAMPLES))
    replicates = np.stack([f1_per_class(counts.reshape(n_classes, n_classes)) for counts in drawn])
    f1 = f1_per_class(confusion_matrix(targets, predictions, n_classes))
    lower, upper = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.clip(2 * f1 - upper, 0, 1), np.clip(2 * f1 - lower, 0, 1)
