"""Predict: the test images by every fold's model of every member, in every view; each image is read once.

A validation split that is held out (data.use_val) is predicted with them. At the end test and training images
are compared: when a simple model can tell them apart, the folds' scores may not hold on the test set.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import terminal
from pipeline.artifacts import lock, manifest, paths, predictions, state
from pipeline.artifacts.jobs import Job, can_find_jobs, has_test, predicted_jobs
from pipeline.artifacts.state import State
from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.learn import shift

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pipeline.dataset.cache import Cache
    from pipeline.learn.inference import Predictor

STAGE = "predict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the configuration says it all."""


def states(config: Config) -> list[State]:
    """Return a line for each model of each member; none without test images.

    The comparison with the training images has no line: nothing stands on it but a section of the report.
    """
    if not can_find_jobs(config):
        return [state.waiting(STAGE, member.name) for member in config.members]
    if not has_test(config):
        return []
    held = _lock(config)
    return [
        state.of(job.test_manifest, job.test, job.title, job.fold, held) for job in predicted_jobs(config)
    ]


def run(config: Config, options: argparse.Namespace) -> None:
    """Predict with each model whose test.npz isn't up to date, and compare test with training images."""
    if not has_test(config):
        terminal.stage(STAGE, "no test images: nothing to predict")
        return
    jobs = predicted_jobs(config)
    todo = _stale(jobs)
    if not todo:
        terminal.stage(STAGE, f"up to date ({len(jobs)} models)")
        if shift.stale(config) is None:
            return
    else:
        for job in jobs:
            job.check_trained()
    with lock.hold(_lock(config), "predicting"):
        if todo := _stale(jobs):
            _predict(config, todo)
        if shift.stale(config):
            terminal.stage(STAGE, shift.sentence(shift.compare(config)))


def _stale(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if manifest.stale(job.test_manifest, job.test)]


def _lock(config: Config) -> Path:
    return paths.competition(config) / "predict.lock"


def _predict(config: Config, jobs: Sequence[Job]) -> None:
    import numpy as np

    from pipeline.dataset.cache import open_cache
    from pipeline.dataset.official import SPLITS

    started = time.monotonic()
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    predictors = _predictors(jobs, len(classes))
    cache = open_cache(paths.cache(config))
    rows = np.flatnonzero(cache.table["split"].isin(SPLITS))
    if len(rows) == 0:
        raise DataError(
            f"no test image can be read: the reasons are in {paths.cache(config) / 'images.parquet'}."
        )
    read = cache.table.iloc[rows]
    forward = np.zeros((len(jobs), len(config.predict.views)))
    probs = _probs(config, predictors, cache, rows, forward)
    ids, probs = _with_unreadable(config, read["id"].to_numpy(), probs, classes)
    seconds = time.monotonic() - started
    milliseconds = 1000 * forward / len(rows)
    for job, job_probs, own in zip(jobs, probs, milliseconds, strict=True):
        _publish(config, job, ids, job_probs, classes, seconds / len(jobs), own)
    terminal.stage(
        STAGE,
        f"{_counted(read['split'])} × {len(jobs)} models × {len(config.predict.views)} views in "
        f"{terminal.duration(seconds)}, each image read once",
    )


def _probs(
    config: Config,
    predictors: "Sequence[Predictor]",
    cache: "Cache",
    rows: "np.ndarray",
    forward: "np.ndarray",
) -> "np.ndarray":
    """Return float32 [models, views, n, C]; `forward` [models, views] gets the seconds of each."""
    from pipeline.dataset.loader import predict_loader
    from pipeline.learn.inference import predict_probs

    frames = list(dict.fromkeys(predictor.frame for predictor in predictors))
    runtime = predictors[0].runtime
    loader = predict_loader(cache, rows, frames, config.predict.batch, runtime.workers, runtime.device)
    started = time.monotonic()
    with terminal.progress(STAGE) as line:

        def report(done: int, total: int) -> None:
            speed = done / (time.monotonic() - started)
            left = terminal.duration((total - done) / speed)
            line.update(
                done / total, f"{done}/{total} images × {len(predictors)} models  {speed:.0f}/s  left {left}"
            )

        return predict_probs(predictors, loader, frames, config.predict.views, report, forward)


def _predictors(jobs: Sequence[Job], classes: int) -> "list[Predictor]":
    from pipeline.learn.trained import load_predictor

    return [load_predictor(job, classes) for job in jobs]


def _with_unreadable(
    config: Config, ids: "np.ndarray", probs: "np.ndarray", classes: Sequence[str]
) -> "tuple[np.ndarray, np.ndarray]":
    """Add the test rows that can't be read, with the classes' shares: a submission needs every id."""
    import numpy as np
    import pandas as pd

    from pipeline.dataset.folds.folds_file import load_folds
    from pipeline.dataset.official import SPLITS

    table = pd.read_parquet(paths.cache(config) / "images.parquet", columns=["id", "split", "shard"])
    table = table[table["split"].isin(SPLITS) & (table["shard"] < 0)]
    if table.empty:
        return ids, probs
    unread = table["id"].to_numpy()
    number = {name: i for i, name in enumerate(classes)}
    counts = np.bincount([number[label] for label in load_folds(config).labels], minlength=len(classes))
    shares = (counts / counts.sum()).astype(np.float32)
    prior = np.broadcast_to(shares, (*probs.shape[:2], len(unread), len(classes)))
    terminal.warn(
        f"{_counted(table['split'])} can't be read: they get the classes' shares ({unread[0]!r}, …)."
    )
    return np.concatenate([ids, unread]), np.concatenate([probs, prior], axis=2)


def _counted(splits: "pd.Series") -> str:
    """Say how many images there are: "20 test images", "15 validation and 20 test images"."""
    counts = splits.value_counts()
    names = [(name, what) for name, what in (("val", "validation"), ("test", "test")) if name in counts]
    return " and ".join(f"{counts[name]} {what}" for name, what in names) + " images"


def _publish(
    config: Config,
    job: Job,
    ids: "np.ndarray",
    probs: "np.ndarray",
    classes: Sequence[str],
    seconds: float,
    milliseconds: "np.ndarray",
) -> None:
    """Publish a model's predictions; its manifest says how many milliseconds an image each view took."""
    import numpy as np

    found = predictions.Predictions(
        np.array(ids, dtype=np.str_),
        np.array(classes, dtype=np.str_),
        np.array(config.predict.views, dtype=np.str_),
        probs,
        np.array(-1 if job.fold is None else job.fold),
        str(job.test.config["folds"]),
    )
    predictions.save(job.file("test.npz"), found)
    took = dict(zip(config.predict.views, milliseconds.round(4).tolist(), strict=True))
    manifest.publish(
        job.test_manifest, job.test, [job.file("test.npz")], seconds, {"view_milliseconds": took}
    )


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
