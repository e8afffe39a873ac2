"""What a run's initial model sees in each training row: computed once, for the classifiers of all folds.

Initial weights know none of the rows, so a fold's classifier may learn from any row that it is trained on.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline import interrupt, terminal
from pipeline.artifacts import lock, manifest, writer
from pipeline.artifacts.jobs import Job
from pipeline.artifacts.manifest import Expected
from pipeline.dataset.loader import predict_loader
from pipeline.errors import Interrupted, UsageError
from pipeline.learn.inference import build_predictor, frame_of
from pipeline.learn.run_record import RunRecord, initial_model
from pipeline.learn.runtime import Runtime
from pipeline.learn.work import Work

VERSION = 2


def run_features(work: Work, job: Job, record: RunRecord, runtime: Runtime) -> np.ndarray:
    """Return the features float32 [n, F] of the folds' rows, in their order: a file of the run, mapped.

    The first of its folds computes them. Raises LockedError while another process does, UsageError for a
    model whose classifier isn't one layer behind all others, Interrupted when asked to stop or at the end of
    train.max_minutes.
    """
    path = job.run_folder / "features.npy"
    commit, expected = path.with_suffix(".manifest.json"), _expected(work, job, record)
    if manifest.stale(commit, expected):
        with lock.hold(job.run_folder / "features.lock", f"the features of {job.run_folder.name}"):
            if manifest.stale(commit, expected):
                started = time.monotonic()
                _write(path, work, job, record, runtime)
                manifest.publish(commit, expected, [path], seconds := time.monotonic() - started)
                shown = f"{job.title}: features of {len(work.rows):,} images in {terminal.duration(seconds)}"
                terminal.stage("train", shown)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def penultimate(model: Any, images: torch.Tensor) -> torch.Tensor:
    """Return what the classifier is given: float [B, F] of images [B, 3, H, W]."""
    return model.forward_head(model.forward_features(images), pre_logits=True).flatten(1)


def _expected(work: Work, job: Job, record: RunRecord) -> Expected:
    facts = {name: value for name, value in job.model.config.items() if name != "fold"}
    facts |= {"weights": record.source.sha256, "choice": dataclasses.asdict(record.choice)}
    return Expected("features", VERSION, facts | {"ids": manifest.digest(work.folds.ids)})


def _write(path: Path, work: Work, job: Job, record: RunRecord, runtime: Runtime) -> None:
    train, n = job.member.train, len(work.rows)
    frame, done = frame_of(train), 0
    predictor = build_predictor(initial_model(job.member, record.source, len(work.classes)), train, runtime)
    loader = predict_loader(
        work.cache, work.rows, [frame], work.config.predict.batch, runtime.workers, runtime.device
    )
    with torch.inference_mode(), terminal.progress("train") as line, writer.publish_stream(path) as stream:
        for (pixels,) in loader:
            images = runtime.inputs(pixels, predictor.mean, predictor.std)
            if not done:
                _check(predictor.model, images[:2], job.member.model)
            with runtime.autocast(runtime.choice.inference_dtype):
                found = penultimate(predictor.model, images).float().cpu().numpy()
            if not done:
                size = found.shape[1]
                writer.require_space(path.parent, 4 * n * size, f"the features of {job.title}")
                header = {"descr": "<f4", "fortran_order": False, "shape": (n, size)}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(np.ascontiguousarray(found, "<f4").tobytes())
            done += len(found)
            line.update(done / n, f"{job.title}  features of {done}/{n} images")
            _stop_if_asked(job, work.deadlines.get(job.member.name, float("inf")))


def _stop_if_asked(job: Job, deadline: float) -> None:
    number = interrupt.requested()
    if number is not None or time.monotonic() > deadline:
        why = "asked to stop" if number else "max_minutes passed"
        raise Interrupted(f"{job.title}: {why} while its features were computed: run it again.", number or 15)


def _check(model: Any, images: torch.Tensor, name: str) -> None:
    """Raise UsageError unless the classifier, given the features, says what the model says."""
    classifier = model.get_classifier()
    refusal = f"train.head_epochs: the classifier of {name} isn't one layer behind all others: leave it out."
    if not isinstance(classifier, nn.Module):
        raise UsageError(refusal)
    try:
        same = torch.allclose(classifier(penultimate(model, images)), model(images), rtol=1e-3, atol=1e-3)
    except (RuntimeError, TypeError) as error:
        raise UsageError(refusal) from error
    if not same:
        raise UsageError(refusal)
