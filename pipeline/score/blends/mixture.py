"""Weights of a mixture Σ_m w_m p_m: the most likely ones on the simplex, by expectation maximisation.

EM needs the probability of the true class only, has one optimum, never leaves the simplex and never makes the
fit worse.
"""

import numpy as np

from pipeline.score.metrics import SMALLEST_PROB


def fit_weights(true_class_probs: np.ndarray, pull: float = 50.0, drop_below: float = 0.005) -> np.ndarray:
    """Weights float64 [M], summing to one, that maximise Σ_i log Σ_m w_m p_im for true_class_probs [N, M].

    `pull` pseudo-counts draw them to uniform (a Dirichlet prior; 0: none). Members under `drop_below` get 0
    and the rest is fitted again. Uniform where there are no rows and no pull.

    >>> fit_weights(np.array([[0.9, 0.1], [0.8, 0.3], [0.9, 0.2]]), pull=0).round(3)
    array([1., 0.])
    """
    true_class_probs = np.asarray(true_class_probs)
    if true_class_probs.ndim != 2 or not true_class_probs.shape[1]:
        raise ValueError(f"expected true-class probabilities [rows, members], got {true_class_probs.shape}")
    if not np.isfinite(true_class_probs).all():
        raise ValueError("true-class probabilities hold NaN or infinity")
    clipped = np.clip(true_class_probs.astype(np.float64), SMALLEST_PROB, 1.0)
    kept = np.arange(clipped.shape[1])
    while True:
        fitted = maximise_likelihood(clipped[:, kept], pull)
        # all equal members of a large ensemble may lie under the limit: the largest always stays
        stays = (fitted >= drop_below) | (fitted == fitted.max())
        if stays.all():
            break
        kept = kept[stays]
    weights = np.zeros(clipped.shape[1])
    weights[kept] = fitted
    return weights


def maximise_likelihood(
    true_class_probs: np.ndarray, pull: float, tolerance: float = 1e-7, max_steps: int = 2000
) -> np.ndarray:
    """Weights [M] by EM, extrapolated (SQUAREM, Varadhan & Roland 2008) where that does not lose likelihood.

    Stops when the largest gradient exceeds 1 by less than `tolerance`: that bounds the log-likelihood a row
    still to be gained. true_class_probs [N, M] must be positive.
    """
    rows, members = true_class_probs.shape
    if rows + pull <= 0 or members == 1:
        return np.full(members, 1.0 / members)
    columns = np.ascontiguousarray(true_class_probs.T)

    def step(weights: np.ndarray) -> tuple[np.ndarray, float, float]:
        """One EM step: the next weights, the penalised log-likelihood of these, the gap of the optimum."""
        mixture = weights @ columns
        gradient = columns @ (1.0 / mixture)
        likelihood = float(np.log(mixture).sum())
        if pull:
            gradient += pull / members / weights
            likelihood += pull / members * float(np.log(weights).sum())
        gradient /= rows + pull
        return weights * gradient, likelihood, float(gradient.max() - 1.0)

    weights = np.full(members, 1.0 / members)
    first, likelihood, gap = step(weights)
    for _ in range(max_steps):
        if gap < tolerance:
            break
        second, _, _ = step(first)
        leap = _extrapolate(weights, first, second)
        after, leap_likelihood, leap_gap = step(leap)
        if leap_likelihood >= likelihood:
            weights, first, likelihood, gap = leap, after, leap_likelihood, leap_gap
        else:
            weights = second
            first, likelihood, gap = step(second)
    return first / first.sum()


def _extrapolate(start: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A longer step along two EM steps, kept inside the simplex."""
    change, curvature = first - start, second - 2.0 * first + start
    length = np.linalg.norm(change) / max(float(np.linalg.norm(curvature)), 1e-300)
    if length <= 1.0:
        return second
    leap = np.maximum(start + 2.0 * length * change + length**2 * curvature, 1e-3 * second)
    return leap / leap.sum()
