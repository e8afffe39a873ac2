"""A step's gradients: a batch in pieces that fit the memory, its images mixed or not."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from pipeline.learn.losses import Loss
from pipeline.learn.mixing import Mixed
from pipeline.learn.runtime import Runtime

Halved = Callable[[int], None]  # told the new micro-batch


class Gradients:
    """Adds up a step's gradients in micro-batches of `micro` images, 0 being the whole batch.

    On torch.OutOfMemoryError the micro-batch is halved, to 1 at least, and the step done again from where it
    began: the same dropouts, BatchNorm's averages put back. It stays halved.
    """

    def __init__(self, model: nn.Module, runtime: Runtime, scaler: torch.amp.GradScaler, micro: int):
        self.model, self.runtime, self.scaler, self.micro = model, runtime, scaler, micro
        self.buffers = _by_dtype(model.buffers())
        self.before = [[buffer.clone() for buffer in buffers] for buffers in self.buffers]

    def add(
        self,
        images: torch.Tensor,
        targets: torch.Tensor,
        mixed: Mixed | None,
        loss_of: Loss,
        seed: int,
        halved: Halved,
    ) -> torch.Tensor:
        """Leave the gradients of the batch's mean loss in the model, scaled; return that loss, float32.

        images float [B, 3, H, W] and targets int64 [B] on the device; `seed` is of the step's dropouts.
        """
        _copy(self.buffers, self.before)
        while True:
            torch.manual_seed(seed)
            try:
                return self._whole(images, targets, mixed, loss_of)
            except torch.OutOfMemoryError:
                if (self.micro or len(images)) == 1:
                    raise
                self.micro = -(-min(self.micro or len(images), len(images)) // 2)
            self.model.zero_grad(set_to_none=True)
            _copy(self.before, self.buffers)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            halved(self.micro)

    def _whole(
        self, images: torch.Tensor, targets: torch.Tensor, mixed: Mixed | None, loss_of: Loss
    ) -> torch.Tensor:
        total = torch.zeros((), device=images.device)
        pieces = -(-len(images) // (self.micro or len(images)))
        for part in torch.arange(len(images)).tensor_split(pieces):
            piece = slice(int(part[0]), int(part[-1]) + 1)
            with self.runtime.autocast(self.runtime.choice.dtype):
                logits = self.model(images[piece])
            rows = loss_of(logits, targets[piece])
            if mixed is not None:
                share = mixed.share[piece]
                rows = share * rows + (1 - share) * loss_of(logits, mixed.others[piece])
            loss = rows.sum() / len(images)
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total


def _by_dtype(tensors: Iterable[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Group tensors by their dtype: lists of one can be copied by one kernel."""
    found: dict[torch.dtype, list[torch.Tensor]] = {}
    for tensor in tensors:
        found.setdefault(tensor.dtype, []).append(tensor)
    return list(found.values())


@torch.no_grad()
def _copy(source: list[list[torch.Tensor]], to: list[list[torch.Tensor]]) -> None:
    for own, other in zip(source, to, strict=True):
        torch._foreach_copy_(other, own)
