"""The chain after training: views → member temperatures → blend → its temperature and prior → decision rule.

A plan names the parts and what may be chosen among; fitting on OOF rows gives the numbers. What they are
worth is the subject of crossfit.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipeline.score.blends.kinds import BLENDS, offered_blends
from pipeline.score.blends.pools import Pool
from pipeline.score.calibrate import apply_temperature, fit_temperature
from pipeline.score.decisions.kinds import fit_rule, offered_rules
from pipeline.score.decisions.rule import Rule
from pipeline.score.metrics import Metric
from pipeline.score.prior import class_shares, fit_leaning, lean, restore_shares
from pipeline.score.views import ViewWeights, fit_views, mix_views

Members = Sequence[np.ndarray]  # each member's probs float32 [V, n, C], its own number of views V


@dataclass(frozen=True)
class Plan:
    """How chains are built: `blends` and `rules` are what is chosen among, the preferred ones first.

    `powers` [M] are those of the classes' shares that members' trainings believe in: 1 where nothing is
    balanced, 0 where all classes count the same (empty: all 1). The rule is solved on the very rows it is
    applied to where `transductive`. Views are "weighted" or only the "first" one, `temperatures` and the
    `prior_power` may be left out: to see what each is worth.
    """

    blends: tuple[str, ...]
    rules: tuple[str, ...]
    pull: float = 50.0
    powers: tuple[float, ...] = ()
    transductive: bool = False
    views: Literal["weighted", "first"] = "weighted"
    temperatures: bool = True
    prior_power: bool = True


@dataclass(frozen=True)
class FittedBlend:
    """Members' probs to one table: weights of each one's views, the temperatures [M], weights [M], the pool.

    What is pooled gets the blend's `temperature` and a power of the `shares` [C] that the classes have in the
    rows it was fitted on; members of `powers` under 1 get the shares that they lack, before they are pooled.
    """

    name: str
    views: tuple[ViewWeights, ...]
    powers: tuple[float, ...]
    shares: np.ndarray
    member_temperatures: np.ndarray
    weights: np.ndarray
    temperature: float
    prior_power: float
    pool: Pool = field(repr=False)

    def apply(self, members: Members) -> np.ndarray:
        """Probs float64 [n, C] of members' probs, each [V, n, C]."""
        return self.finished(self.pooled(members))

    def calibrated(self, members: Members) -> np.ndarray:
        """Each member's probs [M, n, C], float32: views mixed, lost shares restored, at its temperature."""
        if len(members) != len(self.weights):
            raise ValueError(
                f"the blend was fitted on {len(self.weights)} members, got probs of {len(members)}"
            )
        parts = zip(members, self.views, self.powers, self.member_temperatures, strict=True)
        return np.stack(
            [
                apply_temperature(
                    restore_shares(mix_views(member, views.weights), self.shares, power), temperature
                ).astype(np.float32)
                for member, views, power, temperature in parts
            ]
        )

    def pooled(self, members: Members) -> np.ndarray:
        """The members' pool [n, C], before the blend's own temperature and prior power."""
        return self.pool(self.calibrated(members), self.weights)

    def finished(self, pooled: np.ndarray) -> np.ndarray:
        """The blend's probs [n, C] of what is pooled."""
        return lean(pooled, self.temperature, self.shares, self.prior_power)


@dataclass(frozen=True)
class FittedChain:
    """A blend and the rule that makes labels of its probabilities."""

    blend: FittedBlend
    rule: Rule
    metric: Metric
    transductive: bool = False

    def apply(self, members: Members) -> tuple[np.ndarray, np.ndarray]:
        """Probs float64 [n, C] and labels int64 [n] for members' probs, each [V, n, C]."""
        probs = self.blend.apply(members)
        return probs, decide(probs, self.rule, self.metric, self.transductive)


def plan_for(metric: Metric, blends: Sequence[str] = (), rules: Sequence[str] = (), **more: object) -> Plan:
    """The plan for a metric; blends and rules that are named replace what is offered for it.

    A metric of probabilities has no label rule to choose. `more` are further fields of Plan.

    >>> from pipeline.score.metrics import METRICS
    >>> plan_for(METRICS["macro-f1"]).rules, plan_for(METRICS["log-loss"]).rules
    (('macro-f1', 'argmax', 'logit-adjustment'), ('argmax',))
    """
    if metric.needs == "probs":
        rules = ("argmax",)
    chosen = tuple(rules) or offered_rules(metric.name)
    return Plan(tuple(blends) or offered_blends(metric), chosen, **more)  # type: ignore[arg-type]


def fit_blends(
    members: Members, targets: np.ndarray, metric: Metric, plan: Plan, names: Sequence[str] = ()
) -> dict[str, tuple[FittedBlend, np.ndarray]]:
    """Fit the plan's blends, or those named, on members' probs [V, n, C] and targets int [n].

    Each comes with the pool float32 [n, C] of the rows it was fitted on. What the blends share, views and
    member temperatures, is fitted once.
    """
    rows, n_classes = members[0].shape[1:]
    powers = plan.powers or (1.0,) * len(members)
    shares = class_shares(targets, n_classes)
    views = tuple(_fit_member_views(member, targets, plan) for member in members)
    temperatures = np.ones(len(members))
    calibrated = np.empty((len(members), rows, n_classes), np.float32)
    for m, member in enumerate(members):
        probs = restore_shares(mix_views(member, views[m].weights), shares, powers[m])
        if plan.temperatures:
            temperatures[m] = fit_temperature(probs, targets)
        calibrated[m] = apply_temperature(probs, temperatures[m])
    fitted = {}
    for name in names or plan.blends:
        kind = BLENDS[name]
        weights, pool = kind.fit_weights(calibrated, targets, metric, plan.pull), kind.build_pool(calibrated)
        pooled = pool(calibrated, weights).astype(np.float32)
        final = final_calibration(pooled, targets, shares, plan)
        blend = FittedBlend(name, views, powers, shares, temperatures, weights, *final, pool)
        fitted[name] = blend, pooled
    return fitted


def decide(probs: np.ndarray, rule: Rule, metric: Metric, transductive: bool = False) -> np.ndarray:
    """Labels int64 [n] for probs [n, C]; `transductive` solves a rule that needs no labels on these rows."""
    if transductive and rule.label_free:
        return fit_rule(probs, metric, None, rule.name).apply(probs)
    return rule.apply(probs)


def _fit_member_views(member: np.ndarray, targets: np.ndarray, plan: Plan) -> ViewWeights:
    count = len(member)
    if count == 1 or plan.views == "first":
        unknown = np.full(count, np.nan)
        return ViewWeights(np.eye(count)[0], unknown, unknown)
    return fit_views(member[:, np.arange(len(targets)), targets].T, plan.pull)


def final_calibration(
    pooled: np.ndarray, targets: np.ndarray, shares: np.ndarray, plan: Plan
) -> tuple[float, float]:
    """The blend's temperature and prior power, as far as the plan has them."""
    if plan.temperatures and plan.prior_power:
        return fit_leaning(pooled, targets, shares)
    return (fit_temperature(pooled, targets) if plan.temperatures else 1.0), 0.0
