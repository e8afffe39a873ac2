"""One job of the training stage: train a model and commit it, with the rows that it held out predicted."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline import terminal
from pipeline.artifacts import manifest, paths, writer
from pipeline.artifacts.jobs import Job
from pipeline.config import largest_side
from pipeline.dataset.loader import count_steps
from pipeline.errors import ResourceError, UsageError
from pipeline.learn import checkpoint, common_epoch, held_out
from pipeline.learn.distillation import SoftTargets
from pipeline.learn.ema import EMA_LEAST_STEPS
from pipeline.learn.features import run_features
from pipeline.learn.fold import Step, Watch, train_fold
from pipeline.learn.head import Features
from pipeline.learn.run_record import RunRecord, open_run
from pipeline.learn.runtime import build_runtime
from pipeline.learn.selection import Selection
from pipeline.learn.teacher import soft_targets
from pipeline.learn.work import Work, fold_data, images_an_epoch, trained_on
from pipeline.score.metrics import find_metric


def train_job(work: Work, job: Job, why: str) -> None:
    """Train a model and commit it; what its manifest lacks says what is done already.

    A fold whose epoch all folds choose together is committed once they are trained, by the last of them.
    """
    if job.trained_manifest.exists():
        terminal.stage("train", f"{job.name} again: {why}")
    if job.published():
        held_out.finish(work, job)
    elif job.chooses_common_epoch and job.fold is not None:
        if common_epoch.lacks_epochs(job):
            _train_epochs(work, job)
        common_epoch.settle(work, job)
    else:
        _train_model(work, job)
        held_out.finish(work, job)


def _train_model(work: Work, job: Job) -> None:
    started = time.monotonic()
    last = common_epoch.chosen_epoch(job) if job.chooses_common_epoch else None
    model = _trained(work, job, Selection(job.member.train, find_metric(work.config.data.metric), last=last))
    path = job.file("model.safetensors")
    writer.publish_bytes(path, checkpoint.model_bytes(model, _facts(work, job)))
    manifest.publish(job.model_manifest, job.model, [path], time.monotonic() - started)


def _train_epochs(work: Work, job: Job) -> None:
    started = time.monotonic()
    keep = partial(common_epoch.keep_epoch, job, _facts(work, job))
    waiting = sum(common_epoch.lacks_epochs(one) for one in common_epoch.run_folds(work, job))
    models = waiting * (job.member.train.epochs + 2)  # two that are published, while all are there
    selection = Selection(job.member.train, find_metric(work.config.data.metric), keep, models=models)
    _trained(work, job, selection)
    common_epoch.commit_epochs(job, selection, time.monotonic() - started)


def _trained(work: Work, job: Job, selection: Selection) -> nn.Module:
    if job.run_folder not in work.records:
        work.records[job.run_folder] = open_run(work.config, job.member, job.run_folder, len(work.classes))
        _tell_ema(work, job)
    record = work.records[job.run_folder]
    soft = soft_targets(work, job)
    runtime = build_runtime(job.member.train, record.choice)  # after the teacher, whose threads may be others
    data = dataclasses.replace(fold_data(work, job.fold), soft=soft)
    if job.member.train.head_epochs:
        with _plain_faults(job):
            table = run_features(work, job, record, runtime)
        features = Features(table, np.flatnonzero(trained_on(work, job.fold)))
        data = dataclasses.replace(data, features=features)
    with terminal.progress("train") as line, _plain_faults(job):
        return train_fold(
            work.config,
            job.member,
            job.fold,
            data,
            record,
            runtime,
            job.folder,
            _identity(work, job, record, soft),
            _watch(work, job, line),
            work.deadlines.get(job.member.name, float("inf")),
            selection,
        )


def _facts(work: Work, job: Job) -> dict[str, Any]:
    """Return what stands in a model's file beside its weights."""
    member = job.member
    return {"member": member.name, "model": member.model, "fold": job.fold, "classes": work.classes}


def _identity(work: Work, job: Job, record: RunRecord, soft: SoftTargets | None) -> str:
    """Digest all that a half-trained fold depends on: with anything else its checkpoint doesn't count."""
    versions = [
        job.model.version,
        *(manifest.version_of(name) for name in ("torch", "timm", "albumentations")),
    ]
    choice = dataclasses.asdict(record.choice)
    short_side = manifest.facts(paths.cache_manifest(work.config))["short_side"]
    began = [checkpoint.FORMAT, job.model.config, choice, record.source.sha256, short_side, versions]
    return manifest.digest(began if soft is None else [*began, soft.digest])


def _tell_ema(work: Work, job: Job) -> None:
    train = job.member.train
    steps = train.epochs * count_steps(images_an_epoch(work, job.fold, train.pseudo), train.batch)
    if train.ema and steps < EMA_LEAST_STEPS:
        text = f"{job.title}: {steps} steps are too few for averaged weights (EMA): off"
        terminal.stage("train", text)


@contextlib.contextmanager
def _plain_faults(job: Job) -> Iterator[None]:
    """Say in a user's words what torch only raises: no memory, a batch too small, a worker that died."""
    name, train = job.name, job.member.train
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


def _watch(work: Work, job: Job, line: terminal.Line) -> Watch:
    """Show a step with the speed and the time left for the epoch, the fold and everything in this process."""
    train = job.member.train
    folds = (None, *range(work.config.folds.count))
    count = {(k, pseudo): images_an_epoch(work, k, pseudo) for k in folds for pseudo in (False, True)}
    images = count[job.fold, train.pseudo]
    later = [other for other in work.todo if other is not job]

    def watch(step: Step) -> None:
        if work.watched:
            work.watched(step)
        speed = work.speeds[job.member.name] = step.images_per_second
        share = step.step_in_epoch / step.steps_in_epoch
        epoch_left = (1 - share) * images / speed
        fold_left = epoch_left + (train.epochs - step.epoch) * images / speed
        all_left = fold_left + sum(
            other.member.train.epochs
            * count[other.fold, other.member.train.pseudo]
            / work.speeds.get(other.member.name, speed)
            for other in later
        )
        left = [terminal.duration(seconds) for seconds in (all_left, fold_left, epoch_left)]
        line.update(
            (step.epoch - 1 + share) / train.epochs,
            f"{job.name} epoch {step.epoch}/{train.epochs}  {speed:.0f} images/s  "
            f"left: all {left[0]}, fold {left[1]}, epoch {left[2]}",
        )

    return watch
