"""The moving average of the weights: that of a plain loop, and how far back it looks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.config import Train
from pipeline.learn.ema import build_ema, ema_decay, update_ema
from pipeline.learn.optim import build_optimizer


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
