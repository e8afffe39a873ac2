"""Intervals cover what they say, in simulations with a known truth."""

import numpy as np
import pytest

from pipeline.score.intervals import (
    basic_interval,
    bootstrap_scores,
    expected_on,
    interval,
    paired_difference,
)
from pipeline.score.metrics import METRICS

MACRO_F1, ACCURACY, LOG_LOSS = METRICS["macro-f1"], METRICS["accuracy"], METRICS["log-loss"]


def long_tailed_truth(n_classes=60):
    """Chances [C, C] of (truth, prediction): a long tail, about 60 % right, rare classes less."""
    prior = 0.93 ** np.arange(n_classes)
    right = np.linspace(0.75, 0.3, n_classes)
    spread = np.tile(prior, (n_classes, 1)) * (1 - np.eye(n_classes))
    spread *= ((1 - right) / spread.sum(1))[:, None]
    return (np.diag(right) + spread) * (prior / prior.sum())[:, None]


def rows_of(confusion):
    """Targets and predictions that have this confusion matrix."""
    truth, guess = np.nonzero(confusion)
    counts = confusion[truth, guess]
    return np.repeat(truth, counts), np.repeat(guess, counts)


def test_the_basic_interval_covers_the_truth_where_the_percentile_interval_does_not():
    chances = long_tailed_truth()
    truth = float(MACRO_F1.from_confusion(chances))
    draw, basic, percentile = np.random.default_rng(0), 0, 0
    for trial in range(150):
        targets, guesses = rows_of(draw.multinomial(3000, chances.ravel()).reshape(chances.shape))
        scores = bootstrap_scores(targets, [guesses], MACRO_F1, 60, resamples=200, seed=trial)[:, 0]
        found = basic_interval(MACRO_F1.function(targets, guesses, 60), scores)
        basic += found.low <= truth <= found.high
        low, high = np.quantile(scores, [0.025, 0.975])
        percentile += low <= truth <= high
    assert basic / 150 > 0.85
    assert percentile < basic - 15


def test_drawing_confusions_and_drawing_rows_give_the_same_error():
    draw = np.random.default_rng(1)
    targets, guesses = rows_of(draw.multinomial(800, long_tailed_truth(10).ravel()).reshape(10, 10))
    confusions = bootstrap_scores(targets, [guesses], MACRO_F1, 10, resamples=2000)
    rows = bootstrap_scores(targets, [guesses, guesses], MACRO_F1, 10, resamples=2000)
    assert (rows[:, 0] == rows[:, 1]).all()
    assert confusions.std() == pytest.approx(rows[:, 0].std(), rel=0.08)
    assert confusions.mean() == pytest.approx(rows[:, 0].mean(), abs=0.003)


def test_standard_error_of_accuracy_is_the_binomial_one():
    draw = np.random.default_rng(2)
    targets, guesses = np.zeros(500, int), (draw.random(500) < 0.3).astype(int)
    wrong = guesses.mean()
    found = interval(targets, guesses, ACCURACY, 2, resamples=3000)
    assert found.standard_error == pytest.approx(np.sqrt(wrong * (1 - wrong) / 500), rel=0.05)
    assert found.low < 1 - wrong < found.high


@pytest.mark.parametrize("metric", [ACCURACY, LOG_LOSS], ids=lambda metric: metric.name)
def test_rows_copied_four_times_are_no_more_certain_than_once(metric):
    draw = np.random.default_rng(3)
    targets, probs = draw.integers(0, 3, 300), draw.dirichlet(np.ones(3), 300)
    x = probs.argmax(1) if metric.needs == "labels" else probs
    once = interval(targets, x, metric, 3, resamples=1500)
    copied = np.repeat(targets, 4), np.repeat(x, 4, axis=0)
    grouped = interval(*copied, metric, 3, groups=np.repeat(np.arange(300), 4), resamples=1500)
    blind = interval(*copied, metric, 3, resamples=1500)
    assert grouped.standard_error == pytest.approx(once.standard_error, rel=0.1)
    assert blind.standard_error == pytest.approx(once.standard_error / 2, rel=0.1)


def test_groups_of_one_row_change_nothing():
    targets, guesses = np.arange(40) % 4, np.arange(40) % 3
    plain = interval(targets, guesses, MACRO_F1, 4, seed=5)
    assert plain == interval(targets, guesses, MACRO_F1, 4, groups=np.arange(40), seed=5)
    assert plain != interval(targets, guesses, MACRO_F1, 4, seed=6)


def test_the_auc_error_of_row_values_is_that_of_resorted_resamples():
    draw = np.random.default_rng(4)
    targets = draw.integers(0, 3, 400)
    probs = draw.dirichlet(np.ones(3), 400) + 0.3 * np.eye(3)[targets]
    auc = METRICS["auc"]
    quick = bootstrap_scores(targets, [probs], auc, 3, resamples=400)[:, 0]
    resorted = []
    for _ in range(400):
        rows = draw.integers(0, 400, 400)
        resorted.append(auc.function(targets[rows], probs[rows], 3))
    assert quick.std() == pytest.approx(np.std(resorted), rel=0.12)


