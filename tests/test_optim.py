"""What moves the weights: the learning rate's shape, what is decayed, and the moving average."""

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.config import Train
from pipeline.learn.optim import build_ema, build_optimizer, ema_decay, learning_rate, update_ema


def rates(steps: int, train: Train) -> np.ndarray:
    return np.array([learning_rate(step, steps, train) for step in range(steps * train.epochs)])


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    steps=st.integers(1, 30),
    epochs=st.integers(1, 8),
    warmup_epochs=st.floats(0, 12),
    lr=st.floats(1e-6, 10),
)
def test_the_rate_rises_then_falls_and_stays_positive(steps, epochs, warmup_epochs, lr):
    found = rates(steps, Train(epochs=epochs, warmup_epochs=warmup_epochs, lr=lr))
    assert (found > 0).all()
    assert found.max() <= lr * (1 + 1e-9)
    peak = int(found.argmax())
    assert (np.diff(found[: peak + 1]) > 0).all()
    assert (np.diff(found[peak:]) < 0).all()
    assert peak < len(found) - 1 or len(found) == 1


def test_warm_up_is_linear_and_reaches_the_peak():
    found = rates(10, Train(epochs=4, warmup_epochs=1.0, lr=2.0))
    assert np.allclose(found[:10], 2.0 * np.arange(1, 11) / 10)
    assert found[-1] < 0.01


def test_one_step_and_no_warm_up():
    assert 0 < learning_rate(0, 1, Train(epochs=1, warmup_epochs=5.0, lr=1.0)) <= 1
    assert rates(5, Train(epochs=2, warmup_epochs=0.0, lr=1.0))[0] > 0.95


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_biases_and_norms_are_not_decayed(name):
    model = timm.create_model(name, num_classes=3)
    optimizer = build_optimizer(model, Train(weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(model.parameters()))
    for parameter in model.parameters():
        assert decay[id(parameter)] == (0.3 if parameter.ndim > 1 else 0.0)


def test_frozen_parameters_are_left_out():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    groups = build_optimizer(model, Train()).param_groups
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in model[1].parameters()}


def test_the_average_is_that_of_a_plain_loop():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))
    ema = build_ema(model, Train(), 200)
    assert ema is not None
    wanted = {name: value.double().clone() for name, value in model.state_dict().items()}
    optimizer = build_optimizer(model, Train(lr=0.05))
    for step in range(200):
        model(torch.randn(4, 3, 8, 8)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        decay = ema_decay(step, 200)
        update_ema(ema, model, decay)
        for name, value in model.state_dict().items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value.double()
    for name, value in ema.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value.double(), wanted[name], rtol=1e-4, atol=1e-5), name
            assert not torch.equal(value, model.state_dict()[name]), name
    assert ema.state_dict()["1.num_batches_tracked"] == model.state_dict()["1.num_batches_tracked"] == 200


def test_the_average_neither_trains_nor_is_the_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    ema = build_ema(model, Train(), 100)
    assert ema is not None
    assert not ema.training
    assert not any(p.requires_grad for p in ema.parameters())
    assert model.training
    assert next(ema.parameters()).data_ptr() != next(model.parameters()).data_ptr()


def test_no_average_when_it_is_off_or_the_run_is_short():
    assert build_ema(nn.Linear(2, 2), Train(), 99) is None
    assert build_ema(nn.Linear(2, 2), Train(ema=False), 1000) is None


@settings(derandomize=True, deadline=None)
@given(total=st.integers(100, 10_000))
def test_decay_grows_to_a_tenth_of_the_run(total):
    found = [ema_decay(step, total) for step in range(total)]
    assert (np.diff(found) >= 0).all()
    assert found[0] == 0.1
    assert found[-1] == pytest.approx(1 - 10 / total)
