"""P5: prepare and folds on images drawn with IP102's counts and sizes: time, images a second, peak memory.

python -m benchmarks.prepare [FOLDER]                    75,222 images (4 GB, and 22 GB of cache), 2 cores
python -m benchmarks.prepare [FOLDER] --images 4000      a smaller drawing of the same shares
python -m benchmarks.prepare [FOLDER] --codec jpeg       the cache as JPEGs; default: what prepare decides

What is drawn stays in FOLDER and is used again. Every step is a process of its own on the same cores; the
floor is to read, hash and decode the same files and nothing else, the files being in the system's cache as
far as it holds them. Memory is what all processes of a step hold at one time, each of its own (RssAnon) and
together (RssShmem); pages of mapped shards are the system's.
"""

import argparse
import hashlib
import io
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks import result
from pipeline import config, terminal
from pipeline.artifacts import manifest, paths, writer
from pipeline.dataset.lookalike_plan import IMAGES

LAYOUT = "lists"
SAMPLE_SECONDS = 0.2
TITLES = {
    "floor": "floor: read, sha256, Pillow's decoding",
    "prepare": "prepare, all of it",
    "grouping": "of that, grouping (done again alone)",
    "grouping anew": "grouping that reads all pictures from the cache",
    "folds": "folds",
    "up to date": "prepare again: up to date",
    "one file changed": "prepare again: one file changed",
}


def main() -> None:
    """Draw what isn't drawn yet, time the steps, print the table, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="for images and cache; default: a new one")
    parser.add_argument("--images", type=int, default=sum(IMAGES))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--codec", choices=["auto", "raw", "jpeg"], default="auto")
    parser.add_argument("--rounds", type=int, default=1, help="times that every step is timed")
    parser.add_argument("--step", choices=["floor", "grouping", "grouping-anew"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = (options.folder or Path(tempfile.mkdtemp())).absolute()
    root = folder / f"ip102-{options.images}"
    if options.step:
        STEPS[options.step](root, options)
        return
    draw(root, options.images)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])  # of every step's processes too
    rounds = [measure(root, options) for _ in range(options.rounds)]
    figures = {name: summary([found[name] for found in rounds], options.images) for name in TITLES}
    facts = manifest.facts(paths.cache_manifest(configured(root, options)))
    cached = f"a cache of {facts['short_side']} px ({facts['codec']})"
    terminal.table(
        f"{options.images:,} images drawn like IP102's, {options.cores} cores, {cached}",
        ["step", "time", "images/s", "memory", "of the largest process"],
        [[TITLES[name], *cells(figures[name])] for name in TITLES],
    )
    content = {
        "n": options.rounds,
        "images": options.images,
        "cores": options.cores,
        "short_side": facts["short_side"],
        "codec": facts["codec"],
        "load_average": round(os.getloadavg()[0], 1),
        "drawn_megabytes": round(sum(path.stat().st_size for path in files_of(root)) / 1e6),
        "cached_megabytes": round(sum(path.stat().st_size for path in shards_of(root, options)) / 1e6),
        "prepare_over_floor": round(figures["prepare"]["seconds"] / figures["floor"]["seconds"], 2),
        "steps": figures,
    }
    terminal.say(str(result.save("prepare", content)))


def draw(root: Path, images: int) -> None:
    """Draw the images into `root`, unless that was done before."""
    truth = root.with_name(root.name + "-truth")
    known = manifest.read_json(truth / "drawing.json") or {}
    if (known.get("images"), known.get("layout")) == (images, LAYOUT) and (root / "test.txt").exists():
        return
    command = ["-m", "pipeline.dataset.sample", "--like", "ip102", "--layout", LAYOUT]
    subprocess.run(
        [sys.executable, *command, "--images", str(images), "--root", str(root)],
        check=True,
        env=environment(),
    )


def configured(root: Path, options: argparse.Namespace) -> config.Config:
    return config.load("ip102", overrides(root, options))


def overrides(root: Path, options: argparse.Namespace) -> list[str]:
    """Return what is set beside the preset ip102: where things are, and no download."""
    folders = {name: root.with_name(f"{root.name}-out") / name for name in ("data", "folds", "runs")}
    return [
        f'data.root="{root}"',
        'data.kaggle_dataset=""',
        f"cache.codec={options.codec}",
        f"cache.workers={options.cores}",
        *(f'paths.{name}="{folder}"' for name, folder in folders.items()),
    ]


def measure(root: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Time every step once, from no cache at all."""
    stage = [*("--config", "ip102"), *overrides(root, options)]
    own = [str(root.parent), "--images", str(options.images), "--cores", str(options.cores)]
    found = {"floor": timed(["benchmarks.prepare", *own, "--step", "floor"])}
    writer.remove(root.with_name(f"{root.name}-out"))
    found["prepare"] = timed(["pipeline.prepare", *stage])
    for name in ("grouping", "grouping anew"):
        step = ["--codec", options.codec, "--step", name.replace(" ", "-")]
        found[name] = timed(["benchmarks.prepare", *own, *step])
    found["folds"] = timed(["pipeline.folds", *stage])
    found["up to date"] = timed(["pipeline.prepare", *stage])
    one, other = files_of(root)[:2]
    kept = one.read_bytes()
    try:
        writer.publish_bytes(one, other.read_bytes())
        found["one file changed"] = timed(["pipeline.prepare", *stage])
    finally:
        writer.publish_bytes(one, kept)
    return found


