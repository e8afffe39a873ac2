"""Cross-fitting: the score of the whole chain after training, on rows that nothing was fitted on.

For each fold the chain is fitted on the rows of the other folds and applied to that fold's; the delivered
chain is fitted on all rows. How much its score on those flatters is the optimism.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from pipeline.score.chain import Candidate, FittedChain, candidates_for, fit_chain, fit_chains
from pipeline.score.intervals import Interval, bootstrap_scores, interval
from pipeline.score.metrics import METRICS, Metric, find_metric

CHOICE_RESAMPLES = 200
Key = TypeVar("Key")


class Applicable(Protocol):
    """What a fit returns: it turns probs [M, n, C] into probs [n, C] and predictions int [n]."""

    def apply(self, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class CrossFitted:
    """The honest score of a chain, and the chain to deliver.

    probs float32 [n, C] and predictions int64 [n] are out-of-fold, NaN and −1 for rows with fold −1. optimism
    is in_sample − score, as SCORING says: for a metric that is better when lower it is negative where
    in_sample flatters. candidate_scores are of each alone, member_scores of each member as it came.
    """

    metric: str
    score: float
    in_sample: float
    interval: Interval
    n: int
    groups: int
    classes_without_support: tuple[int, ...]
    candidate_scores: dict[Candidate, float]
    member_scores: tuple[float, ...]
    chain: FittedChain
    probs: np.ndarray
    predictions: np.ndarray

    @property
    def optimism(self) -> float:
        return self.in_sample - self.score

    @property
    def standard_error(self) -> float:
        return self.interval.standard_error


def cross_predict(
    fit: Callable[[np.ndarray, np.ndarray], Mapping[Key, Applicable]],
    oof: np.ndarray,
    targets: np.ndarray,
    fold_of: np.ndarray,
) -> dict[Key, tuple[np.ndarray, np.ndarray]]:
    """Probs float32 [n, C] and predictions int64 [n] of every fit, each fold's by what the other folds gave.

    `fit(oof [M, rows, C], targets [rows])` returns fits by name. Rows with fold −1 are neither fitted on nor
    predicted: NaN and −1. Raises ValueError for fewer than two folds.
    """
    folds = np.unique(fold_of[fold_of >= 0])
    if len(folds) < 2:
        raise ValueError(f"cross-fitting needs rows in at least 2 folds, there are rows in {len(folds)}")
    n, n_classes = oof.shape[1:]
    outputs: dict[Key, tuple[np.ndarray, np.ndarray]] = {}
    for fold in folds:
        outside, inside = (fold_of >= 0) & (fold_of != fold), fold_of == fold
        for name, fitted in fit(oof[:, outside], targets[outside]).items():
            if name not in outputs:
                outputs[name] = np.full((n, n_classes), np.nan, np.float32), np.full(n, -1, np.int64)
            outputs[name][0][inside], outputs[name][1][inside] = fitted.apply(oof[:, inside])
    return outputs


def cross_fitted(
    oof: np.ndarray,
    targets: np.ndarray,
    fold_of: np.ndarray,
    metric: str | Metric,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    candidates: Sequence[Candidate] | None = None,
) -> CrossFitted:
    """Cross-fit every candidate, choose one, and fit it on all scored rows.

    oof float [M, n, C], targets and fold_of int [n], groups [n] of duplicates. The choice goes by
    cross-fitted scores: the delivered one by all rows, the one that a fold is scored with by the other folds.
    Raises ValueError for shapes that don't fit, NaN in scored rows, labels outside the classes, fewer than
    two folds.

    >>> oof = np.array([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]]])
    >>> found = cross_fitted(oof, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), "accuracy")
    >>> found.score, str(found.chain.candidate), found.classes_without_support
    (1.0, 'arithmetic + argmax', ())
    """
    metric = find_metric(metric) if isinstance(metric, str) else metric
    _check(oof, targets, fold_of)
    scored, n_classes = fold_of >= 0, oof.shape[2]
    truth, rows, groups = targets[scored], oof[:, scored], None if groups is None else groups[scored]
    candidates = tuple(candidates or candidates_for(metric))
    outputs = cross_predict(lambda p, y: fit_chains(p, y, metric, candidates), oof, targets, fold_of)
    seen = {c: (probs[scored], labels[scored]) for c, (probs, labels) in outputs.items()}
    chosen = choose(metric, truth, seen, groups, seed)
    pooled = _chosen_without_the_fold(metric, truth, seen, fold_of[scored], groups=groups, seed=seed)
    probs, predictions = (np.full_like(whole, -1) for whole in outputs[chosen])
    probs[~scored], probs[scored], predictions[scored] = np.nan, *pooled
    needed = scored_form(metric, *pooled)
    chain = fit_chain(rows, truth, metric, chosen)
    return CrossFitted(
        metric=metric.name,
        score=metric.function(truth, needed, n_classes),
        in_sample=metric.function(truth, scored_form(metric, *chain.apply(rows)), n_classes),
        interval=interval(truth, needed, metric, n_classes, groups=groups, seed=seed),
        n=len(truth),
        groups=len(truth) if groups is None else len(np.unique(groups)),
        classes_without_support=tuple(np.setdiff1d(np.arange(n_classes), truth).tolist()),
        candidate_scores={
            c: metric.function(truth, scored_form(metric, *output), n_classes) for c, output in seen.items()
        },
        member_scores=tuple(metric.of_probs(truth, member) for member in rows),
        chain=chain,
        probs=probs,
        predictions=predictions,
    )


def _chosen_without_the_fold(
    metric: Metric,
    targets: np.ndarray,
    outputs: Mapping[Candidate, tuple[np.ndarray, np.ndarray]],
    fold_of: np.ndarray,
    *,
    groups: np.ndarray | None,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Each fold's rows as the candidate gives them that the rows of the other folds choose.

    The best of six on the very rows it is scored on looks better than it is: by .003 of macro-F1
    more than this in a simulation of 1,200 rows and 12 classes.
    """
    probs, predictions = (np.empty_like(whole) for whole in next(iter(outputs.values())))
    for fold in np.unique(fold_of):
        inside, outside = fold_of == fold, fold_of != fold
        others = {c: (p[outside], labels[outside]) for c, (p, labels) in outputs.items()}
        chosen = choose(metric, targets[outside], others, None if groups is None else groups[outside], seed)
        probs[inside], predictions[inside] = outputs[chosen][0][inside], outputs[chosen][1][inside]
    return probs, predictions


