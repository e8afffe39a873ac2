"""Calibration: temperatures, and how reliable probabilities are.

A temperature is one number that makes a member's probabilities as sure as its hits allow (Guo et al. 2017,
"On Calibration of Modern Neural Networks"). It works on log-probabilities instead of logits, the softmax does
not see the difference: so a member that comes from elsewhere needs nothing but its probabilities.
"""

import numpy as np

from pipeline.score.metrics import SMALLEST_PROB

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
MAX_STEPS, TOLERANCE = 60, 1e-5
ROWS_AT_ONCE = 2048
MANY_ROWS, THINNED = 8192, 8  # from so many rows on a fit starts where every eighth row has it


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

    Newton's method on β = 1/T, in which log-loss is convex, kept inside a bracket from T = .05 to 20; in
    float32, which leaves T some 1e-6 off. Of many rows an eighth gives the start. 1.0 for no rows.

    >>> surer_than_right = np.array([[0.99, 0.01]] * 10)
    >>> round(fit_temperature(surer_than_right, np.array([0] * 8 + [1] * 2)), 2)
    3.31
    """
    if len(probs) != len(targets):
        raise ValueError(f"{len(probs)} rows of probs, but {len(targets)} targets")
    if not len(targets):
        return 1.0
    start = fit_temperature(probs[::THINNED], targets[::THINNED]) if len(targets) >= MANY_ROWS else 1.0
    logits = np.log(np.clip(probs, SMALLEST_PROB, 1.0, dtype=np.float32))
    logits -= logits.max(1, keepdims=True)  # the largest is 0 at every temperature: no overflow
    of_truth = float(logits[np.arange(len(targets)), targets].mean(dtype=np.float64))
    lowest, highest = 1.0 / HIGHEST_TEMPERATURE, 1.0 / LOWEST_TEMPERATURE
    beta = min(max(1.0 / start, lowest), highest)
    for _ in range(MAX_STEPS):
        mean, variance = _moments(logits, beta)
        slope = mean - of_truth  # the log-loss by beta; it grows with beta
        lowest, highest = (lowest, beta) if slope > 0 else (beta, highest)
        step = beta - slope / variance if variance > 0 else np.inf
        following = step if lowest < step < highest else (lowest * highest) ** 0.5
        if abs(following - beta) < TOLERANCE * beta:
            break
        beta = following
    return 1.0 / beta


def _moments(logits: np.ndarray, beta: float) -> tuple[float, float]:
    """The mean over rows of E[z] and Var[z] under softmax(βz), for logits z float32 [n, C]."""
    means, squares = [], []
    for first in range(0, len(logits), ROWS_AT_ONCE):  # what fits the processor's cache
        part = logits[first : first + ROWS_AT_ONCE]
        powers = np.exp(part * np.float32(beta))
        total = powers.sum(1)
        powers *= part
        means.append(powers.sum(1) / total)
        powers *= part
        squares.append(powers.sum(1) / total)
    mean, square = np.concatenate(means), np.concatenate(squares)
    return float(mean.mean(dtype=np.float64)), float((square - mean**2).mean(dtype=np.float64))


def apply_temperature(probs: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / T) over the last axis of probs [..., C] clipped at 1e-7, in their precision.

    >>> apply_temperature(np.array([[0.8, 0.2]]), 2.0).round(3)
    array([[0.667, 0.333]])
    """
    powers = np.clip(probs, SMALLEST_PROB, 1.0)
    powers /= powers.max(-1, keepdims=True)  # a row's largest stays 1 at every temperature
    powers **= powers.dtype.type(1.0 / temperature)
    powers /= powers.sum(-1, keepdims=True)
    return powers


def reliability(confidence: np.ndarray, hits: np.ndarray, bins: int = 15) -> list[dict[str, float]]:
    """Confidence [n] against hits bool [n] in bins of equally many rows, for a reliability diagram.

    Each bin has low, high (of confidence), rows, and the means confidence and accuracy; fewer bins where
    there are fewer rows. Equal counts, since most rows of a good model are sure.

    >>> reliability(np.array([0.9, 0.6]), np.array([True, False]), bins=1)
    [{'low': 0.6, 'high': 0.9, 'rows': 2, 'confidence': 0.75, 'accuracy': 0.5}]
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        {
            "low": float(confidence[part[0]]),
            "high": float(confidence[part[-1]]),
            "rows": len(part),
            "confidence": float(confidence[part].mean()),
            "accuracy": float(hits[part].mean()),
        }
        for part in parts
    ]


def calibration_error(bins: list[dict[str, float]]) -> float:
    """The expected calibration error: the mean |accuracy − confidence| of `reliability`'s bins, by rows.

    >>> calibration_error([{"rows": 2, "confidence": 0.75, "accuracy": 0.5}])
    0.25
    """
    rows = np.array([part["rows"] for part in bins])
    gaps = np.array([abs(part["accuracy"] - part["confidence"]) for part in bins])
    return float((rows * gaps).sum() / rows.sum())
