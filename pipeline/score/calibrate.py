"""Temperatures: one number that makes a member's probabilities as sure as its hits allow.

Guo et al. 2017, "On Calibration of Modern Neural Networks", on log-probabilities instead of logits (the
softmax does not see the difference), so that a member that comes from elsewhere needs nothing but its
probabilities.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from pipeline.score.metrics import SMALLEST_PROB

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0


def log_probs(probs: np.ndarray) -> np.ndarray:
    """Logarithms, float64, of probs of any shape clipped at 1e-7.

    >>> log_probs(np.array([1.0, 0.0])).round(2)
    array([  0.  , -16.12])
    """
    return np.log(np.clip(np.asarray(probs, np.float64), SMALLEST_PROB, 1.0))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis.

    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def fit_temperature(probs: np.ndarray, targets: np.ndarray) -> float:
    """The temperature of least log-loss for probs [n, C] and targets int [n]; over 1 softens.

    A bounded search over log T from .05 to 20; 1.0 for no rows.

    >>> surer_than_right = np.array([[0.99, 0.01]] * 10)
    >>> round(fit_temperature(surer_than_right, np.array([0] * 8 + [1] * 2)), 2)
    3.31
    """
    if len(probs) != len(targets):
        raise ValueError(f"{len(probs)} rows of probs, but {len(targets)} targets")
    if not len(targets):
        return 1.0
    logits = log_probs(probs)
    logits -= logits.max(
        1, keepdims=True
    )  # the largest is 0 at every temperature: no overflow, one pass less
    true_class = logits[np.arange(len(targets)), targets].mean()
    scaled = np.empty_like(logits)

    def log_loss(log_temperature: float) -> float:
        np.multiply(logits, np.exp(-log_temperature), out=scaled)
        np.exp(scaled, out=scaled)
        return float(np.log(scaled.sum(1)).mean() - true_class * np.exp(-log_temperature))

    bounds = (np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE))
    found = minimize_scalar(log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def apply_temperature(probs: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / T) over the last axis of probs [..., C], float64.

    >>> apply_temperature(np.array([[0.8, 0.2]]), 2.0).round(3)
    array([[0.667, 0.333]])
    """
    return softmax(log_probs(probs) / temperature)
