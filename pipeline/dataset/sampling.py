"""Samplers: which rows an epoch sees, as many as there are, and which of them it sees again."""

import numpy as np

from pipeline.class_balance import SAMPLER_POWERS
from pipeline.config import Train, retrains
from pipeline.randomness import generator


def draw_rows(
    rows: np.ndarray, targets: np.ndarray, sampler: str, seed: int, fold: int | None, epoch: int
) -> np.ndarray:
    """Draw an epoch's rows int [n], in random order, from rows int [n]; a function of the arguments alone.

    `targets` int [len(table)] are the classes of all rows of the table. "natural" is a permutation. The
    others draw classes as their counts to the power of SAMPLER_POWERS (Kang et al. 2020, arXiv:1910.09217)
    and a class's rows equally often: a row, and a class, is drawn as often as is expected, rounded up or down
    (systematic sampling, Madow 1949), so no row waits for its luck. A row of class −1 is drawn once.

    >>> draw_rows(np.arange(8), np.array([0, 0, 0, 0, 0, 0, 1, 1]), "class-balanced", 0, 0, 0).tolist()
    [5, 6, 1, 7, 3, 7, 4, 6]
    """
    if sampler == "natural":
        return generator(seed, "order", fold, epoch).permutation(rows)
    draw = generator(seed, "sampler", fold, epoch)
    mixed = draw.permutation(rows)
    by_class = mixed[np.argsort(targets[mixed], kind="stable")]
    reached = np.cumsum(expected_draws(targets[by_class], SAMPLER_POWERS[sampler]))
    reached[-1:] = len(rows)  # not 1e-12 beside it
    ticks = np.ceil(reached - draw.random()).astype(np.int64)
    return draw.permutation(np.repeat(by_class, np.diff(ticks, prepend=0)))


def sampler_of(train: Train, epoch: int) -> str:
    """Return the sampler of an epoch: the recipe's, but class-balanced where a new classifier is trained."""
    return "class-balanced" if retrains(train, epoch) else train.sampler


def expected_draws(labels: np.ndarray, power: float) -> np.ndarray:
    """How often float64 [n] each row with these labels int [n] is drawn in an epoch of n draws.

    A row without a label, −1, has no class to be balanced: it is drawn once.

    >>> expected_draws(np.array([0, 0, 0, 0, 1, -1]), power=0.5).round(3)
    array([0.833, 0.833, 0.833, 0.833, 1.667, 1.   ])
    """
    expected, labelled = np.ones(len(labels)), labels >= 0
    _, own_class, counts = np.unique(labels[labelled], return_inverse=True, return_counts=True)
    wanted = counts**power
    expected[labelled] = (labelled.sum() * wanted / wanted.sum() / counts)[own_class]
    return expected


def repeats(drawn: np.ndarray) -> np.ndarray:
    """Say of each of the rows drawn int [n] how often it came before, int64 [n]: it must look different then.

    >>> repeats(np.array([5, 3, 5, 5, 3]))
    array([0, 0, 1, 2, 1])
    """
    order = np.argsort(drawn, kind="stable")
    alike = drawn[order]
    found = np.empty(len(drawn), np.int64)
    found[order] = np.arange(len(drawn)) - np.searchsorted(alike, alike)
    return found
