"""The training stage: only what is chosen and stale, a fold by one process, nothing twice."""

import json
import shutil
import signal
import threading
import time

import numpy as np
import pytest

from pipeline import train
from pipeline.artifacts import manifest, predictions
from pipeline.artifacts.jobs import find_jobs
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.errors import DataError, Interrupted, LockedError, UsageError
from pipeline.score.metrics import find_metric
from tests import tiny


def remove_folds(config, *which):
    """Remove the folders of (member, fold) and return the bytes of their models and OOF rows."""
    kept = {}
    for member, fold in which:
        job = tiny.job_of(config, member, fold)
        kept[member, fold] = contents(job)
        shutil.rmtree(job.folder)
    return kept


def contents(job):
    return [job.file(name).read_bytes() for name in ("model.safetensors", "oof.npz")]


def is_done(config, member, fold):
    job = tiny.job_of(config, member, fold)
    return job.untrained() is None


def test_what_a_fold_leaves_behind(finished):
    config = tiny.configure(finished)
    folds = load_folds(config)
    for job in find_jobs(config):
        assert {path.name for path in job.folder.iterdir()} == {
            "log.jsonl", "model.safetensors", "model.manifest.json", "oof.npz", "metrics.json",
            "manifest.json", "test.npz", "test.manifest.json", "lock"}  # fmt: skip
        oof = predictions.load(job.file("oof.npz"), list(np.unique(folds.labels)), folds.digest)
        held_out = [folds.ids[i] for i in np.flatnonzero(folds.fold_of == job.fold)]
        assert sorted(oof.ids.tolist()) == sorted(held_out)
        assert (oof.views.tolist(), int(oof.fold)) == (["identity", "hflip"], job.fold)
        metrics = json.loads(job.file("metrics.json").read_bytes())
        assert (metrics["member"], metrics["fold"]) == (job.member.name, job.fold)
        labels = [folds.labels[folds.ids.index(name)] for name in oof.ids]
        targets = np.array([oof.classes.tolist().index(label) for label in labels])
        macro_f1 = find_metric("macro-f1").function(targets, oof.probs.mean(0).argmax(1), 3)
        assert metrics["score"] == pytest.approx(macro_f1)
        assert manifest.facts(job.trained_manifest)["score"] == metrics["score"]


def test_up_to_date_says_so_and_touches_nothing(finished, capsys):
    before = tiny.snapshot(finished)
    tiny.run("train", tiny.configure(finished))
    assert "up to date (4 models)" in capsys.readouterr().out
    assert tiny.snapshot(finished) == before


def test_only_the_chosen_fold_of_the_chosen_member(competition):
    config = tiny.configure(competition)
    kept = remove_folds(config, ("a", 0), ("a", 1), ("b", 1))
    tiny.run("train", config, "--fold", "1", "--member", "a")
    done = {
        (job.member.name, job.fold): is_done(config, job.member.name, job.fold) for job in find_jobs(config)
    }
    assert done == {("a", 0): False, ("a", 1): True, ("b", 0): True, ("b", 1): False}
    tiny.run("train", config, "--fold", "1")
    assert is_done(config, "b", 1)
    assert not is_done(config, "a", 0)
    tiny.run("train", config)
    assert {which: contents(tiny.job_of(config, *which)) for which in kept} == kept


def test_the_table_has_the_pooled_score(competition, capsys):
    config = tiny.configure(competition)
    remove_folds(config, ("b", 0))
    tiny.run("train", config)
    lines = capsys.readouterr().out.splitlines()
    metric, folds = find_metric("macro-f1"), load_folds(config)
    for member in ("a", "b"):
        parts = [np.load(tiny.job_of(config, member, fold).file("oof.npz")) for fold in (0, 1)]
        ids = np.concatenate([part["ids"] for part in parts]).tolist()
        probs = np.concatenate([part["probs"].mean(0) for part in parts], axis=0)
        classes = parts[0]["classes"].tolist()
        targets = np.array([classes.index(folds.labels[folds.ids.index(name)]) for name in ids])
        score = f"{metric.function(targets, probs.argmax(1), 3):.4f}"
        assert any(line.startswith(member) and score in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fold", "2"], r"--fold 2: there are folds 0 to 1"),
        (["--fold", "-1"], r"--fold -1: there are folds 0 to 1"),
        (["--member", "c"], r"--member c: no such member; there are a, b"),
    ],
)
def test_a_wrong_choice_is_named(finished, arguments, words):
    with pytest.raises(UsageError, match=words):
        tiny.run("train", tiny.configure(finished), *arguments)


def test_another_metric_or_view_predicts_again_and_trains_nothing(competition):
    job = tiny.job_of(tiny.configure(competition), "b", 0)
    model, oof = job.file("model.safetensors"), job.file("oof.npz")
    before = model.stat(), job.file("log.jsonl").stat(), oof.read_bytes()
    tiny.run("train", tiny.configure(competition, {"data": {"metric": "accuracy"}}))
    assert (model.stat().st_mtime_ns, model.stat().st_ino) == (before[0].st_mtime_ns, before[0].st_ino)
    assert job.file("log.jsonl").stat().st_mtime_ns == before[1].st_mtime_ns
    assert oof.read_bytes() == before[2]  # the model as it was read back predicts what it did in memory
    assert json.loads(job.file("metrics.json").read_bytes())["metric"] == "accuracy"
    tiny.run("train", tiny.configure(competition, {"predict": {"views": ["identity", "vflip", "rot90"]}}))
    assert model.stat().st_mtime_ns == before[0].st_mtime_ns
    assert np.load(oof)["views"].tolist() == ["identity", "vflip", "rot90"]


