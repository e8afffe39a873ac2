"""Comparisons: the corrected t test holds its level, the exact test is McNemar's, classes by hand."""

import numpy as np
import pytest
from scipy import stats

from pipeline.score import comparison
from pipeline.score.comparison import Predicted, compare, corrected_t_test, disagreement
from pipeline.score.intervals import paired_difference
from pipeline.score.metrics import METRICS


def drawn(seed=0, n=300, n_classes=4, folds=5, right=(0.7, 0.5)):
    """Return targets, what two say of them (probs peak at the label) and folds."""
    draw = np.random.default_rng(seed)
    targets = draw.integers(0, n_classes, n)
    sides = []
    for share in right:
        labels = np.where(draw.random(n) < share, targets, draw.integers(0, n_classes, n))
        probs = 0.4 * draw.dirichlet(np.ones(n_classes), n) + 0.6 * np.eye(n_classes)[labels]
        sides.append(Predicted(probs.argmax(1), probs.astype(np.float32)))
    return targets, *sides, draw.permutation(n) % folds


def test_nadeau_and_bengio_by_hand():
    found = corrected_t_test(np.array([0.03, 0.01, 0.02, 0.05, -0.01]), scored_per_trained=1 / 4)
    error = np.sqrt((1 / 5 + 1 / 4) * 0.0005)  # squared deviations .01² + .01² + 0 + .03² + .03² over 4
    assert found.gain == pytest.approx(0.02)
    assert found.standard_error == pytest.approx(error)
    assert (found.low, found.high) == pytest.approx((0.02 - 2.776445 * error, 0.02 + 2.776445 * error))
    assert found.p == pytest.approx(2 * stats.t.sf(0.02 / error, 4))


def test_folds_that_share_no_training_rows_are_the_usual_t_test():
    gains = np.random.default_rng(0).normal(0.1, 1, 12)
    assert corrected_t_test(gains, 0.0).p == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)


def test_equal_gains_are_certain_and_no_gain_is_none():
    assert corrected_t_test(np.zeros(5), 0.25) == comparison.FoldTest(0.0, 0.0, 0.0, 0.0, 1.0)
    assert corrected_t_test(np.full(4, 0.5), 1 / 3).p == 0.0
    with pytest.raises(ValueError, match="at least 2"):
        corrected_t_test(np.ones(1), 0.25)


def nearest_mean_gains(draw, repeats=10, folds=5, n=60):
    """Differences in accuracy, repeats × folds, of two learners that are equally good by symmetry."""
    targets = np.arange(n) % 2
    features = draw.normal(size=(n, 2, 3)) + 0.5 * targets[:, None, None]  # each learner sees its own three
    gains = []
    for _ in range(repeats):
        fold_of = draw.permutation(n) % folds
        for k in range(folds):
            train, test = fold_of != k, fold_of == k
            zero, one = (features[train & (targets == label)].mean(0) for label in (0, 1))
            margin = ((features[test] - (zero + one) / 2) * (one - zero)).sum(2)
            hits = ((margin > 0) == targets[test, None]).mean(0)
            gains.append(hits[0] - hits[1])
    return np.array(gains)


def test_the_naive_t_test_gives_false_alarms_that_the_corrected_one_does_not():
    draw = np.random.default_rng(0)
    trials = [nearest_mean_gains(draw) for _ in range(120)]
    naive = np.mean([stats.ttest_1samp(gains, 0).pvalue < 0.05 for gains in trials])
    corrected = np.mean([corrected_t_test(gains, 1 / 4).p < 0.05 for gains in trials])
    assert naive > 0.5
    assert corrected < 0.1


def test_the_ratio_of_scored_to_training_rows_follows_the_kind_of_folds():
    fold_of, alone = np.array([-1, -1, 0, 0, 1, 1, 2, 2]), np.arange(8)
    assert comparison.scored_per_trained(fold_of[2:], alone[2:], "grouped") == pytest.approx(1 / 2)
    assert comparison.scored_per_trained(fold_of, alone, "grouped") == pytest.approx(2 / 6)
    assert comparison.scored_per_trained(fold_of, alone, "time") == pytest.approx(6 / (2 + 4 + 6))


@pytest.mark.parametrize(("only_a", "only_b"), [(7, 2), (0, 9), (4, 4), (0, 0)])
def test_mcnemar_is_the_exact_binomial_test(only_a, only_b):
    targets = np.zeros(30, int)
    a, b = (np.zeros(30, int) for _ in range(2))
    b[:only_a] = 1
    a[only_a : only_a + only_b] = 2
    a[-3:], b[-3:] = 1, 2  # both wrong, each its own way
    a[-5:-3] = b[-5:-3] = 1  # both wrong alike
    found = disagreement(targets, a, b)
    assert (found.only_a, found.only_b, found.neither) == (only_a, only_b, 3)
    assert found.images == only_a + only_b + 3
    assert found.share == pytest.approx(found.images / 30)
    tail = stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)
    assert found.p == pytest.approx(min(1.0, 2 * tail))


