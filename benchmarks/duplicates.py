"""Are near-duplicates found, is anything else taken for one, and how long does it take? On drawn pictures.

python -m benchmarks.duplicates              recall, false merges, growth to 250,000 images; some 8 minutes
python -m benchmarks.duplicates --million    1,000,000 images alone; the result's other rows are kept
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import result
from benchmarks.changed_pictures import CHANGES, draw_pictures
from pipeline import terminal
from pipeline.artifacts import manifest
from pipeline.dataset.twins import duplicates
from pipeline.dataset.twins.phash import grey32, hash_of_grey, hashes_of
from pipeline.leaderboard import ledger

INDIVIDUALS = ((12, 70, 0), (102, 8, 1))  # species (the sample's and IP102's), pictures of each, seed
SOURCES = 12_000
SIZES, MILLION = (10_000, 75_222, 250_000), 1_000_000


def main() -> None:
    """Measure, print the tables, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--million", action="store_true", help="measure only 1,000,000 images")
    options = parser.parse_args()
    figures = {
        name: value
        for name, value in (manifest.read_json(result.RESULTS / "duplicates.json") or {}).items()
        if name in ("recall", "false_merges", "growth", "crowds")
    }
    sources = draw_greys()
    if not options.million:
        figures |= measure_quality()
        figures["false_merges"].append(measure_sources(sources))
        figures["crowds"] = [measured(crowd, name) for name in CROWDS]
    sizes = (MILLION,) if options.million else SIZES
    old = [row for row in figures.get("growth", []) if row["images"] not in sizes]
    new = [measured(simulation, sources, n) for n in sizes]
    figures["growth"] = sorted(old + new, key=lambda row: row["images"])
    show(figures)
    terminal.say(str(result.save("duplicates", figures)))


def draw_greys() -> np.ndarray:
    """Draw SOURCES different individuals of 120 species in all processes: float32 [SOURCES, 32, 32]."""
    seeds = range(1000, 1010)
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(_draw_greys, seeds))
    return np.concatenate(parts)


