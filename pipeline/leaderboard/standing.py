"""Where a competition stands: CV and LB of its submissions with their errors, the ladder, the final two.

The leaderboard is one more noisy measurement. LB here is the public score, CV the cross-fitted one; both, and
the gap LB − CV, are in the metric's own units, so that with some metrics the lower is better.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.leaderboard import changes
from pipeline.leaderboard.ledger import Entry
from pipeline.score.metrics import Metric

SMALLEST_SHARE = 0.01  # of rows that the final two must differ in
Changed = Callable[[int, int], float | None]  # predictions that two submissions, by place, differ in


@dataclass(frozen=True)
class Scored:
    """A submission with a public score; None where something isn't known.

    `rows` are its test rows, `public_rows` those behind the public score. `combined` is LB and the CV moved
    by the gap, weighted by precision; its error leaves out the gap's, which all share. `remark` says in
    words why something isn't known.
    """

    name: str
    lb: float
    lb_se: float | None = None
    cv: float | None = None
    cv_se: float | None = None
    rows: int | None = None
    public_rows: int | None = None
    combined: float = math.nan
    combined_se: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class Gap:
    """The mean of LB − CV over n submissions, None without any; its standard error, None under 2."""

    mean: float | None
    standard_error: float | None
    n: int


@dataclass(frozen=True)
class Step:
    """A submission against the best before it: `gain` (positive: better) and what it must exceed.

    `changed` predictions of all test rows; `by` says what `needed` is made of.
    """

    verdict: Literal["first", "improved", "within noise", "worse", "unknown"]
    gain: float | None = None
    changed: float | None = None
    needed: float | None = None
    by: Literal["changed predictions", "standard errors", ""] = ""


@dataclass(frozen=True)
class Passed:
    """A submission that would have been next, and the share of rows it differs in; None: a file is gone."""

    name: str
    share: float | None


@dataclass(frozen=True)
class FinalTwo:
    """What to choose, the best first, and the share of rows the two differ in; one where no other fits."""

    chosen: tuple[str, ...]
    share: float | None
    passed: tuple[Passed, ...]


@dataclass(frozen=True)
class Standing:
    """All of it; `submissions` and `steps` in the ledger's order."""

    submissions: tuple[Scored, ...]
    rank_correlation: float | None
    gap: Gap
    steps: tuple[Step, ...]
    final: FinalTwo


def standing(
    entries: Sequence[Entry], metric: Metric, public_share: float = 0.0, changed: Changed | None = None
) -> Standing | None:
    """Work out where a competition stands from `ledger.latest`; None without a scored submission.

    `public_share` is the share of test rows behind the public score; 0, unknown: all of them, the least that
    LB can vary. `changed` counts by the files on disk, if not given. The CV of another metric doesn't count.
    """
    scored = [entry for entry in entries if entry["public"] is not None]
    if not scored:
        return None
    measured = [_measured(entry, metric, public_share or 1.0) for entry in scored]
    both = [(item.cv, item.lb) for item in measured if item.cv is not None]
    gap = expected_gap(both)
    items = [_combined(item, gap) for item in measured]
    changed = changed or (lambda i, j: changes.between(scored[i], scored[j]))
    steps, final = ladder(items, metric, changed), final_two(items, metric, changed)
    return Standing(tuple(items), rank_correlation(both), gap, tuple(steps), final)


def lb_standard_error(cv_se: float | None, cv_rows: int | None, public_rows: int | None) -> float | None:
    """Scale the standard error of CV on its rows to the public part's; None where one is unknown, or 0.

    >>> lb_standard_error(0.004, 9000, 1000)
    0.012
    """
    if not cv_se or not cv_rows or not public_rows:
        return None
    return cv_se * math.sqrt(cv_rows / public_rows)


def expected_gap(both: Sequence[tuple[float, float]]) -> Gap:
    """Average LB − CV over pairs (CV, LB). Its standard error is of these submissions on these public rows.

    >>> expected_gap([(0.80, 0.78), (0.82, 0.82)])
    Gap(mean=-0.01, standard_error=0.01, n=2)
    """
    gaps = np.array([lb - cv for cv, lb in both])
    if not len(gaps):
        return Gap(None, None, 0)
    error = round(float(np.std(gaps, ddof=1) / math.sqrt(len(gaps))), 12) if len(gaps) > 1 else None
    return Gap(round(float(gaps.mean()), 12), error, len(gaps))


