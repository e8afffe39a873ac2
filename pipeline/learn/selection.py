"""Which epoch's weights a fold ends with: the last one's, all folds' common one's, its own rows' best."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.config import Train
from pipeline.score.metrics import Metric

Keep = Callable[[nn.Module, int], str]  # given the model after each epoch, counted from 0: its sha256
WORST = -(10**15)


class Selection:
    """Sees the model and its validation score after each epoch, and tells when training is over.

    Where train.select is "best" it holds the weights of the epoch with the best score: what is chosen by the
    rows that are scored flatters their score, by .011 to .025 of macro-F1 in simulations. `keep` publishes
    the model after each epoch; `models` are to be published in all. After the epoch `last`, counted from 0,
    training is over.
    """

    def __init__(
        self,
        train: Train,
        metric: Metric,
        keep: Keep | None = None,
        last: int | None = None,
        models: int = 1,
    ):
        self.train, self.metric, self.keep, self.last, self.models = train, metric, keep, last, models
        self.epoch, self.score = -1, 0.0
        self.scores: list[float] = []
        self.kept: list[str] = []
        self.weights: dict[str, torch.Tensor] = {}

    def see(self, model: nn.Module, epoch: int, score: float) -> None:
        """Take the weights of an epoch, counted from 0, if no earlier one has as good a score."""
        self.scores.append(score)
        if self.keep is not None:
            self.kept.append(self.keep(model, epoch))
        if self.train.select == "best" and (self.epoch < 0 or self.metric.gain(score, self.score) > 0):
            self.epoch, self.score = epoch, score
            self.weights = copy.deepcopy(model.state_dict())

    def is_over(self, epoch: int) -> bool:
        """Tell whether the last epoch, or train.stop_epochs without a better score, have passed."""
        waited = self.train.stop_epochs and 0 <= self.epoch <= epoch - self.train.stop_epochs
        return epoch == self.last or bool(waited)

    def finish(self, model: nn.Module) -> nn.Module:
        """Return the model with the weights that were chosen."""
        if self.weights:
            model.load_state_dict(self.weights)
        return model

    def state(self) -> dict[str, Any]:
        """Return the numbers for a checkpoint; its tensors are `weights`."""
        return {"epoch": self.epoch, "score": self.score, "scores": self.scores, "kept": self.kept}

    def restore(self, state: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        """Go on from what a checkpoint holds."""
        self.epoch, self.score, self.weights = state["epoch"], state["score"], weights
        self.scores, self.kept = list(state["scores"]), list(state["kept"])


def common_epoch(scores: Sequence[Sequence[float]], metric: Metric) -> tuple[int, list[int]]:
    """Return the epoch that is best on average, and for each fold that of the others; counted from 0.

    scores [K][E] of K folds after each of E epochs, compared by five decimals, as they are logged. Of equal
    ones the earliest; what isn't finite is worst.

    >>> from pipeline.score.metrics import METRICS
    >>> common_epoch([[0.1, 0.9, 0.2], [0.5, 0.5, 0.6], [0.5, 0.5, 0.7]], METRICS["accuracy"])
    (1, [2, 1, 1])
    """
    gains = np.array(scores, np.float64) * (1 if metric.greater_is_better else -1)
    # whole numbers, so that a fold's own scores leave nothing behind when they are taken out of the sum
    whole = np.where(np.isfinite(gains), np.rint(1e5 * gains), WORST).astype(np.int64)
    return int(whole.sum(0).argmax()), (whole.sum(0) - whole).argmax(1).tolist()
