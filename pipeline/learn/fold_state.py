"""What a half-trained fold consists of: packed for a checkpoint, put back from one."""

from typing import Any

import torch
from torch import nn

from pipeline.learn import optimizer_state
from pipeline.learn.selection import Selection


def pack_state(
    model: nn.Module,
    ema: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    selection: Selection,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors of a checkpoint and its numbers, as JSON values."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if ema is not None:
        tensors |= {f"ema.{name}": value for name, value in ema.state_dict().items()}
    packed, layout = optimizer_state.pack(optimizer)
    tensors |= {f"optimizer.{name}": value for name, value in packed.items()}
    tensors |= {f"selected.{name}": value for name, value in selection.weights.items()}
    return tensors, {"scaler": scaler.state_dict(), "optimizer": layout, "selected": selection.state()}


def restore_state(
    saved: dict[str, Any],
    model: nn.Module,
    ema: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    selection: Selection,
) -> None:
    """Put everything back to where `saved`, a checkpoint as it is loaded, has it."""

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {n.removeprefix(prefix): v for n, v in saved["tensors"].items() if n.startswith(prefix)}

    model.load_state_dict(part("model."))
    if ema is not None:
        ema.load_state_dict(part("ema."))
    optimizer_state.unpack(optimizer, part("optimizer."), saved["optimizer"])
    selection.restore(saved["selected"], part("selected."))
    if saved["scaler"]:
        scaler.load_state_dict(saved["scaler"])


def needed_bytes(model: nn.Module, models: int) -> int:
    """Return what a fold needs on the disk: two checkpoints and the one being written, and models."""
    size = sum(value.nbytes for value in model.state_dict().values())
    return size * (3 * len(("model", "ema", "selected", "exp_avg", "exp_avg_sq")) + models)
