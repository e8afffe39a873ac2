"""Searches for a recipe: on paper, where a formula says what a recipe scores, and with tiny trainings."""

import types

import optuna

from pipeline.artifacts import manifest, paths, training_log, writer
from pipeline.config import resolve
from pipeline.errors import NotFiniteError
from pipeline.learn import search
from pipeline.learn.fold import Step
from pipeline.learn.search import plan_search, run_search
from tests import fake_competition, tiny

SPACE = {"lr": {"low": 1e-5, "high": 1e-1, "log": True}, "augment": ["none", "light", "heavy"]}


def on_paper(folder, monkeypatch):
    """Go to a competition that is prepared on paper, and train on paper: a score is known from the recipe."""
    monkeypatch.chdir(folder)
    config = configured()
    facts = {"classes_digest": "c", "train_digest": "t", "test_digest": "e", "short_side": 32}
    fake_competition.write_json(paths.cache_manifest(config), {"schema": manifest.SCHEMA, "facts": facts})
    fake_competition.write_json(paths.folds_record(config), {"digest": "f"})
    monkeypatch.setattr(search, "open_work", lambda config, jobs: types.SimpleNamespace())
    monkeypatch.setattr(search, "train_job", train_on_paper)


def configured(space=SPACE, trials=4, metric="accuracy", **train):
    raw = {
        "data": {"name": "moths", "metric": metric},
        "folds": {"count": 3},
        "train": {"size": 32, "epochs": 3, **train},
        "members": [{"name": "a", "model": "test_resnet"}, {"name": "b", "model": "test_vit"}],
        "tune": {"trials": trials, "space": space},
    }
    return resolve(raw, {}, "test")


def quality(train, fold):
    return round(1 - abs(train.lr - 0.002) ** 0.25 - 0.01 * (train.augment == "heavy") - 0.1 * fold, 5)


def train_on_paper(work, job, why):
    score = quality(job.member.train, job.fold)
    if job.member.train.lr > 0.09:
        raise NotFiniteError("the loss is nan")
    for epoch in range(1, 4):
        work.watched(Step(epoch, 1, 2, 1.0, 1.0))
        training_log.append(job.file("log.jsonl"), "epoch", epoch=epoch, valid_score=score * epoch / 3)
    writer.publish_bytes(job.file("model.safetensors"), b"")
    manifest.publish(*job.commit, [job.file("model.safetensors")], 1.0, {"score": score})


def searched(config, folds=(0,)):
    plan = plan_search(config, config.members[0], folds)
    return plan, run_search(plan, config.tune.trials)


def curves(plan):
    """Return what SQLite remembers of the trials that ended: values, score, and each epoch's score."""
    name = plan.folder.name
    trials = optuna.load_study(study_name=name, storage=f"sqlite:///{plan.folder / 'study.sqlite3'}").trials
    return [(t.params, t.state, t.value, t.intermediate_values) for t in trials if t.state in search.ENDED]


def real(folder):
    """Return the configuration of a search that trains."""
    space = {"lr": [1e-5, 3e-3], "ema": [True, False]}
    return tiny.configure(
        folder, {"tune": {"space": space, "trials": 3}, "train": {"validate_epochs": 1, "epochs": 2}}
    )
