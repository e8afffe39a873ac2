"""The ways to make one prediction of many members' that benchmarks.scoring compares."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.autogluon_selection import select
from pipeline.score.blends.pools import pool_arithmetic
from pipeline.score.chain import Members, Plan, plan_for
from pipeline.score.crossfit import cross_fitted, cross_predict
from pipeline.score.metrics import METRICS
from pipeline.score.oof import OofRows

METRIC = METRICS["macro-f1"]
OURS, PEER, PLAIN, SINGLE = "ours", "AutoGluon", "uniform", "best single"
AS_THEY_CAME = {"temperatures": False, "prior_power": False}
PLANS = {
    PLAIN: plan_for(METRIC, ("uniform",), ("argmax",), **AS_THEY_CAME),
    "Caruana on F1": plan_for(METRIC, ("greedy-metric",), ("argmax",), **AS_THEY_CAME),
    "EM": plan_for(METRIC, ("arithmetic",), ("argmax",), prior_power=False),
    "EM + rule": plan_for(METRIC, ("arithmetic",), ("macro-f1",), prior_power=False),
    OURS: plan_for(METRIC),
}
METHODS = (PLAIN, SINGLE, *(name for name in PLANS if name not in (PLAIN, OURS)), PEER, OURS)
Deliver = Callable[[Members], np.ndarray]  # members' probs to labels [n]


class Outcome(NamedTuple):
    """What a method says of itself, how long it took, what it delivers, and what that consists of."""

    in_sample: float
    cross_fitted: float | None
    seconds: float
    deliver: Deliver
    chosen: str = ""


class Peer(NamedTuple):
    """AutoGluon's Python, and a folder for arrays."""

    python: Path
    folder: Path


def run_all(oof: OofRows, peer: Peer | None) -> dict[str, Outcome]:
    """Fit every method on the rows; without a peer all but AutoGluon's."""
    outcomes = {name: run_plan(oof, plan) for name, plan in PLANS.items()}
    outcomes[SINGLE] = run_best_single(oof)
    if peer:
        outcomes[PEER] = run_autogluon(oof, peer)
    return {name: outcomes[name] for name in METHODS if name in outcomes}


def run_plan(oof: OofRows, plan: Plan) -> Outcome:
    began = time.monotonic()
    found = cross_fitted(oof, METRIC, plan=plan)
    seconds, chain = time.monotonic() - began, found.chain
    chosen = f"{chain.blend.name}, {chain.rule.name}"
    return Outcome(found.in_sample, found.score, seconds, lambda members: chain.apply(members)[1], chosen)


def run_best_single(oof: OofRows) -> Outcome:
    """The member of best macro-F1; cross-fitted, for each fold the best one on the others."""
    began = time.monotonic()
    deliver = fit_best_single(oof.members, oof.targets)
    crossed = METRIC.function(oof.targets, cross_predict(fit_best_single, oof), oof.n_classes)
    in_sample = METRIC.function(oof.targets, deliver(oof.members), oof.n_classes)
    return Outcome(in_sample, crossed, time.monotonic() - began, deliver)


def fit_best_single(members: Members, targets: np.ndarray) -> Deliver:
    scores = [METRIC.of_probs(targets, member[0]) for member in members]
    return partial(labels_of, np.eye(len(scores))[int(np.argmax(scores))])


def run_autogluon(oof: OofRows, peer: Peer) -> Outcome:
    """AutoGluon's selection on all rows: it has no score but the one in sample."""
    probs = np.stack([member[0] for member in oof.members])
    found = select(peer.python, peer.folder, probs, oof.targets)
    deliver = partial(labels_of, np.array(found["weights"]))
    in_sample = METRIC.function(oof.targets, deliver(oof.members), oof.n_classes)
    return Outcome(in_sample, None, found["seconds"], deliver, f"autogluon.core {found['version']}")


def labels_of(weights: np.ndarray, members: Members) -> np.ndarray:
    """Labels [n] of the weighted mean of members' probs as they came."""
    kept = np.flatnonzero(weights).tolist()
    return pool_arithmetic(np.stack([members[m][0] for m in kept]), weights[kept]).argmax(1)
