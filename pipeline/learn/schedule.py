"""The learning rate of a step: a function of the step, and for "plateau" of the epochs' losses so far."""

import dataclasses
import math
from collections.abc import Sequence

from pipeline.config import Train, retrains

CYCLE_RISES = 0.3  # share of the steps; Smith & Topin's cycle as fastai has it
CYCLE_START, CYCLE_END = 1 / 25, 1e-4  # rates / peak
LEAST_GAIN = 1e-3  # of the training loss: an epoch that lowers it by less counts as none


def learning_rate(step: int, steps_per_epoch: int, train: Train, epoch_losses: Sequence[float] = ()) -> float:
    """Return the rate of a step counted from 0; a resumed run needs no scheduler's state.

    A linear warm-up, then the schedule: half a cosine towards 0 ("cosine"), drops at shares of the epochs
    ("step"), drops where the training loss, `epoch_losses` of the epochs that are over, no longer falls
    ("plateau": the validation rows, which are scored, have no say), or the peak ("constant"). "one-cycle"
    (Smith & Topin 2018, arXiv:1708.07120) has a rise of its own over .3 of the steps. With retrain_epochs it
    is run to its end before them, and again, without a warm-up, in them.

    >>> [round(learning_rate(s, 2, Train(epochs=3, warmup_epochs=1.0, lr=1.0)), 3) for s in range(6)]
    [0.5, 1.0, 0.905, 0.655, 0.345, 0.095]
    """
    if train.retrain_epochs:
        first, epochs = (
            n // steps_per_epoch for n in stage_steps(step // steps_per_epoch, steps_per_epoch, train)
        )
        warmup = 0.0 if first else train.warmup_epochs
        stage = dataclasses.replace(train, epochs=epochs, warmup_epochs=warmup, retrain_epochs=0)
        return learning_rate(step - first * steps_per_epoch, steps_per_epoch, stage, epoch_losses[first:])
    total = train.epochs * steps_per_epoch
    if train.schedule == "one-cycle":
        return train.lr * _cycle(step, total)
    warmup = min(round(train.warmup_epochs * steps_per_epoch), total - 1)
    if step < warmup:
        return train.lr * (step + 1) / warmup
    if train.schedule == "cosine":
        return train.lr * half_cosine((step - warmup + 1) / (total - warmup + 1))
    if train.schedule == "step":
        drops = sum(step >= share * total for share in train.lr_steps)
    elif train.schedule == "plateau":
        drops = count_plateaus(epoch_losses, train.patience_epochs)
    else:
        drops = 0
    return train.lr * train.lr_factor**drops


def stage_steps(epoch: int, steps_per_epoch: int, train: Train) -> tuple[int, int]:
    """Return the first step of an epoch's stage and how many it has: before retrain_epochs, or in them.

    >>> train = Train(epochs=5, retrain_epochs=2)
    >>> stage_steps(1, 10, train), stage_steps(4, 10, train)
    ((0, 30), (30, 20))
    """
    features = train.epochs - train.retrain_epochs
    first, epochs = (features, train.retrain_epochs) if retrains(train, epoch) else (0, features)
    return first * steps_per_epoch, epochs * steps_per_epoch


def count_plateaus(losses: Sequence[float], patience: int) -> int:
    """Count how often `patience` epochs in a row brought no loss below the lowest so far.

    >>> count_plateaus([1.0, 0.5, 0.5, 0.6, 0.5, 0.4, 0.4], patience=2)
    1
    """
    lowest, waited, found = math.inf, 0, 0
    for loss in losses:
        if loss < lowest * (1 - LEAST_GAIN):
            lowest, waited = loss, 0
        else:
            waited += 1
        if waited == patience:
            found, waited = found + 1, 0
    return found


def _cycle(step: int, total: int) -> float:
    peak = max(1, round(CYCLE_RISES * total))
    if step < peak:
        return CYCLE_START + (1 - CYCLE_START) * (1 - half_cosine((step + 1) / peak))
    return CYCLE_END + (1 - CYCLE_END) * half_cosine((step - peak + 1) / (total - peak + 1))


def half_cosine(progress: float) -> float:
    """Half a cosine from 1 at progress 0 to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * progress))