def rank_correlation(both: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's, of pairs (CV, LB); None under 3 pairs, or where one of the two is always the same.

    >>> rank_correlation([(0.1, 0.5), (0.2, 0.6), (0.3, 0.9)]), rank_correlation([(0.1, 0.5), (0.2, 0.6)])
    (1.0, None)
    """
    from scipy.stats import spearmanr

    cvs, lbs = [cv for cv, _ in both], [lb for _, lb in both]
    if len(both) < 3 or len(set(cvs)) == 1 or len(set(lbs)) == 1:
        return None
    return round(float(spearmanr(cvs, lbs).statistic), 12)


def combine(
    cv: float | None, cv_se: float | None, lb: float, lb_se: float | None
) -> tuple[float, float | None]:
    """Weigh CV (moved by the gap) and LB by 1 / SE²: the score and its standard error.

    A measurement without standard error has no weight beside one that has it; without any, LB is the score.

    >>> combine(0.80, 0.01, 0.83, 0.02)
    (0.806, 0.00894427191)
    >>> combine(0.80, 0.01, 0.83, None), combine(None, None, 0.83, None)
    ((0.8, 0.01), (0.83, None))
    """
    if cv is None or not cv_se:
        return lb, lb_se
    if not lb_se:
        return cv, cv_se
    weights = cv_se**-2, lb_se**-2
    mean = (weights[0] * cv + weights[1] * lb) / sum(weights)
    return round(mean, 12), round(float(sum(weights) ** -0.5), 12)


def ladder(items: Sequence[Scored], metric: Metric, changed: Changed) -> list[Step]:
    """Climb only by gains that are more than noise (Blum & Hardt 2015, "The Ladder").

    The best before is the last that improved. A gain counts above √(changed predictions) / rows, both of the
    public part, where the share of rows that changed is assumed to be that of all test rows: the standard
    error of a paired change of accuracy at most, a yardstick with other metrics. Without the files it must
    exceed that of two independent scores.
    """
    steps: list[Step] = []
    best = 0
    for i in range(len(items)):
        steps.append(_step(items, best, i, metric, changed) if i else Step("first"))
        best = i if steps[-1].verdict == "improved" else best
    return steps


def final_two(items: Sequence[Scored], metric: Metric, changed: Changed) -> FinalTwo:
    """Propose the best by the combined score and the next one that differs in at least 1 % of the rows.

    Scores without a standard error rank behind those that have one: LB alone chooses luck. Equal scores go by
    the ledger's order. `passed` tells who stood between the two, or, where nothing fits,
    all the others.
    """
    ranks = [(item.combined_se is None, -metric.gain(item.combined, 0.0)) for item in items]
    first, *others = sorted(range(len(items)), key=lambda i: ranks[i])
    passed: list[Passed] = []
    for i in others:
        count, rows = changed(first, i), items[first].rows
        share = None if count is None or not rows else count / rows
        if share is not None and share >= SMALLEST_SHARE:
            return FinalTwo((items[first].name, items[i].name), share, tuple(passed))
        passed.append(Passed(items[i].name, share))
    return FinalTwo((items[first].name,), None, tuple(passed))


def _measured(entry: Entry, metric: Metric, share: float) -> Scored:
    ref = None if entry["ref"] is None else str(entry["ref"])
    file = Path(entry["file"]).name if entry["file"] else ""
    name = f"{file} ({ref})" if file and ref else file or str(ref)
    item = Scored(name, entry["public"], rows=entry["rows"])
    if item.rows:
        item = replace(item, public_rows=max(1, round(item.rows * share)))
    if entry["cv"] is None:
        return replace(item, remark="the ledger has no CV of it")
    if entry["metric"] not in (None, metric.name):
        return replace(item, remark=f"its CV is of {entry['metric']}, so it doesn't count")
    item = replace(item, cv=entry["cv"], cv_se=entry["se"] or None)
    lb_se = lb_standard_error(item.cv_se, entry["cv_rows"], item.public_rows)
    if lb_se is None:
        what = "the standard error" if item.cv_se is None else "the number of rows"
        return replace(item, remark=f"the ledger lacks {what} of its CV")
    return replace(item, lb_se=lb_se)


def _combined(item: Scored, gap: Gap) -> Scored:
    moved = None if item.cv is None or gap.mean is None else item.cv + gap.mean
    score, error = combine(moved, item.cv_se, item.lb, item.lb_se)
    return replace(item, combined=score, combined_se=error)


def _step(items: Sequence[Scored], best: int, i: int, metric: Metric, changed: Changed) -> Step:
    item, before = items[i], items[best]
    gain, count = metric.gain(item.lb, before.lb), changed(best, i)
    by: Literal["changed predictions", "standard errors"]
    if count is not None and item.rows and item.public_rows:
        needed, by = math.sqrt(count * item.public_rows / item.rows) / item.public_rows, "changed predictions"
    elif item.lb_se is not None and before.lb_se is not None:
        needed, by = math.hypot(item.lb_se, before.lb_se), "standard errors"
    else:
        return Step("unknown", gain, count)
    verdict: Literal["improved", "worse", "within noise"] = "within noise"
    if abs(gain) > needed:
        verdict = "improved" if gain > 0 else "worse"
    return Step(verdict, gain, count, needed, by)
