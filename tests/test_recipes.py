"""Every loss, sampler, schedule and way to mix or freeze trains a small model of each family."""

import math
from typing import get_args, get_type_hints

import pytest

from pipeline.config import Train
from tests import tiny_vgg
from tests.trainer import Trainer

pytestmark = pytest.mark.usefixtures("torch_threads")
FAMILIES = ["test_resnet", "test_efficientnet", tiny_vgg.NAME, "test_convnext", "test_vit"]
HINTS = get_type_hints(Train)
RECIPES = [
    *({"loss": name} for name in get_args(HINTS["loss"])),
    *({"sampler": name} for name in get_args(HINTS["sampler"])),
    *({"schedule": name} for name in get_args(HINTS["schedule"])),
    {"mixup": 0.2, "cutmix": 1.0, "loss": "bce"},
    {"freeze_epochs": 1, "layer_decay": 0.8},
    {"train_stages": 2, "optimizer": "rmsprop"},
    {"retrain_epochs": 1},
]


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: ", ".join(map(str, recipe.values())))
def test_it_trains(model, recipe, finished, tmp_path):
    batch = {"epochs": 2, "batch": 15, "size": 32, "ema": False, "validate_epochs": 0}
    trainer = Trainer(finished, tmp_path, model, "contiguous", **{**batch, **recipe})
    trainer()
    events = trainer.events("epoch")
    assert [event["epoch"] for event in events] == [1, 2]
    assert all(math.isfinite(event["loss"]) and event["loss"] > 0 for event in events)
