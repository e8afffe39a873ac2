"""Optimizers: any of timm's, by name, with weight decay, layer-wise rates, and a state that can be saved.

The default is AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101).
"""

import difflib
import warnings
from typing import Any

import timm.optim
import torch
from torch import nn

from pipeline.config import Train
from pipeline.errors import UsageError

FUSED = ("adam", "adamw", "sgd", "momentum", "nesterov")  # torch's own, whose steps can be one kernel
REFUSED = {
    "adahessian": "needs second derivatives, which the training loop doesn't compute",
    **dict.fromkeys(
        ("kron", "kronc", "kronw"), "draws from a generator of its own, so a resumed run would differ"
    ),
}


def build_optimizer(model: nn.Module, train: Train) -> torch.optim.Optimizer:
    """Make the optimizer of a recipe for the parameters that are trained.

    Biases, norms and what the model itself names aren't decayed. With train.layer_decay each group has an
    `lr_scale` of its own (Clark et al. 2020, arXiv:2003.10555). Raises UsageError for an unknown name and for
    an optimizer that can't be built here.
    """
    name = check_optimizer(train.optimizer)
    more: dict[str, Any] = {"layer_decay": train.layer_decay} if train.layer_decay < 1 else {}
    if name in FUSED and next(model.parameters()).device.type in ("cpu", "cuda"):
        more["fused"] = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return timm.optim.create_optimizer_v2(
                model, name, lr=train.lr, weight_decay=train.weight_decay, momentum=train.momentum, **more
            )
    except (AssertionError, ImportError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"train.optimizer = {name!r} can't be used here: {error}") from error


def check_optimizer(name: str) -> str:
    """Return a name that `build_optimizer` takes; raises UsageError with the nearest known one, or why not.

    >>> check_optimizer("adamw")
    'adamw'
    """
    known = timm.optim.list_optimizers()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"train.optimizer = {name!r}: timm has no such optimizer.{hint}")
    if name in REFUSED:
        raise UsageError(f"train.optimizer = {name!r} {REFUSED[name]}.")
    return name


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the rate, times its own scale where layers have one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
