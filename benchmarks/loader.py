"""P1: augmented images a second and core, our training loader against timm's: the same files and operations.

python -m benchmarks.loader                     512 drawn JPEG files of 500 x 375, 5 rounds, some 3 minutes

Every loader runs in this process without workers, OpenCV and PyTorch with one thread each, the files in
memory; the loaders take turns. Seconds are the process's own: other programs on the machine change them
less. timm's is the faster of its two ways to a normalised batch: in the loader, or after it (its
prefetcher's). Ours gives uint8, which the device normalises; the last two columns count that step,
Runtime.inputs, on this core.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import timm.data
import torch
from PIL import Image
from torchvision import transforms

from benchmarks import result
from pipeline import prepare, terminal
from pipeline.artifacts import paths, writer
from pipeline.config import Train, resolve
from pipeline.dataset.cache import Cache, open_cache
from pipeline.dataset.loader import rows_of, train_loader
from pipeline.learn.runtime import FORMATS, Choice, Runtime
from pipeline.randomness import generator

SIZE, BATCH, HEIGHT, WIDTH, CLASSES, QUALITY = 224, 32, 375, 500, 8, 90
CACHED_SIDE = 256  # what a member needs that predicts at 224 px with a crop of .875
CROP, FLIP = {"name": "RandomResizedCrop", "scale": [0.08, 1.0]}, {"name": "HorizontalFlip", "p": 0.5}
STRENGTHS = {name: [0.6, 1.4] for name in ("brightness", "contrast", "saturation")}
COLOUR = {"name": "ColorJitter", **STRENGTHS, "hue": [0.0, 0.0], "p": 1.0}
OURS = ("uint8", *FORMATS)  # as our loader gives them; as Runtime.inputs then gives them in a memory format
Side = Callable[[], Iterator[int]]  # makes a pass over the images; yields the size of each batch


class Recipe(NamedTuple):
    """One row: the operations in words, our recipe, and timm's arguments for them."""

    name: str
    ours: Any
    timm: dict[str, Any]
    degrees: float = 0.0  # timm's list has no rotation: torchvision's is put behind the flip


RECIPES = [
    Recipe("crop, flip", (CROP, FLIP), {"scale": (0.08, 1.0), "color_jitter": None}),
    Recipe("crop, flip, colour", (CROP, FLIP, COLOUR), {"scale": (0.08, 1.0), "color_jitter": 0.4}),
    Recipe("light", "light", {"scale": (0.5, 1.0), "color_jitter": None}),
    Recipe(
        "medium",
        "medium",
        {"scale": (0.35, 1.0), "color_jitter": (0.3, 0.3, 0.3, 0.03), "color_jitter_prob": 0.8},
        degrees=20.0,
    ),
]


