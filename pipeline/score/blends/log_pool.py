"""Weights of the log pool, softmax(Σ_m w_m log p_m): the most likely ones, by L-BFGS-B.

The pool is the product of experts of Hinton 1999 with the members' probabilities as given. Its log-likelihood
is concave in the weights; their sum is a temperature, so that only their shares are kept: the chain fits a
temperature of its own afterwards.
"""

import numpy as np
from scipy.optimize import minimize

from pipeline.score.calibrate import MANY_ROWS, THINNED
from pipeline.score.metrics import SMALLEST_PROB

SMALLEST_WEIGHT = 1e-6  # a weight's share is pulled by its logarithm
FEWEST_GAINED = 1e-7  # of the log-loss: a step that gains less is the last; float32 knows no more


def fit_log_weights(
    probs: np.ndarray, targets: np.ndarray, pull: float = 50.0, drop_below: float = 0.005
) -> np.ndarray:
    """Weights float64 [M], summing to one, for probs [M, n, C] and targets int [n].

    `pull` pseudo-counts draw the shares to uniform, as in `mixture.fit_weights`; members under `drop_below`
    get 0 and the rest is fitted again. Uniform where there are no rows.

    >>> sure, unsure = [[0.9, 0.1], [0.1, 0.9]], [[0.4, 0.6], [0.5, 0.5]]
    >>> fit_log_weights(np.array([sure, unsure]), np.array([0, 1]), pull=0).round(3)
    array([1., 0.])
    """
    members, rows = probs.shape[:2]
    if members == 1 or not rows:
        return np.full(members, 1.0 / members)
    logs = np.clip(probs, SMALLEST_PROB, 1.0, dtype=np.float32)
    np.log(logs, out=logs)
    kept = np.arange(members)
    while True:
        # dropping is rare: most calls never copy
        own = logs if len(kept) == members else logs[kept]
        fitted = maximise_log_likelihood(own, targets, pull)
        shares = fitted / max(fitted.sum(), SMALLEST_WEIGHT)
        stays = (shares >= drop_below) | (shares == shares.max())
        if stays.all():
            break
        kept = kept[stays]
    weights = np.zeros(members)
    weights[kept] = shares / shares.sum()
    return weights


def maximise_log_likelihood(log_probs: np.ndarray, targets: np.ndarray, pull: float) -> np.ndarray:
    """Weights ≥ 0 [M], of any sum, that maximise Σ_i log softmax(Σ_m w_m log p_m)[y_i] + the pull.

    log_probs are float32 [M, n, C], targets int [n]. The pull is pull/M · Σ_m log(w_m / Σ w), a Dirichlet
    prior on the shares. Of many rows an eighth gives the start.
    """
    members, rows, n_classes = log_probs.shape
    if rows >= MANY_ROWS:
        start = maximise_log_likelihood(log_probs[:, ::THINNED], targets[::THINNED], pull / THINNED)
    else:
        start = np.full(members, 1.0 / members)
    flat = np.ascontiguousarray(log_probs).reshape(members, rows * n_classes)
    of_truth = log_probs[:, np.arange(rows), targets].sum(1, dtype=np.float64)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """The penalised negative log-likelihood a row, and its gradient [M]."""
        powers = (weights.astype(np.float32) @ flat).reshape(rows, n_classes)
        top = powers.max(1, keepdims=True)
        np.exp(powers - top, out=powers)
        sums = powers.sum(1, keepdims=True)
        likelihood = weights @ of_truth - float((np.log(sums) + top).sum(dtype=np.float64))
        powers /= sums
        gradient = of_truth - (flat @ powers.ravel()).astype(np.float64)
        if pull:
            share = np.maximum(weights, SMALLEST_WEIGHT)
            likelihood += pull / members * float(np.log(share / share.sum()).sum())
            gradient += pull / members * (1.0 / share - members / share.sum())
        return -likelihood / rows, -gradient / rows

    lower = SMALLEST_WEIGHT if pull else 0.0
    options = {"maxiter": 200, "ftol": FEWEST_GAINED, "gtol": 1e-5}
    return minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[(lower, None)] * members, options=options
    ).x
