"""The prior's power: what a pool or a training did to the classes' shares is found and taken back."""

import numpy as np
import pytest
from scipy.optimize import minimize

from pipeline.score.calibrate import softmax
from pipeline.score.crossfit import cross_fitted
from pipeline.score.metrics import METRICS
from pipeline.score.prior import class_shares, fit_leaning, lean, restore_shares
from tests.simulated_members import drawn, rows_of

SHARES = softmax(-0.4 * np.arange(8))


def calibrated(seed, n=20_000):
    """Calibrated probs [n, 8] with a long tail, and targets drawn from them."""
    probs = softmax(np.log(SHARES) + 1.5 * np.random.default_rng(seed).normal(size=(n, 8)))
    return probs, drawn(probs, seed)


@pytest.mark.parametrize(("temperature", "power"), [(2.0, -0.5), (0.7, 0.3), (1.0, 0.0)])
def test_temperature_and_power_are_found_again(temperature, power):
    probs, targets = calibrated(0)
    spoilt = lean(probs, 1 / temperature, SHARES, -power * temperature)
    found = fit_leaning(spoilt, targets, SHARES)
    restored = lean(spoilt, found[0], SHARES, found[1])
    loss = METRICS["log-loss"].function
    assert loss(targets, restored, 8) == pytest.approx(loss(targets, probs, 8), abs=1e-3)
    assert found == pytest.approx((temperature, power), abs=0.07)


def test_no_other_numbers_have_less_log_loss():
    probs, targets = calibrated(1, 500)
    temperature, power = fit_leaning(probs**1.3 / (probs**1.3).sum(1, keepdims=True), targets, SHARES)
    spoilt = probs**1.3 / (probs**1.3).sum(1, keepdims=True)

    def loss(t, p):
        return METRICS["log-loss"].function(targets, lean(spoilt, t, SHARES, p), 8)

    near = [(temperature * f, power + s) for f in (0.95, 1.0, 1.05) for s in (-0.05, 0.0, 0.05)]
    assert loss(temperature, power) <= min(loss(*one) for one in near) + 1e-7


@pytest.mark.parametrize("seed", range(3))
def test_scipy_finds_no_better_numbers(seed):
    probs, targets = calibrated(seed, 9_000)
    order = np.argsort(targets, kind="stable")  # every eighth row is then what the fit starts with
    spoilt, targets = lean(probs, 0.4 + 0.6 * seed, SHARES, 0.9)[order], targets[order]

    def loss(numbers):
        return METRICS["log-loss"].function(targets, lean(spoilt, 1 / numbers[0], SHARES, numbers[1]), 8)

    golden = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
    temperature, power = fit_leaning(spoilt, targets, SHARES)
    assert loss((1 / temperature, power)) <= golden.fun + 1e-7
    assert (1 / temperature, power) == pytest.approx(golden.x, abs=1e-3)


@pytest.mark.parametrize(("sharper", "power"), [(1e-3, 0.0), (50.0, 0.0), (1.0, 5.0), (1.0, -5.0)])
def test_the_numbers_stay_within_their_bounds(sharper, power):
    probs, targets = calibrated(4, 2_000)
    temperature, found = fit_leaning(lean(probs, 1 / sharper, SHARES, power), targets, SHARES)
    assert 0.05 <= temperature <= 20.0
    assert -2.0 <= found <= 2.0
    if power:
        assert found == pytest.approx(-np.sign(power) * 2.0)
    assert fit_leaning(np.full((50, 8), 1 / 8), targets[:50], np.full(8, 1 / 8))[1] == pytest.approx(0.0)


def test_a_balanced_training_is_a_power_of_one():
    probs, targets = calibrated(2)
    balanced = probs / SHARES / (probs / SHARES).sum(1, keepdims=True)
    temperature, power = fit_leaning(balanced, targets, SHARES)
    assert (temperature, power) == pytest.approx((1.0, 1.0), abs=0.06)
    assert restore_shares(balanced, SHARES) == pytest.approx(probs)
    half = probs / SHARES**0.5 / (probs / SHARES**0.5).sum(1, keepdims=True)
    assert restore_shares(half, SHARES, 0.5) == pytest.approx(probs)
    assert restore_shares(probs, SHARES, 1.0) is probs


def test_a_pool_that_counts_the_prior_twice_is_mended():
    draw = np.random.default_rng(3)
    targets = draw.choice(8, size=4000, p=SHARES)
    evidence = 1.5 * (1.5 * np.eye(8)[targets] + draw.normal(size=(2, 1, 4000, 8)))  # nothing shared
    members = softmax(np.log(SHARES) + evidence)
    found = cross_fitted(rows_of(members, targets), "log-loss")
    blend = found.chain.blend
    assert blend.name == "geometric"
    assert blend.temperature == pytest.approx(0.5, abs=0.05)  # the two are added
    assert blend.prior_power == pytest.approx(-1.0, abs=0.15)
    alone = softmax(np.log(SHARES) + evidence.sum(0)[0])
    truth = METRICS["log-loss"].function(targets, alone, 8)
    assert found.score == pytest.approx(truth, abs=0.01)


def test_edges():
    assert fit_leaning(np.zeros((0, 3)), np.zeros(0, int), np.full(3, 1 / 3)) == (1.0, 0.0)
    sure = np.eye(3)[[0, 1, 2]]
    found = fit_leaning(sure, np.array([0, 1, 2]), np.full(3, 1 / 3))
    assert np.isfinite(found).all()
    assert np.isfinite(lean(sure, found[0], np.full(3, 1 / 3), found[1])).all()
    shares = class_shares(np.array([0, 0, 1]), 4)
    assert (shares > 0).all()
    assert shares.sum() == pytest.approx(1.0)