def test_a_metric_without_a_quick_form_is_called_on_resampled_rows():
    from dataclasses import replace

    targets, guesses = np.arange(60) % 3, np.arange(60) % 2
    slow = replace(ACCURACY, from_confusion=None)
    groups = np.arange(60) // 2
    quick = bootstrap_scores(targets, [guesses], ACCURACY, 3, groups=groups, resamples=50, seed=1)
    same = bootstrap_scores(targets, [guesses], slow, 3, groups=groups, resamples=50, seed=1)
    assert same == pytest.approx(quick)


def test_the_interval_stays_inside_what_the_metric_can_be():
    targets = np.arange(12) % 3
    guesses = np.where(np.arange(12) == 0, 1, targets)
    assert interval(targets, guesses, MACRO_F1, 3).high <= 1.0
    perfect = interval(targets, targets, MACRO_F1, 3)
    assert (perfect.low, perfect.high, perfect.standard_error) == (1.0, 1.0, 0.0)


def test_paired_difference_sees_what_two_intervals_cannot():
    draw = np.random.default_rng(5)
    targets = draw.integers(0, 4, 2000)
    weak = np.where(draw.random(2000) < 0.6, targets, (targets + 1) % 4)
    better = np.where(draw.random(2000) < 0.05, targets, weak)
    found = paired_difference(targets, better, weak, ACCURACY, 4)
    alone = interval(targets, weak, ACCURACY, 4)
    assert found.low > 0
    assert not found.is_noise
    assert found.gain < 2 * alone.standard_error
    assert found.standard_error < alone.standard_error / 2
    back = paired_difference(targets, weak, better, ACCURACY, 4)
    assert (back.gain, back.standard_error) == pytest.approx((-found.gain, found.standard_error))


def test_paired_difference_of_a_loss_is_positive_for_the_lower_one():
    targets = np.zeros(200, int)
    good = np.column_stack([np.linspace(0.7, 0.9, 200), np.linspace(0.3, 0.1, 200)])
    worse = np.column_stack([np.linspace(0.5, 0.8, 200), np.linspace(0.5, 0.2, 200)])
    found = paired_difference(targets, good, worse, LOG_LOSS, 2)
    assert found.low > 0
    assert found.gain == pytest.approx(np.mean(np.log(good[:, 0] / worse[:, 0])))
    assert paired_difference(targets, good, good, LOG_LOSS, 2).standard_error == 0.0


def test_scores_of_new_models_fall_into_the_expected_range():
    """Two classes in 20 dimensions, means of 48 rows: rows drawn again don't show how unsteady these are."""
    draw, inside, by_rows_alone = np.random.default_rng(6), 0, 0
    for _ in range(600):
        (x, y), (new_x, new_y) = gaussian_classes(60, draw), gaussian_classes(400, draw)
        parts = [np.arange(60) % 5 != fold for fold in range(5)]
        hits = np.concatenate([nearest_mean(x[part], y[part], x[~part]) == y[~part] for part in parts])
        score, error = float(hits.mean()), float(hits.std() / 60**0.5)
        new_score = float((nearest_mean(x[parts[0]], y[parts[0]], new_x) == new_y).mean())
        found = expected_on(400, score, error, n=60, folds=5)
        inside += found.low <= new_score <= found.high
        by_rows_alone += abs(new_score - score) <= 1.96 * error * (1 + 60 / 400) ** 0.5
    assert by_rows_alone / 600 < 0.94
    assert 0.95 <= inside / 600 <= 0.995


def gaussian_classes(n: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = draw.integers(0, 2, n)
    return draw.normal(size=(n, 20)) + np.where(labels, 0.224, -0.224)[:, None], labels


def nearest_mean(x: np.ndarray, labels: np.ndarray, new: np.ndarray) -> np.ndarray:
    no, yes = x[labels == 0].mean(0), x[labels == 1].mean(0)
    return ((new - (no + yes) / 2) @ (yes - no) > 0).astype(int)


def test_the_expected_range_by_hand():
    found = expected_on(100, 0.6, 0.02, n=300, folds=2, level=0.95)
    total = 0.02 * 6**0.5  # its own 1, the training's 2/1, the new rows' 300/100
    assert found.standard_error == pytest.approx(total)
    assert (found.low, found.high) == pytest.approx((0.6 - 1.959964 * total, 0.6 + 1.959964 * total))
    assert expected_on(4, 0.99, 0.02, n=300, folds=5).high == 1.0


def test_no_rows_have_no_interval():
    nothing = np.zeros(0, int)
    with pytest.raises(ValueError, match="no rows"):
        interval(nothing, nothing, MACRO_F1, 3)
    with pytest.raises(ValueError, match="m = 0, n = 10"):
        expected_on(0, 0.5, 0.1, n=10, folds=5)
    with pytest.raises(ValueError, match="1 folds"):
        expected_on(10, 0.5, 0.1, n=10, folds=1)
