"""Train: each member on all folds but one, fold by fold; predict the rows each model didn't see (OOF).

A fold that is done is skipped; a fold that was stopped, even by kill -9, goes on from its last checkpoint and
ends with the same bits. Several shells or machines can share the work: a fold that another process holds is
left to it.

  python -m pipeline.train --fold 3                  fold 3 of every member
  python -m pipeline.train --member resnet50         all folds of one member
  python -m pipeline.train train.epochs=20           a new run of every member with another recipe
"""

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import interrupt, terminal
from pipeline.artifacts import lock, manifest, paths, state
from pipeline.artifacts.jobs import Job, can_find_jobs, find_jobs, teacher_jobs
from pipeline.artifacts.state import State
from pipeline.config import Config, teachers
from pipeline.errors import DataError, Interrupted, LockedError, UsageError

if TYPE_CHECKING:
    from pipeline.learn.work import Work

STAGE = "train"
LOCKED_WAIT_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --fold, --member and --all."""
    parser.add_argument(
        "--fold", type=int, metavar="K", help="only fold K of each member (folds count from 0)"
    )
    parser.add_argument("--member", metavar="NAME", help="only this member")
    parser.add_argument("--all", action="store_true", help="every fold of every member (the default)")


def states(config: Config) -> list[State]:
    """Return a line for each fold of each member, and for its model of all rows."""
    if not can_find_jobs(config):
        return [state.waiting(STAGE, member.name) for member in config.members]
    return [
        replace(state.of(*job.commit, job.title, job.fold, job.lock_file), why=job.untrained() or "")
        for job in find_jobs(config)
    ]


def run(config: Config, options: argparse.Namespace) -> None:
    """Train what isn't up to date, then show the cross-validation table."""
    check_choice(config, options.fold, options.member)
    jobs = [
        job
        for job in find_jobs(config)
        if options.fold in (None, job.fold) and options.member in (None, job.member.name)
    ]
    # Teachers first: a member that is taught comes after whoever teaches it, and after that one's teacher.
    todo = sorted((job for job in jobs if job.untrained()), key=lambda job: len(teachers(job.member)))
    if not todo:
        terminal.stage(STAGE, f"up to date ({len(jobs)} models)")
        return
    from pipeline.leaderboard.write import check_form
    from pipeline.learn.cv_table import show_scores
    from pipeline.learn.work import open_work

    _check_teachers(config, todo, options.fold)
    check_form(config)  # a sample submission that can't be understood is told now, not after the training
    with interrupt.caught():
        work = open_work(config, todo)
        _train_each(work, todo, wait=options.fold is None)
        for job in todo:
            if job.waits():
                _try(work, job)  # another process may have trained the last fold while this one was held
    show_scores(work)


def check_choice(config: Config, fold: int | None, member: str | None) -> None:
    """Raise UsageError for a fold or a member that the configuration doesn't have."""
    if fold is not None and not 0 <= fold < config.folds.count:
        raise UsageError(f"--fold {fold}: there are folds 0 to {config.folds.count - 1} (folds.count).")
    names = [known.name for known in config.members]
    if member is not None and member not in names:
        raise UsageError(f"--member {member}: no such member; there are {', '.join(names)}.")


def _check_teachers(config: Config, todo: list[Job], fold: int | None) -> None:
    """Refuse students without a teacher's models, which aren't to be trained either, or without test images.

    Raises DataError with the command that trains the teacher, UsageError for train.pseudo.
    """
    facts = manifest.facts(paths.cache_manifest(config))
    readable = facts["rows"]["test"] - facts["problems"]["test"]
    for job in todo:
        if job.member.train.pseudo and not readable:
            raise UsageError(f"train.pseudo of {job.member.name}: there are no test images; leave it out.")
        for one in teacher_jobs(config, job):
            if one not in todo and (why := one.untrained()):
                which = ("" if fold is None else f"--fold {fold} ") + f"--member {one.member.name}"
                raise DataError(
                    f"{job.name} is taught by {one.name}, which isn't trained ({why}): "
                    f"python -m pipeline.train {which}"
                )


def _train_each(work: "Work", todo: list[Job], wait: bool) -> None:
    """Train the jobs; those that another process holds are looked at again, or, without `wait`, refused."""
    from pipeline.learn.cv_table import show_scores

    told = False
    while todo:
        refusals = []
        for job in todo:
            if refusal := _try(work, job):
                refusals.append((job, refusal))
            elif wait and job.untrained():
                refusals.append((job, LockedError(f"{job.name} waits for the other folds of its run.")))
            elif wait and work.todo and all(other.member.name != job.member.name for other in work.todo):
                show_scores(work)  # this member is done, others are to come
        held = [job for job, _ in refusals]
        if held and not wait:
            with lock.hold(held[0].lock_file, held[0].name):
                pass  # it is free: what was held is the run's start, for some seconds
        if held == todo:
            if not told:
                terminal.stage(STAGE, f"waiting: {refusals[0][1]}")
            told = True
            _pause()
        todo = held


def _pause() -> None:
    time.sleep(LOCKED_WAIT_SECONDS)
    if number := interrupt.requested():
        raise Interrupted("asked to stop while waiting for other processes: run it again.", number)


def _try(work: "Work", job: Job) -> LockedError | None:
    """Train a model; return the reason if another process holds it."""
    from pipeline.learn.job import train_job

    try:
        with lock.hold(job.lock_file, job.name):
            if why := job.untrained():
                _check_taught(work.config, job)
                train_job(work, job, why)
    except LockedError as refusal:
        return refusal
    if job in work.todo:
        work.todo.remove(job)
    return None


def _check_taught(config: Config, job: Job) -> None:
    """Raise LockedError while the models that teach a job are another process's to train."""
    for one in teacher_jobs(config, job):
        if one.untrained():
            raise LockedError(f"{job.name} waits for its teacher, {one.name}.")


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
