"""A step's gradients: a batch in pieces that fit the memory, its images mixed or not."""

from collections.abc import Callable

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
        buffers = list(model.buffers())
        self.floats = [buffer for buffer in buffers if buffer.is_floating_point()]
        self.counters = [buffer for buffer in buffers if not buffer.is_floating_point()]
        self.floats_before = [buffer.clone() for buffer in self.floats]
        self.counters_before = [buffer.clone() for buffer in self.counters]

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
        self._copy(self.floats_before, self.floats, self.counters_before, self.counters)
        while True:
            torch.manual_seed(seed)
            try:
                return self._whole(images, targets, mixed, loss_of)
            except torch.OutOfMemoryError:
                if (self.micro or len(images)) == 1:
                    raise
                self.micro = -(-min(self.micro or len(images), len(images)) // 2)
            self.model.zero_grad(set_to_none=True)
            self._copy(self.floats, self.floats_before, self.counters, self.counters_before)
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

    @staticmethod
    def _copy(*pairs: list[torch.Tensor]) -> None:
        """Copy lists of tensors, (to, from, to, from)."""
        with torch.no_grad():
            for to, source in zip(pairs[::2], pairs[1::2], strict=True):
                if to:
                    torch._foreach_copy_(to, source)
