"""The search for a recipe: Optuna proposes values, a normal training scores them, SQLite remembers them.

What is proposed depends on the seed and the trials that ended before (Tree-structured Parzen estimator,
Bergstra et al. 2011), so a search that is killed anywhere and run again tries what an undisturbed one would:
the trial that was running is tried again, and its training goes on from its checkpoint.
"""

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline import interrupt, terminal
from pipeline.artifacts import lock, manifest, paths, writer
from pipeline.artifacts.jobs import Job, fold_jobs
from pipeline.artifacts.training_log import read_epochs
from pipeline.config import Config, Member
from pipeline.errors import Interrupted, NotFiniteError, UsageError
from pipeline.learn.job import train_job
from pipeline.learn.search_space import (
    Space,
    check_sides,
    member_with,
    own_params,
    read_space,
    values_of,
    wanted_space,
)
from pipeline.learn.work import Work, open_work
from pipeline.randomness import key
from pipeline.score.metrics import Metric, find_metric

FOLD_STEPS = 100_000  # an epoch's number within a trial counts on from here in its second fold
DRAWS = 20
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Search:
    """A member's search by the OOF score of some folds; the runs of `config` are its own, in its `folder`."""

    config: Config
    member: Member
    folds: tuple[int, ...]
    metric: Metric
    space: Space
    folder: Path

    @property
    def own(self) -> dict[str, Any] | None:
        """The recipe as it stands, as a trial's parameters; None if the space doesn't have it."""
        return own_params(self.member.train, self.space)


@dataclass(frozen=True)
class Trial:
    """A recipe that was tried: `values` of [train], and its score, None where it was given up early."""

    number: int
    values: dict[str, Any]
    score: float | None


def plan_search(config: Config, member: Member, folds: tuple[int, ...]) -> Search:
    """Name the search by all that its scores depend on.

    Raises UsageError for a space that can't be searched, DataError for one of images that aren't cached.
    """
    wanted = wanted_space(config, member)
    space = read_space(wanted)
    check_sides(config, member, space)
    if "common" in (member.train.select, *wanted.get("select", ())):
        raise UsageError(
            'tune: with train.select = "common" a fold has no score of its own. Search with "last"; set it '
            "in the recipe that is found."
        )
    if member.teacher is not None or "teacher" in wanted:
        raise UsageError(
            "tune: a trial has no teacher's models to learn from. Search without train.teacher; set it in "
            "the recipe that is found."
        )
    jobs = [job for job in fold_jobs(config, _once(member)) if job.fold in folds]
    scored = [[job.trained.version, job.trained.config] for job in jobs]
    digest = manifest.digest([scored, wanted, config.tune.seed, config.tune.prune])
    folder = paths.tune(config) / f"{member.name}-{digest[:8]}"
    own = replace(config, paths=replace(config.paths, runs=str(folder / "runs")), members=(member,))
    return Search(own, member, folds, find_metric(config.data.metric), space, folder)


def run_search(search: Search, count: int) -> list[Trial]:
    """Try recipes until `count` are tried, those of earlier calls included; return all in their order.

    Raises LockedError where another process searches, Interrupted, after a checkpoint, when asked to stop.
    """
    with (
        lock.hold(search.folder / "lock", f"the search {search.folder.name}"),
        interrupt.caught(),
        _study(search) as study,
    ):
        work = open_work(search.config, [])
        while len(ended := _ended(study)) < count:
            if number := interrupt.requested():
                raise Interrupted("asked to stop between two trials: run it again.", number)
            trial = _ask(study, search, ended)
            if trial is None:
                terminal.stage("tune", f"tune.space seems to hold no more than these {len(ended)} recipes")
                break
            shown = told(values_of(trial.params))
            terminal.stage("tune", f"trial {len(ended) + 1} of {count}: {shown}")
            _try(work, search, study, trial)
        writer.remove(search.folder / "runs")
    return [
        Trial(i, values_of(one.params), one.value if one.state == TrialState.COMPLETE else None)
        for i, one in enumerate(ended, start=1)
    ]


