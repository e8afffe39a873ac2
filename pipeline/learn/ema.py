"""The moving average of the weights (EMA), which predicts better than the last ones."""

import copy

import torch
from torch import nn

from pipeline.config import Train

EMA_LEAST_STEPS = 100


def ema_decay(step: int, total_steps: int) -> float:
    """Return the share of the average that stays: a horizon of 10 % of the run, shorter at its start.

    Of fewer than 10 steps, as a stage of a run may have, nothing is averaged.

    >>> ema_decay(0, 1000), ema_decay(999, 1000), ema_decay(3, 5)
    (0.1, 0.99, 0.0)
    """
    return max(0.0, min(1 - 1 / (0.1 * total_steps), (1 + step) / (10 + step)))


def build_ema(model: nn.Module, train: Train, total_steps: int) -> nn.Module | None:
    """Copy the model as the start of its moving average; None where EMA is off or the run too short."""
    if not train.ema or total_steps < EMA_LEAST_STEPS:
        return None
    return copy.deepcopy(model).eval().requires_grad_(False)


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average one step towards the model; BatchNorm's buffers are averaged too, counters copied."""
    averaged = ema.state_dict()
    current = model.state_dict()
    names = [name for name, value in averaged.items() if value.dtype.is_floating_point]
    torch._foreach_lerp_([averaged[n] for n in names], [current[n] for n in names], 1 - decay)
    for name in averaged.keys() - set(names):
        averaged[name].copy_(current[name])
