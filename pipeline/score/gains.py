"""What each choice in the chain is worth: the delivered chain against itself with one part changed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.score.chain import Plan
from pipeline.score.crossfit import LOG_LOSS, CrossFitted, scored_form
from pipeline.score.intervals import Difference, paired_difference
from pipeline.score.metrics import find_metric
from pipeline.score.oof import FoldFits, OofRows, finished_otherwise, fit_folds, rule_labels

RESAMPLES = 300  # the standard error is then known within 4 %
Output = tuple[np.ndarray, np.ndarray]  # cross-fitted probs float32 [n, C] and labels int64 [n]


@dataclass(frozen=True)
class Gain:
    """One choice: what was kept and what it is compared with; `gains` by metric, positive where it pays."""

    choice: str
    kept: str
    instead: str
    gains: dict[str, Difference]


def choice_gains(found: CrossFitted, rows: OofRows, seed: int = 0) -> list[Gain]:
    """Compare the delivered blend and rule, cross-fitted, with each alternative; the other parts stay.

    Blends against the other blends, rules against the other rules, temperatures (with the prior power) and
    the prior power against none, weighted views against the plain image alone. Gains are of the competition's
    metric and of log-loss, on the same rows.
    """
    metric = find_metric(found.metric)
    kept = _output(found.fits, rows, found, found.plan, found.chain.blend.name, found.chain.rule.name)
    gains = []
    for choice, name, instead, other in _alternatives(found, rows):
        differences = {
            scale.name: paired_difference(
                rows.targets,
                scored_form(scale, *kept),
                scored_form(scale, *other),
                scale,
                rows.n_classes,
                groups=rows.groups,
                resamples=RESAMPLES,
                seed=seed,
            )
            for scale in dict.fromkeys((metric, LOG_LOSS))
        }
        gains.append(Gain(choice, name, instead, differences))
    return gains


def _alternatives(found: CrossFitted, rows: OofRows) -> Iterator[tuple[str, str, str, Output]]:
    """Yield (choice, kept, instead, what the chain gives with that one part changed)."""
    blend, rule, plan = found.chain.blend.name, found.chain.rule.name, found.plan
    for other in plan.blends:
        if other != blend:
            yield "blend", blend, other, _output(found.fits, rows, found, plan, other, rule)
    for other in plan.rules:
        if other != rule:
            yield "rule", rule, other, _output(found.fits, rows, found, plan, blend, other)
    plain = replace(plan, prior_power=False)
    fits = finished_otherwise(found.fits, blend, rows, plain)
    yield "prior power", "fitted", "none", _output(fits, rows, found, plain, blend, rule)
    changed = [("temperatures", "fitted", "none", replace(plain, temperatures=False))]
    if any(len(member) > 1 for member in rows.members):
        changed.append(("views", "weighted", "the plain image alone", replace(plan, views="first")))
    for choice, kept, instead, other_plan in changed:
        fits = fit_folds(rows, find_metric(found.metric), other_plan, [blend])
        yield choice, kept, instead, _output(fits, rows, found, other_plan, blend, rule)


def _output(fits: FoldFits, rows: OofRows, found: CrossFitted, plan: Plan, blend: str, rule: str) -> Output:
    blend_of = dict.fromkeys(fits.blends, blend)
    if fits is found.fits and blend_of == found.blend_of:
        return fits.probs[blend], found.labels[rule]
    return fits.probs[blend], rule_labels(fits, blend_of, rows, find_metric(found.metric), rule, plan)
