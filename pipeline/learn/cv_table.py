"""The cross-validation table: what each training scores on the rows that its folds' models didn't see."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline import terminal
from pipeline.artifacts import predictions
from pipeline.artifacts.jobs import Job, fold_jobs
from pipeline.config import trainings
from pipeline.learn.work import Work
from pipeline.score.metrics import find_metric
from pipeline.score.naive import naive_probs

NONE = "–"


def show_scores(work: Work) -> None:
    """Print a row a training: each fold's score, and that of all out-of-fold rows; the naive answer's last.

    A member of several seeds has a row of their mean as well.
    """
    config = work.config
    rows = []
    for member in config.members:
        jobs = fold_jobs(config, member)
        metrics = {job.folder: _read_metrics(job) for job in jobs}
        runs = [[job for job in jobs if job.member == one] for one in trainings(member)]
        rows += [_row(work, run[0].title, [run], metrics) for run in runs]
        if len(runs) > 1:
            rows.append(_row(work, f"{member.name}, mean", runs, metrics))
    rows.append(_naive_row(work))
    folds = [f"fold {k}" for k in range(config.folds.count)]
    terminal.table(
        f"Cross-validation, {config.data.metric} (each row predicted by the model that didn't see it)",
        ["member", *folds, "all OOF", "time", "initial weights"],
        rows,
    )


def _row(
    work: Work, name: str, runs: Sequence[Sequence[Job]], metrics: Mapping[Path, dict | None]
) -> list[str]:
    """Return the cells of runs, each with a job a fold, whose predictions count by their mean."""
    done = [found for run in runs for job in run if (found := metrics[job.folder])]
    parts = [
        _oof(work, fold) if all(metrics[job.folder] for job in fold) else None
        for fold in zip(*runs, strict=True)
    ]
    took = terminal.duration(sum(found["seconds"] for found in done))
    return [name, *_scores(work, parts), took, done[0]["weights_source"] if done else NONE]


def _naive_row(work: Work) -> list[str]:
    folds, targets = work.folds, work.targets[work.rows]
    probs = naive_probs(targets, folds.fold_of, folds.groups, folds.kind, len(work.classes))
    held_out = [folds.fold_of == k for k in range(work.config.folds.count)]
    scores = _scores(work, [(probs[rows], targets[rows]) for rows in held_out])
    return ["commonest class", *scores, NONE, NONE]


def _scores(work: Work, parts: Sequence[tuple[np.ndarray, np.ndarray] | None]) -> list[str]:
    """Score probs [n, C] and targets [n] fold by fold and all together; a dash where a fold has none yet."""
    metric = find_metric(work.config.data.metric)
    done = [part for part in parts if part is not None]
    cells = [NONE if part is None else f"{metric.of_probs(part[1], part[0]):.4f}" for part in parts]
    if len(done) < len(parts):
        return [*cells, NONE]
    probs, targets = (np.concatenate([part[i] for part in done]) for i in range(2))
    return [*cells, f"{metric.of_probs(targets, probs):.4f}"]


def _oof(work: Work, jobs: Sequence[Job]) -> tuple[np.ndarray, np.ndarray]:
    """Return what several models of one fold give its held-out rows, mean probs [n, C], and the targets."""
    found = [predictions.load(job.file("oof.npz"), work.classes, work.folds.digest) for job in jobs]
    ids = found[0].ids.tolist()
    position = {name: i for i, name in enumerate(work.folds.ids)}
    joined = [predictions.join(job.file("oof.npz"), part, ids) for job, part in zip(jobs, found, strict=True)]
    probs = np.concatenate(joined).mean(axis=0, dtype=np.float64)
    return probs, work.targets[work.rows[[position[name] for name in ids]]]


def _read_metrics(job: Job) -> dict | None:
    if job.untrained():
        return None
    return json.loads(job.file("metrics.json").read_bytes())
