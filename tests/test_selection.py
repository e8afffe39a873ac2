"""The best epoch by the validation rows: taken, stopped after, gone on from, and told."""

from typing import Any

import pytest
from torch import nn

from pipeline.config import Train
from pipeline.learn.selection import Selection
from pipeline.score.metrics import METRICS
from tests import tiny
from tests.trainer import Trainer

pytestmark = pytest.mark.usefixtures("torch_threads")
STILL = {"batch": 15, "schedule": "constant", "warmup_epochs": 0, "lr": 1e-7, "ema": False, "dropout": 0.3}


def chosen(scores: list[float], metric: str, **recipe) -> tuple[float, list[bool]]:
    """The weight that is left of a model whose weight is the epoch, and after which epochs it is over."""
    selection = Selection(Train(epochs=9, **recipe), METRICS[metric])
    model: Any = nn.Linear(1, 1, bias=False)
    over = []
    for epoch, score in enumerate(scores):
        model.weight.data.fill_(float(epoch))
        selection.see(model, epoch, score)
        over.append(selection.is_over(epoch))
    selection.finish(model)
    return model.weight.item(), over


def test_the_first_of_the_best_is_taken_whichever_way_the_metric_points():
    scores = [0.2, 0.5, 0.4, 0.5, 0.1]
    assert chosen(scores, "macro-f1", select="best")[0] == 1
    assert chosen(scores, "log-loss", select="best")[0] == 4
    assert chosen(scores, "macro-f1")[0] == 4


def test_it_is_over_once_so_many_epochs_brought_nothing():
    scores = [0.2, 0.5, 0.4, 0.5, 0.6, 0.1, 0.1]
    over = chosen(scores, "macro-f1", select="best", stop_epochs=2)[1]
    assert [epoch for epoch, is_over in enumerate(over) if is_over] == [3, 6]
    assert not any(chosen(scores, "macro-f1", select="best")[1])
    assert not any(chosen(scores, "macro-f1", stop_epochs=1)[1])


def test_a_fold_that_gets_no_better_stops_early_with_the_weights_of_its_best_epoch(finished, tmp_path):
    first = Trainer(finished, tmp_path / "first", "test_resnet", "contiguous", epochs=1, **STILL)
    recipe = {"epochs": 8, "select": "best", "stop_epochs": 2, **STILL}
    stopped = Trainer(finished, tmp_path / "stopped", "test_resnet", "contiguous", **recipe)
    assert stopped() == first()
    assert len(stopped.events("epoch")) == 3
    assert [event["selected_epoch"] for event in stopped.events("end")] == [1]
    resumed = Trainer(finished, tmp_path / "resumed", "test_resnet", "contiguous", **recipe)
    steps = stopped.events("start")[0]["steps"] // 8
    assert resumed.through([1, steps, steps + 1, 2 * steps, 3 * steps - 1]) == stopped()


def test_the_closing_lines_say_that_the_score_flatters(competition, capsys):
    config = tiny.configure(competition, {"train": {"select": "best"}})
    for stage in ("train", "predict", "ensemble"):
        tiny.run(stage, config)
    words = "The score flatters: epochs of a, b were chosen on the rows that are scored"
    assert words in capsys.readouterr().out
