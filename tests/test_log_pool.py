"""Weights of the log pool at optima that are known."""

import numpy as np
import pytest

from pipeline.score.blends import log_pool
from pipeline.score.blends.log_pool import fit_log_weights, maximise_log_likelihood
from pipeline.score.blends.pools import pool_geometric
from pipeline.score.calibrate import apply_temperature, fit_temperature, softmax
from pipeline.score.metrics import METRICS
from tests.simulated_members import drawn, simulated

TRUE_WEIGHTS = np.array([0.5, 0.3, 0.2, 0.0, 0.0])


def drawn_members(seed, n=20_000, n_classes=10, scale=1.0):
    """Members' probs [5, n, C] and targets drawn from their log pool, its weights `scale` TRUE_WEIGHTS."""
    probs = softmax(1.5 * np.random.default_rng(seed).normal(size=(5, n, n_classes)))
    return probs, drawn(pool_geometric(probs, scale * TRUE_WEIGHTS), seed)


@pytest.mark.parametrize("seed", range(3))
def test_the_weights_that_drew_the_targets_are_found(seed):
    probs, targets = drawn_members(seed)
    weights = fit_log_weights(probs, targets, pull=0.0)
    assert weights.sum() == pytest.approx(1.0)
    assert np.abs(weights - TRUE_WEIGHTS).sum() < 6 / np.sqrt(len(targets))


def test_their_sum_is_left_to_the_temperature():
    probs, targets = drawn_members(3, scale=2.0)
    assert maximise_log_likelihood(np.log(probs).astype(np.float32), targets, 0.0).sum() == pytest.approx(
        2.0, abs=0.05
    )
    weights = fit_log_weights(probs, targets, pull=0.0)
    assert np.abs(weights - TRUE_WEIGHTS).sum() < 6 / np.sqrt(len(targets))
    assert fit_temperature(pool_geometric(probs, weights), targets) == pytest.approx(0.5, abs=0.02)


def test_where_a_fit_starts_makes_no_difference(monkeypatch):
    probs, targets = drawn_members(4, n=9_000)
    order = np.argsort(targets, kind="stable")
    quick = fit_log_weights(probs[:, order], targets[order])
    monkeypatch.setattr(log_pool, "MANY_ROWS", 10**9)
    assert quick == pytest.approx(fit_log_weights(probs[:, order], targets[order]), abs=2e-3)


def test_the_optimum_satisfies_the_kkt_conditions():
    oof, targets = simulated(0, 3000, members=6)
    logs = np.log(np.clip(oof[:, 0], 1e-7, 1))
    weights = maximise_log_likelihood(logs.astype(np.float32), targets, 0.0)
    pooled = softmax(np.tensordot(weights, logs.astype(np.float64), 1))
    of_truth = logs[:, np.arange(3000), targets].mean(1)
    gradient = of_truth - np.einsum("nc,mnc->m", pooled, logs) / 3000
    assert gradient[weights > 1e-3] == pytest.approx(0.0, abs=2e-3)
    assert (gradient < 2e-3).all()


def test_no_other_weights_have_less_log_loss():
    oof, targets = simulated(1, 800, members=3)

    def loss(weights):
        pooled = pool_geometric(oof[:, 0], weights)
        return METRICS["log-loss"].function(targets, pooled, 12)

    raw = maximise_log_likelihood(np.log(np.clip(oof[:, 0], 1e-7, 1)), targets, 0.0)
    near = [raw + step for step in np.vstack([0.05 * np.eye(3), -0.05 * np.eye(3)])]
    assert loss(raw) <= min(loss(np.maximum(weights, 0)) for weights in near) + 1e-7


def test_members_permuted_or_doubled():
    oof, targets = simulated(2, 2000, members=4)
    probs, order = oof[:, 0], np.array([2, 0, 3, 1])
    once = fit_log_weights(probs, targets, pull=0.0, drop_below=0.0)
    assert fit_log_weights(probs[order], targets, 0.0, 0.0) == pytest.approx(once[order], abs=2e-3)
    twice = fit_log_weights(np.concatenate([probs, probs[:1]]), targets, 0.0, 0.0)
    assert twice[0] == pytest.approx(twice[4], abs=1e-3)
    assert twice[0] + twice[4] == pytest.approx(once[0], abs=4e-3)


def test_a_good_member_gets_nearly_everything_and_a_constant_one_changes_nothing():
    probs, targets = drawn_members(4, n=4000)
    oracle = np.where(np.eye(10)[targets] > 0, 0.9, 0.1 / 9)
    assert fit_log_weights(np.stack([oracle, *probs[:2]]), targets, pull=0.0)[0] > 0.9
    with_constant = np.stack([*probs[:2], np.full((4000, 10), 0.1)])
    losses = []
    for members in (probs[:2], with_constant):
        pooled = pool_geometric(members, fit_log_weights(members, targets, pull=0.0))
        pooled = apply_temperature(pooled, fit_temperature(pooled, targets))
        losses.append(METRICS["log-loss"].function(targets, pooled, 10))
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


def test_the_pull_draws_to_equal_weights():
    oof, targets = simulated(5, 60, members=3)
    free, pulled, held = (fit_log_weights(oof[:, 0], targets, pull, 0.0) for pull in (0.0, 50.0, 1e6))
    distances = [np.abs(weights - 1 / 3).sum() for weights in (free, pulled, held)]
    assert distances[0] > distances[1] > distances[2]
    assert held == pytest.approx(np.full(3, 1 / 3), abs=1e-2)


def test_edges():
    assert fit_log_weights(np.full((1, 5, 2), 0.5), np.zeros(5, int)).tolist() == [1.0]
    assert fit_log_weights(np.zeros((4, 0, 3)), np.zeros(0, int)).tolist() == [0.25] * 4
    sure = np.eye(3)[[0, 1, 2]]
    assert np.isfinite(fit_log_weights(np.stack([sure, sure]), np.array([0, 1, 2]), 0.0)).all()
