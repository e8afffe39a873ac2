"""Members' probabilities with a known truth, for the tests of the scoring."""

import numpy as np

from pipeline.score.calibrate import softmax
from pipeline.score.oof import OofRows, scored_rows


def simulated(seed, n, members=3, n_classes=12, skill=1.6):
    """Members' probs float32 [M, 1, n, C] (one view) and targets [n]: a long tail, errors partly shared."""
    draw = np.random.default_rng(seed)
    log_prior = 0.25 * -np.arange(n_classes)
    targets = draw.choice(n_classes, size=n, p=softmax(log_prior))
    signal = skill * np.eye(n_classes)[targets] + 0.5 * draw.normal(size=(n, n_classes))
    noise = draw.normal(size=(members, n, n_classes)) * np.linspace(0.5, 1.0, members)[:, None, None]
    return softmax(log_prior + 1.6 * (signal + noise)).astype(np.float32)[:, None], targets


def folds_of(n, count=5):
    return np.arange(n) % count


def rows_of(members, targets, count=5, groups=None) -> OofRows:
    return scored_rows(members, targets, folds_of(len(targets), count), groups)


def drawn(probs, seed):
    """Targets int [n] drawn from probs [n, C]."""
    uniform = np.random.default_rng(seed).random((len(probs), 1))
    return (probs.cumsum(1) < uniform).sum(1).clip(max=probs.shape[1] - 1)
