"""Weights of views: what drew the targets is found, what adds nothing is dropped."""

import numpy as np
import pytest

from pipeline.score.calibrate import softmax
from pipeline.score.views import fit_views, mix_views
from tests.simulated_members import drawn


def test_the_weights_that_drew_the_targets_are_found():
    views = softmax(1.5 * np.random.default_rng(0).normal(size=(3, 20_000, 6)))
    targets = drawn(np.tensordot([0.6, 0.4, 0.0], views, 1), seed=0)
    found = fit_views(views[:, np.arange(20_000), targets].T, pull=0.0)
    assert found.weights == pytest.approx([0.6, 0.4, 0.0], abs=0.03)
    assert found.weights[2] == 0.0
    assert found.gains[1] > found.standard_errors[1] > 0
    assert np.isnan(found.gains[0])


def test_a_copy_of_a_view_and_pure_noise_are_dropped():
    plain = np.random.default_rng(1).uniform(0.3, 0.9, 500)
    worse = np.clip(plain - np.random.default_rng(2).uniform(0.1, 0.3, 500), 0.01, 1)
    found = fit_views(np.column_stack([plain, plain, worse]))
    assert found.weights.tolist() == [1.0, 0.0, 0.0]


def test_views_of_equal_worth_share_the_weight():
    draw = np.random.default_rng(3)
    truth = 2 * draw.normal(size=3000)
    a, b = (1 / (1 + np.exp(-truth - draw.normal(size=3000))) for _ in range(2))
    found = fit_views(np.column_stack([a, b]))
    assert found.weights == pytest.approx([0.5, 0.5], abs=0.1)
    assert found.weights.sum() == pytest.approx(1.0)


def test_one_kept_view_is_the_plain_prediction_bit_for_bit():
    views = np.random.default_rng(4).dirichlet(np.ones(4), size=(3, 10)).astype(np.float32)
    assert (mix_views(views, np.array([1.0, 0.0, 0.0])) == views[0]).all()
    assert mix_views(views, np.full(3, 1 / 3)) == pytest.approx(views.mean(0), abs=1e-6)
