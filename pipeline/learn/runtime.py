"""How a run computes: device, threads, dtype and memory format; `timing` chooses them."""

import os
from dataclasses import dataclass

import torch

from pipeline.config import Train
from pipeline.errors import UsageError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Choice:
    """What changes bits and was therefore chosen once for all folds of a run; names of DTYPES and FORMATS."""

    threads: int
    dtype: str
    inference_dtype: str
    memory_format: str


@dataclass(frozen=True)
class Runtime:
    """A choice on this machine's device; `workers` load batches beside the main process."""

    device: str
    workers: int
    choice: Choice

    def autocast(self, dtype: str) -> torch.autocast:
        """Compute in the dtype where it is safe; float32 turns it off."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, dtype=DTYPES[dtype], enabled=dtype != "float32")

    def inputs(self, pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        """Move uint8 [B, H, W, 3] to the device and normalise there to float32 [B, 3, H, W].

        mean and std are [3, 1, 1] in units of pixel values (0–255).
        """
        moved = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        # put in order while it is uint8: a quarter of the bytes
        images = moved.contiguous(memory_format=FORMATS[self.choice.memory_format]).float()
        if self.choice.memory_format == "contiguous":
            return images.sub_(mean).div_(std)
        # whole rows of pixels as vectors: with three numbers innermost, a CPU takes them one at a time
        rows, width = images.permute(0, 2, 3, 1).flatten(2), images.shape[3]
        rows.sub_(mean.flatten().repeat(width)).div_(std.flatten().repeat(width))
        return images


def build_runtime(train: Train, choice: Choice) -> Runtime:
    """Set torch's threads to the recorded number and find the device; raises UsageError without it."""
    set_threads(choice)
    device = find_device(train.device)
    torch.backends.cudnn.deterministic = True  # the same bits on the same GPU
    workers = train.workers
    if workers < 0:
        workers = (os.cpu_count() or 1) if device.startswith("cuda") else 0
    return Runtime(device, workers, choice)


def set_threads(choice: Choice) -> None:
    """Compute on the CPU with the recorded number of threads, which changes the bits of sums."""
    if torch.get_num_threads() != choice.threads:
        torch.set_num_threads(choice.threads)


def find_device(name: str) -> str:
    """Return the device that `train.device` means here; "auto" takes a GPU where there is one."""
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"train.device = {name!r} can't be used here: {str(error).splitlines()[0]}"
        ) from error
    return name
