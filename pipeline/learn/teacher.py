"""What a student learns beside its labels: its teacher's probabilities of the rows that it is trained on.

The student of fold k learns from its teacher's models of fold k, which saw no label of that fold. Soft
targets made of the teacher's out-of-fold predictions would leak: a row of fold j was predicted by a model
that was trained on fold k's labels.
"""

import time
from pathlib import Path

import numpy as np

from pipeline import terminal
from pipeline.artifacts import manifest, predictions, writer
from pipeline.artifacts.jobs import Job, teacher_jobs
from pipeline.artifacts.manifest import Expected
from pipeline.class_balance import trained_power
from pipeline.dataset.loader import predict_loader
from pipeline.learn.distillation import SoftTargets
from pipeline.learn.inference import predict_probs
from pipeline.learn.trained import load_predictor
from pipeline.learn.work import Work, pseudo_rows, trained_on

VERSION = 1
VIEWS = ["mean"]  # over the teacher's seeds and predict.views
LABELLED, PSEUDO = "teacher.npz", "teacher_test.npz"  # two files: a test image may have a training image's id


def soft_targets(work: Work, job: Job) -> SoftTargets | None:
    """Return what teaches a model, of its training rows and, with train.pseudo, the test images; or None.

    Computed once, then read from the model's folder. Raises DataError for a file or a teacher's model that
    isn't what was written.
    """
    if job.member.teacher is None:
        return None
    rows = _rows(work, job)
    commit, expected = job.file("teacher.manifest.json"), _expected(work, job)
    if manifest.stale(commit, expected):
        started = time.monotonic()
        probs = _compute(work, job, np.concatenate(list(rows.values())))
        parts = np.split(probs, np.cumsum([len(own) for own in rows.values()])[:-1])
        for (name, own), part in zip(rows.items(), parts, strict=True):
            predictions.save(job.file(name), _predictions(work, job, own, part))
        manifest.publish(commit, expected, map(job.file, rows), time.monotonic() - started)
    found = [_read(work, job.file(name), commit, own) for name, own in rows.items()]
    digests = [manifest.file_sha256(job.file(name)) for name in rows]
    return SoftTargets(
        np.concatenate(list(rows.values())),
        np.concatenate(found),
        trained_power(job.member.teacher.train),
        manifest.digest(digests),
    )


def remove(job: Job) -> None:
    """Delete the soft targets, once the model that they taught is published."""
    for name in ("teacher.manifest.json", LABELLED, PSEUDO):
        writer.remove(job.file(name))


def _rows(work: Work, job: Job) -> dict[str, np.ndarray]:
    rows = {LABELLED: work.rows[trained_on(work, job.fold)]}
    return rows | {PSEUDO: pseudo_rows(work)} if job.member.train.pseudo else rows


def _expected(work: Work, job: Job) -> Expected:
    models = {
        str(one.member.train.seed): one.file("model.safetensors") for one in teacher_jobs(work.config, job)
    }
    return Expected("teacher", VERSION, job.model.config, models)


def _compute(work: Work, job: Job, rows: np.ndarray) -> np.ndarray:
    """Return the teacher's probs float32 [n, C] of rows int [n], the mean over its models and views."""
    predictors = [load_predictor(one, len(work.classes)) for one in teacher_jobs(work.config, job)]
    frames, runtime = [predictors[0].frame], predictors[0].runtime
    predict = work.config.predict
    loader = predict_loader(work.cache, rows, frames, predict.batch, runtime.workers, runtime.device)
    with terminal.progress("train") as line:

        def report(done: int, total: int) -> None:
            line.update(done / total, f"{job.name}  its teacher predicts {done}/{total} images")

        probs = predict_probs(predictors, loader, frames, predict.views, report)
    return probs.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)


def _predictions(work: Work, job: Job, rows: np.ndarray, probs: np.ndarray) -> predictions.Predictions:
    return predictions.Predictions(
        work.cache.table["id"].to_numpy()[rows],
        np.array(work.classes),
        np.array(VIEWS),
        probs[None],
        np.array(-1 if job.fold is None else job.fold),
        work.folds.digest,
    )


def _read(work: Work, path: Path, commit: Path, rows: np.ndarray) -> np.ndarray:
    manifest.verified_bytes(path, commit)
    found = predictions.load(path, work.classes, work.folds.digest)
    return predictions.join(path, found, work.cache.table["id"].iloc[rows].tolist())[0]
