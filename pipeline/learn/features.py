"""What a run's initial model sees in each training row: computed once, for the classifiers of all folds.

Initial weights know none of the rows, so a fold's classifier may learn from any row that it is trained on.
"""

import dataclasses
import io
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline import terminal
from pipeline.artifacts import lock, manifest, writer
from pipeline.artifacts.jobs import Job
from pipeline.artifacts.manifest import Expected
from pipeline.dataset.loader import predict_loader
from pipeline.errors import UsageError
from pipeline.learn.inference import build_predictor, frame_of
from pipeline.learn.run_record import RunRecord, initial_model
from pipeline.learn.runtime import Runtime
from pipeline.learn.work import Work

VERSION = 1


def run_features(work: Work, job: Job, record: RunRecord, runtime: Runtime) -> np.ndarray:
    """Return the features float32 [n, F] of the folds' rows, in their order; read from the run's folder.

    The first of its folds computes them. Raises LockedError while another process does, UsageError for a
    model whose classifier isn't one layer behind all others.
    """
    path = job.run_folder / "features.npz"
    commit, expected = path.with_suffix(".manifest.json"), _expected(work, job, record)
    if manifest.stale(commit, expected):
        with lock.hold(job.run_folder / "features.lock", f"the features of {job.run_folder.name}"):
            if manifest.stale(commit, expected):
                started = time.monotonic()
                buffer = io.BytesIO()
                np.savez(buffer, ids=np.array(work.folds.ids), features=_compute(work, job, record, runtime))
                writer.publish_bytes(path, buffer.getvalue())
                manifest.publish(commit, expected, [path], seconds := time.monotonic() - started)
                shown = f"{job.title}: features of {len(work.rows):,} images in {terminal.duration(seconds)}"
                terminal.stage("train", shown)
    with np.load(io.BytesIO(manifest.verified_bytes(path, commit)), allow_pickle=False) as arrays:
        position = {name: i for i, name in enumerate(arrays["ids"].tolist())}
        return arrays["features"][[position[name] for name in work.folds.ids]]


def penultimate(model: Any, images: torch.Tensor) -> torch.Tensor:
    """Return what the classifier is given: float [B, F] of images [B, 3, H, W]."""
    return model.forward_head(model.forward_features(images), pre_logits=True).flatten(1)


def _expected(work: Work, job: Job, record: RunRecord) -> Expected:
    facts = {name: value for name, value in job.model.config.items() if name != "fold"}
    facts |= {"weights": record.source.sha256, "choice": dataclasses.asdict(record.choice)}
    return Expected("features", VERSION, facts | {"rows": manifest.digest(work.folds.ids)})


def _compute(work: Work, job: Job, record: RunRecord, runtime: Runtime) -> np.ndarray:
    train = job.member.train
    frame = frame_of(train)
    predictor = build_predictor(initial_model(job.member, record.source, len(work.classes)), train, runtime)
    loader = predict_loader(
        work.cache, work.rows, [frame], work.config.predict.batch, runtime.workers, runtime.device
    )
    found: list[np.ndarray] = []
    with torch.inference_mode(), terminal.progress("train") as line:
        for (pixels,) in loader:
            images = runtime.inputs(pixels, predictor.mean, predictor.std)
            if not found:
                _check(predictor.model, images[:2], job.member.model)
            with runtime.autocast(runtime.choice.inference_dtype):
                found.append(penultimate(predictor.model, images).float().cpu().numpy())
            done = sum(map(len, found))
            line.update(done / len(work.rows), f"{job.title}  features of {done}/{len(work.rows)} images")
    return np.concatenate(found)


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
