"""Out-of-fold rows, and what is fitted without each fold and applied to it: cross-fitting's machinery."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from pipeline.score.chain import FittedBlend, Members, Plan, decide, final_calibration, fit_blends
from pipeline.score.decisions.kinds import fit_rule
from pipeline.score.metrics import Metric

FOLDS_AT_ONCE = 2  # each holds its own calibrated members: memory grows with it
Key = TypeVar("Key")


@dataclass(frozen=True)
class OofRows:
    """Scored rows: members' probs, each float [V, n, C]; targets, fold_of ≥ 0, groups (or None) int [n]."""

    members: Members
    targets: np.ndarray
    fold_of: np.ndarray
    groups: np.ndarray | None = None

    @property
    def n_classes(self) -> int:
        return self.members[0].shape[2]

    def outside(self, fold: int) -> Members:
        """Members' probs of the rows of other folds."""
        return [member[:, self.fold_of != fold] for member in self.members]

    def inside(self, fold: int) -> Members:
        """Members' probs of the fold's rows."""
        return [member[:, self.fold_of == fold] for member in self.members]


@dataclass(frozen=True)
class FoldFits:
    """Blends fitted without each fold: `blends[fold][name]` with the pool float32 of the rows outside it.

    `pooled[name]` and `probs[name]` float32 [n, C]: every row by the blend that did not see its fold, before
    and after the blend's own temperature and prior power.
    """

    blends: Mapping[int, Mapping[str, tuple[FittedBlend, np.ndarray]]]
    pooled: Mapping[str, np.ndarray]
    probs: Mapping[str, np.ndarray]


def scored_rows(
    members: Members, targets: np.ndarray, fold_of: np.ndarray, groups: np.ndarray | None = None
) -> OofRows:
    """Keep the rows with fold ≥ 0. Raises ValueError for what doesn't fit together."""
    rows, n_classes = len(targets), members[0].shape[-1]
    for m, member in enumerate(members):
        if member.ndim != 3 or member.shape[1:] != (rows, n_classes) or len(fold_of) != rows:
            raise ValueError(
                f"expected probs [views, rows, classes] of member {m}, got {member.shape} for {rows} targets "
                f"and {len(fold_of)} fold numbers"
            )
    scored = fold_of >= 0
    if not scored.all():
        members = [member[:, scored] for member in members]
        targets, fold_of = targets[scored], fold_of[scored]
        groups = None if groups is None else groups[scored]
    for m, member in enumerate(members):
        missing = ~np.isfinite(member).all((0, 2))
        if missing.any():
            raise ValueError(f"member {m} has {int(missing.sum())} scored rows with NaN or infinity")
    if len(targets) and (targets.min() < 0 or targets.max() >= n_classes):
        raise ValueError(
            f"targets hold {targets.min()} to {targets.max()}, the probs have {n_classes} classes"
        )
    if len(np.unique(fold_of)) < 2:
        raise ValueError(
            f"cross-fitting needs rows in at least 2 folds, there are rows in {len(np.unique(fold_of))}"
        )
    return OofRows(members, targets, fold_of, groups)


def fit_folds(rows: OofRows, metric: Metric, plan: Plan, names: Sequence[str] = ()) -> FoldFits:
    """Fit the plan's blends, or those named, without each fold; apply them to it. Equal rows, equal fits."""
    names = names or plan.blends
    shape = (len(rows.targets), rows.n_classes)
    pooled, probs = ({name: np.empty(shape, np.float32) for name in names} for _ in range(2))

    def fit(fold: int) -> dict[str, tuple[FittedBlend, np.ndarray]]:
        fitted = fit_blends(rows.outside(fold), rows.targets[rows.fold_of != fold], metric, plan, names)
        blends = [blend for blend, _ in fitted.values()]
        inside, calibrated = rows.fold_of == fold, blends[0].calibrated(rows.inside(fold))  # all share these
        for blend in blends:
            pooled[blend.name][inside] = blend.pool(calibrated, blend.weights)
            probs[blend.name][inside] = blend.finished(pooled[blend.name][inside])
        return fitted

    folds = np.unique(rows.fold_of).tolist()
    with ThreadPoolExecutor(FOLDS_AT_ONCE) as pool:
        return FoldFits(dict(zip(folds, pool.map(fit, folds), strict=True)), pooled, probs)


def finished_otherwise(fits: FoldFits, name: str, rows: OofRows, plan: Plan) -> FoldFits:
    """The fits of one blend, their last step (temperature and prior power) fitted as another plan has it."""
    blends, probs = {}, np.empty_like(fits.probs[name])
    for fold, fitted in fits.blends.items():
        inside, (blend, own) = rows.fold_of == fold, fitted[name]
        temperature, power = final_calibration(own, rows.targets[~inside], blend.shares, plan)
        other = replace(blend, temperature=temperature, prior_power=power)
        blends[fold] = {name: (other, own)}
        probs[inside] = other.finished(fits.pooled[name][inside])
    return FoldFits(blends, {name: fits.pooled[name]}, {name: probs})


def rule_labels(
    fits: FoldFits, blend_of: Mapping[int, str], rows: OofRows, metric: Metric, rule: str, plan: Plan
) -> np.ndarray:
    """Labels int64 [n]: each fold's rows by the rule fitted on the other folds', on the fold's blend."""

    def fit(fold: int) -> np.ndarray:
        inside, name = rows.fold_of == fold, blend_of[fold]
        blend, pooled = fits.blends[fold][name]
        fitted = fit_rule(blend.finished(pooled), metric, rows.targets[~inside], rule)
        return decide(fits.probs[name][inside], fitted, metric, plan.transductive)

    labels = np.empty(len(rows.targets), np.int64)
    with ThreadPoolExecutor(FOLDS_AT_ONCE) as pool:
        for fold, found in zip(blend_of, pool.map(fit, blend_of), strict=True):
            labels[rows.fold_of == fold] = found
    return labels


def stitched(
    outputs: Mapping[Key, np.ndarray], name_of: Mapping[int, Key], fold_of: np.ndarray
) -> np.ndarray:
    """Rows of several outputs [n, …], each fold's from the output that it has by name.

    >>> stitched({"a": np.array([1, 2]), "b": np.array([3, 4])}, {0: "b", 1: "a"}, np.array([0, 1]))
    array([3, 2])
    """
    mixed = np.empty_like(next(iter(outputs.values())))
    for fold, name in name_of.items():
        mixed[fold_of == fold] = outputs[name][fold_of == fold]
    return mixed
