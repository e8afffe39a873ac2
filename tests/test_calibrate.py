"""Temperatures: what was sharpened is found again, what is calibrated stays."""

import numpy as np
import pytest

from pipeline.score.calibrate import apply_temperature, fit_temperature, log_probs, softmax
from pipeline.score.metrics import METRICS


def calibrated(seed, n=20_000, n_classes=10):
    """Probs that are the true chances of the targets drawn from them."""
    draw = np.random.default_rng(seed)
    probs = softmax(1.5 * draw.normal(size=(n, n_classes)))
    targets = (probs.cumsum(1) < draw.random((n, 1))).sum(1).clip(max=n_classes - 1)
    return probs, targets


@pytest.mark.parametrize("seed", range(3))
def test_logits_made_twice_as_large_give_temperature_two(seed):
    probs, targets = calibrated(seed)
    overconfident = softmax(np.log(probs) / 0.5)
    assert fit_temperature(overconfident, targets) == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_calibrated_probs_keep_a_temperature_of_one(seed):
    probs, targets = calibrated(seed)
    assert 0.97 <= fit_temperature(probs, targets) <= 1.03


def test_temperature_undoes_itself_and_keeps_the_order():
    probs, _ = calibrated(0, n=50)
    there = apply_temperature(probs, 3.0)
    assert there.sum(1) == pytest.approx(np.ones(50))
    assert (there.argsort(1) == probs.argsort(1)).all()
    assert apply_temperature(there, 1 / 3.0) == pytest.approx(probs, abs=1e-6)


def test_the_fitted_temperature_is_the_best_of_a_grid():
    probs, targets = calibrated(1, n=300, n_classes=4)
    probs = softmax(np.log(probs) / 0.7)

    def loss(temperature):
        return METRICS["log-loss"].function(targets, apply_temperature(probs, temperature), 4)

    best = min(loss(temperature) for temperature in np.geomspace(0.05, 20, 400))
    assert loss(fit_temperature(probs, targets)) <= best + 1e-7


def test_it_does_not_depend_on_the_order_of_classes_or_on_zeros():
    probs, targets = calibrated(2, n=500, n_classes=5)
    order = np.array([3, 1, 4, 0, 2])
    permuted = fit_temperature(probs[:, order], np.argsort(order)[targets])
    assert permuted == pytest.approx(fit_temperature(probs, targets), rel=1e-3)
    hard = np.eye(5)[probs.argmax(1)]
    assert np.isfinite(fit_temperature(hard, targets))
    assert np.isfinite(apply_temperature(hard, 0.05)).all()


def test_always_right_and_always_wrong_stay_inside_the_bounds():
    probs = np.tile([0.7, 0.3], (10, 1))
    assert fit_temperature(probs, np.zeros(10, int)) == pytest.approx(0.05, rel=0.01)
    assert fit_temperature(probs, np.ones(10, int)) == pytest.approx(20.0, rel=0.01)


def test_edges():
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0
    assert log_probs(np.array([0.0, 1.0])) == pytest.approx([np.log(1e-7), 0.0])
    with pytest.raises(ValueError, match="2 rows of probs, but 3 targets"):
        fit_temperature(np.full((2, 2), 0.5), np.zeros(3, int))
