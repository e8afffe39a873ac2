"""Two sets of predictions of the same rows: how much better one is, by rows and by folds, and where.

Two questions, two answers. Whether one is better as it stands is asked of all rows together, by a paired
bootstrap: macro-F1 of a single fold lacks the rare classes, so this is the answer to believe. Whether its
recipe would be better with other training rows is asked of the folds, by a t test that is corrected for the
rows that their models share; of few folds it takes a large difference to pass.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.score.crossfit import scored_form
from pipeline.score.intervals import Difference, paired_difference
from pipeline.score.metrics import METRICS, Metric, confusion_matrix, f1_per_class
from pipeline.score.splits import training_rows


@dataclass(frozen=True)
class Predicted:
    """What one of the two says of each row: labels int [n], and probs float [n, C]."""

    labels: np.ndarray
    probs: np.ndarray

    def at(self, rows: np.ndarray) -> "Predicted":
        """Those of some rows: bool [n] or indices."""
        return Predicted(self.labels[rows], self.probs[rows])

    def form(self, metric: Metric) -> np.ndarray:
        """What the metric is computed from, labels or probs."""
        return scored_form(metric, self.probs, self.labels)


@dataclass(frozen=True)
class Paired:
    """Both scores of all rows by one metric, and how much better a's is."""

    metric: str
    a: float
    b: float
    difference: Difference

    @property
    def is_noise(self) -> bool:
        """Whether nothing can be said: no gain at all, or one within two standard errors."""
        return self.difference.is_noise


@dataclass(frozen=True)
class FoldScores:
    """Both scores of one fold's rows; the gain is positive where a is better."""

    fold: int
    images: int
    a: float
    b: float
    gain: float


@dataclass(frozen=True)
class FoldTest:
    """The mean gain over folds with its interval and standard error, and the p value of no gain at all."""

    gain: float
    low: float
    high: float
    standard_error: float
    p: float


@dataclass(frozen=True)
class Disagreement:
    """On how many of all rows the labels differ, and who is right there.

    `p` is McNemar's exact one: how often equally accurate two would differ that much in hits. It takes every
    row for a new case; with near-duplicates among them it is too small.
    """

    images: int
    share: float
    only_a: int
    only_b: int
    neither: int
    p: float


@dataclass(frozen=True)
class ClassChange:
    """F1 of one class by both, and a's minus b's; `images` are the rows that are of the class."""

    label: int
    images: int
    a: float
    b: float
    change: float


@dataclass(frozen=True)
class Comparison:
    """All that `compare` finds; log_loss is None where the metric is log-loss itself.

    `classes` are all, those that changed most first.
    """

    n: int
    groups: int
    pooled: Paired
    log_loss: Paired | None
    folds: tuple[FoldScores, ...]
    over_folds: FoldTest
    disagreement: Disagreement
    classes: tuple[ClassChange, ...]


def compare(
    targets: np.ndarray,
    a: Predicted,
    b: Predicted,
    fold_of: np.ndarray,
    metric: Metric,
    *,
    groups: np.ndarray | None = None,
    kind: str = "grouped",
    seed: int = 0,
) -> Comparison:
    """Compare a with b on the rows with a fold: targets, fold_of and groups int [n].

    Rows with fold −1 only count as training rows, their labels and probs may be anything. `kind` is that of
    the folds and decides, with groups, what each fold's models were trained on. Raises ValueError for labels
    outside the classes and for fewer than two folds with rows.
    """
    groups = np.arange(len(targets)) if groups is None else groups
    scored = fold_of >= 0
    ratio = scored_per_trained(fold_of, groups, kind)
    truth, of_fold, a, b = targets[scored], fold_of[scored], a.at(scored), b.at(scored)
    folds = tuple(_fold_scores(truth, a, b, of_fold == k, metric, int(k)) for k in np.unique(of_fold))
    own = groups[scored]
    log_loss = METRICS["log-loss"]
    return Comparison(
        n=len(truth),
        groups=len(np.unique(own)),
        pooled=_paired(truth, a, b, metric, own, seed),
        log_loss=None if metric.name == log_loss.name else _paired(truth, a, b, log_loss, own, seed),
        folds=folds,
        over_folds=corrected_t_test(np.array([fold.gain for fold in folds]), ratio),
        disagreement=disagreement(truth, a.labels, b.labels),
        classes=class_changes(truth, a.labels, b.labels, a.probs.shape[1]),
    )


