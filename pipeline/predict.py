"""Predict: the test images by every fold's model of every member, in every view; each image is read once."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import terminal
from pipeline.artifacts import lock, manifest, paths, predictions, state
from pipeline.artifacts.jobs import Job, can_find_jobs, find_jobs, has_test
from pipeline.artifacts.state import State
from pipeline.config import Config
from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from pipeline.learn.inference import Predictor

STAGE = "predict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the configuration says it all."""


def states(config: Config) -> list[State]:
    """Return a line for each fold of each member; none without test images."""
    if not can_find_jobs(config):
        return [state.waiting(STAGE, member.name) for member in config.members]
    if not has_test(config):
        return []
    held = _lock(config)
    return [
        state.of(job.test_manifest, job.test, job.member.name, job.fold, held) for job in find_jobs(config)
    ]


def run(config: Config, options: argparse.Namespace) -> None:
    """Predict with each model whose test.npz isn't up to date."""
    if not has_test(config):
        terminal.stage(STAGE, "no test images: nothing to predict")
        return
    jobs = find_jobs(config)
    if not _stale(jobs):
        terminal.stage(STAGE, f"up to date ({len(jobs)} models)")
        return
    _check_trained(jobs)
    with lock.hold(_lock(config), "predicting"):
        if todo := _stale(jobs):
            _predict(config, todo)


def _stale(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if manifest.stale(job.test_manifest, job.test)]


def _lock(config: Config) -> Path:
    return paths.competition(config) / "predict.lock"


def _check_trained(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if why := manifest.stale(job.oof_manifest, job.oof):
            raise DataError(
                f"fold {job.fold} of {job.member.name} isn't trained ({why}): "
                f"python -m pipeline.train --fold {job.fold} --member {job.member.name}"
            )


def _predict(config: Config, jobs: Sequence[Job]) -> None:
    import numpy as np

    from pipeline.dataset.cache import open_cache
    from pipeline.dataset.loader import predict_loader
    from pipeline.learn.inference import predict_probs

    started = time.monotonic()
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    predictors = _predictors(jobs, len(classes))
    cache = open_cache(paths.cache(config))
    rows = np.flatnonzero(cache.table["split"] == "test")
    if len(rows) == 0:
        raise DataError(
            f"no test image can be read: the reasons are in {paths.cache(config) / 'images.parquet'}."
        )
    frames = list(dict.fromkeys(predictor.frame for predictor in predictors))
    runtime = predictors[0].runtime
    loader = predict_loader(cache, rows, frames, config.predict.batch, runtime.workers, runtime.device)
    with terminal.progress(STAGE) as line:

        def report(done: int, total: int) -> None:
            speed = done / (time.monotonic() - started)
            left = terminal.duration((total - done) / speed)
            line.update(
                done / total, f"{done}/{total} images × {len(jobs)} models  {speed:.0f}/s  left {left}"
            )

        probs = predict_probs(predictors, loader, frames, config.predict.views, report)
    ids, probs = _with_unreadable(config, cache.table["id"].to_numpy()[rows], probs, classes)
    seconds = time.monotonic() - started
    for job, job_probs in zip(jobs, probs, strict=True):
        _publish(config, job, ids, job_probs, classes, seconds / len(jobs))
    terminal.stage(
        STAGE,
        f"{len(ids)} test images × {len(jobs)} models × {len(config.predict.views)} views in "
        f"{terminal.duration(seconds)}, each image read once",
    )


def _predictors(jobs: Sequence[Job], classes: int) -> "list[Predictor]":
    from pipeline.learn.inference import build_predictor, load_weights
    from pipeline.learn.run_record import empty_model, recorded_choice
    from pipeline.learn.runtime import build_runtime

    predictors = []
    for job in jobs:
        runtime = build_runtime(job.member.train, recorded_choice(job.run_folder))
        model = empty_model(job.member, classes)
        load_weights(model, manifest.verified_bytes(job.file("model.safetensors"), job.model_manifest))
        predictors.append(build_predictor(model, job.member.train, runtime))
    return predictors


def _with_unreadable(
    config: Config, ids: "np.ndarray", probs: "np.ndarray", classes: Sequence[str]
) -> "tuple[np.ndarray, np.ndarray]":
    """Add the test rows that can't be read, with the classes' shares: a submission needs every id."""
    import numpy as np
    import pandas as pd

    from pipeline.dataset.folds_file import load_folds

    table = pd.read_parquet(paths.cache(config) / "images.parquet", columns=["id", "split", "shard"])
    unread = table.loc[(table["split"] == "test") & (table["shard"] < 0), "id"].to_numpy()
    if len(unread) == 0:
        return ids, probs
    labels = load_folds(config).labels
    shares = np.array([labels.count(name) for name in classes], dtype=np.float64)
    prior = np.broadcast_to(
        (shares / shares.sum()).astype(np.float32), (*probs.shape[:2], len(unread), len(classes))
    )
    terminal.warn(
        f"{len(unread)} test images can't be read: they get the classes' shares ({unread[0]!r}, …)."
    )
    return np.concatenate([ids, unread]), np.concatenate([probs, prior], axis=2)


def _publish(
    config: Config, job: Job, ids: "np.ndarray", probs: "np.ndarray", classes: Sequence[str], seconds: float
) -> None:
    import numpy as np

    found = predictions.Predictions(
        np.array(ids, dtype=np.str_),
        np.array(classes, dtype=np.str_),
        np.array(config.predict.views, dtype=np.str_),
        probs,
        np.array(job.fold),
        str(job.test.config["folds"]),
    )
    predictions.save(job.file("test.npz"), found)
    manifest.publish(job.test_manifest, job.test, [job.file("test.npz")], seconds)


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
