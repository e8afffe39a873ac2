"""P3: a whole k-fold job against timm's train.py and fastai: same images, folds, weights and machine.

python -m benchmarks.peers                    the drawn sample's training images, 3 folds, 3 seeds
python -m benchmarks.peers --root FOLDER      any folder of class folders, FOLDER/CLASS/*
python -m benchmarks.peers --work DIR         what was measured is kept in DIR: the same command goes on there

A job's seconds count everything from an empty folder to the out-of-fold probabilities of all rows: ours is
one command, which also prepares the images, searches duplicates and makes the folds; timm's is peer_timm.py,
two processes a fold; fastai's is peer_fastai.py. They take turns, seed by seed. Scores are macro-F1.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import result
from benchmarks.peer_jobs import (
    FASTAI,
    FOLDS,
    MODEL,
    SIZE,
    Setting,
    drawn_root,
    fastai_job,
    our_job,
    set_up,
    timm_job,
)
from pipeline import terminal
from pipeline.artifacts import manifest, writer
from pipeline.score.metrics import METRICS

TIMM = {f"timm, {epochs} epochs": epochs for epochs in (2, 3, 4, 6)}
FASTAI_NAME = "fastai, 6 epochs"
PLAIN = "ours, 6 epochs"
OURS: dict[str, dict[str, Any]] = {
    PLAIN: {"epochs": 6},
    "ours, 6 epochs, 96–160 px": {"epochs": 6, "sizes": [96, 128, 160]},
    "ours, 4 epochs, 96–160 px": {"epochs": 4, "sizes": [96, 128, 160]},
    "ours, 3 epochs, 96–160 px": {"epochs": 3, "sizes": [96, 128, 160]},
}
Job = Callable[[int, Path], np.ndarray]


def main() -> None:
    """Measure what isn't measured yet, print the table, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="class folders; default: the sample's training images")
    parser.add_argument("--work", type=Path, help="where the jobs work; default: a new folder")
    parser.add_argument("--seeds", type=int, default=3, help="how often each job is done")
    options = parser.parse_args()
    work = (options.work or Path(tempfile.mkdtemp())).absolute()
    setting = set_up(work, options.root.absolute() if options.root else drawn_root(work / "drawn"))
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        for name, job in jobs_of(setting).items():
            found.setdefault(name, []).append(measured(setting, name, seed, job))
    figures = {
        "n": options.seeds,
        "data": "a folder of class folders" if options.root else "sample data (drawn)",
        "images": len(setting.rows),
        "classes": len(setting.classes),
        "model": MODEL,
        "folds": FOLDS,
        "size": SIZE,
        "timm_dtype": setting.dtype,
        "fastai": FASTAI[0],
        "jobs": summarised(found),
        "ratios": ratios(found),
    }
    show(figures)
    terminal.say(str(result.save("peers", figures)))


def jobs_of(setting: Setting) -> dict[str, Job]:
    """Return the jobs by name, each a function of the seed and its own folder."""
    timms = {name: _timm(setting, epochs) for name, epochs in TIMM.items()}
    ours = {name: _ours(setting, recipe) for name, recipe in OURS.items()}
    return timms | {FASTAI_NAME: lambda seed, own: fastai_job(setting, 6, seed, own)} | ours


def measured(setting: Setting, name: str, seed: int, job: Job) -> dict[str, float]:
    """Return a job's seconds and score, from the file that keeps them where it was done before."""
    own = setting.work / "jobs" / f"{name}, seed {seed}"
    kept = own.with_suffix(".json")
    known = manifest.read_json(kept)
    if known is not None:
        return known
    shutil.rmtree(own, ignore_errors=True)
    started = time.monotonic()
    probs = job(seed, own)
    seconds = time.monotonic() - started
    targets = np.array([setting.classes.index(label) for label in setting.rows["label"]])
    score = METRICS["macro-f1"].function(targets, probs.argmax(1), len(setting.classes))
    found = {"seconds": round(seconds, 1), "score": score, "load_average": round(os.getloadavg()[0], 1)}
    writer.publish_bytes(kept, json.dumps(found).encode())
    terminal.say(f"{name}, seed {seed}: {seconds:.0f} s, macro-F1 {score:.4f}")
    return found


def summarised(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Return each job's median, least and most seconds, and its mean score with all of them."""
    return {
        name: {
            "seconds": _spread([one["seconds"] for one in ones]),
            "score": round(statistics.mean(one["score"] for one in ones), 4),
            "scores": [round(one["score"], 4) for one in ones],
            "load_average": max(one["load_average"] for one in ones),
        }
        for name, ones in found.items()
    }


def ratios(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Compare ours with each peer: in equal steps, and the quickest of ours whose mean score is no lower.

    timm's number of epochs at an equal score is the one with the best mean score.
    """
    mean = {name: statistics.mean(one["score"] for one in ones) for name, ones in found.items()}
    best = max(TIMM, key=lambda name: mean[name])
    six = next(name for name, epochs in TIMM.items() if epochs == 6)
    pairs = {"timm, equal steps": (PLAIN, six), "fastai, equal steps": (PLAIN, FASTAI_NAME)}
    for title, peer in (("timm, equal score", best), ("fastai, equal score", FASTAI_NAME)):
        reached = [name for name in OURS if mean[name] >= mean[peer]]
        if reached:
            median = {name: statistics.median(one["seconds"] for one in found[name]) for name in reached}
            pairs[title] = (min(reached, key=lambda name: median[name]), peer)
    return {
        title: {"ours": ours, "peer": peer}
        | _spread([a["seconds"] / b["seconds"] for a, b in zip(found[ours], found[peer], strict=True)], 3)
        for title, (ours, peer) in pairs.items()
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print the table and the ratios."""
    rows = [
        [name, *(f"{job['seconds'][key]:.0f}" for key in ("median", "min", "max")), f"{job['score']:.4f}"]
        for name, job in figures["jobs"].items()
    ]
    job = f"{figures['images']} images, {FOLDS} folds, {MODEL}, {SIZE} px, n = {figures['n']}"
    terminal.table(f"{figures['data']}: {job}", ["job", "seconds", "least", "most", "macro-F1 (mean)"], rows)
    for name, ratio in figures["ratios"].items():
        spread = f"{ratio['median']:.3f} ({ratio['min']:.3f}–{ratio['max']:.3f})"
        terminal.say(f"{name}: {spread} of its time, {ratio['ours']} against {ratio['peer']}")


def _timm(setting: Setting, epochs: int) -> Job:
    return lambda seed, own: timm_job(setting, epochs, seed, own)


def _ours(setting: Setting, recipe: dict[str, Any]) -> Job:
    return lambda seed, own: our_job(setting, recipe, seed, own)


def _spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    spread = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, digits) for name, value in spread.items()}


if __name__ == "__main__":
    main()
