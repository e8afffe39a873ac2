"""Results a class, from the ensemble's cross-fitted predictions: images, F1, and what it is taken for."""

from dataclasses import dataclass

import numpy as np

from pipeline.page.data import Oof
from pipeline.score.metrics import confusion_matrix, f1_per_class, recall_per_class


@dataclass(frozen=True)
class ClassResult:
    """One class: training images with an out-of-fold prediction, how often it was predicted, and how well."""

    name: str
    images: int
    predicted: int
    f1: float
    recall: float
    precision: float
    mistaken_for: str  # the class that most of its misses got, with their number; "" without misses


def class_results(oof: Oof, classes: list[str]) -> tuple[np.ndarray, list[ClassResult]]:
    """Return the confusion matrix int [C, C] (rows truth, columns prediction) and the classes' results."""
    confusion = confusion_matrix(oof.targets, oof.chosen, len(classes))
    f1, recall = f1_per_class(confusion), recall_per_class(confusion)
    precision = recall_per_class(confusion.T)
    misses = confusion - np.diag(np.diagonal(confusion))
    results = [
        ClassResult(
            name=name,
            images=int(confusion[k].sum()),
            predicted=int(confusion[:, k].sum()),
            f1=float(f1[k]),
            recall=float(recall[k]),
            precision=float(precision[k]),
            mistaken_for=_worst(misses[k], classes),
        )
        for k, name in enumerate(classes)
    ]
    return confusion, results


def _worst(misses: np.ndarray, classes: list[str]) -> str:
    k = int(misses.argmax())
    return f"{classes[k]} ({misses[k]})" if misses[k] else ""
