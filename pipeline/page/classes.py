"""Results a class, from the ensemble's cross-fitted predictions: images, F1, and what it is taken for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.page.data import Oof
from pipeline.page.values import finite, mapping, mappings, score
from pipeline.score.metrics import confusion_matrix, f1_per_class, recall_per_class


@dataclass(frozen=True)
class ClassResult:
    """One class: training images with an out-of-fold prediction, how often it was predicted, and how well.

    `f1_interval` are the ends of F1's 95 % interval, None where they aren't known.
    """

    name: str
    images: int
    predicted: int
    f1: float
    recall: float
    precision: float
    mistaken_for: str  # the class that most of its misses got, with their number; "" without misses
    f1_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Third:
    """The head, middle or tail of the classes by their images, with their mean recall."""

    name: str
    classes: int
    images: str
    recall: str


def class_results(
    oof: Oof, classes: list[str], scores: Mapping[str, Any]
) -> tuple[np.ndarray, list[ClassResult]]:
    """Return the confusion matrix int [C, C] (rows truth, columns prediction) and the classes' results.

    The intervals of F1 are those of scores.json, by the name of the class.
    """
    confusion = confusion_matrix(oof.targets, oof.chosen, len(classes))
    f1, recall = f1_per_class(confusion), recall_per_class(confusion)
    precision = recall_per_class(confusion.T)
    misses = confusion - np.diag(np.diagonal(confusion))
    intervals = _intervals(scores.get("classes"))
    results = [
        ClassResult(
            name=name,
            images=int(confusion[k].sum()),
            predicted=int(confusion[:, k].sum()),
            f1=float(f1[k]),
            recall=float(recall[k]),
            precision=float(precision[k]),
            mistaken_for=_worst(misses[k], classes),
            f1_interval=intervals.get(name),
        )
        for k, name in enumerate(classes)
    ]
    return confusion, results


def thirds(results: Sequence[ClassResult], scores: Mapping[str, Any]) -> list[Third]:
    """Return head, middle and tail: a third of the classes with images each, the largest classes first.

    Their recalls are those of scores.json, which splits the classes in the same way; nothing without them, or
    with fewer than three classes.
    """
    sizes = sorted((result.images for result in results if result.images), reverse=True)
    recalls = mapping(scores.get("all_metrics"))
    third = max(1, round(len(sizes) / 3))
    parts = {"head": sizes[:third], "middle": sizes[third:-third], "tail": sizes[-third:]}
    if not all(parts.values()) or any(finite(recalls.get(f"{name}-recall")) is None for name in parts):
        return []
    return [
        Third(name, len(part), _sizes(part), score(recalls[f"{name}-recall"])) for name, part in parts.items()
    ]


def _sizes(sizes: Sequence[int]) -> str:
    """Write the least and the most of sizes in falling order.

    >>> _sizes([1200, 40]), _sizes([7, 7])
    ('40 to 1,200', '7')
    """
    return f"{sizes[-1]:,} to {sizes[0]:,}" if sizes[-1] < sizes[0] else f"{sizes[0]:,}"


def _intervals(found: Any) -> dict[str, tuple[float, float]]:
    ends = {
        str(entry.get("name")): (finite(entry.get("low")), finite(entry.get("high")))
        for entry in mappings(found)
    }
    return {name: (low, high) for name, (low, high) in ends.items() if low is not None and high is not None}


def _worst(misses: np.ndarray, classes: list[str]) -> str:
    k = int(misses.argmax())
    return f"{classes[k]} ({misses[k]})" if misses[k] else ""
