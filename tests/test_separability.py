"""Telling two sets of rows apart: golden AUCs and variances, intervals that hold, groups that stay whole."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.score.separability import FOLDS, auc_variance, separability


def drawn(seed, sizes=(120, 80), dims=64, shift=0.0):
    """Return features of two sets whose means differ by `shift` in every dimension, and which is which."""
    draw = np.random.default_rng(seed)
    second = np.arange(sum(sizes)) >= sizes[0]
    features = draw.normal(size=(sum(sizes), dims)) * np.linspace(0.2, 3, dims)
    return features + shift * np.linspace(0.2, 3, dims) * second[:, None], second


def delong_by_pairs(scores, second):
    """DeLong's AUC and variance from all pairs, as in the paper of 1988."""
    psi = np.array([[(a > b) + 0.5 * (a == b) for b in scores[~second]] for a in scores[second]])
    by_row, by_column = psi.mean(axis=1), psi.mean(axis=0)
    return psi.mean(), by_row.var(ddof=1) / len(by_row) + by_column.var(ddof=1) / len(by_column)


@pytest.mark.parametrize("seed", range(3))
def test_auc_and_variance_are_scikit_learns_and_delongs_with_ties(seed):
    draw = np.random.default_rng(seed)
    second = draw.random(150) < 0.3
    scores = (draw.normal(size=150) + second).round(1)
    auc, variance = auc_variance(scores, second, np.arange(150))
    assert auc == pytest.approx(roc_auc_score(second, scores), abs=1e-12)
    assert (auc, variance) == pytest.approx(delong_by_pairs(scores, second), abs=1e-12)


@pytest.mark.parametrize("copies", [1, 4])
def test_the_variance_is_the_bootstraps_by_groups(copies):
    draw = np.random.default_rng(0)
    sides, group_of = np.repeat(draw.random(200) < 0.4, copies), np.repeat(np.arange(200), copies)
    scores = np.repeat(draw.normal(size=200), copies) + 0.2 * draw.normal(size=200 * copies) + sides
    _, variance = auc_variance(scores, sides, group_of)
    replicates = []
    for _ in range(500):
        rows = (draw.integers(0, 200, 200)[:, None] * copies + np.arange(copies)).ravel()
        replicates.append(roc_auc_score(sides[rows], scores[rows]))
    assert variance == pytest.approx(np.var(replicates, ddof=1), rel=0.2)


def test_groups_with_rows_on_both_sides_count_their_covariance():
    draw = np.random.default_rng(0)
    pairs, second = np.repeat(draw.normal(size=300), 2), np.tile([False, True], 300)
    scores = pairs + 0.1 * draw.normal(size=600)  # each row of the second set has a twin in the first
    _, variance = auc_variance(scores, second, np.repeat(np.arange(300), 2))
    assert variance < 0.05 * auc_variance(scores, second, np.arange(600))[1]


def test_rows_of_one_distribution_cant_be_told_apart():
    found = [separability(*drawn(seed), np.arange(200)) for seed in range(40)]
    covered = [one.low <= 0.5 <= one.high for one in found]
    assert sum(covered) >= 37
    widening = (1 + FOLDS / (FOLDS - 1)) ** 0.5
    delongs = [abs(one.auc - 0.5) <= (one.high - one.low) / 2 / widening for one in found]
    assert sum(delongs) <= 35  # DeLong's own interval is too narrow for cross-validation
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.02)


def test_the_interval_holds_the_usual_auc_of_a_shift():
    found = [separability(*drawn(seed, shift=0.15), np.arange(200)) for seed in range(40)]
    usual = np.mean([one.auc for one in found])
    assert 0.65 < usual < 0.8
    assert sum(one.low <= usual <= one.high for one in found) >= 36
    assert sum(one.low > 0.5 for one in found) >= 35


def test_the_auc_is_that_of_the_probabilities_and_a_clear_shift_is_found():
    features, second = drawn(0, shift=0.5)
    found = separability(features, second, np.arange(200))
    assert found.auc > 0.95
    assert found.auc == pytest.approx(roc_auc_score(second, found.probs), abs=1e-12)
    assert 0.5 < found.low < found.auc < found.high <= 1
    assert found.probs.shape == (200,)
    assert ((found.probs > 0) & (found.probs < 1)).all()


def test_more_features_than_rows_are_no_harm():
    features, second = drawn(0, dims=2000, shift=0.3)
    assert separability(features, second, np.arange(200)).low > 0.8
    assert separability(*drawn(1, dims=2000), np.arange(200)).low < 0.5


def test_few_odd_rows_of_the_second_set_are_the_surest():
    features, second = drawn(0, sizes=(300, 150))
    odd = np.arange(300, 312)
    features[odd] += np.random.default_rng(1).normal(size=64) * np.linspace(0.2, 3, 64) * 3
    found = separability(features, second, np.arange(450))
    assert set(np.argsort(-found.probs)[:12]) == set(odd)


def test_near_duplicates_are_no_hint():
    features, second = drawn(0)
    thrice = np.repeat(features, 3, axis=0) + 0.01 * np.random.default_rng(1).normal(size=(600, 64))
    assert separability(thrice, np.repeat(second, 3), np.arange(600)).low > 0.6
    found = separability(thrice, np.repeat(second, 3), np.repeat(np.arange(200), 3))
    assert found.low < 0.5 < found.high


def test_sets_of_other_sizes_dont_move_the_probabilities():
    found = separability(*drawn(0, sizes=(900, 60)), np.arange(960))
    assert 0.3 < found.probs.mean() < 0.5  # not near the share of the second set, .06


def test_features_that_dont_vary_say_nothing():
    features, second = drawn(0)
    same = np.concatenate([features, np.full((200, 3), 7.0), np.zeros((200, 1))], axis=1)
    assert separability(same, second, np.arange(200)).auc == pytest.approx(
        separability(features, second, np.arange(200)).auc, abs=0.01
    )


def test_equal_rows_give_equal_bits():
    features, second = drawn(3)
    one, other = (separability(features.copy(), second, np.arange(200)) for _ in range(2))
    assert one.probs.tobytes() == other.probs.tobytes()
    assert (one.auc, one.low, one.high) == (other.auc, other.low, other.high)


@pytest.mark.parametrize("sizes", [(100, 9), (9, 100), (100, 0)])
def test_too_few_rows_on_a_side_are_refused(sizes):
    with pytest.raises(ValueError, match=rf"one side has {min(sizes)} images .* at least 10"):
        separability(*drawn(0, sizes=sizes), np.arange(sum(sizes)))


def test_near_duplicates_count_once_among_few():
    features, second = drawn(0, sizes=(100, 30))
    groups = np.where(second, 1000 + np.arange(130) // 5, np.arange(130))
    with pytest.raises(ValueError, match="one side has 6 images"):
        separability(features, second, groups)
