"""train.select = "common": one epoch for all folds of a run, the best on average, once all are trained.

Until then a fold keeps the weights of every epoch. Its model, for the test rows, is that of the common epoch.
Its own rows are predicted with the epoch that is best on the other folds, so that their scores have no say in
the choice. What was chosen is decided once a run, in its epoch.json, like its initial weights.
"""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from torch import nn

from pipeline import terminal
from pipeline.artifacts import lock, manifest, writer
from pipeline.artifacts.jobs import Job, fold_jobs
from pipeline.errors import DataError, LockedError
from pipeline.learn import checkpoint, held_out
from pipeline.learn.selection import Selection, common_epoch
from pipeline.learn.work import Work
from pipeline.score.metrics import find_metric

HELD_OUT = "held_out.safetensors"


def keep_epoch(job: Job, facts: dict[str, Any], model: nn.Module, epoch: int) -> str:
    """Publish the weights that an epoch, counted from 0, ends with; return their sha256."""
    data = checkpoint.model_bytes(model, facts)
    writer.publish_bytes(_file(job, epoch), data)
    return hashlib.sha256(data).hexdigest()


def commit_epochs(job: Job, selection: Selection, seconds: float) -> None:
    """Commit a fold that is trained: the validation score of every epoch and the sha256 of its weights."""
    path = job.file("epochs.json")
    content = {"scores": selection.scores, "sha256": selection.kept}
    writer.publish_bytes(path, json.dumps(content, indent=1).encode())
    manifest.publish(job.epochs_manifest, job.model, [path], seconds)
    checkpoint.remove(job.folder)


def lacks_epochs(job: Job) -> bool:
    """Tell whether a fold is to be trained: it isn't published, and not all its epochs' weights are there."""
    if job.published():
        return False
    kept = all(_file(job, epoch).exists() for epoch in range(job.member.train.epochs))
    return not kept or bool(manifest.stale(job.epochs_manifest, job.model))


def run_folds(work: Work, job: Job) -> list[Job]:
    """Return the folds of a job's run."""
    return [one for one in fold_jobs(work.config, job.member) if one.run_folder == job.run_folder]


def settle(work: Work, job: Job) -> None:
    """Publish and score the folds of a run, if all are trained, that nobody else holds; the job's is held."""
    folds = run_folds(work, job)
    missing = [one for one in folds if lacks_epochs(one)]
    if _record(job) is None and missing:
        if job.name not in work.told:
            names = ", ".join(str(one.fold) for one in missing)
            what = f"{job.name}   trained; its epoch is chosen once fold {names} is trained too"
            terminal.stage("train", f"{what}: python -m pipeline.train --member {job.member.name}")
        work.told.add(job.name)
        return
    for one in (one for one in folds if one not in missing):
        with contextlib.suppress(LockedError), _held(one, job):
            if one.untrained():
                _publish(one, _record(one) or _choose(work, folds))
                held_out.finish(work, one)


def chosen_epoch(job: Job) -> int:
    """Return the run's common epoch, counted from 0; raises LockedError until its folds have chosen one."""
    record = _record(job)
    if record is None:
        raise LockedError(f"{job.name} waits for the folds of {job.member.name}, which choose its epoch.")
    return record["epoch"] - 1


def _choose(work: Work, folds: list[Job]) -> dict[str, Any]:
    metric = find_metric(work.config.data.metric)
    scores = [json.loads(one.file("epochs.json").read_bytes())["scores"] for one in folds]
    common, of_others = common_epoch(scores, metric)
    record: dict[str, Any] = {
        "made_for": _made_for(folds[0]),
        "metric": metric.name,
        "epoch": common + 1,
        "of_others": [epoch + 1 for epoch in of_others],
        "scores": scores,
    }
    writer.publish_bytes(folds[0].run_folder / "epoch.json", json.dumps(record, indent=1).encode())
    others = ", ".join(str(epoch) for epoch in record["of_others"])
    terminal.stage(
        "train",
        f"{folds[0].title}   epoch {common + 1} of {len(scores[0])} is the best on average; each fold's own "
        f"rows are predicted with that of the others: {others}",
    )
    return record


def _publish(job: Job, record: dict[str, Any]) -> None:
    """Publish a fold's weights of the common epoch, and of the others' best one where that is another."""
    if job.published():
        return
    content = json.loads(job.file("epochs.json").read_bytes())
    epoch, own = record["epoch"], record["of_others"][job.model.config["fold"]]
    files = {"model.safetensors": epoch} | ({HELD_OUT: own} if own != epoch else {})
    for name, number in files.items():
        writer.publish_bytes(job.file(name), _kept(job, number - 1, content["sha256"][number - 1]))
    facts = {"epoch": epoch, "held_out_epoch": own, "held_out": list(files)[-1]}
    seconds = (manifest.read(job.epochs_manifest) or {}).get("seconds", 0.0)
    manifest.publish(job.model_manifest, job.model, [job.file(name) for name in files], seconds, facts)


def _kept(job: Job, epoch: int, sha256: str) -> bytes:
    path = _file(job, epoch)
    data = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path} isn't what was written: remove it and run the same command again.")
    return data


def _held(one: Job, own: Job) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext() if one.fold == own.fold else lock.hold(one.lock_file, one.name)


def _file(job: Job, epoch: int) -> Path:
    return job.file("epochs") / f"{epoch + 1}.safetensors"


def _record(job: Job) -> dict[str, Any] | None:
    """Return what the job's run chose; None where it hasn't, or for other images than the job's."""
    record = manifest.read_json(job.run_folder / "epoch.json")
    return record if record and record["made_for"] == _made_for(job) else None


def _made_for(job: Job) -> str:
    return manifest.digest({name: value for name, value in job.model.config.items() if name != "fold"})
