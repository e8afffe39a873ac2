"""Optimizers: what is decayed and how fast layers learn; each of timm's goes on bit for bit or is refused."""

import json

import pytest
import timm
import timm.optim
import torch
from torch import nn

from pipeline.config import Train
from pipeline.errors import UsageError
from pipeline.learn import optimizer_state
from pipeline.learn.optim import REFUSED, build_optimizer, check_optimizer, set_rate


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_biases_and_norms_are_not_decayed(name):
    model = timm.create_model(name, num_classes=3)
    optimizer = build_optimizer(model, Train(weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(model.parameters()))
    left_out = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()  # a ViT's own wish
    for key, parameter in model.named_parameters():
        decayed = parameter.ndim > 1 and key not in left_out
        assert decay[id(parameter)] == (0.3 if decayed else 0.0)


def test_frozen_parameters_are_left_out():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    groups = build_optimizer(model, Train()).param_groups
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in model[1].parameters()}


IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
CONTIGUOUS = torch.contiguous_format  # as a checkpoint holds them
NEEDS_A_GPU = ("bnb", "fused")  # libraries that aren't installed
OPTIMIZERS = [name for name in map(str, timm.optim.list_optimizers()) if not name.startswith(NEEDS_A_GPU)]


def small_model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def take_steps(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        torch.manual_seed(step)
        set_rate(optimizer, 1e-3 * (step + 1) / 3)
        nn.functional.cross_entropy(model(IMAGES), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_bit_for_bit_or_is_refused(name):
    train = Train(optimizer=name)
    if name in REFUSED:
        with pytest.raises(UsageError, match=name):
            build_optimizer(small_model(), train)
        return
    whole, stopped, resumed = small_model(), small_model(), small_model()
    take_steps(whole, build_optimizer(whole, train), range(6))
    optimizer = build_optimizer(stopped, train)
    take_steps(stopped, optimizer, range(3))
    tensors, layout = optimizer_state.pack(optimizer)
    plain = {
        path: value.detach().clone(memory_format=torch.contiguous_format) for path, value in tensors.items()
    }
    resumed.load_state_dict(stopped.state_dict())
    fresh = build_optimizer(resumed, train)
    optimizer_state.unpack(fresh, plain, json.loads(json.dumps(layout)))
    take_steps(resumed, fresh, range(3, 6))
    assert all(map(torch.equal, whole.state_dict().values(), resumed.state_dict().values()))
    assert not torch.equal(whole[0].weight, small_model()[0].weight)


def test_an_unknown_optimizer_is_told_the_nearest():
    with pytest.raises(UsageError, match=r"'sgdz': timm has no such optimizer. did you mean 'sgd.?'\?"):
        check_optimizer("sgdz")


def test_layers_far_from_the_classifier_learn_more_slowly():
    model = timm.create_model("test_vit", num_classes=3)
    optimizer = build_optimizer(model, Train(layer_decay=0.5, lr=1.0))
    set_rate(optimizer, 0.1)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rate[id(model.head.weight)] == pytest.approx(0.1)
    assert rate[id(model.blocks[-1].mlp.fc1.weight)] < 0.1
    assert rate[id(model.patch_embed.proj.weight)] < rate[id(model.blocks[0].mlp.fc1.weight)]
    assert len(rate) == len(list(model.parameters()))
