"""The rows that a fold's model didn't see: predicted by it, scored, and committed with the fold."""

import json

import numpy as np

from pipeline import terminal
from pipeline.artifacts import manifest, predictions, writer
from pipeline.artifacts.jobs import Job
from pipeline.artifacts.training_log import read_epochs
from pipeline.dataset.loader import predict_loader
from pipeline.learn import checkpoint, teacher
from pipeline.learn.inference import build_predictor, frame_of, load_weights, predict_probs
from pipeline.learn.run_record import empty_model, recorded_choice, weights_name
from pipeline.learn.runtime import build_runtime
from pipeline.learn.work import Work
from pipeline.score.metrics import METRICS, find_metric


def finish(work: Work, job: Job) -> None:
    """Commit a model that is published: predict and score what it held out, drop what it was made with."""
    checkpoint.remove(job.folder)
    writer.remove(job.file("epochs"))
    teacher.remove(job)
    if job.fold is None:
        manifest.publish(*job.commit, [], _seconds(job))
        took = terminal.duration(_seconds(job))
        terminal.stage("train", f"{job.name}   trained on all rows: no score of its own   {took}")
    else:
        _predict(work, job, job.fold)


def _predict(work: Work, job: Job, fold: int) -> None:
    config, frame = work.config, frame_of(job.member.train)
    held_out = np.flatnonzero(work.folds.fold_of == fold)
    rows = work.rows[held_out]
    runtime = build_runtime(job.member.train, recorded_choice(job.run_folder))
    loader = predict_loader(work.cache, rows, [frame], config.predict.batch, runtime.workers, runtime.device)
    views = config.predict.views
    model = empty_model(job.member, len(work.classes))
    facts = manifest.facts(job.model_manifest)  # of a common epoch: the others' choice may be another
    weights = job.file(facts.get("held_out", "model.safetensors"))
    load_weights(model, manifest.verified_bytes(weights, job.model_manifest))
    probs = predict_probs([build_predictor(model, job.member.train, runtime)], loader, [frame], views)[0]
    found = predictions.Predictions(
        np.array([work.folds.ids[i] for i in held_out], dtype=np.str_),
        np.array(work.classes, dtype=np.str_),
        np.array(views, dtype=np.str_),
        probs,
        np.array(fold),
        work.folds.digest,
    )
    predictions.save(job.file("oof.npz"), found)
    metrics = _metrics(work, job, probs.mean(axis=0, dtype=np.float64), work.targets[rows])
    metrics["scored_epoch"] = facts.get("held_out_epoch")
    writer.publish_bytes(job.file("metrics.json"), json.dumps(metrics, indent=1).encode())
    outputs = [job.file("oof.npz"), job.file("metrics.json")]
    manifest.publish(*job.commit, outputs, metrics["seconds"], {"score": metrics["score"]})
    shown = f"{metrics['metric']} {metrics['score']:.4f}   log-loss {metrics['log_loss']:.4f}"
    took = f"{terminal.duration(metrics['seconds']):<12} {metrics['images_per_second']:.0f} images/s"
    terminal.stage("train", f"{job.title:<12} fold {fold}   {shown}   {took}")


def _metrics(work: Work, job: Job, probs: np.ndarray, targets: np.ndarray) -> dict:
    metric = find_metric(work.config.data.metric)
    # From the log, since a fold may have been trained in several sessions.
    epochs = read_epochs(job.file("log.jsonl"))
    images, seconds = sum(epoch["images"] for epoch in epochs), _seconds(job)
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


def _seconds(job: Job) -> float:
    return sum(epoch["seconds"] for epoch in read_epochs(job.file("log.jsonl")))
