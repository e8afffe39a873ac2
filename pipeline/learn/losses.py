"""Losses: from the recipe to a function of (logits [B, C], targets [B]) that returns the loss of each row.

Rows, not their mean: the training loop mixes and averages them. MixUp is lam · loss(logits, a) + (1 − lam)
· loss(logits, b), exact where the loss is linear in the target, as cross-entropy and bce are. All is computed
in float32, also under autocast. A class without rows in a fold counts as one row, so nothing is infinite.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from pipeline.class_balance import reweights
from pipeline.config import Train

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Builder = Callable[[Train, np.ndarray, float], Loss]


def build_loss(train: Train, counts: np.ndarray, progress: float = 0.0, device: str = "cpu") -> Loss:
    """Make the loss of a recipe, a function of logits float [B, C] and targets int64 [B]: float32 [B].

    `counts` int [C] are the training rows of each class in this fold, not all 0; `progress` in [0, 1) is the
    share of the epochs that are over, which ldam's re-weighting waits for: make the loss anew every epoch.
    Its constants are on `device`.
    """
    with torch.device(device):
        return LOSSES[train.loss](train, counts, progress)


def effective_weights(counts: np.ndarray, beta: float) -> np.ndarray:
    """Weights float64 [C] of classes of counts int [C] rows: 1 / effective number, scaled to 1 on average.

    On average over the rows, so the learning rate keeps its meaning, whatever the tail; over the classes in
    Cui et al. 2019, arXiv:1901.05555.

    >>> effective_weights(np.array([30, 10, 0]), beta=0.999999).round(2)
    array([ 0.67,  2.  , 20.  ])
    """
    weights = (1 - beta) / (1 - np.power(beta, np.maximum(counts, 1)))
    return weights * counts.sum() / (counts @ weights)


def ldam_margins(counts: np.ndarray, largest: float) -> np.ndarray:
    """Margins float64 [C], in cosines, of classes of counts int [C] rows: ∝ n^(−1/4), the rarest's `largest`.

    A class without rows has the rarest's (Cao et al. 2019, arXiv:1906.07413).

    >>> ldam_margins(np.array([160, 10, 0]), largest=0.5)
    array([0.25, 0.5 , 0.5 ])
    """
    rarest = counts[counts > 0].min()
    return largest * (rarest / np.maximum(counts, rarest)) ** 0.25


def _cross_entropy(train: Train, counts: np.ndarray, progress: float) -> Loss:
    """Cross-entropy with label smoothing (Szegedy et al. 2016, arXiv:1512.00567)."""

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        smoothing = train.label_smoothing
        return functional.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=smoothing)

    return loss


def _focal(train: Train, counts: np.ndarray, progress: float) -> Loss:
    """Weight a row's cross-entropy by (1 − p)^gamma, p of its target (Lin et al. 2017, arXiv:1708.02002)."""
    entropy = _cross_entropy(train, counts, progress)

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = logits.float()
        others = logits.masked_fill(_one_hot(targets, logits).bool(), float("-inf"))
        # log(1 − p) without 1 − p, whose power's gradient is infinite for a p that rounds to 1.
        log_missed = others.logsumexp(1) - logits.logsumexp(1)
        return (train.focal_gamma * log_missed).exp() * entropy(logits, targets)

    return loss


def _class_weighted(train: Train, counts: np.ndarray, progress: float) -> Loss:
    """Weight a row's cross-entropy by its class's effective number (Cui et al. 2019)."""
    return _weighted(_cross_entropy(train, counts, progress), effective_weights(counts, train.class_beta))


def _balanced_softmax(train: Train, counts: np.ndarray, progress: float) -> Loss:
    """Add log counts to the logits (Ren et al. 2020, arXiv:2007.10740)."""
    return _adjusted(train, counts, tau=1.0)


def _logit_adjusted(train: Train, counts: np.ndarray, progress: float) -> Loss:
    """Add tau · log shares to the logits (Menon et al. 2021, arXiv:2007.07314)."""
    return _adjusted(train, counts, train.logit_tau)


def _adjusted(train: Train, counts: np.ndarray, tau: float) -> Loss:
    """Cross-entropy of the logits + tau · log shares, which is minimal at probs ∝ posterior / shares^tau.

    Labels are smoothed by shares^tau (Szegedy's u(k) may be any prior), which is uniform once the shares are
    taken out. A uniform one would be divided by them, and the tail gets what it was never seen to deserve: at
    tau 1 and smoothing .1, with IP102's counts, a row that is surely of the commonest class should get .29,
    not .54.
    """
    seen = np.maximum(counts, 1)
    offsets = _float32(tau * np.log(seen / seen.sum()))
    spread, smoothing = offsets.softmax(0), train.label_smoothing

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        log_probs = (logits.float() + offsets).log_softmax(1)
        own = functional.nll_loss(log_probs, targets, reduction="none")
        return (1 - smoothing) * own - smoothing * (log_probs * spread).sum(1)

    return loss


def _ldam(train: Train, counts: np.ndarray, progress: float) -> Loss:
    """Cross-entropy with margins by class, and weights by class in the last epochs (Cao et al. 2019).

    The logits are ldam_scale · cosines, as cosine.CosineClassifier makes them; a target's is lowered by its
    class's margin.
    """
    entropy = _cross_entropy(train, counts, progress)
    margins = _float32(train.ldam_scale * ldam_margins(counts, train.ldam_margin))

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return entropy(logits.float() - margins * _one_hot(targets, logits), targets)

    if not reweights(train, progress):
        return loss
    return _weighted(loss, effective_weights(counts, train.class_beta))


def _bce(train: Train, counts: np.ndarray, progress: float) -> Loss:
    """Sum each class's binary cross-entropy against the rest (Wightman et al. 2021, arXiv:2110.00476)."""
    smoothing = train.label_smoothing

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = logits.float()
        goal = (1 - smoothing) * _one_hot(targets, logits) + smoothing / logits.shape[1]
        return functional.binary_cross_entropy_with_logits(logits, goal, reduction="none").sum(1)

    return loss


def _weighted(loss_of: Loss, class_weights: np.ndarray) -> Loss:
    weights = _float32(class_weights)
    return lambda logits, targets: weights[targets] * loss_of(logits, targets)


def _one_hot(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(targets, logits.shape[1])


def _float32(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


LOSSES: dict[str, Builder] = {
    "cross-entropy": _cross_entropy,
    "focal": _focal,
    "class-weighted": _class_weighted,
    "balanced-softmax": _balanced_softmax,
    "logit-adjusted": _logit_adjusted,
    "ldam": _ldam,
    "bce": _bce,
}
