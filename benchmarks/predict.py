"""P4: predicting images by M members × K folds × V views, against the forward passes alone and against timm.

python -m benchmarks.predict                  2 models × 5 folds × 2 views of 512 drawn JPEG files, 5 rounds
python -m benchmarks.predict --device cuda    the same on a GPU

Ours reads each image once, for all models, from our cache, which is made once and isn't timed. Alone are the
same forward passes on one batch that lies in memory. timm's is what its users run, once a model: its own
loader over the files, with the better of no and as many workers as cores, and both views of a batch; in the
dtype and memory format that our timing chose. The weights are random. They take turns.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm.data
import torch

from benchmarks import result
from benchmarks.loader import draw_files, prepare_cache
from pipeline import terminal
from pipeline.config import Member, Train
from pipeline.dataset.cache import Cache
from pipeline.dataset.loader import predict_loader, rows_of
from pipeline.learn.inference import Predictor, build_predictor, predict_probs
from pipeline.learn.run_record import initial_model
from pipeline.learn.runtime import FORMATS, build_runtime
from pipeline.learn.timing import choose
from pipeline.learn.tta import VIEWS
from pipeline.learn.weights import RANDOM

MODELS, FOLDS, SIZE, BATCH, CLASSES = ("tf_efficientnet_lite0", "resnet18"), 5, 128, 64, 8
USED_VIEWS = ("identity", "hflip")


class CountedCache:
    """A cache that counts how often an image is read."""

    def __init__(self, cache: Cache):
        self.cache, self.table, self.reads = cache, cache.table, 0

    def pixels(self, row: int) -> np.ndarray:
        """Return an image as the cache does."""
        self.reads += 1
        return self.cache.pixels(row)


def main() -> None:
    """Draw the files, time the three ways in turn, print and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=512, help="files to draw")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way is timed")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = draw_files(Path(folder, "data", "photographs"), options.images)
        cache = prepare_cache(Path(folder))
        predictors = build_predictors(options.device)
        workers = best_workers(files[0].parents[1], predictors[0])
        rows = []
        for number in range(options.rounds + 1):
            row = {
                "ours": ours(cache, predictors),
                "alone": alone(predictors, len(files)),
                "timm": sum(timms(files[0].parents[1], one, workers) for one in predictors),
            }
            rows += [row] if number else []
            shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in row.items())
            terminal.say(f"round {number} of {options.rounds}: {shown}")
    figures = {
        "n": options.rounds,
        "images": options.images,
        "models": [*MODELS],
        "folds": FOLDS,
        "views": [*USED_VIEWS],
        "size": SIZE,
        "device": predictors[0].runtime.device,
        "timm_workers": workers,
        "load_average": round(os.getloadavg()[0], 1),
        "seconds": {name: _spread([row[name] for row in rows]) for name in rows[0]},
        "ours / alone": _spread([row["ours"] / row["alone"] for row in rows]),
        "ours / timm": _spread([row["ours"] / row["timm"] for row in rows]),
    }
    show(figures)
    name = "predict" if figures["device"] == "cpu" else "predict_gpu"
    terminal.say(str(result.save(name, figures)))


def build_predictors(device: str) -> list[Predictor]:
    """Make a model of random weights for each member and fold, in what its member's timing chose."""
    found = []
    for name in MODELS:
        train = Train(size=SIZE, batch=BATCH, device=device, workers=0)
        member = Member(name=name, model=name, weights="random", train=train)
        choice, _ = choose(initial_model(member, RANDOM, CLASSES), train, CLASSES)
        runtime = build_runtime(train, choice)
        found += [
            build_predictor(initial_model(member, RANDOM, CLASSES), train, runtime) for _ in range(FOLDS)
        ]
    return found


def ours(cache: Cache, predictors: Sequence[Predictor]) -> float:
    """Predict as the stage does; return its seconds. Each image must have been read once."""
    counted: Any = CountedCache(cache)
    rows = rows_of(cache, "train", cache.table["id"].tolist())
    frames = [predictors[0].frame]
    started = time.monotonic()
    loader = predict_loader(counted, rows, frames, BATCH, 0, predictors[0].runtime.device)
    predict_probs(predictors, loader, frames, USED_VIEWS)
    seconds = time.monotonic() - started
    if counted.reads != len(rows):
        raise RuntimeError(f"{counted.reads} reads of {len(rows)} images")
    return seconds


@torch.inference_mode()
def alone(predictors: Sequence[Predictor], images: int) -> float:
    """Do the forward passes on a batch that is ready for the model; return their seconds."""
    pixels = torch.randint(0, 256, (BATCH, SIZE, SIZE, 3), dtype=torch.uint8)
    seconds = 0.0
    for predictor in predictors:
        runtime = predictor.runtime
        batch = runtime.inputs(pixels, predictor.mean, predictor.std)
        views = [VIEWS[view](batch) for view in USED_VIEWS]
        started = time.monotonic()
        for first in range(0, images, BATCH):
            for view in views:
                with runtime.autocast(runtime.choice.inference_dtype):
                    predictor.model(view[: images - first])
        _wait(runtime.device)
        seconds += time.monotonic() - started
    return seconds


@torch.inference_mode()
def timms(root: Path, predictor: Predictor, workers: int) -> float:
    """Predict one model's views of the files through timm's loader; return the seconds with its start."""
    runtime = predictor.runtime
    started = time.monotonic()
    loader = timm.data.create_loader(
        timm.data.create_dataset("", root=str(root)),
        input_size=(3, SIZE, SIZE),
        batch_size=BATCH,
        use_prefetcher=True,
        interpolation="bilinear",
        crop_pct=1.0,
        num_workers=workers,
        persistent_workers=False,
        device=torch.device(runtime.device),
    )
    probs = []
    for images, _ in loader:
        laid = images.contiguous(memory_format=FORMATS[runtime.choice.memory_format])
        for view in (laid, laid.flip(3)):
            with runtime.autocast(runtime.choice.inference_dtype):
                probs.append(predictor.model(view).float().softmax(1).cpu())
    return time.monotonic() - started


def best_workers(root: Path, predictor: Predictor) -> int:
    """Return the number of workers that timm's loader is faster with: none, or as many as there are cores."""
    counts = (0, os.cpu_count() or 1)
    return min(counts, key=lambda count: min(timms(root, predictor, count) for _ in range(2)))


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    cells = [
        [name, *(f"{figures['seconds'][name][key]:.2f}" for key in ("median", "min", "max"))]
        for name in ("alone", "ours", "timm")
    ]
    n = f"{figures['images']} images × {len(MODELS)} models × {FOLDS} folds × {len(USED_VIEWS)} views"
    terminal.table(f"{n}, seconds", ["way", "median", "least", "most"], cells)
    for name in ("ours / alone", "ours / timm"):
        ratio = figures[name]
        terminal.say(f"{name} {ratio['median']:.3f} ({ratio['min']:.3f}–{ratio['max']:.3f})")


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _spread(values: Sequence[float]) -> dict[str, float]:
    spread = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 3) for name, value in spread.items()}


if __name__ == "__main__":
    main()