def test_a_model_that_changed_is_never_predicted_with(competition):
    config = tiny.configure(competition, {"data": {"metric": "accuracy"}})
    job = tiny.job_of(config, "a", 0)
    tiny.flip_unseen(job.file("model.safetensors"), -5)
    with pytest.raises(DataError, match=r"model\.safetensors changed after it was written \(sha256\)"):
        tiny.run("train", config, "--fold", "0", "--member", "a")


def test_stopped_by_max_minutes_and_run_again(competition):
    limited = tiny.configure(competition, {"train": {"max_minutes": 1e-9}})
    kept = remove_folds(limited, ("a", 1))
    with pytest.raises(Interrupted, match=r"a fold 1: max_minutes passed; saved after step 1") as caught:
        tiny.run("train", limited)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    job = tiny.job_of(limited, "a", 1)
    assert job.file("a.ckpt").exists()
    tiny.run("train", tiny.configure(competition))
    assert contents(job) == kept["a", 1]
    assert not job.file("a.ckpt").exists()


def test_a_fold_that_is_held_is_refused_when_asked_for_alone(competition):
    config = tiny.configure(competition)
    remove_folds(config, ("a", 0), ("b", 0))
    with tiny.held_elsewhere(tiny.job_of(config, "a", 0).lock_file) as child:
        states = {(s.member, s.fold): s.state for s in train.states(config)}
        assert (states["a", 0], states["b", 0], states["a", 1]) == ("running", "to do", "done")
        with pytest.raises(LockedError, match=rf"a fold 0 is held by pid {child.pid}") as caught:
            tiny.run("train", config, "--fold", "0")
    assert caught.value.exit_code == 4
    assert is_done(config, "b", 0)  # the free one wasn't left undone
    assert not is_done(config, "a", 0)


def test_a_fold_that_is_held_is_waited_for_otherwise(competition, capsys, monkeypatch):
    config = tiny.configure(competition)
    remove_folds(config, ("a", 0), ("b", 1))
    with tiny.held_elsewhere(tiny.job_of(config, "a", 0).lock_file) as child:
        monkeypatch.setattr(train, "LOCKED_WAIT_SECONDS", 0.01)
        pause = train._pause

        def release_and_pause():  # it is told that it waits, however slow the machine is
            child.stdin.close()
            pause()

        monkeypatch.setattr(train, "_pause", release_and_pause)
        tiny.run("train", config)
    assert is_done(config, "a", 0)
    assert is_done(config, "b", 1)
    assert capsys.readouterr().out.count(f"waiting: a fold 0 is held by pid {child.pid}") == 1


def test_a_fold_that_another_process_finished_is_not_trained_again(competition, monkeypatch):
    config = tiny.configure(competition)
    job = tiny.job_of(config, "a", 0)
    aside = job.run_folder / "aside"
    job.folder.rename(aside)
    with tiny.held_elsewhere(job.lock_file) as child:

        def finish(seconds):
            for path in aside.iterdir():
                if path.name != "lock":
                    shutil.copy2(path, job.folder)
            child.stdin.close()
            child.wait()

        monkeypatch.setattr(time, "sleep", finish)
        tiny.run("train", config)
    for path in (job.file("model.safetensors"), job.trained_manifest):
        assert path.stat().st_mtime_ns == (aside / path.name).stat().st_mtime_ns
    assert is_done(config, "a", 0)


def test_waiting_can_be_stopped(competition, monkeypatch):
    config = tiny.configure(competition)
    remove_folds(config, ("a", 0))
    monkeypatch.setattr(time, "sleep", lambda seconds: signal.raise_signal(signal.SIGINT))
    with (
        tiny.held_elsewhere(tiny.job_of(config, "a", 0).lock_file),
        pytest.raises(Interrupted, match="waiting") as caught,
    ):
        tiny.run("train", config)
    assert caught.value.exit_code == 130


def test_two_shells_that_start_a_run_together_both_go_on(competition, monkeypatch):
    config = tiny.configure(competition, {"train": {"seed": 5}})
    job = tiny.job_of(config, "a", 1)
    started = job.run_folder / "environment.lock"
    with tiny.held_elsewhere(started) as child:
        monkeypatch.setattr(train, "LOCKED_WAIT_SECONDS", 0.01)
        threading.Timer(0.5, child.stdin.close).start()
        tiny.run("train", config, "--fold", "1", "--member", "a")
    assert is_done(config, "a", 1)


def test_states_before_anything_is_prepared(tmp_path):
    states = train.states(tiny.configure(tmp_path))
    assert [(state.member, state.state) for state in states] == [("a", "to do"), ("b", "to do")]
