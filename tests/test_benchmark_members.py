"""The benchmarks' simulated members: the same ones whatever rows are drawn, the first the best."""

import numpy as np

from benchmarks.simulated_members import class_shares, draw_members
from pipeline.score.calibrate import fit_temperature
from pipeline.score.metrics import METRICS


def test_equal_seeds_draw_equal_rows_and_other_seeds_others():
    first, again, other = (draw_members(50, 3, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.probs, again.probs)
    assert np.array_equal(first.targets, again.targets)
    assert not np.array_equal(first.targets, other.targets)


def test_probabilities_are_of_one_view_and_sum_to_one():
    probs, targets = draw_members(50, 3, 0)
    assert probs.shape == (3, 1, 50, 102)
    assert probs.dtype == np.float32
    assert np.allclose(probs.sum(-1), 1.0, atol=1e-5)
    assert targets.min() >= 0
    assert targets.max() < 102


def test_new_rows_are_of_the_same_members():
    temperatures = [
        [fit_temperature(member[0], targets) for member in probs]
        for probs, targets in (draw_members(2000, 4, seed) for seed in (0, 1))
    ]
    assert np.allclose(*temperatures, rtol=0.1)
    assert max(temperatures[0]) > 1.2 * min(temperatures[0])  # some too sure, some too unsure


def test_the_first_member_is_the_best_and_rows_have_the_classes_shares():
    probs, targets = draw_members(4000, 2, 0)
    hits = [METRICS["accuracy"].of_probs(targets, member[0]) for member in probs]
    assert hits[0] > hits[1] + 0.05
    shares = np.bincount(targets, minlength=102) / len(targets)
    assert np.abs(shares - class_shares()).max() < 0.02
