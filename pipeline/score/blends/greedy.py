"""Greedy selection of members with replacement (Caruana et al. 2004, "Ensemble selection from libraries").

Round by round the member is added that makes the plain mean best; a member's weight is how often it was
taken. It is offered beside the fitted weights. On a metric of labels it flatters itself more than they do:
cross-fitting tells by how much.
"""

from collections.abc import Callable

import numpy as np

from pipeline.score.metrics import SMALLEST_PROB, Metric

ROUNDS = 25


def greedy_weights(scores_with: Callable[[list[int]], np.ndarray], rounds: int = ROUNDS) -> np.ndarray:
    """Weights float64 [M] by greedy selection; `scores_with(taken)` scores taking each member next, [M].

    Higher scores are better. Of equal members one that was taken before, else the first; of equal rounds the
    earliest is kept, which has the fewest members.

    >>> greedy_weights(lambda taken: np.array([1.0, 0.0]) if len(taken) < 2 else np.array([1.0, 2.0]), 3)
    array([0.66666667, 0.33333333])
    """
    taken: list[int] = []
    best, best_rounds = -np.inf, 1
    for _ in range(rounds):
        scores = scores_with(taken)
        equals = np.flatnonzero(scores == scores.max()).tolist()
        member = next((m for m in equals if m in taken), equals[0])
        taken.append(member)
        if scores[member] > best:
            best, best_rounds = float(scores[member]), len(taken)
    counts = np.bincount(taken[:best_rounds], minlength=len(scores))
    return counts / best_rounds


def greedy_on_log_loss(probs: np.ndarray, targets: np.ndarray, rounds: int = ROUNDS) -> np.ndarray:
    """Weights [M] of the selection with the least log-loss of the mean of probs [M, n, C].

    >>> greedy_on_log_loss(np.array([[[0.9, 0.1]], [[0.4, 0.6]]]), np.array([0]))
    array([1., 0.])
    """
    true_class = probs[:, np.arange(len(targets)), targets].astype(np.float64)

    def scores_with(taken: list[int]) -> np.ndarray:
        means = (true_class[taken].sum(0) + true_class) / (len(taken) + 1)
        return np.log(np.maximum(means, SMALLEST_PROB)).sum(1)

    return greedy_weights(scores_with, rounds)


def greedy_on_metric(
    probs: np.ndarray, targets: np.ndarray, metric: Metric, rounds: int = ROUNDS
) -> np.ndarray:
    """Weights [M] of the selection with the best metric of the mean of probs [M, n, C]."""
    sign = 1.0 if metric.greater_is_better else -1.0

    def scores_with(taken: list[int]) -> np.ndarray:
        total = probs[taken].sum(0)
        means = ((total + member) / (len(taken) + 1) for member in probs)
        return np.array([sign * metric.of_probs(targets, mean) for mean in means])

    return greedy_weights(scores_with, rounds)
