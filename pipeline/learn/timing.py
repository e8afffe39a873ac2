"""Which dtype and memory format compute fastest here: a few timed steps of each, once a run."""

import copy
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from pipeline import terminal
from pipeline.config import Train, final_side
from pipeline.learn.runtime import FORMATS, Choice, Runtime, find_device

GLANCE = 2  # images of the first look at a way
FAR = 4  # a way that is so many times slower at the first look isn't timed with whole batches
Step = Callable[[int], None]  # computes so many images


class Speed(NamedTuple):
    """Images a second of one way, with few images and with whole batches."""

    glance: float
    whole: float


def choose(model: nn.Module, train: Train, classes: int) -> tuple[Choice, dict[str, float]]:
    """Time a few steps of each dtype and memory format that isn't fixed; return the fastest, and images/s.

    Training and prediction are timed apart, since the best dtype depends on the model, machine and phase.
    """
    device = find_device(train.device)
    threads = train.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    formats = list(FORMATS) if train.memory_format == "auto" else [train.memory_format]
    dtypes = _dtypes(device) if train.dtype == "auto" else [train.dtype]
    if len(formats) * len(dtypes) == 1:
        return Choice(threads, dtypes[0], dtypes[0], formats[0]), {}
    training: dict[tuple[str, str], Speed] = {}
    predicting: dict[tuple[str, str], Speed] = {}
    with terminal.progress("measure") as line:
        for memory_format in formats:
            for dtype in dtypes:
                share = len(training) / (len(formats) * len(dtypes))
                line.update(share, f"timing {dtype}, {memory_format}")
                runtime = Runtime(device, 0, Choice(threads, dtype, dtype, memory_format))
                copied = copy.deepcopy(model).to(device).to(memory_format=FORMATS[memory_format])
                for speeds, step in (
                    (training, _train_step(copied, train, runtime, classes)),
                    (predicting, _predict_step(copied, train, runtime)),
                ):
                    bar = max((speed.glance for speed in speeds.values()), default=0.0) / FAR
                    speeds[dtype, memory_format] = time_step(step, _at_once(train), bar)
    dtype, memory_format = max(training, key=lambda way: training[way].whole)
    fast = max(dtypes, key=lambda name: predicting[name, memory_format].whole)
    return Choice(threads, dtype, fast, memory_format), {
        f"{phase} {way[0]} {way[1]}": round(speed.whole, 1)
        for phase, speeds in (("train", training), ("predict", predicting))
        for way, speed in speeds.items()
    }


def time_step(step: Step, images: int, bar: float) -> Speed:
    """Time a step with few images and, where it is not below `bar` images a second there, with `images`."""
    few = min(GLANCE, images)
    glance = _fastest(step, few)
    return Speed(glance, _fastest(step, images) if glance >= bar and images > few else glance)


def _fastest(step: Step, images: int) -> float:
    """Return the images a second of the better of two steps, after one that isn't timed."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        step(images)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return images / min(seconds[1:])


def _dtypes(device: str) -> list[str]:
    if device.startswith("cuda"):
        has_bfloat16 = torch.cuda.get_device_capability(device)[0] >= 8
        return ["float32", "float16", *(["bfloat16"] if has_bfloat16 else [])]
    return ["float32"] if device == "mps" else ["float32", "bfloat16"]


def _train_step(model: nn.Module, train: Train, runtime: Runtime, classes: int) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    pixels, mean, std = _batch(train, runtime)
    targets = torch.arange(len(pixels), device=runtime.device) % classes

    def step(images: int) -> None:
        model.train()
        with runtime.autocast(runtime.choice.dtype):
            logits = model(runtime.inputs(pixels[:images], mean, std))
            loss = nn.functional.cross_entropy(logits, targets[:images])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _predict_step(model: nn.Module, train: Train, runtime: Runtime) -> Step:
    pixels, mean, std = _batch(train, runtime)

    def step(images: int) -> None:
        model.eval()
        with torch.inference_mode(), runtime.autocast(runtime.choice.dtype):
            model(runtime.inputs(pixels[:images], mean, std))

    return step


def _batch(train: Train, runtime: Runtime) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    side = final_side(train)
    pixels = torch.full((_at_once(train), side, side, 3), 127, dtype=torch.uint8)
    level = torch.full((3, 1, 1), 127.5, device=runtime.device)
    return pixels, level, level


def _at_once(train: Train) -> int:
    return min(train.micro_batch or train.batch, train.batch)
