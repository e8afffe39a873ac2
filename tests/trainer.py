"""A fold's training on the finished tiny competition, stopped where a test wants it."""

import dataclasses
import json
import signal

import pytest

from pipeline import interrupt
from pipeline.artifacts import paths
from pipeline.config import Member
from pipeline.dataset.cache import open_cache
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.dataset.loader import rows_of
from pipeline.errors import Interrupted
from pipeline.learn import checkpoint
from pipeline.learn.fold import FoldData, train_fold
from pipeline.learn.run_record import RunRecord
from pipeline.learn.runtime import Choice, build_runtime
from pipeline.learn.selection import Selection
from pipeline.learn.weights import RANDOM
from pipeline.score.metrics import METRICS
from tests import tiny


class Trainer:
    """What a fold's training needs, from the finished competition; `stops` are steps at which to ask."""

    def __init__(self, finished, folder, model, memory_format, fold=0, last=None, **recipe):
        self.config = tiny.configure(finished)
        train = dataclasses.replace(self.config.members[0].train, memory_format=memory_format, **recipe)
        self.member = Member(name="m", model=model, weights="random", train=train)
        cache, folds = open_cache(paths.cache(self.config)), load_folds(self.config)
        rows, out = rows_of(cache, "train", folds.ids), folds.fold_of == fold
        self.data = FoldData(cache, cache.table["target"].to_numpy(), 3, rows[~out], rows[out])
        self.choice = Choice(1, train.dtype, train.dtype, memory_format)
        self.folder, self.fold, self.last = folder, fold, last
        self.steps = 0

    def __call__(self, stops=(), deadline=float("inf"), identity="me"):
        def watch(step):
            self.steps += 1
            if self.steps in stops:
                signal.raise_signal(signal.SIGTERM)

        selection = Selection(self.member.train, METRICS["macro-f1"], last=self.last)
        with interrupt.caught():
            model = train_fold(
                self.config, self.member, self.fold, self.data, RunRecord(RANDOM, self.choice),
                build_runtime(self.member.train, self.choice), self.folder, identity, watch, deadline,
                selection,
            )  # fmt: skip
        return checkpoint.model_bytes(model, {})

    def through(self, stops):
        """Stop at each of the steps and go on, to the end."""
        for _ in stops:
            with pytest.raises(Interrupted) as caught:
                self(stops)
            assert caught.value.exit_code == 143
        return self(stops)

    def events(self, kind):
        lines = [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]
        return [line for line in lines if line["event"] == kind]
