"""One more model, trained on all rows: beside the folds' models on the test rows, and nowhere else."""

import json

import numpy as np
import pytest

from pipeline.artifacts import manifest, paths, predictions
from pipeline.artifacts.jobs import find_jobs, fold_jobs, other_members, refit_jobs
from pipeline.blending import fitting, sources
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.errors import DataError, UsageError
from pipeline.learn import checkpoint
from pipeline.learn.work import fold_data, open_work
from tests import tiny
from tests.trainer import Trainer

pytestmark = pytest.mark.usefixtures("torch_threads")
REFITTED = [{**tiny.MEMBERS[0], "train": {"refit": True}}, tiny.MEMBERS[1]]


@pytest.fixture
def config(competition):
    return tiny.configure(competition, members=REFITTED)


@pytest.fixture
def trained(config):
    for stage in ("train", "predict", "ensemble"):
        tiny.run(stage, config)
    return config


def test_it_is_one_more_job_of_the_same_run(config):
    assert [job.name for job in find_jobs(config)] == [
        "a fold 0",
        "a fold 1",
        "a refit",
        "b fold 0",
        "b fold 1",
    ]
    [refit] = refit_jobs(config, config.members[0])
    without = fold_jobs(tiny.configure(config_folder(config)), config.members[0])
    assert fold_jobs(config, config.members[0]) == without
    assert refit.run_folder == without[0].run_folder
    assert refit.folder.name == "refit"
    assert len({manifest.digest(dict(job.model.config)) for job in (*without, refit)}) == 3


def config_folder(config):
    return paths.competition(config).parents[1]


def test_it_is_trained_on_every_row_and_held_out_none(config):
    jobs = find_jobs(config)
    work = open_work(config, jobs)
    data = fold_data(work, None)
    assert data.train_rows.tolist() == work.rows.tolist()
    assert len(data.valid_rows) == 0
    halves = [fold_data(work, k).train_rows.tolist() for k in range(2)]
    assert set(data.train_rows.tolist()) == set(halves[0]) | set(halves[1])


def test_it_is_trained_after_the_folds_which_stay_as_they_are(config, capsys):
    before = tiny.snapshot(paths.competition(config))
    tiny.run("train", config, "--fold", "0")
    [refit] = refit_jobs(config, config.members[0])
    assert not refit.folder.exists()
    tiny.run("train", config)
    after = tiny.snapshot(paths.competition(config))
    folds = {name for name in before if "/fold" in name}
    assert folds
    assert all(after[name] == before[name] for name in folds)
    names = {path.name for path in refit.folder.iterdir()}
    assert names == {"model.safetensors", "model.manifest.json", "manifest.json", "log.jsonl", "lock"}
    printed = capsys.readouterr().out
    assert "a refit   trained on all rows: no score of its own" in printed
    tiny.run("train", config)
    assert "up to date (5 models)" in capsys.readouterr().out


def test_it_counts_as_one_more_fold_on_the_test_rows(trained):
    classes, digest = manifest.facts(paths.cache_manifest(trained))["classes"], load_folds(trained).digest
    first = sources.known_sources(trained)[0]
    files = [job.file("test.npz") for job in (*first.jobs, *first.refits)]
    found = [predictions.load(path, classes, digest) for path in files]
    ids = sorted(found[0].ids.tolist())
    models = [predictions.join(path, one, ids) for path, one in zip(files, found, strict=True)]
    assert len(models) == 3
    assert [int(one.fold) for one in found] == [0, 1, -1]
    assert not np.allclose(models[2], models[0])
    blended = sources.blended_sources(trained)
    other = sources.load_test(blended[1], classes, ids, digest)
    expected, _ = fitting.fit(trained, blended).found.chain.apply([np.mean(models, 0), np.mean(other, 0)])
    [blend] = predictions.load(paths.ensemble(trained) / "test.npz", classes, digest).probs
    np.testing.assert_allclose(blend, expected, atol=1e-6)
    assert sources.load_refit(blended[1], classes, ids, digest) == []


def test_out_of_fold_rows_and_their_scores_know_nothing_of_it(trained, competition):
    path = paths.ensemble(trained) / "scores.json"
    with_it = json.loads(path.read_bytes())
    tiny.run("ensemble", tiny.configure(competition))
    without = json.loads(path.read_bytes())
    assert (with_it.pop("refits"), without.pop("refits")) == (["a"], [])
    same = ("cross_fitted", "interval", "members", "sentence", "choices")
    assert {name: with_it[name] for name in same} == {name: without[name] for name in same}


def test_without_test_images_nothing_is_said_of_it(competition, capsys):
    tiny.without_test(competition)
    config = tiny.configure(competition, members=REFITTED)
    for stage in ("folds", "train", "predict", "ensemble"):
        tiny.run(stage, config)
    assert "On the test rows a model" not in capsys.readouterr().out


def test_it_is_said_at_the_end_and_on_the_page(trained, capsys):
    tiny.run("ensemble", trained)
    assert "a model of a that was trained on all rows" in " ".join(capsys.readouterr().out.split())
    tiny.run("report", trained)
    assert "On the test rows a model of a that was trained on all rows" in paths.report(trained).read_text()


def test_what_waits_for_it_says_how_it_is_made(config):
    with pytest.raises(DataError, match=r"a refit isn't trained .*: python -m pipeline.train --member a$"):
        tiny.run("predict", config)
    tiny.run("train", config)
    with pytest.raises(DataError, match=r"refit.test.npz isn't up to date .*python -m pipeline.predict"):
        tiny.run("ensemble", config)


def test_another_run_has_it_once_it_is_trained(trained, competition):
    changes = {"train": {"epochs": 1}}
    others = other_members(tiny.configure(competition, changes))
    assert [(member.name, member.train.refit) for member in others] == [("a", True), ("b", False)]
    refit_jobs(trained, trained.members[0])[0].trained_manifest.unlink()
    assert not any(member.train.refit for member in other_members(tiny.configure(competition, changes)))


def test_it_has_no_row_to_choose_an_epoch_by(competition):
    best = [{**tiny.MEMBERS[0], "train": {"refit": True, "select": "best"}}]
    with pytest.raises(UsageError, match=r"train.refit of a leaves no row to choose its epoch by"):
        tiny.configure(competition, members=best)


def test_stopped_anywhere_it_ends_with_the_same_bits(finished, tmp_path):
    recipe = {"fold": None, "epochs": 3, "augment": "light", "mixup": 0.2, "validate_epochs": 1}
    whole = Trainer(finished, tmp_path / "whole", "test_resnet", "contiguous", **recipe)
    stopped = Trainer(finished, tmp_path / "stopped", "test_resnet", "contiguous", **recipe)
    assert len(whole.data.valid_rows) == 0
    expected = whole()
    assert stopped.through([1, 7, 12]) == expected
    assert [event["epoch"] for event in stopped.events("epoch")] == [1, 2, 3]
    assert checkpoint.load(stopped.folder, "me") is not None
