"""One job of the training stage: train a fold and publish the model, predict its held-out rows."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline import terminal
from pipeline.artifacts import manifest, paths, predictions, writer
from pipeline.artifacts.jobs import Job
from pipeline.artifacts.training_log import read_epochs
from pipeline.config import Config, largest_side
from pipeline.dataset.cache import Cache, open_cache
from pipeline.dataset.folds.folds_file import Folds, load_folds
from pipeline.dataset.loader import count_steps, predict_loader, rows_of
from pipeline.errors import ResourceError, UsageError
from pipeline.learn import checkpoint
from pipeline.learn.ema import EMA_LEAST_STEPS
from pipeline.learn.fold import FoldData, Step, Watch, train_fold
from pipeline.learn.inference import build_predictor, frame_of, load_weights, predict_probs
from pipeline.learn.run_record import RunRecord, empty_model, open_run, recorded_choice, weights_name
from pipeline.learn.runtime import Runtime, build_runtime
from pipeline.score.metrics import METRICS, find_metric
from pipeline.score.splits import training_rows


@dataclass
class Work:
    """What the folds of this process share; `speeds` are images/s, measured, for the time that is left.

    `watched` is told of each step and may end the training by raising.
    """

    config: Config
    folds: Folds
    cache: Cache
    targets: np.ndarray
    rows: np.ndarray
    classes: list[str]
    todo: list[Job]
    deadlines: dict[str, float]
    records: dict[Path, RunRecord] = field(default_factory=dict)
    speeds: dict[str, float] = field(default_factory=dict)
    watched: Callable[[Step], None] | None = None


def open_work(config: Config, todo: list[Job]) -> Work:
    """Open the folds and the cache once for all jobs; raises DataError where one doesn't fit the other."""
    folds = load_folds(config)
    cache = open_cache(paths.cache(config))
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    limits = {
        member.name: 60 * member.train.max_minutes for member in config.members if member.train.max_minutes
    }
    deadlines = {name: time.monotonic() + seconds for name, seconds in limits.items()}
    return Work(
        config,
        folds,
        cache,
        cache.table["target"].to_numpy(),
        rows_of(cache, "train", folds.ids),
        classes,
        list(todo),
        deadlines,
    )


def train_job(work: Work, job: Job, why: str) -> None:
    """Train a fold, publish its model, then its held-out rows' predictions; the manifest is the commit."""
    started = time.monotonic()
    member, name = job.member, f"{job.title} fold {job.fold}"
    if job.oof_manifest.exists():
        terminal.stage("train", f"{name} again: {why}")
    model_file = job.file("model.safetensors")
    if manifest.stale(job.model_manifest, job.model):
        if job.run_folder not in work.records:
            work.records[job.run_folder] = open_run(work.config, member, job.run_folder, len(work.classes))
            _tell_ema(work, job)
        record = work.records[job.run_folder]
        runtime = build_runtime(member.train, record.choice)
        with terminal.progress("train") as line, _plain_faults(job):
            model = train_fold(
                work.config,
                member,
                job.fold,
                fold_data(work, job.fold),
                record,
                runtime,
                job.folder,
                _identity(work, job, record),
                _watch(work, job, line),
                work.deadlines.get(member.name, float("inf")),
            )
        facts = {"member": member.name, "model": member.model, "fold": job.fold, "classes": work.classes}
        writer.publish_bytes(model_file, checkpoint.model_bytes(model, facts))
        manifest.publish(job.model_manifest, job.model, [model_file], time.monotonic() - started)
    else:
        runtime = build_runtime(member.train, recorded_choice(job.run_folder))
        model = empty_model(member, len(work.classes))
        load_weights(model, manifest.verified_bytes(model_file, job.model_manifest))
    _predict_oof(work, job, model, runtime)
    checkpoint.remove(job.folder)


def _identity(work: Work, job: Job, record: RunRecord) -> str:
    """Digest all that a half-trained fold depends on: with anything else its checkpoint doesn't count."""
    versions = [
        job.model.version,
        *(manifest.version_of(name) for name in ("torch", "timm", "albumentations")),
    ]
    choice = dataclasses.asdict(record.choice)
    short_side = manifest.facts(paths.cache_manifest(work.config))["short_side"]
    began = [checkpoint.FORMAT, job.model.config, choice, record.source.sha256, short_side, versions]
    return manifest.digest(began)


def _tell_ema(work: Work, job: Job) -> None:
    train = job.member.train
    steps = train.epochs * count_steps(int(_trains(work, job.fold).sum()), train.batch)
    if train.ema and steps < EMA_LEAST_STEPS:
        text = f"{job.title}: {steps} steps a fold are too few for averaged weights (EMA): off"
        terminal.stage("train", text)


