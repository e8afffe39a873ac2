"""The blends by name, the simplest first: how weights are found, and what pools the members."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.score.blends.greedy import greedy_on_log_loss, greedy_on_metric
from pipeline.score.blends.log_pool import fit_log_weights
from pipeline.score.blends.mixture import fit_weights
from pipeline.score.blends.pools import Pool, build_rank_pool, pool_arithmetic, pool_geometric
from pipeline.score.metrics import Metric


@dataclass(frozen=True)
class Blend:
    """A way to blend members' calibrated probs [M, n, C], given targets [n].

    `fit_weights(probs, targets, metric, pull)` gives weights [M] on the simplex, `build_pool(probs)` the
    pool; `pool_name` and `explanation` are what weights.json says of them.
    """

    pool_name: str
    explanation: str
    fit_weights: Callable[[np.ndarray, np.ndarray, Metric, float], np.ndarray]
    build_pool: Callable[[np.ndarray], Pool]


def _equal(probs: np.ndarray, targets: np.ndarray, metric: Metric, pull: float) -> np.ndarray:
    return np.full(len(probs), 1.0 / len(probs))


def _most_likely_mixture(probs: np.ndarray, targets: np.ndarray, metric: Metric, pull: float) -> np.ndarray:
    return fit_weights(probs[:, np.arange(len(targets)), targets].T, pull)


BLENDS: dict[str, Blend] = {
    "uniform": Blend("arithmetic", "all equal", _equal, lambda _: pool_arithmetic),
    "arithmetic": Blend(
        "arithmetic",
        "EM on the log-loss of the weighted mean, with a Dirichlet pull of {pull:g} counts to equal weights",
        _most_likely_mixture,
        lambda _: pool_arithmetic,
    ),
    "geometric": Blend(
        "geometric",
        "L-BFGS-B on the log-loss of the weighted log pool, with a Dirichlet pull of {pull:g} counts to equal"
        " weights",
        lambda probs, targets, metric, pull: fit_log_weights(probs, targets, pull),
        lambda _: pool_geometric,
    ),
    "greedy": Blend(
        "arithmetic",
        "greedy selection with replacement (Caruana) on log-loss",
        lambda probs, targets, metric, pull: greedy_on_log_loss(probs, targets),
        lambda _: pool_arithmetic,
    ),
    "greedy-metric": Blend(
        "arithmetic",
        "greedy selection with replacement (Caruana) on the metric itself",
        lambda probs, targets, metric, pull: greedy_on_metric(probs, targets, metric),
        lambda _: pool_arithmetic,
    ),
    "rank": Blend("rank", "all equal, of ranks", _equal, build_rank_pool),
}


def offered_blends(metric: Metric) -> tuple[str, ...]:
    """The blends that are tried for a metric where the configuration names none, the simplest first.

    >>> from pipeline.score.metrics import METRICS
    >>> offered_blends(METRICS["macro-f1"]), offered_blends(METRICS["auc"])
    (('uniform', 'arithmetic', 'geometric'), ('uniform', 'arithmetic', 'geometric', 'rank'))
    """
    plain = ("uniform", "arithmetic", "geometric")
    return (*plain, "rank") if metric.name == "auc" else plain
