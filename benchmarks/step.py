"""P2: training images a second, our loop against the same model stepping on one batch that lies in memory.

python -m benchmarks.step                            lite0 at 128 px and resnet50 at 96 px, 5 rounds
python -m benchmarks.step --models resnet50 --size 224 --batch 128 --device cuda     on a GPU

Ours is the real loop on a drawn data set: cache, augmentation, batches, normalisation, clipping, averaged
weights, checks and log. The other one is forward, loss, backward and optimizer with the same settings, dtype
and memory format. They take turns; a round is so many steps of each, after one that isn't timed.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import result
from benchmarks.loader import draw_files, prepare_cache
from pipeline import terminal
from pipeline.artifacts.training_log import read_epochs
from pipeline.config import Config, Member, Train, resolve
from pipeline.dataset.cache import Cache
from pipeline.dataset.loader import rows_of
from pipeline.learn.fold import FoldData, train_fold
from pipeline.learn.freezing import set_trained
from pipeline.learn.losses import build_loss
from pipeline.learn.optim import build_optimizer
from pipeline.learn.run_record import RunRecord, initial_model
from pipeline.learn.runtime import FORMATS, Runtime, build_runtime
from pipeline.learn.timing import choose
from pipeline.learn.weights import RANDOM
from pipeline.randomness import generator

MODELS = {"tf_efficientnet_lite0": 128, "resnet50": 96}
CLASSES, HELD_OUT = 8, 8


def main() -> None:
    """Draw the files, time both ways in turn for each model, print and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="NAME", help="timm's names")
    parser.add_argument("--size", type=int, help="pixels; default: what the sample trains on")
    parser.add_argument("--batch", type=int, default=32, help="images a step")
    parser.add_argument("--steps", type=int, default=12, help="a round's steps of each way")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way is timed")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = draw_files(Path(folder, "data", "photographs"), options.steps * options.batch + HELD_OUT)
        cache = prepare_cache(Path(folder))
        terminal.say(f"{len(files)} files drawn")
        for name in options.models:
            size = options.size or MODELS.get(name, 224)
            train = Train(epochs=1, batch=options.batch, size=size, validate_epochs=0, device=options.device)
            member = Member(name=name, model=name, weights="random", train=train)
            rows.append(measure(member, cache, options.rounds, Path(folder)))
    columns = ["model", "px", "batch", "dtype, format", "in memory", "ours", "ours / in memory"]
    terminal.table("training, images/s", columns, [_cells(row) for row in rows])
    figures = {"n": options.rounds, "load_average": round(os.getloadavg()[0], 1), "models": rows}
    name = "step" if rows[0]["device"] == "cpu" else "step_gpu"
    terminal.say(str(result.save(name, figures)))


def measure(member: Member, cache: Cache, rounds: int, folder: Path) -> dict[str, Any]:
    """Time a model's two ways in turn: images a second of each round, and their ratio."""
    choice, _ = choose(initial_model(member, RANDOM, CLASSES), member.train, CLASSES)
    runtime = build_runtime(member.train, choice)
    rows = rows_of(cache, "train", cache.table["id"].tolist())
    targets = generator(0, "targets").integers(0, CLASSES, len(cache.table))
    data = FoldData(cache, targets, CLASSES, rows[HELD_OUT:], rows[:HELD_OUT])
    tables = {"data": {"name": "photographs", "metric": "accuracy"}, "members": [{"model": member.model}]}
    config = resolve(tables, {}, "benchmark")
    ours, bare = [], []
    for number in range(rounds + 1):
        speeds = our_speed(config, member, data, choice, runtime, folder), bare_speed(member, data, runtime)
        if number:
            ours.append(speeds[0])
            bare.append(speeds[1])
        terminal.say(
            f"{member.name}: round {number} of {rounds}: {speeds[0]:.1f} and {speeds[1]:.1f} images/s"
        )
    return {
        "model": member.model,
        "size": member.train.size,
        "batch": member.train.batch,
        "device": torch.cuda.get_device_name() if runtime.device.startswith("cuda") else runtime.device,
        "dtype": choice.dtype,
        "memory_format": choice.memory_format,
        "threads": choice.threads,
        "in_memory": _spread(bare),
        "ours": _spread(ours),
        "ratio": _spread([one / other for one, other in zip(ours, bare, strict=True)]),
    }


def our_speed(
    config: Config, member: Member, data: FoldData, choice: Any, runtime: Runtime, folder: Path
) -> float:
    """Train an epoch with the loop that every fold is trained by; return what its log says."""
    with tempfile.TemporaryDirectory(dir=folder) as run:
        record = RunRecord(RANDOM, choice)
        train_fold(config, member, 0, data, record, runtime, Path(run), "benchmark", lambda step: None)
        [epoch] = read_epochs(Path(run, "log.jsonl"))
    return epoch["images"] / epoch["seconds"]


def bare_speed(member: Member, data: FoldData, runtime: Runtime) -> float:
    """Step as often on one batch that lies on the device, ready for the model."""
    train, device = member.train, runtime.device
    model = initial_model(member, RANDOM, CLASSES).to(device)
    model = model.to(memory_format=FORMATS[runtime.choice.memory_format])
    set_trained(model, train, 0)
    optimizer = build_optimizer(model, train)
    counts = np.bincount(data.targets[data.train_rows], minlength=CLASSES)
    loss_of = build_loss(train, counts, 0.0, device)
    pixels = torch.randint(0, 256, (train.batch, train.size, train.size, 3), dtype=torch.uint8)
    level = torch.full((3, 1, 1), 127.5, device=device)
    images = runtime.inputs(pixels, level, level)
    targets = torch.from_numpy(data.targets[data.train_rows[: train.batch]]).to(device)
    steps = len(data.train_rows) // train.batch
    started = time.monotonic()
    for _ in range(steps):
        with runtime.autocast(runtime.choice.dtype):
            logits = model(images)
        loss_of(logits, targets).mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return steps * train.batch / (time.monotonic() - started)


def _spread(values: list[float]) -> dict[str, float]:
    spread = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 3) for name, value in spread.items()}


def _cells(row: dict[str, Any]) -> list[str]:
    ratio = row["ratio"]
    return [
        row["model"],
        str(row["size"]),
        str(row["batch"]),
        f"{row['dtype']}, {row['memory_format']}",
        f"{row['in_memory']['median']:.1f}",
        f"{row['ours']['median']:.1f}",
        f"{ratio['median']:.3f} ({ratio['min']:.3f}–{ratio['max']:.3f})",
    ]


if __name__ == "__main__":
    main()
