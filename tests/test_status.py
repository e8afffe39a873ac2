"""Status shows a row for folds in the same state; clean lists what nothing refers to, and nothing else."""

import shutil

import pytest

from pipeline import __main__ as chain
from pipeline import status
from pipeline.artifacts import paths
from pipeline.artifacts.jobs import find_jobs
from pipeline.artifacts.state import State
from tests import tiny


def table(capsys, states):
    capsys.readouterr()
    status.show(states)
    return [line.split() for line in capsys.readouterr().out.splitlines()[1:]]


def test_neighbouring_folds_share_a_row(capsys):
    done = [State("train", "done", "", "a", k, score=k / 10, seconds=2.0) for k in range(3)]
    rest = [State("train", "running", "", "a", 3), State("train", "done", "", "a", 4, score=0.5, seconds=1.0)]
    other = [State("train", "done", "", "b", 0, score=0.5, seconds=61.0)]
    rows = table(capsys, [*done, *rest, *other, State("ensemble", "to do", "earlier stages first")])
    assert rows == [
        ["train", "a", "0–2", "done", "0.0000–0.2000", "6.0", "s"],
        ["train", "a", "3", "running"],
        ["train", "a", "4", "done", "0.5000", "1.0", "s"],
        ["train", "b", "0", "done", "0.5000", "1", "min", "1", "s"],
        ["ensemble", "to", "do", "earlier", "stages", "first"],
    ]


def test_the_whole_chain_is_done_when_it_is(finished, capsys):
    config = tiny.configure(finished)
    states = [state for stage in tiny.CHAIN for state in chain._module(stage).states(config)]
    assert {state.state for state in states} == {"done"}
    folds = [row[:4] for row in table(capsys, states) if row[0] in ("train", "predict")]
    assert folds == [[stage, m, "0–1", "done"] for stage in ("train", "predict") for m in "ab"]


def test_what_changed_is_said(competition, capsys):
    config = tiny.configure(competition)
    tiny.job_of(config, "b", 1).file("oof.npz").unlink()
    rows = table(capsys, chain._module("train").states(config))
    assert [row[:4] for row in rows] == [
        ["train", "a", "0–1", "done"], ["train", "b", "0", "done"], ["train", "b", "1", "stale"]]  # fmt: skip
    assert " ".join(rows[2][-3:]).endswith("fold1/oof.npz is missing")


def test_what_stands_on_something_stale_is_not_done(finished):
    config = tiny.configure(finished, {"predict": {"views": ["identity"]}})
    states = {(state.stage, state.state) for state in chain._states(config)}
    assert {("folds", "done"), ("train", "stale"), ("predict", "stale"), ("ensemble", "stale")} <= states


def cleaned(folder, capsys, *arguments, changes=None):
    capsys.readouterr()
    tiny.run("clean", tiny.configure(folder, changes), *arguments)
    return capsys.readouterr().out


def test_clean_keeps_all_that_the_configuration_refers_to(finished, capsys):
    before = tiny.snapshot(finished)
    assert "nothing to clean" in cleaned(finished, capsys, "--yes")
    assert tiny.snapshot(finished) == before


def test_clean_lists_the_runs_of_an_old_recipe_and_removes_them_when_told(competition, capsys):
    old = {job.run_folder for job in find_jobs(tiny.configure(competition))}
    changes = {"train": {"epochs": 1}}
    tiny.run("train", tiny.configure(competition, changes), "--member", "a")
    new = {job.run_folder for job in find_jobs(tiny.configure(competition, changes))}
    said = cleaned(competition, capsys, changes=changes)
    assert all(str(folder) in said for folder in old)
    assert not any(str(folder) in said for folder in new)
    assert "Nothing was removed" in said
    assert all(folder.exists() for folder in old)
    assert "removed 2" in cleaned(competition, capsys, "--yes", changes=changes)
    assert not any(folder.exists() for folder in old)
    assert sum(folder.exists() for folder in new) == 1
    assert (paths.ensemble(tiny.configure(competition)) / "scores.json").exists()


def test_clean_leaves_a_run_that_is_being_trained(competition, capsys):
    job = find_jobs(tiny.configure(competition))[0]
    changes = {"train": {"epochs": 1}}
    with tiny.held_elsewhere(job.lock_file):
        assert str(job.run_folder) not in cleaned(competition, capsys, changes=changes)
    assert str(job.run_folder) in cleaned(competition, capsys, changes=changes)


def test_clean_leaves_files_that_are_being_written(competition, capsys):
    job = find_jobs(tiny.configure(competition))[0]
    half = job.file("a.ckpt.tmp")
    half.write_bytes(b"half")
    with tiny.held_elsewhere(job.lock_file):
        assert "nothing to clean" in cleaned(competition, capsys, "--yes")
    assert half.exists()
    assert str(half) in cleaned(competition, capsys, "--yes")
    assert not half.exists()


def test_clean_removes_earlier_submissions_and_nobody_elses(competition, capsys):
    config = tiny.configure(competition)
    folder = paths.submission(config, "0" * 16).parent
    mine = next(folder.glob("tiny-*.csv"))
    others = [folder / name for name in ("tiny-2-0123abcd.csv", "tiny-final.csv", "tinier-0123abcd.csv")]
    for file in (folder / "tiny-0123abcd.csv", *others):
        shutil.copy(mine, file)
    assert str(folder / "tiny-0123abcd.csv") in cleaned(competition, capsys, "--yes")
    assert sorted(folder.glob("*.csv")) == sorted([mine, *others])


def test_clean_before_anything_exists(tmp_path, capsys):
    assert "nothing to clean" in cleaned(tmp_path, capsys)


@pytest.mark.parametrize("stage", ["train", "predict", "ensemble"])
def test_states_before_anything_exists(tmp_path, stage):
    states = chain._module(stage).states(tiny.configure(tmp_path))
    assert {state.state for state in states} == {"to do"}