@contextlib.contextmanager
def _plain_faults(job: Job) -> Iterator[None]:
    """Say in a user's words what torch only raises: no memory, a batch too small, a worker that died."""
    name, train = f"{job.title} fold {job.fold}", job.member.train
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            f"{name}: out of memory on images of {largest_side(train)} px through {job.member.model}, few at "
            "a time too: a smaller train.size or predict.batch needs less."
        ) from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UsageError(
            f"{name}: {job.member.model} can't train on one image a step: raise train.batch."
        ) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise ResourceError(f"{name}: {reason} train.workers=0 loads batches in this process.") from error


def fold_data(work: Work, k: int) -> FoldData:
    """Return which rows fold k's model is trained on, and which it is scored on."""
    held_out = work.folds.fold_of == k
    trains = _trains(work, k)
    return FoldData(work.cache, work.targets, len(work.classes), work.rows[trains], work.rows[held_out])


def _trains(work: Work, k: int) -> np.ndarray:
    return training_rows(work.folds.fold_of, work.folds.groups, k, work.folds.kind)


def _predict_oof(work: Work, job: Job, model: nn.Module, runtime: Runtime) -> None:
    config, frame = work.config, frame_of(job.member.train)
    held_out = np.flatnonzero(work.folds.fold_of == job.fold)
    rows = work.rows[held_out]
    loader = predict_loader(work.cache, rows, [frame], config.predict.batch, runtime.workers, runtime.device)
    views = config.predict.views
    predictor = build_predictor(model, job.member.train, runtime)
    probs = predict_probs([predictor], loader, [frame], views)[0]
    found = predictions.Predictions(
        np.array([work.folds.ids[i] for i in held_out], dtype=np.str_),
        np.array(work.classes, dtype=np.str_),
        np.array(views, dtype=np.str_),
        probs,
        np.array(job.fold),
        work.folds.digest,
    )
    predictions.save(job.file("oof.npz"), found)
    metrics = _metrics(work, job, probs.mean(axis=0, dtype=np.float64), work.targets[rows])
    writer.publish_bytes(job.file("metrics.json"), json.dumps(metrics, indent=1).encode())
    outputs = [job.file("oof.npz"), job.file("metrics.json")]
    manifest.publish(job.oof_manifest, job.oof, outputs, metrics["seconds"], {"score": metrics["score"]})
    shown = f"{metrics['metric']} {metrics['score']:.4f}   log-loss {metrics['log_loss']:.4f}"
    took = f"{terminal.duration(metrics['seconds']):<12} {metrics['images_per_second']:.0f} images/s"
    terminal.stage("train", f"{job.title:<12} fold {job.fold}   {shown}   {took}")


def _metrics(work: Work, job: Job, probs: np.ndarray, targets: np.ndarray) -> dict:
    metric = find_metric(work.config.data.metric)
    # From the log, since a fold may have been trained in several sessions.
    epochs = read_epochs(job.file("log.jsonl"))
    images, seconds = (sum(epoch[name] for epoch in epochs) for name in ("images", "seconds"))
    return {
        "member": job.member.name,
        "fold": job.fold,
        "metric": metric.name,
        "score": metric.of_probs(targets, probs),
        "log_loss": METRICS["log-loss"].of_probs(targets, probs),
        "accuracy": METRICS["accuracy"].of_probs(targets, probs),
        "images": len(targets),
        "epochs": len(epochs),
        "weights_source": weights_name(job.run_folder),
        "images_per_second": round(images / max(seconds, 1e-9), 1),
        "seconds": round(seconds, 2),
    }


def _watch(work: Work, job: Job, line: terminal.Line) -> Watch:
    """Show a step with the speed and the time left for the epoch, the fold and everything in this process."""
    train = job.member.train
    count = {k: int(_trains(work, k).sum()) for k in range(work.config.folds.count)}
    later = [other for other in work.todo if other is not job]

    def watch(step: Step) -> None:
        if work.watched:
            work.watched(step)
        speed = work.speeds[job.member.name] = step.images_per_second
        share = step.step_in_epoch / step.steps_in_epoch
        epoch_left = (1 - share) * count[job.fold] / speed
        fold_left = epoch_left + (train.epochs - step.epoch) * count[job.fold] / speed
        all_left = fold_left + sum(
            other.member.train.epochs * count[other.fold] / work.speeds.get(other.member.name, speed)
            for other in later
        )
        left = [terminal.duration(seconds) for seconds in (all_left, fold_left, epoch_left)]
        line.update(
            (step.epoch - 1 + share) / train.epochs,
            f"{job.title} fold {job.fold} epoch {step.epoch}/{train.epochs}  {speed:.0f} images/s  "
            f"left: all {left[0]}, fold {left[1]}, epoch {left[2]}",
        )

    return watch
