"""What is trained when: the classifier first, the last stages, and nothing else moves."""

import pytest
import timm
import torch
from torch import nn

from pipeline.config import Train
from pipeline.errors import UsageError
from pipeline.learn.freezing import set_trained, trained_names
from pipeline.learn.models import build_model
from pipeline.learn.optim import build_optimizer
from pipeline.learn.weights import RANDOM

MODELS = ["test_resnet", "test_efficientnet", "test_vit", "test_convnext"]


def model_of(name: str) -> nn.Module:
    return build_model(name, 3, RANDOM, seed_key=0, drop_rate=0.3)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    side = 160 if hasattr(model, "patch_embed") else 64
    images = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("name", MODELS)
def test_at_first_the_classifier_alone_moves_then_everything(name):
    model, train = model_of(name), Train(epochs=3, freeze_epochs=1, lr=0.01)
    optimizer = build_optimizer(model, train)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    set_trained(model, train, 0)
    step(model, optimizer)
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    classifier = {id(p) for p in model.get_classifier().parameters()}
    assert moved == {key for key, p in model.named_parameters() if id(p) in classifier}  # no BatchNorm either
    assert model.training
    set_trained(model, train, 1)
    step(model, optimizer)
    stems = ("conv1.0.weight", "conv_stem.weight", "patch_embed.proj.weight", "stem.0.weight")
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert len(moved.intersection(stems)) == 1


@pytest.mark.parametrize("name", MODELS)
def test_the_last_stages(name):
    model = model_of(name)
    everything = {key for key, _ in model.named_parameters()}
    parts = [trained_names(model, Train(train_stages=n), 0) for n in (1, 2, 3)]
    assert parts[0] < parts[1] < parts[2] < everything
    classifier = {id(p) for p in model.get_classifier().parameters()}
    assert {key for key, p in model.named_parameters() if id(p) in classifier} <= parts[0]
    set_trained(model, Train(train_stages=1), 0)
    optimizer = build_optimizer(model, Train(train_stages=1))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(parts[0])
    with pytest.raises(UsageError, match="but the model has"):
        trained_names(model, Train(train_stages=99), 0)


def test_a_frozen_batchnorm_keeps_its_averages_and_dropout_before_the_classifier_stays_on():
    model = timm.create_model("test_resnet", num_classes=3, drop_rate=0.5)
    set_trained(model, Train(freeze_epochs=1), 0)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    images = torch.ones(2, 3, 64, 64)
    assert not torch.equal(model(images), model(images))