def corrected_t_test(differences: np.ndarray, scored_per_trained: float, level: float = 0.95) -> FoldTest:
    """The mean of differences float [J] of J splits into training and test rows, by a corrected t test.

    The training sets share rows, so the differences resemble each other, and their own spread says too
    little of how another training set would do. The variance of their mean is taken as (1/J + n_test/n_train)
    S² instead of S²/J, with J − 1 degrees of freedom (Nadeau and Bengio, "Inference for the generalization
    error", Machine Learning 52, 2003). For one K-fold cross-validation it is (1/K + 1/(K−1)) S². Raises
    ValueError for fewer than two differences.

    >>> found = corrected_t_test(np.array([0.01, 0.02, 0.03]), scored_per_trained=0.5)
    >>> f"{found.gain:.3f} ± {found.standard_error:.5f}, p {found.p:.3f}"
    '0.020 ± 0.00913, p 0.160'
    """
    from scipy.stats import t

    count = len(differences)
    if count < 2:
        raise ValueError(f"a t test over folds needs at least 2 of them, there are rows in {count}")
    gain = float(np.mean(differences))
    error = float(np.sqrt((1 / count + scored_per_trained) * np.var(differences, ddof=1)))
    reach = float(t.ppf((1 + level) / 2, count - 1)) * error
    p = 2 * float(t.sf(abs(gain) / error, count - 1)) if error else float(gain == 0)
    return FoldTest(gain, gain - reach, gain + reach, error, p)


def scored_per_trained(fold_of: np.ndarray, groups: np.ndarray, kind: str) -> float:
    """Rows that are scored for each row that trains, over all folds: 1/(K−1) where no row has fold −1.

    >>> scored_per_trained(np.array([0, 1, 2, 2]), np.arange(4), "grouped")
    0.5
    """
    folds = np.unique(fold_of[fold_of >= 0])
    trained = sum(int(training_rows(fold_of, groups, int(k), kind).sum()) for k in folds)
    return float((fold_of >= 0).sum() / max(1, trained))


def disagreement(targets: np.ndarray, a: np.ndarray, b: np.ndarray) -> Disagreement:
    """Where labels int [n] of a and b differ; p by the exact test of McNemar (Psychometrika 12, 1947).

    >>> disagreement(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), np.array([0, 1, 1, 2]))
    Disagreement(images=3, share=0.75, only_a=2, only_b=0, neither=1, p=0.5)
    """
    from scipy.stats import binomtest

    differ = int((a != b).sum())
    right_a, right_b = a == targets, b == targets
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return Disagreement(differ, differ / len(targets), only_a, only_b, differ - only_a - only_b, p)


def class_changes(
    targets: np.ndarray, a: np.ndarray, b: np.ndarray, n_classes: int
) -> tuple[ClassChange, ...]:
    """F1 of every class from labels int [n] of a and b, ordered by how much it differs.

    >>> [found.label for found in class_changes(np.array([0, 1, 2]), np.array([0, 1, 1]), np.arange(3), 3)]
    [2, 1, 0]
    """
    images = np.bincount(targets, minlength=n_classes)
    f1_a, f1_b = (f1_per_class(confusion_matrix(targets, labels, n_classes)) for labels in (a, b))
    order = np.argsort(-np.abs(f1_a - f1_b), kind="stable").tolist()
    return tuple(
        ClassChange(i, int(images[i]), float(f1_a[i]), float(f1_b[i]), float(f1_a[i] - f1_b[i]))
        for i in order
    )


def _paired(
    targets: np.ndarray, a: Predicted, b: Predicted, metric: Metric, groups: np.ndarray, seed: int
) -> Paired:
    n_classes, of_a, of_b = a.probs.shape[1], a.form(metric), b.form(metric)
    return Paired(
        metric.name,
        metric.function(targets, of_a, n_classes),
        metric.function(targets, of_b, n_classes),
        paired_difference(targets, of_a, of_b, metric, n_classes, groups=groups, seed=seed),
    )


def _fold_scores(
    targets: np.ndarray, a: Predicted, b: Predicted, rows: np.ndarray, metric: Metric, fold: int
) -> FoldScores:
    of_a, of_b = (
        metric.function(targets[rows], side.at(rows).form(metric), side.probs.shape[1]) for side in (a, b)
    )
    return FoldScores(fold, int(rows.sum()), of_a, of_b, metric.gain(of_a, of_b))
