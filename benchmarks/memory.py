"""P8: how much memory training takes, against the images on disk: a fold of 1,000, of 10,000 and of 75,000.

python -m benchmarks.memory                            some 5 minutes on 2 cores

Drawn files of 64 x 48, prepared as any data, then one epoch of a tiny network: what grows with the images is
ours, not the model's. Every size trains in a process of its own; memory is what it holds of its own at most
(RssAnon), since pages of the mapped cache are the system's, which takes them back.
"""

import argparse
import multiprocessing
import os
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import result
from benchmarks.prepare import megabytes
from pipeline import prepare, terminal
from pipeline.artifacts import paths
from pipeline.config import Config, Member, resolve
from pipeline.dataset.cache import open_cache
from pipeline.dataset.loader import rows_of
from pipeline.learn.fold import FoldData, train_fold
from pipeline.learn.run_record import RunRecord
from pipeline.learn.runtime import Choice, build_runtime
from pipeline.learn.weights import RANDOM
from pipeline.randomness import generator

SIZES = (1_000, 10_000, 75_000)
WIDTH, HEIGHT, SIDE, CLASSES, HELD_OUT = 64, 48, 32, 8, 64
SAMPLE_SECONDS = 0.05


def main() -> None:
    """Draw, prepare and train for each size, print the table, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="images")
    options = parser.parse_args()
    rows = [_alone(measure, n) for n in options.sizes]
    terminal.table(
        "training, memory of the process",
        ["images", "before, MB", "most, MB", "cache, MB", "steps"],
        [
            [
                f"{row['images']:,}",
                *(f"{row[name]:,.0f}" for name in ("before_mb", "peak_mb", "cache_mb", "steps")),
            ]
            for row in rows
        ],
    )
    growth = rows[-1]["peak_mb"] / rows[0]["peak_mb"]
    terminal.say(f"{rows[-1]['images'] / rows[0]['images']:.0f} x the images, {growth:.2f} x the memory")
    terminal.say(str(result.save("memory", {"n": 1, "sizes": rows, "growth": growth})))


def _alone(work: Any, *arguments: Any) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def measure(images: int) -> dict[str, Any]:
    """Train an epoch on so many images; the files and the cache were made by another process."""
    with tempfile.TemporaryDirectory() as folder:
        cache_mb = _alone(draw_and_prepare, Path(folder), images)["cache_mb"]
        config = configure(Path(folder))
        cache = open_cache(paths.cache(config))
        member: Member = config.members[0]
        choice = Choice(member.train.threads, "float32", "float32", "contiguous")
        rows = rows_of(cache, "train", cache.table["id"].tolist())
        targets = cache.table["target"].to_numpy()
        data = FoldData(cache, targets, CLASSES, rows[HELD_OUT:], rows[:HELD_OUT])
        before, seen, over = megabytes(os.getpid(), "RssAnon"), [0.0], threading.Event()

        def watch() -> None:
            while not over.wait(SAMPLE_SECONDS):
                seen.append(megabytes(os.getpid(), "RssAnon"))

        sampler = threading.Thread(target=watch)
        sampler.start()
        steps = 0

        def count(_: Any) -> None:
            nonlocal steps
            steps += 1

        try:
            train_fold(
                config, member, 0, data, RunRecord(RANDOM, choice), build_runtime(member.train, choice),
                Path(folder, "run"), "benchmark", count,
            )  # fmt: skip
        finally:
            over.set()
            sampler.join()
    return {"images": images, "before_mb": before, "peak_mb": max(seen), "cache_mb": cache_mb, "steps": steps}


def draw_and_prepare(folder: Path, images: int) -> dict[str, float]:
    """Write small JPEG files of coloured blotches, a folder a class, and run the stage `prepare`."""
    config = configure(folder)
    root = paths.data_root(config)
    for i in range(images):
        coarse = generator(0, "blotches", i).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        path = root / f"class{i % CLASSES}" / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=90)
    prepare.run(config, argparse.Namespace(verify=False))
    size = sum(file.stat().st_size for file in paths.cache(config).rglob("*") if file.is_file())
    return {"cache_mb": size / 1e6}


def configure(folder: Path) -> Config:
    train = {"size": SIDE, "epochs": 1, "batch": 32, "threads": 1, "device": "cpu", "workers": 0}
    tables = {
        "data": {"name": "blotches", "metric": "accuracy"},
        "cache": {"short_side": HEIGHT, "codec": "raw"},
        "paths": {name: str(folder / name) for name in ("data", "runs", "folds", "submissions")},
        "train": train,
        "members": [{"model": "test_resnet", "weights": "random"}],
    }
    return resolve(tables, {}, "benchmark")


if __name__ == "__main__":
    main()
