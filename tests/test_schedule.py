"""Learning rates: their shapes, and that they need no state but the losses of epochs that are over."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Train
from pipeline.learn.schedule import count_plateaus, learning_rate


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


def test_the_cycle_rises_and_falls_as_torchs_does():
    train = Train(epochs=10, schedule="one-cycle", lr=0.5)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    golden = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=1001, pct_start=0.3, div_factor=25, final_div_factor=1e4 / 25
    )
    wanted = []
    for _ in range(1000):
        optimizer.step()
        golden.step()
        wanted.append(optimizer.param_groups[0]["lr"])
    assert np.abs(rates(100, train) - wanted).max() < 0.005


def test_steps_drop_the_rate_at_their_shares_of_the_epochs():
    train = Train(epochs=8, schedule="step", lr=1.0, warmup_epochs=0, lr_steps=(0.5, 0.75), lr_factor=0.1)
    assert rates(3, train).round(6).tolist() == [1.0] * 12 + [0.1] * 6 + [0.01] * 6
    constant = Train(epochs=2, schedule="constant", lr=1.0, warmup_epochs=1)
    assert rates(2, constant).tolist() == [0.5, 1.0, 1.0, 1.0]


@settings(derandomize=True, deadline=None, max_examples=100)
@given(losses=st.lists(st.floats(0.01, 5), max_size=25), patience=st.integers(1, 4))
def test_a_plateau_is_what_torch_calls_one(losses, patience):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    golden = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience - 1, threshold=1e-3, threshold_mode="rel"
    )
    for loss in losses:
        golden.step(loss)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 ** count_plateaus(losses, patience), abs=1e-8)


def test_a_plateau_lowers_the_rate_of_the_steps_after_it():
    train = Train(epochs=9, schedule="plateau", lr=1.0, warmup_epochs=0, lr_factor=0.5, patience_epochs=2)
    falling, flat = [1.0, 0.9, 0.8], [1.0, 1.0, 1.0]
    assert learning_rate(7, 2, train, falling) == 1.0
    assert learning_rate(7, 2, train, flat) == 0.5
