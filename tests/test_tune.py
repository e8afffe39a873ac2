"""Tune: the preset and the record that it writes, what it refuses, and that the score is said to flatter."""

import dataclasses
import sys
from pathlib import Path

import pytest

from pipeline import report
from pipeline.artifacts import manifest, paths
from pipeline.config import load
from pipeline.errors import DataError, LockedError, UnsuitableError, UsageError
from pipeline.learn import search
from pipeline.learn.search import plan_search
from pipeline.page.build import build
from tests import fake_competition, tiny
from tests.html_page import Page
from tests.searches import SPACE, configured, on_paper, quality, real, searched


@pytest.fixture
def bare(tmp_path, monkeypatch):
    on_paper(tmp_path, monkeypatch)


def test_the_preset_is_the_best_recipe_and_says_that_its_score_flatters(bare, capsys):
    config = configured(trials=5, seeds=2)
    tiny.run("tune", config, "--member", "b", "--fold", "1", "--out", "best.toml")
    [record] = [manifest.read_json(path) for path in paths.tune_records(config)]
    found = load("best.toml")
    assert found.members[0] == config.members[0]
    values = {name: getattr(found.members[1].train, name) for name in SPACE}
    assert values == record["values"]
    others = dataclasses.replace(found.members[1].train, lr=1e-3, augment="light")
    assert others == config.members[1].train
    assert quality(found.members[1].train, 1) == record["score"] > record["score_before"]
    assert (record["trials"], record["folds"], record["member"]) == (5, [1], "b")
    assert paths.recipe_digest(found.members[1], "f") == record["recipe"]
    head, shown = Path("best.toml").read_text().split("\n[")[0], capsys.readouterr().out
    flattery = "It was chosen by this score, so it flatters, and so does the OOF score of fold 1."
    for said in (flattery, f"accuracy {record['score']:.4f} on fold 1", "the best of 5 trials"):
        assert said in head
        assert said in shown
    assert "# Command: python -m pipeline.tune --fold 1 --member b --out best.toml" in head


def test_another_file_is_not_written_over(bare):
    Path("mine.toml").write_text("[data]\n")
    with pytest.raises(UsageError, match=r"mine\.toml is there and not of an earlier search"):
        tiny.run("tune", configured(), "--out", "mine.toml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--member", "c"], "--member c: no such member; there are a, b"),
        (["--fold", "3"], "--fold 3: there are folds 0 to 2"),
        (["--trials", "0"], "--trials 0: at least one"),
    ],
)
def test_a_wrong_choice_is_named(bare, arguments, words):
    with pytest.raises(UsageError, match=words):
        tiny.run("tune", configured(), *arguments)


def test_all_trials_given_up(bare):
    with pytest.raises(DataError, match="all of 2 trials were given up"):
        tiny.run("tune", configured({"lr": [0.2, 0.3]}, trials=2))


def test_a_second_process_is_refused(bare):
    plan = plan_search(configured(), configured().members[0], (0,))
    with tiny.held_elsewhere(plan.folder / "lock"), pytest.raises(LockedError, match="the search a-"):
        tiny.run("tune", configured())


def test_without_optuna_it_says_how_to_get_it(bare, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UnsuitableError, match=r"needs Optuna.*pip install 'optuna>=4'"):
        tiny.run("tune", configured())


def test_nothing_is_prepared_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"python -m pipeline\.folds"):
        tiny.run("tune", configured())


def test_the_best_trial_is_what_the_preset_trains(competition):
    config = real(competition)
    tiny.run("tune", config)
    [record] = [manifest.read_json(path) for path in paths.tune_records(config)]
    found = load("tuned.toml")
    job = tiny.job_of(found, "a", 0)
    assert not job.folder.exists()
    tiny.run("train", found, "--member", "a", "--fold", "0")
    assert manifest.facts(job.trained_manifest)["score"] == record["score"]
    assert not list(paths.tune(config).glob("*/runs"))


def test_clean_offers_a_trial_that_was_stopped(bare, monkeypatch, capsys):
    monkeypatch.setattr(search, "train_job", lambda work, job, why: job.folder.mkdir(parents=True) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        searched(configured())
    tiny.run("clean", configured(), "--yes")
    assert "a trial of a search that was stopped" in capsys.readouterr().out
    assert not list(paths.tune(configured()).glob("*/runs"))


def test_the_report_says_whose_recipe_was_searched(tmp_path):
    config = fake_competition.configure(tmp_path)
    fake_competition.write_json(paths.folds_record(config), {"digest": fake_competition.DIGEST})
    first, second = config.members
    found = [(first, [3]), (dataclasses.replace(second, model="other"), [1]), (second, [0, 1])]
    for number, (member, folds) in enumerate(found):
        recipe = paths.recipe_digest(member, fake_competition.DIGEST)
        record = {"recipe": recipe, "trials": 1200, "folds": folds, "metric": "macro-f1", "score": 0.5}
        fake_competition.write_json(paths.tune(config) / str(number) / "best.json", record)
    assert {"tune/0", "tune/1", "tune/2"} <= set(report.expected(config).inputs)
    shown = Page(build(config)).text
    best = "recipe is the best of 1,200 trials on"
    assert f"lite0's {best} fold 3 (macro-f1 0.5000): that fold's OOF score flatters" in shown
    assert f"resnet50's {best} all folds (macro-f1 0.5000): their OOF scores flatter" in shown
    assert shown.count(best) == 2
