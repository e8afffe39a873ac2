"""One epoch for all folds: chosen once all are trained, a fold's own rows by what the others like."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from pipeline import train
from pipeline.artifacts import manifest, paths
from pipeline.artifacts.jobs import find_jobs, fold_jobs, refit_jobs
from pipeline.artifacts.training_log import read_epochs
from pipeline.errors import DataError, LockedError, UsageError
from pipeline.learn import common_epoch
from pipeline.learn.selection import common_epoch as choose
from pipeline.learn.work import open_work
from pipeline.score.metrics import METRICS
from tests import tiny
from tests.trainer import Trainer

pytestmark = pytest.mark.usefixtures("torch_threads")
COMMON = {"train": {"select": "common", "epochs": 4, "validate_epochs": 0}}
FIRST = tiny.MEMBERS[:1]


def configure(folder, select="common", **train):
    return tiny.configure(folder, {"train": {**COMMON["train"], "select": select, **train}}, FIRST)


def forced(monkeypatch, epoch, of_others):
    """Let this be what the folds choose, counted from 0, whatever their scores."""
    monkeypatch.setattr(common_epoch, "common_epoch", lambda scores, metric: (epoch, list(of_others)))


def weights_of(job):
    return job.file("model.safetensors").read_bytes()


@pytest.mark.parametrize("metric", ["macro-f1", "log-loss"])
def test_the_epoch_is_the_best_of_the_mean_and_a_folds_own_one_doesnt_know_its_scores(metric):
    draw, metric = np.random.default_rng(0), METRICS[metric]
    for _ in range(50):
        scores = draw.random((4, 6))
        epoch, of_others = choose(scores.tolist(), metric)
        best = max if metric.greater_is_better else min
        assert scores.mean(0)[epoch] == best(scores.mean(0))
        for k in range(4):
            other = scores.copy()
            other[k] = draw.random(6)
            assert choose(other.tolist(), metric)[1][k] == of_others[k]
            means = np.delete(scores, k, 0).mean(0)
            assert means[of_others[k]] == best(means)


def test_a_folds_own_scores_leave_nothing_behind_where_the_others_tie():
    draw, metric = np.random.default_rng(0), METRICS["accuracy"]
    for _ in range(300):
        scores = draw.choice([0.1, 0.3, 0.6, 0.7, 0.33333], size=(5, 8))
        own = scores.copy()
        own[2] = draw.choice([0.1, 0.3, 0.6, 0.7, np.nan, np.inf], size=8)
        assert choose(scores.tolist(), metric)[1][2] == choose(own.tolist(), metric)[1][2]


def test_an_epoch_that_isnt_finite_is_never_chosen():
    scores = [[0.5, float("nan"), 0.4], [0.5, 0.9, 0.4]]
    assert choose(scores, METRICS["accuracy"]) == (0, [1, 0])


def test_of_equal_epochs_the_earliest_counts():
    assert choose([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1]], METRICS["accuracy"]) == (0, [0, 0])


def test_all_folds_end_with_the_weights_of_the_chosen_epoch(competition, monkeypatch, capsys):
    forced(monkeypatch, 2, [2, 1])
    config = configure(competition)
    tiny.run("train", config)
    jobs = fold_jobs(config, config.members[0])
    record = json.loads((jobs[0].run_folder / "epoch.json").read_bytes())
    assert (record["epoch"], record["of_others"]) == (3, [3, 2])
    assert [manifest.facts(job.model_manifest)["epoch"] for job in jobs] == [3, 3]
    assert not jobs[0].file("held_out.safetensors").exists()
    assert jobs[1].file("held_out.safetensors").read_bytes() != weights_of(jobs[1])
    for job in jobs:
        assert not job.file("epochs").exists()
        assert len(read_epochs(job.file("log.jsonl"))) == 4
    printed = " ".join(capsys.readouterr().out.split())
    assert "epoch 3 of 4 is the best on average" in printed
    assert "predicted with that of the others: 3, 2" in printed


def test_a_kept_epoch_is_what_a_training_that_ends_there_has(competition, monkeypatch, tmp_path):
    forced(monkeypatch, 1, [1, 1])
    config = configure(competition)
    tiny.run("train", config)
    kept = safetensors.torch.load(weights_of(fold_jobs(config, config.members[0])[0]))
    recipe = {"epochs": 4, "select": "common", "validate_epochs": 0}
    trainer = Trainer(competition, tmp_path / "trainer", "test_resnet", "channels_last", last=1, **recipe)
    ended = safetensors.torch.load(trainer())
    assert kept.keys() == ended.keys()
    assert all(torch.equal(kept[name], ended[name]) for name in kept)


def test_the_held_out_rows_are_predicted_with_the_others_epoch(competition, monkeypatch):
    config = configure(competition)
    found = {}
    for epoch, of_others in ((3, [3, 3]), (1, [3, 1])):
        forced(monkeypatch, epoch, of_others)
        tiny.run("train", config)
        jobs = fold_jobs(config, config.members[0])
        found[epoch] = [(weights_of(job), job.file("oof.npz").read_bytes()) for job in jobs]
        for job in jobs:
            (job.run_folder / "epoch.json").unlink(missing_ok=True)
            for path in (job.trained_manifest, job.model_manifest, job.epochs_manifest):
                path.unlink()
    (last_0, last_1), (other_0, other_1) = found[3], found[1]
    assert last_0[0] != other_0[0]  # other weights for the test rows
    assert last_0[1] == other_0[1]  # the same for its own rows
    assert last_1[1] != other_1[1]
    # the last epoch is what select = "last" ends with
    plain = configure(competition, select="last")
    tiny.run("train", plain)
    assert [weights_of(job) for job in fold_jobs(plain, plain.members[0])] == [last_0[0], last_1[0]]


def test_a_fold_alone_waits_for_the_others(competition, capsys):
    config = configure(competition)
    tiny.run("train", config, "--fold", "1")
    jobs = fold_jobs(config, config.members[0])
    printed = " ".join(capsys.readouterr().out.split())
    said = "its epoch is chosen once fold 0 is trained too: python -m pipeline.train --member a"
    assert said in printed
    states = {state.fold: state.why for state in train.states(config)}
    assert states == {0: "not done yet", 1: "trained, waits for the run's other folds"}
    with pytest.raises(DataError, match=r"a fold 1 isn't trained .*: python -m pipeline.train --member a$"):
        jobs[1].check_trained()
    assert [job.untrained() is None for job in jobs] == [False, False]
    assert len(list(jobs[1].file("epochs").iterdir())) == 4
    before = tiny.snapshot(jobs[1].file("epochs"))
    tiny.run("train", config, "--fold", "1")
    assert tiny.snapshot(jobs[1].file("epochs")) == before
    with pytest.raises(DataError, match=r"a fold 0 isn't trained"):
        tiny.run("predict", config)
    tiny.run("train", config, "--fold", "0")
    assert [job.untrained() for job in jobs] == [None, None]


def test_a_fold_that_another_process_holds_is_left_to_it(competition):
    config = configure(competition)
    tiny.run("train", config, "--fold", "0")
    jobs = fold_jobs(config, config.members[0])
    with tiny.held_elsewhere(jobs[0].lock_file):
        tiny.run("train", config, "--fold", "1")
        assert [job.untrained() is None for job in jobs] == [False, True]
    tiny.run("train", config)
    assert [job.untrained() for job in jobs] == [None, None]


def test_who_trains_all_waits_until_all_are_settled(competition, monkeypatch, capsys):
    config = configure(competition)
    jobs = fold_jobs(config, config.members[0])
    with tiny.held_elsewhere(jobs[1].lock_file) as child:
        monkeypatch.setattr(train, "LOCKED_WAIT_SECONDS", 0.01)
        pause = train._pause
        passes = []

        def release_and_pause():
            passes.append([job.untrained() is None for job in jobs])
            if len(passes) == 3:
                child.stdin.close()
            pause()

        monkeypatch.setattr(train, "_pause", release_and_pause)
        tiny.run("train", config)
    assert passes[:3] == 3 * [[False, False]]
    assert [job.untrained() for job in jobs] == [None, None]
    assert capsys.readouterr().out.count("its epoch is chosen once fold 1 is trained too") == 1


def test_a_fold_that_is_lost_is_trained_for_the_epoch_that_was_chosen(competition, monkeypatch):
    forced(monkeypatch, 1, [2, 3])
    config = configure(competition)
    tiny.run("train", config)
    jobs = fold_jobs(config, config.members[0])
    before = [(weights_of(job), job.file("oof.npz").read_bytes()) for job in jobs]
    for path in jobs[0].folder.iterdir():
        path.unlink()
    monkeypatch.undo()
    monkeypatch.chdir(competition)
    tiny.run("train", config)
    assert [(weights_of(job), job.file("oof.npz").read_bytes()) for job in jobs] == before


def test_other_views_need_no_training(competition, monkeypatch):
    forced(monkeypatch, 1, [2, 3])
    config = configure(competition)
    tiny.run("train", config)
    jobs = fold_jobs(config, config.members[0])
    before = tiny.snapshot(competition)
    changed = tiny.configure(competition, {**COMMON, "predict": {"views": ["identity"]}}, FIRST)
    tiny.run("train", changed)
    after = tiny.snapshot(competition)
    for job in jobs:
        for name in ("model.safetensors", "held_out.safetensors", "log.jsonl"):
            path = str(competition / job.file(name))
            assert after.get(path) == before.get(path)
        path = str(competition / job.file("oof.npz"))
        assert after[path] != before[path]


def test_kept_weights_that_were_changed_are_named(competition):
    config = configure(competition)
    tiny.run("train", config, "--fold", "0")
    for path in fold_jobs(config, config.members[0])[0].file("epochs").iterdir():
        path.write_bytes(b"other")
    jobs = fold_jobs(config, config.members[0])
    with pytest.raises(DataError, match=r"epochs/\d.safetensors isn't what was written: remove it and run"):
        tiny.run("train", config)
    next(jobs[0].file("epochs").iterdir()).unlink()
    tiny.run("train", config)
    assert [job.untrained() for job in jobs] == [None, None]


@pytest.mark.parametrize("name", ["model.safetensors", "model.manifest.json", "epochs.json"])
def test_a_file_that_is_lost_is_made_again(competition, name):
    config = configure(competition)
    tiny.run("train", config)
    jobs = fold_jobs(config, config.members[0])
    before = [weights_of(job) for job in jobs]
    for lost in (jobs[0].file(name), jobs[0].trained_manifest, jobs[0].model_manifest):
        lost.unlink(missing_ok=True)
    tiny.run("train", config)
    assert [weights_of(job) for job in jobs] == before
    assert [job.untrained() for job in jobs] == [None, None]


def test_a_refit_is_trained_up_to_that_epoch_of_the_same_schedule(competition, monkeypatch):
    forced(monkeypatch, 1, [1, 1])
    config = configure(competition, refit=True)
    [refit] = refit_jobs(config, config.members[0])
    work = open_work(config, find_jobs(config))
    with pytest.raises(LockedError, match="a refit waits for the folds of a, which choose its epoch"):
        common_epoch.chosen_epoch(refit)
    tiny.run("train", config)
    assert common_epoch.chosen_epoch(refit) == 1
    epochs = read_epochs(refit.file("log.jsonl"))
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    fold = read_epochs(fold_jobs(config, config.members[0])[0].file("log.jsonl"))
    assert epochs[0]["images"] == len(work.rows)
    assert fold[0]["images"] < len(work.rows)
    assert fold[3]["lr"] < epochs[1]["lr"]


def test_another_schedules_or_images_choice_doesnt_count(competition):
    config = configure(competition)
    tiny.run("train", config)
    jobs = fold_jobs(config, config.members[0])
    record = jobs[0].run_folder / "epoch.json"
    record.write_text(json.dumps({**json.loads(record.read_bytes()), "made_for": "other images", "epoch": 1}))
    for job in jobs:
        for path in (job.trained_manifest, job.model_manifest, job.epochs_manifest):
            path.unlink()
    tiny.run("train", config)
    assert json.loads(record.read_bytes())["made_for"] != "other images"


def test_what_it_doesnt_go_with_is_refused(competition):
    with pytest.raises(UsageError, match=r"retrain_epochs needs train.select"):
        configure(competition, retrain_epochs=1)
    with pytest.raises(UsageError, match=r"a fold has no score of its own"):
        tiny.run("tune", configure(competition))


def test_the_score_isnt_said_to_flatter(competition, capsys):
    config = configure(competition)
    for stage in ("train", "predict", "ensemble", "report"):
        tiny.run(stage, config)
    assert "flatters" not in capsys.readouterr().out
    own = json.loads((fold_jobs(config, config.members[0])[0].run_folder / "epoch.json").read_bytes())
    page = paths.report(config).read_text()
    assert all(f"epoch {epoch}" in page for epoch in own["of_others"])
    assert json.loads((paths.ensemble(config) / "scores.json").read_bytes())["chosen_on_their_rows"] == []
