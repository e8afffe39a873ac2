"""How a run computes: device, threads, dtype and memory format, chosen by timing a few steps."""

import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from pipeline import terminal
from pipeline.config import Train, final_side
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


def choose(model: nn.Module, train: Train, classes: int) -> tuple[Choice, dict[str, float]]:
    """Time a few steps of each dtype and memory format that isn't fixed; return the fastest, and images/s.

    Training and prediction are timed apart, since the best dtype depends on the model, machine and phase.
    """
    device = find_device(train.device)
    threads = train.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    formats = list(FORMATS) if train.memory_format == "auto" else [train.memory_format]
    dtypes = _dtypes(device) if train.dtype == "auto" else [train.dtype]
    speeds: dict[str, float] = {}
    if len(formats) * len(dtypes) == 1:
        return Choice(threads, dtypes[0], dtypes[0], formats[0]), speeds
    with terminal.progress("measure") as line:
        for memory_format in formats:
            for dtype in dtypes:
                line.update(
                    len(speeds) / (2 * len(formats) * len(dtypes)), f"timing {dtype}, {memory_format}"
                )
                runtime = Runtime(device, 0, Choice(threads, dtype, dtype, memory_format))
                copied = copy.deepcopy(model).to(device).to(memory_format=FORMATS[memory_format])
                speeds[f"train {dtype} {memory_format}"] = _speed(
                    _train_step(copied, train, runtime, classes), train
                )
                speeds[f"predict {dtype} {memory_format}"] = _speed(
                    _predict_step(copied, train, runtime), train
                )
    _, dtype, memory_format = max(
        (n for n in speeds if n.startswith("train")), key=lambda n: speeds[n]
    ).split()
    fast = max(dtypes, key=lambda name: speeds[f"predict {name} {memory_format}"])
    return Choice(threads, dtype, fast, memory_format), {
        name: round(speed, 1) for name, speed in speeds.items()
    }


def _dtypes(device: str) -> list[str]:
    if device.startswith("cuda"):
        return [
            "float32",
            "float16",
            *(["bfloat16"] if torch.cuda.get_device_capability(device)[0] >= 8 else []),
        ]
    return ["float32"] if device == "mps" else ["float32", "bfloat16"]


def _train_step(model: nn.Module, train: Train, runtime: Runtime, classes: int) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    pixels, mean, std = _batch(train, runtime)
    targets = torch.arange(len(pixels), device=runtime.device) % classes

    def step() -> None:
        model.train()
        with runtime.autocast(runtime.choice.dtype):
            loss = nn.functional.cross_entropy(model(runtime.inputs(pixels, mean, std)), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _predict_step(model: nn.Module, train: Train, runtime: Runtime) -> Callable[[], None]:
    pixels, mean, std = _batch(train, runtime)

    def step() -> None:
        model.eval()
        with torch.inference_mode(), runtime.autocast(runtime.choice.dtype):
            model(runtime.inputs(pixels, mean, std))

    return step


def _batch(train: Train, runtime: Runtime) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    side = final_side(train)
    pixels = torch.full((_at_once(train), side, side, 3), 127, dtype=torch.uint8)
    level = torch.full((3, 1, 1), 127.5, device=runtime.device)
    return pixels, level, level


def _speed(step: Callable[[], None], train: Train) -> float:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return _at_once(train) / min(seconds[1:])


def _at_once(train: Train) -> int:
    return min(train.micro_batch or train.batch, train.batch)