def ranked(search: Search, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that have a score, the best one first."""
    sign = -1 if search.metric.greater_is_better else 1
    return sorted((one for one in trials if one.score is not None), key=lambda one: sign * (one.score or 0.0))


def told(values: Mapping[str, Any]) -> str:
    """Write a trial's values for people.

    >>> told({"lr": 0.00123456, "augment": "light"})
    'lr 0.001235, augment light'
    """
    texts = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())


def _once(member: Member) -> Member:
    return replace(member, train=replace(member.train, seeds=1))


@contextlib.contextmanager
def _study(search: Search) -> Iterator[optuna.Study]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{search.folder / 'study.sqlite3'}")
    try:
        yield optuna.create_study(
            storage=storage,
            study_name=search.folder.name,
            direction="maximize" if search.metric.greater_is_better else "minimize",
            pruner=optuna.pruners.MedianPruner() if search.config.tune.prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
    finally:
        storage.engine.dispose()


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=ENDED)


def _ask(study: optuna.Study, search: Search, ended: Sequence[FrozenTrial]) -> optuna.Trial | None:
    """Return the next trial: one that was stopped; the first, which is the recipe as it stands; a new one.

    None where DRAWS draws find nothing that wasn't tried: a space of choices may be small.
    """
    left = study.get_trials(states=(TrialState.RUNNING,))
    stopped = next((trial.params for trial in left if set(trial.params) == set(search.space)), None)
    for trial in left:
        study.tell(trial.number, state=TrialState.FAIL)
    given = stopped or (None if ended else search.own)
    if given and not study.get_trials(states=(TrialState.WAITING,)):
        study.enqueue_trial(given)
    tried = [one.params for one in ended]
    for draw in range(DRAWS):
        seed = key(search.config.tune.seed, "tune", len(ended), draw) % 2**32
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        drawn = study.ask(dict(search.space))
        if drawn.params not in tried:
            return drawn
        study.tell(drawn, state=TrialState.FAIL)
    return None


def _try(work: Work, search: Search, study: optuna.Study, trial: optuna.Trial) -> None:
    """Train the trial's recipe, tell the study its score, or that it was given up, and remove its run."""
    try:
        jobs = _jobs(search, values_of(trial.params))
        scores = [_fold_score(work, trial, job, i * FOLD_STEPS) for i, job in enumerate(jobs)]
    except (optuna.TrialPruned, NotFiniteError) as reason:
        terminal.stage("tune", f"given up: {reason}")
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, statistics.fmean(scores))
    writer.remove(search.folder / "runs")


def _jobs(search: Search, values: Mapping[str, Any]) -> list[Job]:
    """Return the folds to train; values that don't go together end the trial."""
    try:
        member = member_with(search.config, search.member, {**values, "seeds": 1})
    except UsageError as refusal:
        raise optuna.TrialPruned(str(refusal)) from refusal
    return [job for job in fold_jobs(search.config, member) if job.fold in search.folds]


def _fold_score(work: Work, trial: optuna.Trial, job: Job, first_step: int) -> float:
    """Train a fold, whose epochs' validation scores may end the trial; return its OOF score."""
    reported = 0

    def report(before: float, prune: bool) -> None:
        nonlocal reported
        for epoch in read_epochs(job.file("log.jsonl")):
            if reported < epoch["epoch"] < before and "valid_score" in epoch:
                reported = epoch["epoch"]
                trial.report(epoch["valid_score"], first_step + reported)
                if prune and trial.should_prune():
                    raise optuna.TrialPruned(f"under the median of the other trials after epoch {reported}")

    work.todo = [job]
    work.watched = lambda step: report(step.epoch, prune=True) if step.step_in_epoch == 1 else None
    if why := job.untrained():
        train_job(work, job, why)
    report(float("inf"), prune=False)
    return manifest.facts(job.trained_manifest)["score"]