def timed(module: Sequence[str]) -> dict[str, float]:
    """Run `python -m MODULE …`: seconds, and peak megabytes of all its processes and of one."""
    started, total, largest = time.monotonic(), 0.0, 0.0
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(command, env=environment()) as process:
        while process.poll() is None:
            pids = tree(process.pid)
            held = [megabytes(pid, "RssAnon") for pid in pids]
            shared = max((megabytes(pid, "RssShmem") for pid in pids), default=0.0)
            total, largest = max(total, sum(held) + shared), max(largest, *held, 0.0)
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {"seconds": time.monotonic() - started, "megabytes": total, "largest_megabytes": largest}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(other for child in children for other in tree(int(child)))]


def megabytes(pid: int, kind: str) -> float:
    """Return what a process holds of its own (RssAnon) or with others (RssShmem), 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith(kind + ":")), 0.0)


def files_of(root: Path) -> list[Path]:
    return sorted((root / "images").iterdir())


def shards_of(root: Path, options: argparse.Namespace) -> list[Path]:
    return sorted(paths.cache(configured(root, options)).glob("shard-*.u8"))


def summary(rounds: Sequence[dict[str, float]], images: int) -> dict[str, Any]:
    """Return the median of each figure, and each round's seconds."""
    found = {name: round(statistics.median(one[name] for one in rounds), 2) for name in rounds[0]}
    seconds = [round(one["seconds"], 2) for one in rounds]
    return {**found, "images_a_second": round(images / found["seconds"], 1), "rounds": seconds}


def cells(figures: dict[str, Any]) -> list[str]:
    return [
        terminal.duration(figures["seconds"]),
        f"{figures['images_a_second']:,.0f}",
        f"{figures['megabytes']:,.0f} MB",
        f"{figures['largest_megabytes']:,.0f} MB",
    ]


def run_floor(root: Path, options: argparse.Namespace) -> None:
    with multiprocessing.get_context("spawn").Pool(options.cores) as pool:
        for _ in pool.imap_unordered(decode_plainly, files_of(root), chunksize=64):
            pass


def decode_plainly(path: Path) -> str:
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    return hashlib.sha256(data).hexdigest()


def run_grouping(root: Path, options: argparse.Namespace) -> None:
    from pipeline.dataset.cache import cache_of
    from pipeline.dataset.survey import read_audit
    from pipeline.dataset.twins import grouping
    from pipeline.dataset.twins.album import open_album

    folder = paths.cache(configured(root, options))
    audit, found = read_audit(folder), manifest.read(folder / "manifest.json")
    if audit is None or found is None:
        raise SystemExit(f"{folder} holds no images.parquet")
    audit = audit.drop(columns=list(grouping.COLUMNS))
    images = cache_of(folder, audit, found["facts"]["shards"])
    cached = {
        name.removeprefix("cache."): value for name, value in found["config"].items() if "cache." in name
    }
    album = open_album(folder / "pictures.npz", {**cached, "groups": grouping.VERSION})
    grouping.with_groups(
        audit, images, None, options.cores, None, None if options.step == "grouping-anew" else album
    )


STEPS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "floor": run_floor,
    "grouping": run_grouping,
    "grouping-anew": run_grouping,
}


if __name__ == "__main__":
    main()
