"""The chain after training: member temperatures → weights → a pool → a final temperature → a decision rule.

A candidate names the parts (keys of WEIGHTS, POOLS, RULES); fitting it on OOF rows gives the numbers. What
they are worth is the subject of crossfit.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.score.blend import POOLS, WEIGHTS
from pipeline.score.calibrate import apply_temperature, fit_temperature
from pipeline.score.decide import Rule, fit_rule, offered_rules
from pipeline.score.metrics import Metric


@dataclass(frozen=True)
class Candidate:
    """One fixed way to build the chain: keys of POOLS, RULES and WEIGHTS."""

    pool: str = "arithmetic"
    rule: str = "argmax"
    weights: str = "em"

    def __str__(self) -> str:
        return f"{self.pool} + {self.rule}"


@dataclass(frozen=True)
class FittedChain:
    """A chain with its numbers: member_temperatures [M], weights [M], the final temperature, the rule."""

    candidate: Candidate
    member_temperatures: np.ndarray
    weights: np.ndarray
    temperature: float
    rule: Rule

    def apply(self, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probs float64 [n, C] and labels int64 [n] for members' probs [M, n, C]."""
        if len(probs) != len(self.weights):
            raise ValueError(
                f"the chain was fitted on {len(self.weights)} members, got probs of {len(probs)}"
            )
        pooled = POOLS[self.candidate.pool](_calibrated(probs, self.member_temperatures), self.weights)
        blended = apply_temperature(pooled, self.temperature)
        return blended, self.rule.apply(blended)


def candidates_for(metric: Metric) -> tuple[Candidate, ...]:
    """What is tried for a metric, at most six; a metric of probabilities has no label rule to choose.

    >>> from pipeline.score.metrics import METRICS
    >>> [str(candidate) for candidate in candidates_for(METRICS["log-loss"])]
    ['arithmetic + argmax', 'geometric + argmax']
    """
    rules = offered_rules(metric.name) if metric.needs == "labels" else ("argmax",)
    return tuple(Candidate(pool, rule) for rule in rules for pool in POOLS)


def _calibrated(probs: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """Members' probs [M, n, C] at their temperatures [M]; float32, because many members fill the memory."""
    pairs = zip(probs, temperatures, strict=True)
    return np.stack(
        [apply_temperature(member, temperature).astype(np.float32) for member, temperature in pairs]
    )


def fit_chains(
    oof: np.ndarray, targets: np.ndarray, metric: str | Metric, candidates: Sequence[Candidate]
) -> dict[Candidate, FittedChain]:
    """Fit each candidate on oof [M, n, C] and targets int [n]; what candidates share is fitted once."""
    temperatures = np.array([fit_temperature(member, targets) for member in oof])
    calibrated = _calibrated(oof, temperatures)
    true_class_probs = calibrated[:, np.arange(len(targets)), targets].T
    fitted: dict[Candidate, FittedChain] = {}
    blends: dict[tuple[str, str], tuple[np.ndarray, float, np.ndarray]] = {}
    for candidate in candidates:
        how = (candidate.weights, candidate.pool)
        if how not in blends:
            weights = WEIGHTS[candidate.weights](true_class_probs)
            pooled = POOLS[candidate.pool](calibrated, weights)
            temperature = fit_temperature(pooled, targets)
            blends[how] = weights, temperature, apply_temperature(pooled, temperature)
        weights, temperature, blended = blends[how]
        rule = fit_rule(blended, metric, targets, candidate.rule)
        fitted[candidate] = FittedChain(candidate, temperatures, weights, temperature, rule)
    return fitted


def fit_chain(
    oof: np.ndarray, targets: np.ndarray, metric: str | Metric, candidate: Candidate
) -> FittedChain:
    """Fit one candidate on oof [M, n, C] and targets int [n].

    >>> oof = np.array([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]]])
    >>> chain = fit_chain(oof, np.array([0, 1, 1, 0]), "accuracy", Candidate())
    >>> chain.weights, chain.apply(oof)[1]
    (array([1.]), array([0, 1, 0, 1]))
    """
    return fit_chains(oof, targets, metric, [candidate])[candidate]
