"""The classes' shares in a prediction: what a balanced training forgot, how far a blend leans to them.

Members know the shares of the classes (the prior), each in its own way. A pool counts what they share more
than once: a log pool of total weight 1.3 multiplies by prior^1.3. A power of the prior, one number for all
classes, takes that back; a temperature can't.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from pipeline.score.calibrate import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    MANY_ROWS,
    MAX_STEPS,
    ROWS_AT_ONCE,
    THINNED,
    TOLERANCE,
    apply_temperature,
)
from pipeline.score.metrics import SMALLEST_PROB

MOST_POWER = 2.0
LOWEST = np.array([1 / HIGHEST_TEMPERATURE, -MOST_POWER])  # of 1/T and the power
HIGHEST = np.array([1 / LOWEST_TEMPERATURE, MOST_POWER])
Loss = tuple[float, np.ndarray, np.ndarray]  # with its gradient [2] and second derivatives [2, 2]
LOSS_ROUNDING = 1e-7  # float32 knows the loss no better


def class_shares(targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Shares float64 [C] of the classes among targets int [n], half a row added to each.

    >>> class_shares(np.array([0, 0, 1]), 2)
    array([0.625, 0.375])
    """
    counts = np.bincount(targets, minlength=n_classes) + 0.5
    return counts / counts.sum()


def restore_shares(probs: np.ndarray, shares: np.ndarray, power: float = 0.0) -> np.ndarray:
    """Probs [..., C] of a training that believed in shares^power, for data with these shares [C].

    Bayes: p · π / π_train (Saerens et al. 2002). Power 0 is a training that saw all classes equally often;
    left alone, such a member promises too much to rare classes. At power 1 nothing changes.

    >>> restore_shares(np.array([0.5, 0.5]), np.array([0.9, 0.1]))
    array([0.9, 0.1])
    """
    return _times(probs, shares ** (1.0 - power)) if power != 1.0 else probs


def fit_leaning(probs: np.ndarray, targets: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """The temperature and the power of the shares [C] of least log-loss for probs [n, C], targets int [n].

    Newton's method; log-loss is convex in 1/T and the power, which is kept within ±2. Of many rows an eighth
    gives the start. (1, 0) for no rows.

    >>> leaning = np.array([[0.9, 0.1]] * 60 + [[0.6, 0.4]] * 40)  # true shares are even, 3 to 1 was believed
    >>> truth = np.array([0] * 45 + [1] * 15 + [0] * 13 + [1] * 27)
    >>> [round(value, 1) for value in fit_leaning(leaning, truth, np.array([0.75, 0.25]))]
    [1.0, -1.0]
    """
    if not len(targets):
        return 1.0, 0.0
    numbers = np.array([1.0, 0.0])
    if len(targets) >= MANY_ROWS:
        temperature, power = fit_leaning(probs[::THINNED], targets[::THINNED], shares)
        numbers = np.array([1.0 / temperature, power])
    logits = np.clip(probs, SMALLEST_PROB, 1.0, dtype=np.float32)
    np.log(logits, out=logits)
    log_shares = np.log(shares).astype(np.float32)
    truth = np.array(
        [logits[np.arange(len(targets)), targets].mean(dtype=np.float64), log_shares[targets].mean()]
    )
    found = _minimise(partial(_loss, logits, log_shares, truth), numbers)
    return 1.0 / float(found[0]), float(found[1])


def lean(probs: np.ndarray, temperature: float, shares: np.ndarray, power: float) -> np.ndarray:
    """Probs [..., C] at a temperature, times shares [C] to a power, scaled to sum to one.

    >>> lean(np.array([[0.9, 0.1]]), 1.0, np.array([0.9, 0.1]), -1.0)
    array([[0.5, 0.5]])
    """
    cooled = apply_temperature(probs, temperature)
    return _times(cooled, (shares**power).astype(cooled.dtype)) if power else cooled


def _times(probs: np.ndarray, factors: np.ndarray) -> np.ndarray:
    weighted = probs * factors
    return weighted / weighted.sum(-1, keepdims=True)


def _minimise(loss_of: Callable[[np.ndarray], Loss], numbers: np.ndarray) -> np.ndarray:
    """The numbers (1/T, power) within their bounds of least loss, by Newton's method from some numbers on."""
    loss, slope, curvature = loss_of(numbers)
    for _ in range(MAX_STEPS):
        held = ((numbers <= LOWEST) & (slope > 0)) | ((numbers >= HIGHEST) & (slope < 0))
        step = _newton_step(slope, curvature, held)
        if np.abs(step).max() < TOLERANCE:
            break
        while True:
            following = np.clip(numbers - step, LOWEST, HIGHEST)
            found = loss_of(following)
            if found[0] <= loss + LOSS_ROUNDING or np.abs(step).max() < TOLERANCE:
                break
            step /= 2
        numbers, (loss, slope, curvature) = following, found
    return numbers


def _newton_step(slope: np.ndarray, curvature: np.ndarray, held: np.ndarray) -> np.ndarray:
    """What to subtract from the numbers [2]; those `held` at a bound stay."""
    step, free = np.zeros(2), np.flatnonzero(~held)
    ridge = 1e-9 * (np.trace(curvature) + 1e-12) * np.eye(len(free))  # shares that are all equal turn nothing
    if len(free):
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)] + ridge, slope[free])
    return step


def _loss(logits: np.ndarray, log_shares: np.ndarray, truth: np.ndarray, numbers: np.ndarray) -> Loss:
    """Log-loss a row at (1/T, power), its gradient [2] and second derivatives [2, 2].

    logits float32 [n, C], log_shares float32 [C]; truth holds the means of both for the true classes.
    """
    beta, power = numbers.astype(np.float32)
    partition, means, squares = 0.0, np.zeros(2), np.zeros((2, 2))
    for first in range(0, len(logits), ROWS_AT_ONCE):
        part = logits[first : first + ROWS_AT_ONCE]
        x = part * beta + power * log_shares
        top = x.max(1, keepdims=True)
        x -= top
        np.exp(x, out=x)
        sums = x.sum(1, keepdims=True)
        partition += float((np.log(sums) + top).sum(dtype=np.float64))
        x /= sums
        shared, shared_square = x @ log_shares, x @ log_shares**2
        x *= part
        own, both = x.sum(1), x @ log_shares
        x *= part
        rows = np.stack([own, shared], 1).astype(np.float64)
        means += rows.sum(0)
        squares += [
            [x.sum(dtype=np.float64), both.sum(dtype=np.float64)],
            [both.sum(dtype=np.float64), shared_square.sum(dtype=np.float64)],
        ]
        squares -= rows.T @ rows
    n = len(logits)
    return partition / n - float(numbers @ truth), means / n - truth, squares / n
