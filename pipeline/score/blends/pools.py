"""Pools: how members' probabilities and weights become one table of probabilities."""

from collections.abc import Callable

import numpy as np

from pipeline.score.calibrate import softmax
from pipeline.score.metrics import SMALLEST_PROB

Pool = Callable[[np.ndarray, np.ndarray], np.ndarray]
RANK_POINTS = 501


def pool_arithmetic(probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mixture Σ_m w_m p_m, float64 [n, C], of probs [M, n, C] with weights [M].

    >>> pool_arithmetic(np.array([[[1.0, 0.0]], [[0.5, 0.5]]]), np.array([0.5, 0.5]))
    array([[0.75, 0.25]])
    """
    pooled = np.zeros(np.shape(probs)[1:])
    for weight, member in zip(weights, probs, strict=True):
        if weight:
            pooled += float(weight) * member
    return pooled / pooled.sum(-1, keepdims=True)


def pool_geometric(probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """softmax(Σ_m w_m log p_m), float64 [n, C], of probs [M, n, C] with weights [M].

    >>> pool_geometric(np.array([[[0.8, 0.2]], [[0.2, 0.8]]]), np.array([0.5, 0.5]))
    array([[0.5, 0.5]])
    """
    logits = np.zeros(np.shape(probs)[1:])
    for weight, member in zip(weights, probs, strict=True):
        if weight:
            logits += float(weight) * np.log(np.maximum(member, SMALLEST_PROB))  # in the member's precision
    return softmax(logits)


def build_rank_pool(probs: np.ndarray) -> Pool:
    """A pool of ranks: each member's probability counts as its place among that member's OOF ones, 0 to 1.

    probs [M, n, C] give the places, by class, on RANK_POINTS quantiles; what is pooled is scaled to sum to
    one a row. For AUC, where members of different sharpness should count alike.

    >>> oof = np.array([[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]])
    >>> build_rank_pool(oof)(np.array([[[0.2, 0.8]]]), np.ones(1))
    array([[0.5, 0.5]])
    """
    places = np.linspace(0.0, 1.0, RANK_POINTS)
    tables = np.quantile(probs, places, axis=1)

    def pool(probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        pooled = np.full(probs.shape[1:], 1e-6)  # a row may be last in every class
        for m, weight in enumerate(weights):
            for label in range(probs.shape[2]):
                pooled[:, label] += weight * np.interp(probs[m, :, label], tables[:, m, label], places)
        return pooled / pooled.sum(-1, keepdims=True)

    return pool