def _draw_greys(seed: int) -> np.ndarray:
    return np.stack([grey32(picture) for picture in draw_pictures(12, SOURCES // 120, seed)])


def measure_quality() -> dict[str, Any]:
    """Find each kind of changed copies among all pictures, and count what else is merged."""
    pictures = [picture for of in INDIVIDUALS for picture in draw_pictures(*of)]
    greys = [grey32(picture) for picture in pictures]
    n, rows, false = len(pictures), [], 0
    for kind, change in CHANGES.items():
        rng = np.random.default_rng(0)
        copies = [np.ascontiguousarray(change(picture, rng)) for picture in pictures]
        found = group(greys + [grey32(copy) for copy in copies]).group_of
        rows.append({"change": kind, "n": n, "recall": float((found[:n] == found[n:]).mean())})
        names, of = np.unique(found, return_inverse=True)
        held = [set((np.flatnonzero(of == name) % n).tolist()) for name in range(len(names))]
        false += sum(len(members) * (len(members) - 1) // 2 for members in held)
    pairs = len(CHANGES) * (2 * n * (2 * n - 1) // 2 - n)
    merged = [{"pictures": "with their copies", "pairs": pairs, "merged": false}]
    return {"recall": rows, "false_merges": merged}


def measure_sources(greys: np.ndarray) -> dict[str, Any]:
    """Count what is merged of different individuals."""
    found = group(list(greys))
    return {"pictures": "different", "pairs": len(greys) * (len(greys) - 1) // 2, "merged": found.near}


def group(greys: list[np.ndarray]) -> duplicates.Groups:
    hashes = np.array([hash_of_grey(grey) for grey in greys], np.uint64)
    return duplicates.find_groups(
        [str(row) for row in range(len(greys))], [""] * len(greys), hashes, greys.__getitem__
    )


def measured(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run something in a process of its own: its result."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def simulation(sources: np.ndarray, n: int) -> dict[str, Any]:
    """Group n pictures: drawn ones float32 [m, 32, 32], each turned by any angle, zoomed by up to a third."""

    def picture(row: int) -> np.ndarray:
        rng = np.random.default_rng(row)
        zoom = np.exp(rng.uniform(-0.3, 0.3))
        place = cv2.getRotationMatrix2D((15.5, 15.5), rng.uniform(0, 360), zoom)
        return cv2.warpAffine(sources[row % len(sources)], place, (32, 32), borderMode=cv2.BORDER_REPLICATE)

    return {"images": n, "commit": ledger.commit()} | timed(n, picture)


def crowd(kind: str) -> dict[str, Any]:
    """Group 20,000 images of a kind that has very many candidates."""
    return {"images": CROWD, "kind": kind} | timed(CROWD, CROWDS[kind])


def timed(n: int, picture: Callable[[int], np.ndarray]) -> dict[str, Any]:
    """Hash pictures float32 [32, 32], then group them by as many threads as there are cores."""
    cv2.setNumThreads(1)
    pieces = (range(first, min(first + 1000, n)) for first in range(0, n, 1000))
    hashes = np.concatenate([hashes_of(np.stack([picture(row) for row in rows])) for rows in pieces])
    before = peak_mb()
    wall, cpu = time.monotonic(), time.process_time()
    found = duplicates.find_groups([str(row) for row in range(n)], [""] * n, hashes, picture)
    return {
        "seconds": time.monotonic() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "threads": len(os.sched_getaffinity(0)),
        "peak_mb": peak_mb(),
        "peak_mb_before": before,
        "near": found.near,
        "too_large": len(found.too_large),
        "in_too_large": sum(map(len, found.too_large)),
    }


def peak_mb() -> float:
    """Return the most memory that this process, and no parent of it, ever held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def dark(row: int) -> np.ndarray:
    """A dark frame: noise alone."""
    rng = np.random.default_rng(row)
    return np.clip(rng.normal(4, rng.uniform(1, 4), (32, 32)), 0, 255).astype(np.float32)


def form(row: int) -> np.ndarray:
    """A form, filled in by different hands."""
    rng = np.random.default_rng(row)
    grey = np.full((32, 32), 230, np.float32)
    grey[2:4], grey[6:30:4, 3:29], grey[:, 16] = 60, 150, 200
    for _ in range(6):
        ends = rng.integers(5, 29, 4).tolist()
        cv2.line(grey, tuple(ends[:2]), tuple(ends[2:]), rng.uniform(40, 120))
    return grey


def resaved(row: int) -> np.ndarray:
    """One picture, saved again and again."""
    rng = np.random.default_rng(row)
    return (CLOUDS + rng.normal(size=(32, 32))).astype(np.float32)


def hazy(row: int) -> np.ndarray:
    """Weak noise over what is nearly one picture, so that the hashes lie close and the pictures don't."""
    rng = np.random.default_rng(row)
    return (0.2 * CLOUDS + rng.normal(size=(32, 32)) * 2.5).astype(np.float32)


CLOUDS = cv2.GaussianBlur(np.random.default_rng(5).normal(size=(32, 32)), (0, 0), 3)
CLOUDS = CLOUDS / CLOUDS.std() * 30 + 128
CROWD = 20_000
CROWDS = {"dark frames": dark, "forms": form, "one picture, saved again": resaved, "haze": hazy}


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    rows = [[row["change"], str(row["n"]), f"{row['recall']:.3f}"] for row in figures.get("recall", [])]
    terminal.table("Sample data (drawn): copies that are found", ["change", "pictures", "recall"], rows)
    rows = [
        [row["pictures"], f"{row['pairs']:,}", str(row["merged"])] for row in figures.get("false_merges", [])
    ]
    terminal.table("Different individuals", ["pictures", "pairs", "merged"], rows)
    columns = ["images", "seconds", "CPU seconds", "threads", "peak MB", "MB before", "near", "in too large"]
    for title, kind in (("Growth", "growth"), ("Crowds", "crowds")):
        rows = [
            [
                f"{row['images']:,} {row.get('kind', '')}".strip(),
                f"{row['seconds']:.1f}",
                f"{row['cpu_seconds']:.1f}",
                str(row["threads"]),
                f"{row['peak_mb']:.0f}",
                f"{row['peak_mb_before']:.0f}",
                f"{row['near']:,}",
                f"{row['in_too_large']:,}",
            ]
            for row in figures.get(kind, [])
        ]
        terminal.table(title, columns, rows)


if __name__ == "__main__":
    main()
