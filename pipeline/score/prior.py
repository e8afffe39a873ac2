"""The classes' shares in a prediction: what a balanced training forgot, how far a blend leans to them.

Members know the shares of the classes (the prior), each in its own way. A pool counts what they share more
than once: a log pool of total weight 1.3 multiplies by prior^1.3. A power of the prior, one number for all
classes, takes that back; a temperature can't.
"""

import numpy as np
from scipy.optimize import minimize

from pipeline.score.calibrate import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, ROWS_AT_ONCE, apply_temperature
from pipeline.score.metrics import SMALLEST_PROB

MOST_POWER = 2.0


def class_shares(targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Shares float64 [C] of the classes among targets int [n], half a row added to each.

    >>> class_shares(np.array([0, 0, 1]), 2)
    array([0.625, 0.375])
    """
    counts = np.bincount(targets, minlength=n_classes) + 0.5
    return counts / counts.sum()


def undo_balance(probs: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Probs [..., C] of a training that saw all classes equally often, for data with these shares [C].

    Bayes: p · π / π_train with π_train = 1/C (Saerens et al. 2002). Left alone, such a member promises too
    much to rare classes.

    >>> undo_balance(np.array([0.5, 0.5]), np.array([0.9, 0.1]))
    array([0.9, 0.1])
    """
    weighted = probs * shares
    return weighted / weighted.sum(-1, keepdims=True)


def fit_leaning(probs: np.ndarray, targets: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """The temperature and the power of the shares [C] of least log-loss for probs [n, C], targets int [n].

    L-BFGS-B; log-loss is convex in 1/T and the power, which is kept within ±2. (1, 0) for no rows.

    >>> leaning = np.array([[0.9, 0.1]] * 60 + [[0.6, 0.4]] * 40)  # true shares are even, 3 to 1 was believed
    >>> truth = np.array([0] * 45 + [1] * 15 + [0] * 13 + [1] * 27)
    >>> [round(value, 1) for value in fit_leaning(leaning, truth, np.array([0.75, 0.25]))]
    [1.0, -1.0]
    """
    if not len(targets):
        return 1.0, 0.0
    logits = np.clip(probs, SMALLEST_PROB, 1.0, dtype=np.float32)
    np.log(logits, out=logits)
    log_shares = np.log(shares).astype(np.float32)
    truth = np.array(
        [logits[np.arange(len(targets)), targets].mean(dtype=np.float64), log_shares[targets].mean()]
    )

    def loss(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        """Log-loss a row at (1/T, power), and its gradient."""
        partition, means = _sums(logits, log_shares, *numbers.astype(np.float32))
        return partition - numbers @ truth, means - truth

    bounds = [(1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE), (-MOST_POWER, MOST_POWER)]
    options = {"ftol": 1e-9, "gtol": 1e-6}
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return 1.0 / float(found.x[0]), float(found.x[1])


def lean(probs: np.ndarray, temperature: float, shares: np.ndarray, power: float) -> np.ndarray:
    """Probs [..., C] at a temperature, times shares [C] to a power, scaled to sum to one.

    >>> lean(np.array([[0.9, 0.1]]), 1.0, np.array([0.9, 0.1]), -1.0)
    array([[0.5, 0.5]])
    """
    cooled = apply_temperature(probs, temperature)
    return undo_balance(cooled, (shares**power).astype(cooled.dtype)) if power else cooled


def _sums(
    logits: np.ndarray, log_shares: np.ndarray, beta: np.float32, power: np.float32
) -> tuple[float, np.ndarray]:
    """Means over rows of log Σ exp x and, under softmax x, of the logits and log shares that x is made of."""
    totals = np.zeros(3)
    for first in range(0, len(logits), ROWS_AT_ONCE):
        part = logits[first : first + ROWS_AT_ONCE]
        x = part * beta + power * log_shares
        top = x.max(1, keepdims=True)
        x -= top
        np.exp(x, out=x)
        sums = x.sum(1)
        totals[0] += (np.log(sums) + top[:, 0]).sum(dtype=np.float64)
        totals[2] += (x @ log_shares / sums).sum(dtype=np.float64)
        x *= part
        totals[1] += (x.sum(1) / sums).sum(dtype=np.float64)
    means = totals / len(logits)
    return float(means[0]), means[1:]
