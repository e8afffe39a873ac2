"""What the models that one process trains share: folds, images, targets; and which rows train which model."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.artifacts import manifest, paths
from pipeline.artifacts.jobs import Job
from pipeline.config import Config
from pipeline.dataset.cache import Cache, open_cache
from pipeline.dataset.folds.folds_file import Folds, load_folds
from pipeline.dataset.loader import rows_of
from pipeline.learn.fold import FoldData, Step
from pipeline.learn.run_record import RunRecord
from pipeline.score.splits import training_rows


@dataclass
class Work:
    """What the models of this process share; `speeds` are images/s, measured, for the time that is left.

    `told` are the models that wait for others, once that is said. `watched` is told of each step and may end
    the training by raising.
    """

    config: Config
    folds: Folds
    cache: Cache
    targets: np.ndarray
    rows: np.ndarray
    classes: list[str]
    todo: list[Job]
    deadlines: dict[str, float]
    records: dict[Path, RunRecord] = field(default_factory=dict)
    speeds: dict[str, float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    watched: Callable[[Step], None] | None = None


def open_work(config: Config, todo: list[Job]) -> Work:
    """Open the folds and the cache once for all jobs; raises DataError where one doesn't fit the other."""
    folds = load_folds(config)
    cache = open_cache(paths.cache(config))
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    limits = {
        member.name: 60 * member.train.max_minutes for member in config.members if member.train.max_minutes
    }
    deadlines = {name: time.monotonic() + seconds for name, seconds in limits.items()}
    return Work(
        config,
        folds,
        cache,
        cache.table["target"].to_numpy(),
        rows_of(cache, "train", folds.ids),
        classes,
        list(todo),
        deadlines,
    )


def fold_data(work: Work, k: int | None) -> FoldData:
    """Return which rows fold k's model is trained on, and which it is scored on; None: all, and none."""
    held_out = np.zeros(len(work.rows), bool) if k is None else work.folds.fold_of == k
    trained = trained_on(work, k)
    return FoldData(work.cache, work.targets, len(work.classes), work.rows[trained], work.rows[held_out])


def pseudo_rows(work: Work) -> np.ndarray:
    """Return the test images' positions in the cache's table: a validation split stays held out."""
    return np.flatnonzero(work.cache.table["split"] == "test")


def images_an_epoch(work: Work, k: int | None, pseudo: bool) -> int:
    """Return how many images an epoch of fold k's model has, with or without the test images."""
    return int(trained_on(work, k).sum()) + (len(pseudo_rows(work)) if pseudo else 0)


def trained_on(work: Work, k: int | None) -> np.ndarray:
    """Tell which of the folds' rows fold k's model is trained on, bool [n]; None: all."""
    return training_rows(work.folds.fold_of, work.folds.groups, k, work.folds.kind)
