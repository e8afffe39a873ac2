"""Cross-fitting: the score of the whole chain after training, on rows that nothing was fitted on.

For each fold the chain is fitted on the rows of the other folds and applied to that fold's; the delivered
chain is fitted on all rows. How much its score on those flatters is the optimism.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.score.chain import FittedChain, Members, Plan, fit_blends, plan_for
from pipeline.score.choice import choose, choose_by_fold
from pipeline.score.decisions.kinds import fit_rule
from pipeline.score.intervals import Interval, interval
from pipeline.score.metrics import METRICS, Metric, find_metric
from pipeline.score.oof import FoldFits, OofRows, fit_folds, rule_labels, stitched

LOG_LOSS = METRICS["log-loss"]


@dataclass(frozen=True)
class CrossFitted:
    """The honest score of a chain, and the chain to deliver.

    probs float32 [n, C] and predictions int64 [n] are the scored rows', out of fold. optimism is in_sample −
    score: for a metric that is better when lower it is negative where in_sample flatters. blend_scores are
    each blend's log-loss, rule_scores each rule's metric on the chosen blends, both cross-fitted;
    member_scores are of each member as it came, the mean of its views. `fits` are the blends that were fitted
    without each fold, `blend_of` the one that a fold is scored with, `labels` int64 [n] those of each rule on
    these.
    """

    metric: str
    score: float
    in_sample: float
    interval: Interval
    n: int
    groups: int
    classes_without_support: tuple[int, ...]
    blend_scores: dict[str, float]
    rule_scores: dict[str, float]
    member_scores: tuple[float, ...]
    chain: FittedChain
    probs: np.ndarray
    predictions: np.ndarray
    plan: Plan
    fits: FoldFits
    blend_of: Mapping[int, str]
    labels: Mapping[str, np.ndarray]

    @property
    def optimism(self) -> float:
        return self.in_sample - self.score

    @property
    def standard_error(self) -> float:
        return self.interval.standard_error


def cross_fitted(
    rows: OofRows, metric: str | Metric, *, plan: Plan | None = None, seed: int = 0
) -> CrossFitted:
    """Cross-fit every blend and choose one, then every rule on it and choose one; fit both on all rows.

    Blends are chosen by log-loss (for a metric of probabilities by itself), rules by the metric, both by
    cross-fitted outputs: what is delivered by all rows, what a fold is scored with by the other folds. `rows`
    come from `scored_rows`; the default plan is the metric's.

    >>> from pipeline.score.oof import scored_rows
    >>> oof = [np.array([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]]])]
    >>> rows = scored_rows(oof, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    >>> found = cross_fitted(rows, "accuracy")
    >>> found.score, found.chain.blend.name, found.chain.rule.name, found.classes_without_support
    (1.0, 'uniform', 'argmax', ())
    """
    metric = find_metric(metric) if isinstance(metric, str) else metric
    plan = plan or plan_for(metric)
    fits = fit_folds(rows, metric, plan)
    blend, blend_of = _chosen(LOG_LOSS if metric.needs == "labels" else metric, rows, fits.probs, seed)
    probs = stitched(fits.probs, blend_of, rows.fold_of)
    labels = {name: rule_labels(fits, blend_of, rows, metric, name, plan) for name in plan.rules}
    answers = {name: scored_form(metric, probs, found) for name, found in labels.items()}
    rule, rule_of = _chosen(metric, rows, answers, seed)
    predictions = stitched(labels, rule_of, rows.fold_of)
    chain = fit_chain(rows.members, rows.targets, metric, plan, blend, rule)
    truth, n_classes, final = rows.targets, rows.n_classes, scored_form(metric, probs, predictions)
    return CrossFitted(
        metric=metric.name,
        score=metric.function(truth, final, n_classes),
        in_sample=metric.function(truth, scored_form(metric, *chain.apply(rows.members)), n_classes),
        interval=interval(truth, final, metric, n_classes, groups=rows.groups, seed=seed),
        n=len(truth),
        groups=len(truth) if rows.groups is None else len(np.unique(rows.groups)),
        classes_without_support=tuple(np.setdiff1d(np.arange(n_classes), truth).tolist()),
        blend_scores={name: LOG_LOSS.function(truth, found, n_classes) for name, found in fits.probs.items()},
        rule_scores={name: metric.function(truth, x, n_classes) for name, x in answers.items()},
        member_scores=tuple(metric.of_probs(truth, member.mean(0)) for member in rows.members),
        chain=chain,
        probs=probs,
        predictions=predictions,
        plan=plan,
        fits=fits,
        blend_of=blend_of,
        labels=labels,
    )


def fit_chain(
    members: Members, targets: np.ndarray, metric: Metric, plan: Plan, blend: str, rule: str
) -> FittedChain:
    """Fit one blend and one rule on members' probs, each [V, n, C], and targets int [n]."""
    fitted, pooled = fit_blends(members, targets, metric, plan, [blend])[blend]
    found = fit_rule(fitted.finished(pooled), metric, targets, rule)
    return FittedChain(fitted, found, metric, plan.transductive)


def cross_predict(
    fit: Callable[[Members, np.ndarray], Callable[[Members], np.ndarray]], rows: OofRows
) -> np.ndarray:
    """Cross-fit anything: outputs [n, …], each fold's rows by what `fit` returns for the other folds' rows.

    `fit(members' probs, targets)` returns a function of members' probs: a blend of one's own, to see what it
    is worth beside the built-in ones.
    """
    outputs = None
    for fold in np.unique(rows.fold_of):
        inside = rows.fold_of == fold
        found = fit(rows.outside(fold), rows.targets[~inside])(rows.inside(fold))
        if outputs is None:
            outputs = np.empty((len(rows.targets), *found.shape[1:]), found.dtype)
        outputs[inside] = found
    assert outputs is not None
    return outputs


def scored_form(metric: Metric, probs: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """What the metric is computed from: the one of probs and predictions that it needs."""
    return predictions if metric.needs == "labels" else probs


def _chosen(
    metric: Metric, rows: OofRows, outputs: Mapping[str, np.ndarray], seed: int
) -> tuple[str, dict[int, str]]:
    """The name of the output chosen on all rows, and for each fold the one chosen on the others."""

    def choose_on(part: np.ndarray) -> str:
        groups = None if rows.groups is None else rows.groups[part]
        own = {name: found[part] for name, found in outputs.items()}
        return choose(metric, rows.targets[part], own, rows.n_classes, groups, seed)

    return choose_on(np.ones(len(rows.targets), bool)), choose_by_fold(choose_on, rows.fold_of)
