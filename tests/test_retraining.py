"""A new classifier on balanced classes: the features stay, bit for bit, and so does a stopped run."""

import numpy as np
import pytest
import safetensors.torch

from pipeline.class_balance import check_balance
from pipeline.config import Train
from pipeline.dataset.loader import epoch_batches
from pipeline.errors import UsageError
from pipeline.learn.schedule import learning_rate
from tests.trainer import Trainer

pytestmark = pytest.mark.usefixtures("torch_threads")
SHORT = {"batch": 8, "ema": False, "dropout": 0.2, "validate_epochs": 0}
HEAD = ("fc.weight", "fc.bias")


def tensors(content):
    return safetensors.torch.load(content)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "step", "plateau", "constant"])
def test_the_features_are_those_of_a_training_without(schedule, finished, tmp_path):
    recipe = {**SHORT, "schedule": schedule}
    alone = Trainer(finished, tmp_path / "a", "test_resnet", "contiguous", epochs=2, **recipe)
    both = Trainer(
        finished, tmp_path / "b", "test_resnet", "contiguous", epochs=4, retrain_epochs=2, **recipe
    )
    before, after = tensors(alone()), tensors(both())
    moved = {name for name, value in before.items() if not value.equal(after[name])}
    assert moved == set(HEAD)


def test_the_averaged_features_are_what_the_new_classifier_stands_on(finished, tmp_path):
    recipe = {**SHORT, "batch": 4, "ema": True}
    alone = Trainer(finished, tmp_path / "a", "test_resnet", "contiguous", epochs=22, **recipe)
    both = Trainer(
        finished, tmp_path / "b", "test_resnet", "contiguous", epochs=25, retrain_epochs=3, **recipe
    )
    before, after = tensors(alone()), tensors(both())
    assert alone.events("start")[0]["ema"]
    assert all(value.equal(after[name]) for name, value in before.items() if name not in HEAD)


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "sgd"])
def test_a_stop_at_the_seam_changes_no_bit(optimizer, finished, tmp_path):
    recipe = {**SHORT, "optimizer": optimizer, "epochs": 3, "retrain_epochs": 1}
    straight = Trainer(finished, tmp_path / "straight", "test_efficientnet", "contiguous", **recipe)
    whole = straight()
    steps = straight.events("start")[0]["steps"] // 3
    stopped = Trainer(finished, tmp_path / "stopped", "test_efficientnet", "contiguous", **recipe)
    assert stopped.through([2 * steps - 1, 2 * steps, 2 * steps + 1]) == whole


def test_its_epochs_draw_all_classes_equally_and_run_the_schedule_again():
    train = Train(epochs=5, batch=10, retrain_epochs=2, lr=1.0)
    targets = np.repeat([0, 1, 2], [70, 20, 10])
    counts = [
        np.bincount(targets[np.concatenate(epoch_batches(np.arange(100), targets, train, 0, epoch))])
        for epoch in (2, 3, 4)
    ]
    assert counts[0].tolist() == [70, 20, 10]
    assert all(abs(count - 100 / 3).max() <= 1 for count in counts[1:])
    rates = [learning_rate(step, 10, train) for step in range(50)]
    assert rates[:30] == [learning_rate(step, 10, Train(epochs=3, lr=1.0)) for step in range(30)]
    again = Train(epochs=2, lr=1.0, warmup_epochs=0)
    assert rates[30:] == [learning_rate(step, 10, again) for step in range(20)]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"epochs": 3, "retrain_epochs": 3}, "no epoch is left"),
        ({"retrain_epochs": 1, "sampler": "square-root"}, "train.sampler=natural"),
        ({"retrain_epochs": 1, "loss": "balanced-softmax"}, "train.loss=cross-entropy"),
        ({"retrain_epochs": 1, "select": "best"}, 'needs train.select = "last"'),
    ],
)
def test_what_contradicts_it_is_refused(recipe, words):
    with pytest.raises(UsageError, match=words):
        check_balance(Train(**recipe))