def main() -> None:
    """Draw the files, prepare our cache from them, time all loaders in turn, print and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=512, help="files to draw")
    parser.add_argument("--rounds", type=int, default=5, help="times that every loader is timed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = draw_files(Path(folder, "data", "photographs"), options.images)
        cache = prepare_cache(Path(folder))
        rates = {recipe.name: measure(recipe, files, cache, options.rounds) for recipe in RECIPES}
        decode = [_rate(lambda: _decoded(files)) for _ in range(options.rounds)]
        kilobytes = statistics.mean(file.stat().st_size for file in files) / 1000
    rows = {name: compare(rates[name]) for name in rates}
    terminal.table(
        f"images/s a core, {options.images} files of {WIDTH} x {HEIGHT} ({kilobytes:.0f} KB) to {SIZE} px",
        ["operations", "timm", *(f"ours, {name}" for name in OURS)],
        [[name, *(_cell(row[side]) for side in ("timm", *OURS))] for name, row in rows.items()],
    )
    terminal.say(f"Pillow's decoding alone: {statistics.median(decode):,.0f} images/s")
    figures = {
        "n": options.rounds,
        "images": options.images,
        "load_average": round(os.getloadavg()[0], 1),
        "mean_kilobytes": round(kilobytes, 1),
        "decode": _spread(decode),
        "recipes": rows,
    }
    terminal.say(str(result.save("loader", figures)))


def draw_files(root: Path, count: int) -> list[Path]:
    """Write JPEG files by class: coloured noise on seven scales, the coarse ones strongest, and grain.

    Like a photograph's they have some 45 KB, and so the work of decoding them is the same.
    """
    files = []
    for i in range(count):
        rng = generator(0, "photograph", i)
        picture = np.full((HEIGHT, WIDTH, 3), 128.0, np.float32)
        for cells in (3, 6, 12, 25, 50, 100, 200):
            noise = rng.normal(0, 85 / cells**0.5, (cells * 3 // 4 + 1, cells, 3)).astype(np.float32)
            noise = 0.5 * noise + 0.7 * noise[:, :, :1]  # light varies more than colour
            picture += cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        picture += rng.normal(0, 2, (HEIGHT, WIDTH, 1))
        path = root / f"class{i % CLASSES}" / f"{i:05d}.jpg"
        with writer.publish_stream(path) as stream:
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=QUALITY)
        files.append(path)
    return files


def prepare_cache(folder: Path) -> Cache:
    """Run the stage `prepare` on the drawn files and open what it made."""
    tables = {
        "data": {"name": "photographs"},
        "cache": {"short_side": CACHED_SIDE, "codec": "raw"},
        "paths": {name: str(folder / name) for name in ("data", "runs", "folds", "submissions")},
        "members": [{"model": "resnet50"}],
    }
    config = resolve(tables, {}, "benchmark")
    prepare.run(config, argparse.Namespace(verify=False))
    return open_cache(paths.cache(config))


def measure(recipe: Recipe, files: list[Path], cache: Cache, rounds: int) -> dict[str, list[float]]:
    """Return images a second of each loader, a number a round; the first, untimed round warms them up."""
    folder = files[0].parents[1]
    sides: dict[str, Side] = {
        "timm, loader": timm_side(folder, recipe, prefetcher=False),
        "timm, prefetcher": timm_side(folder, recipe, prefetcher=True),
        **{name: our_side(cache, recipe, name) for name in OURS},
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            rate = _rate(side)
            rates[name] += [rate] if number else []
        terminal.say(f"{recipe.name}: round {number} of {rounds}")
    return rates


def timm_side(folder: Path, recipe: Recipe, prefetcher: bool) -> Side:
    """Make timm's loader of the files: a pass gives normalised float batches."""
    loader = timm.data.create_loader(
        timm.data.create_dataset("", root=str(folder), is_training=True),
        input_size=(3, SIZE, SIZE),
        batch_size=BATCH,
        is_training=True,
        use_prefetcher=prefetcher,
        interpolation="bilinear",
        num_workers=0,
        persistent_workers=False,
        device=torch.device("cpu"),
        **recipe.timm,
    )
    if recipe.degrees:
        rotation = transforms.RandomRotation(recipe.degrees, transforms.InterpolationMode.BILINEAR)
        loader.dataset.transform.transforms.insert(2, transforms.RandomApply([rotation], p=0.5))
    return lambda: (len(images) for images, _ in loader)


def our_side(cache: Cache, recipe: Recipe, kind: str) -> Side:
    """Make passes of our loader over the same images; `kind` is one of OURS."""
    train = Train(epochs=4, batch=BATCH, size=SIZE, augment=recipe.ours, device="cpu")
    rows = rows_of(cache, "train", cache.table["id"].tolist())
    targets = np.zeros(len(cache.table), np.int64)
    runtime = Runtime("cpu", 0, Choice(1, "float32", "float32", kind))
    mean, std = (
        255 * torch.tensor(level).view(3, 1, 1)
        for level in (timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD)
    )

    def batches() -> Iterator[int]:
        for pixels, _ in train_loader(cache, rows, targets, train, fold=0, first_step=0, workers=0):
            yield len(runtime.inputs(pixels, mean, std) if kind in FORMATS else pixels)

    return batches


def compare(rates: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Return the spread of each loader's images a second, and of ours / timm's faster way, round by round."""
    faster = max(("timm, loader", "timm, prefetcher"), key=lambda name: statistics.median(rates[name]))
    found: dict[str, dict[str, Any]] = {name: {"images_per_second": _spread(rates[name])} for name in rates}
    for name in OURS:
        ratios = [ours / timms for ours, timms in zip(rates[name], rates[faster], strict=True)]
        found[name]["ratio"] = _spread(ratios)
    return {"timm": found[faster] | {"way": faster}, **found}


def _rate(side: Side) -> float:
    started = time.process_time()
    return sum(side()) / (time.process_time() - started)


def _decoded(files: list[Path]) -> Iterator[int]:
    for file in files:
        with Image.open(file) as image:
            image.load()
        yield 1


def _spread(values: list[float]) -> dict[str, float]:
    spread = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 2) for name, value in spread.items()}


def _cell(figures: dict[str, Any]) -> str:
    text = f"{figures['images_per_second']['median']:,.0f}"
    if "ratio" not in figures:
        return text
    ratio = figures["ratio"]
    return f"{text} = {ratio['median']:.1f} x ({ratio['min']:.1f}–{ratio['max']:.1f})"


if __name__ == "__main__":
    main()