def test_classes_by_hand():
    targets = np.array([0, 0, 1, 1, 1, 2])
    a, b = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 1, 1])
    found = comparison.class_changes(targets, a, b, 4)
    assert [(item.label, item.images) for item in found] == [(2, 1), (0, 2), (1, 3), (3, 0)]
    assert [item.a for item in found] == pytest.approx([2 / 3, 1, 4 / 5, 0])
    assert [item.b for item in found] == pytest.approx([0, 2 / 3, 3 / 4, 0])
    assert [item.change for item in found] == pytest.approx([2 / 3, 1 / 3, 1 / 20, 0])


def test_all_rows_and_each_fold_are_scored():
    targets, a, b, fold_of = drawn()
    found = compare(targets, a, b, fold_of, METRICS["macro-f1"])
    labels = a.labels, b.labels
    assert found.pooled.difference == paired_difference(targets, *labels, METRICS["macro-f1"], 4)
    assert found.log_loss.difference == paired_difference(targets, a.probs, b.probs, METRICS["log-loss"], 4)
    assert found.log_loss.difference.gain == pytest.approx(found.log_loss.b - found.log_loss.a)
    for k, fold in enumerate(found.folds):
        rows = fold_of == k
        own = [METRICS["macro-f1"].function(targets[rows], side[rows], 4) for side in labels]
        assert (fold.fold, fold.images, fold.a, fold.b, fold.gain) == (k, 60, *own, own[0] - own[1])
    gains = np.array([fold.gain for fold in found.folds])
    assert found.over_folds == corrected_t_test(gains, 1 / 4)
    assert (found.n, found.groups) == (300, 300)


@pytest.mark.parametrize("name", ["log-loss", "auc", "map@5", "quadratic-kappa"])
def test_the_gain_is_positive_for_the_better_one_whichever_way_the_metric_points(name):
    targets, good, bad, fold_of = drawn(n_classes=8, right=(0.9, 0.3))
    found = compare(targets, good, bad, fold_of, METRICS[name])
    assert found.pooled.difference.low > 0
    assert not found.pooled.is_noise
    assert all(fold.gain > 0 for fold in found.folds)
    assert found.over_folds.low > 0
    assert (found.log_loss is None) == (name == "log-loss")
    back = compare(targets, bad, good, fold_of, METRICS[name])
    assert back.over_folds.gain == pytest.approx(-found.over_folds.gain)
    assert (back.disagreement.only_a, back.disagreement.only_b) == (
        found.disagreement.only_b,
        found.disagreement.only_a,
    )


def test_rows_without_a_fold_are_not_scored():
    targets, a, b, fold_of = drawn()
    fold_of[:50] = -1
    rows = fold_of >= 0
    before = compare(targets, a, b, fold_of, METRICS["accuracy"])
    a.labels[:50], a.probs[:50] = -1, np.nan
    found = compare(targets, a, b, fold_of, METRICS["accuracy"])
    assert found == before
    assert found.n == 250
    assert found.pooled.a == pytest.approx((a.labels[rows] == targets[rows]).mean())


def test_equal_predictions_are_no_difference():
    targets, a, _, fold_of = drawn()
    found = compare(targets, a, a, fold_of, METRICS["macro-f1"])
    assert found.pooled.is_noise
    assert found.pooled.difference.standard_error == 0
    assert (found.over_folds.p, found.disagreement.p, found.disagreement.images) == (1, 1, 0)
    assert all(item.change == 0 for item in found.classes)


def test_near_duplicates_make_it_less_certain():
    targets, a, b, fold_of = drawn()
    four = [np.repeat(array, 4, axis=0) for array in (targets, a.labels, a.probs, b.labels, b.probs, fold_of)]
    targets, a, b, fold_of = four[0], Predicted(*four[1:3]), Predicted(*four[3:5]), four[5]
    found = compare(targets, a, b, fold_of, METRICS["accuracy"], groups=np.repeat(np.arange(300), 4))
    blind = compare(targets, a, b, fold_of, METRICS["accuracy"])
    assert (found.n, found.groups) == (1200, 300)
    assert found.pooled.difference.standard_error > 1.7 * blind.pooled.difference.standard_error
