"""The search: what it tries and gives up, and that it tries the same after any kill."""

import contextlib
import dataclasses
import signal

import optuna
import pytest
from optuna.storages._cached_storage import _CachedStorage  # what the study calls, so a place to die

from pipeline.artifacts import writer
from pipeline.errors import Interrupted
from pipeline.learn import search
from pipeline.learn.search import plan_search, ranked, run_search
from tests.searches import SPACE, configured, curves, on_paper, quality, real, searched, train_on_paper


class Killed(BaseException):
    """What no code of ours catches, as a power cut."""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    on_paper(tmp_path, monkeypatch)


def test_the_first_trial_is_the_recipe_as_it_is_and_others_are_better(bare):
    plan, trials = searched(configured(trials=5))
    assert trials[0].values == {"lr": 1e-3, "augment": "light"}
    assert [trial.number for trial in trials] == list(range(1, 6))
    best = ranked(plan, trials)[0]
    assert best.score == max(trial.score for trial in trials if trial.score is not None) > trials[0].score
    assert not (plan.folder / "runs").exists()


def test_a_trial_that_falls_behind_is_given_up_and_leaves_nothing(bare):
    config = configured(trials=10)
    plan, trials = searched(config)
    pruned = [found for found in curves(plan) if found[1] == optuna.trial.TrialState.PRUNED]
    assert len(pruned) == sum(trial.score is None for trial in trials) >= 3
    assert all(0 < len(found[3]) < 3 for found in pruned)
    assert not (plan.folder / "runs").exists()
    unpruned = dataclasses.replace(config, tune=dataclasses.replace(config.tune, prune=False, trials=7))
    assert all(trial.score is not None for trial in searched(unpruned)[1])


def test_a_training_that_diverges_ends_its_trial_alone(bare, capsys):
    _, trials = searched(configured({"lr": [1e-3, 0.095]}, trials=2))
    assert {(trial.values["lr"], trial.score is None) for trial in trials} == {(1e-3, False), (0.095, True)}
    assert "given up: the loss is nan" in capsys.readouterr().out


@pytest.mark.parametrize("metric", ["accuracy", "log-loss"])
def test_the_metric_says_which_score_is_best(bare, metric):
    plan, trials = searched(configured(trials=5, metric=metric))
    scores = [trial.score for trial in trials if trial.score is not None]
    assert ranked(plan, trials)[0].score == (max if metric == "accuracy" else min)(scores)


def test_all_folds_count_by_their_mean(bare):
    _, trials = searched(configured(trials=1), folds=(0, 1, 2))
    train = configured().members[0].train
    assert trials[0].score == pytest.approx(sum(quality(train, fold) for fold in range(3)) / 3)


EVENTS = ("create_new_trial", "set_trial_param", "set_trial_intermediate_value", "set_trial_state_values")


@pytest.mark.parametrize("event", EVENTS)
def test_killed_anywhere_and_run_again_it_tries_the_same(bare, monkeypatch, event):
    config = configured(trials=3)
    plan, trials = searched(config)
    undisturbed, kills = curves(plan), 0
    writer.remove(plan.folder)
    again = None
    while again is None:
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            kill(patch, event, nth=1 + kills % 4, after=bool(kills % 2))
            kills += 1
            again = searched(config)[1]
    assert kills > 2
    assert again == trials
    assert curves(plan) == undisturbed


def test_what_is_learnt_of_many_trials_is_proposed_after_a_kill_too(bare, monkeypatch):
    config = configured({"lr": SPACE["lr"]}, trials=12)
    plan, trials = searched(config)
    undisturbed = curves(plan)
    writer.remove(plan.folder)
    with monkeypatch.context() as patch:
        kill(patch, "create_new_trial", nth=12, after=True)
        with pytest.raises(Killed):
            searched(config)
    assert searched(config)[1] == trials
    assert curves(plan) == undisturbed


def kill(patch, event, nth, after):
    """Die at the nth call of a method of the storage, before or after its work."""
    work, calls = getattr(_CachedStorage, event), []

    def call(*arguments, **named):
        calls.append(event)
        if len(calls) == nth and not after:
            raise Killed
        found = work(*arguments, **named)
        if len(calls) == nth:
            raise Killed
        return found

    patch.setattr(_CachedStorage, event, call)


def test_more_trials_go_on_from_those_that_are_there(bare, monkeypatch):
    _, first = searched(configured(trials=3))
    told = []
    monkeypatch.setattr(search, "train_job", lambda *all: (told.append(all[1]), train_on_paper(*all)))
    _, more = searched(configured(trials=5))
    assert (more[:3], len(more), len(told)) == (first, 5, 2)


def test_nothing_is_tried_twice_and_a_small_space_ends_the_search(bare, capsys):
    _, trials = searched(configured({"augment": ["light", "heavy", "none"]}, trials=8))
    assert sorted(trial.values["augment"] for trial in trials) == ["heavy", "light", "none"]
    assert "tune.space seems to hold no more than these 3 recipes" in capsys.readouterr().out


def test_values_that_do_not_go_together_end_the_trial(bare, capsys):
    space = {"loss": ["cross-entropy", "balanced-softmax"], "sampler": ["natural", "class-balanced"]}
    _, trials = searched(configured(space, trials=4))
    refused = [
        one for one in trials if one.values == {"loss": "balanced-softmax", "sampler": "class-balanced"}
    ]
    assert refused
    assert all((one.score is None) == (one in refused) for one in trials)
    assert "given up: " in capsys.readouterr().out


def test_real_trainings_stopped_and_run_again(competition, monkeypatch):
    config = real(competition)
    plan = plan_search(config, config.members[0], (0,))
    trials = run_search(plan, 2)
    undisturbed = curves(plan)
    writer.remove(plan.folder)
    asked = []

    def ask_to_stop(trial, value, step):
        asked.append(step)
        report(trial, value, step)
        if len(asked) in (1, 4):
            signal.raise_signal(signal.SIGTERM)

    report = optuna.Trial.report
    monkeypatch.setattr(optuna.Trial, "report", ask_to_stop)
    for _ in range(2):
        with pytest.raises(Interrupted, match="asked to stop; saved after step"):
            run_search(plan, 2)
        assert list(plan.folder.rglob("*.ckpt"))
    assert run_search(plan, 2) == trials
    assert curves(plan) == undisturbed


def test_a_real_training_is_given_up_and_the_next_goes_on(competition, monkeypatch):
    config = real(competition)
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number == 0)
    plan = plan_search(config, config.members[0], (0, 1))
    trials = run_search(plan, 2)
    assert [trial.score is None for trial in trials] == [True, False]
    assert [len(steps) for *_, steps in curves(plan)] == [1, 4]
    assert not (plan.folder / "runs").exists()