def scored_form(metric: Metric, probs: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """What the metric is computed from: the one of probs and predictions that it needs."""
    return predictions if metric.needs == "labels" else probs


def choose(
    metric: Metric,
    targets: np.ndarray,
    outputs: Mapping[Candidate, tuple[np.ndarray, np.ndarray]],
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Candidate:
    """The candidate to deliver, from each one's cross-fitted (probs [n, C], predictions [n]), simpler first.

    Of those within one paired standard error of the best score: the simplest rule, then the pool of least
    log-loss.
    """
    names = list(outputs)
    n_classes = outputs[names[0]][0].shape[1]
    xs = [scored_form(metric, *outputs[name]) for name in names]
    scores = [metric.function(targets, x, n_classes) for x in xs]
    best = max(range(len(names)), key=lambda i: metric.gain(scores[i], scores[0]))
    replicates = bootstrap_scores(
        targets, xs, metric, n_classes, groups=groups, resamples=CHOICE_RESAMPLES, seed=seed
    )
    errors = np.std(replicates[:, [best]] - replicates, axis=0, ddof=1)
    near = [
        name
        for name, score, error in zip(names, scores, errors, strict=True)
        if metric.gain(scores[best], score) <= error
    ]
    simplest = [name for name in near if name.rule == near[0].rule]
    log_loss = METRICS["log-loss"].function
    return min(simplest, key=lambda name: log_loss(targets, outputs[name][0], n_classes))


def _check(oof: np.ndarray, targets: np.ndarray, fold_of: np.ndarray) -> None:
    if oof.ndim != 3 or not (len(targets) == len(fold_of) == oof.shape[1]):
        raise ValueError(
            f"expected probs [members, rows, classes], got {oof.shape} for {len(targets)} targets "
            f"and {len(fold_of)} fold numbers"
        )
    missing = ~np.isfinite(oof[:, fold_of >= 0]).all(2)
    if missing.any():
        member = int(missing.any(1).argmax())
        raise ValueError(f"member {member} has {int(missing[member].sum())} scored rows with NaN or infinity")
    truth = targets[fold_of >= 0]
    if len(truth) and (truth.min() < 0 or truth.max() >= oof.shape[2]):
        raise ValueError(
            f"targets hold {truth.min()} to {truth.max()}, the probs have {oof.shape[2]} classes"
        )
