"""Weights of a mixture at optima that are known."""

import numpy as np
import pytest

from pipeline.score.blends.mixture import fit_weights, maximise_likelihood

TRUE_WEIGHTS = np.array([0.5, 0.3, 0.2, 0.0, 0.0, 0.0])


def drawn_members(seed, n=20_000, n_classes=10):
    """True-class probabilities [n, 6] of members whose mixture by TRUE_WEIGHTS drew the targets."""
    draw = np.random.default_rng(seed)
    probs = draw.dirichlet(np.full(n_classes, 0.3), size=(len(TRUE_WEIGHTS), n))
    mixture = np.tensordot(TRUE_WEIGHTS, probs, 1)
    targets = (mixture.cumsum(1) < draw.random((n, 1))).sum(1).clip(max=n_classes - 1)
    return probs[:, np.arange(n), targets].T


def alike_members(seed, n=3000, members=8):
    draw = np.random.default_rng(seed)
    return 1 / (1 + np.exp(-2 * draw.normal(size=(n, 1)) - draw.normal(size=(n, members))))


@pytest.mark.parametrize("seed", range(3))
def test_em_finds_the_weights_that_drew_the_targets(seed):
    probs = drawn_members(seed)
    weights = fit_weights(probs, pull=0.0)
    assert np.abs(weights - TRUE_WEIGHTS).sum() < 6 / np.sqrt(len(probs))


@pytest.mark.parametrize("make", [drawn_members, alike_members])
def test_optimum_satisfies_the_kkt_conditions(make):
    probs = make(5)
    weights = maximise_likelihood(np.clip(probs, 1e-7, 1), pull=0.0)
    gradient = (np.clip(probs, 1e-7, 1) / (np.clip(probs, 1e-7, 1) @ weights)[:, None]).mean(0)
    assert weights.sum() == pytest.approx(1.0)
    assert gradient[weights > 1e-3] == pytest.approx(1.0, abs=1e-3)
    assert (gradient <= 1 + 1e-5).all()


def test_likelihood_never_falls():
    probs, last = alike_members(0), -np.inf
    for steps in range(15):
        weights = maximise_likelihood(probs, pull=20.0, max_steps=steps)
        now = np.log(probs @ weights).sum() + 20 / 8 * np.log(weights).sum()
        assert now >= last - 1e-9
        last = now


def test_a_doubled_member_only_splits_its_weight():
    probs = alike_members(1, members=4)
    once = fit_weights(probs, pull=0.0, drop_below=0.0)
    twice = fit_weights(np.column_stack([probs, probs[:, 0]]), pull=0.0, drop_below=0.0)
    assert twice[0] == pytest.approx(twice[4])
    assert twice[0] + twice[4] == pytest.approx(once[0], abs=1e-3)
    assert twice[1:4] == pytest.approx(once[1:], abs=1e-3)


def test_permuted_members_have_permuted_weights():
    probs, order = alike_members(2), np.array([4, 2, 7, 0, 1, 6, 3, 5])
    assert fit_weights(probs[:, order]) == pytest.approx(fit_weights(probs)[order], abs=1e-6)


def test_a_perfect_member_gets_everything_and_a_constant_one_nothing():
    probs = np.column_stack([alike_members(3, members=3), np.full(3000, 0.999)])
    assert fit_weights(probs, pull=0.0)[3] > 0.99
    assert fit_weights(probs)[3] > 0.97
    draw = np.random.default_rng(4)
    good = np.where(draw.random((3000, 2)) < 0.8, 0.9, 0.2)
    with_constant = np.column_stack([good, np.full(3000, 0.01)])
    assert fit_weights(with_constant, pull=0.0)[2] == 0.0
    assert fit_weights(with_constant)[2] < 0.006  # 50 / 3 pseudo-counts of 3050


def test_the_pull_draws_to_uniform():
    probs = alike_members(6, n=60)
    free, pulled, held = (fit_weights(probs, pull=pull, drop_below=0.0) for pull in (0.0, 50.0, 1e9))
    assert held == pytest.approx(np.full(probs.shape[1], 1 / probs.shape[1]), abs=1e-5)
    assert np.abs(pulled - 1 / 8).sum() < np.abs(free - 1 / 8).sum()


def test_small_weights_are_dropped_and_the_rest_fitted_again():
    probs = drawn_members(7)
    weights = fit_weights(probs, pull=0.0, drop_below=0.25)
    assert (weights == 0).sum() == 4
    assert weights[:2] == pytest.approx(fit_weights(probs[:, :2], pull=0.0), abs=1e-6)


def test_weights_of_edge_cases():
    assert fit_weights(np.full((5, 1), 0.3)).tolist() == [1.0]
    assert fit_weights(np.zeros((0, 4)), pull=0.0).tolist() == [0.25] * 4
    assert fit_weights(np.zeros((6, 2))) == pytest.approx([0.5, 0.5])
    many = fit_weights(np.full((10, 400), 0.5))  # every weight lies under the limit
    assert many.sum() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="NaN"):
        fit_weights(np.array([[0.5, np.nan]]))
    with pytest.raises(ValueError, match=r"\[rows, members\]"):
        fit_weights(np.zeros(3))
