"""What moves the weights: optimizer, learning-rate schedule, and their moving average (EMA)."""

import copy
import math

import torch
from torch import nn

from pipeline.config import Train

EMA_LEAST_STEPS = 100


def build_optimizer(model: nn.Module, train: Train) -> torch.optim.Optimizer:
    """Make AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101); biases and norms (1-D) aren't decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": train.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    device = parameters[0].device.type
    return torch.optim.AdamW(groups, lr=train.lr, fused=device in ("cpu", "cuda"))


def learning_rate(step: int, steps_per_epoch: int, train: Train) -> float:
    """Return the rate of a step counted from 0: linear warm-up, then half a cosine towards 0.

    A function of the step alone, so a resumed run needs no scheduler's state.

    >>> [round(learning_rate(s, 2, Train(epochs=3, warmup_epochs=1.0, lr=1.0)), 3) for s in range(6)]
    [0.5, 1.0, 0.905, 0.655, 0.345, 0.095]
    """
    total = train.epochs * steps_per_epoch
    warmup = min(round(train.warmup_epochs * steps_per_epoch), total - 1)
    if step < warmup:
        return train.lr * (step + 1) / warmup
    return train.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup + 1) / (total - warmup + 1)))


def ema_decay(step: int, total_steps: int) -> float:
    """Return the share of the average that stays: a horizon of 10 % of the run, shorter at its start.

    >>> ema_decay(0, 1000), ema_decay(999, 1000)
    (0.1, 0.99)
    """
    return min(1 - 1 / (0.1 * total_steps), (1 + step) / (10 + step))


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
