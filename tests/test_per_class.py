"""Results a class against scikit-learn, their intervals against the truth; agreement, drift, reliability."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from pipeline.score.agreement import agreement
from pipeline.score.calibrate import calibration_error, reliability, softmax
from pipeline.score.drift import check_test
from pipeline.score.per_class import class_results, f1_intervals
from tests.simulated_members import drawn, simulated


def test_results_agree_with_scikit_learn():
    draw = np.random.default_rng(0)
    targets = draw.integers(0, 5, 400)
    labels = np.where(draw.random(400) < 0.6, targets, draw.integers(0, 4, 400))
    found = class_results(targets, labels, list("abcde"))
    expected = sklearn_metrics.precision_recall_fscore_support(targets, labels, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "images"), expected, strict=True):
        assert [row[name] for row in found] == pytest.approx(values.tolist())
    assert sum(row["predicted"] for row in found) == 400
    assert all(0 <= row["low"] <= row["f1"] <= row["high"] <= 1 for row in found)


def test_intervals_cover_the_truth_of_common_classes():
    chances = np.array([[0.3, 0.1, 0.02], [0.05, 0.3, 0.03], [0.02, 0.03, 0.15]])
    truth = 2 * np.diag(chances) / (chances.sum(0) + chances.sum(1))
    draw, inside = np.random.default_rng(1), np.zeros(3)
    for seed in range(60):
        cells = draw.choice(9, size=500, p=chances.ravel())
        low, high = f1_intervals(cells // 3, cells % 3, 3, seed=seed)
        inside += (low <= truth) & (truth <= high)
    assert (inside / 60 > 0.85).all()


def test_copied_rows_in_groups_are_no_more_certain_than_once():
    draw = np.random.default_rng(2)
    targets = draw.integers(0, 3, 300)
    labels = np.where(draw.random(300) < 0.7, targets, (targets + 1) % 3)
    width = {}
    for name, copies, groups in (("once", 1, None), ("grouped", 4, True), ("blind", 4, None)):
        rows = np.repeat(targets, copies), np.repeat(labels, copies)
        low, high = f1_intervals(*rows, 3, np.repeat(np.arange(300), copies) if groups else None)
        width[name] = (high - low).mean()
    assert width["grouped"] == pytest.approx(width["once"], rel=0.2)
    assert width["blind"] < 0.7 * width["once"]


def test_agreement_of_equal_and_of_different_members():
    oof, targets = simulated(0, 500)
    correlation, disagreement = agreement([*oof, oof[0]], targets)
    assert np.diag(correlation) == pytest.approx(np.ones(4))
    assert correlation[0, 3] == pytest.approx(1.0)
    assert disagreement[0, 3] == 0
    assert (correlation == correlation.T).all()
    assert disagreement[0, 1] == (oof[0, 0].argmax(1) != oof[1, 0].argmax(1)).mean()
    true_class = [probs[0, np.arange(500), targets] for probs in oof[:2]]
    assert correlation[0, 1] == pytest.approx(np.corrcoef(true_class)[0, 1], abs=1e-5)


def test_calibrated_probabilities_are_reliable_and_sharpened_ones_are_not():
    probs = softmax(1.5 * np.random.default_rng(3).normal(size=(20_000, 5)))
    targets = drawn(probs, 3)
    hits = probs.argmax(1) == targets
    bins = reliability(probs.max(1), hits)
    assert len(bins) == 15
    assert sum(part["rows"] for part in bins) == 20_000
    assert [part["low"] for part in bins] == sorted(part["low"] for part in bins)
    assert calibration_error(bins) < 0.015
    sharp = softmax(3 * np.log(probs)).max(1)
    assert calibration_error(reliability(sharp, hits)) > 0.1


def test_less_sure_test_rows_raise_an_alarm_and_like_ones_do_not():
    draw = np.random.default_rng(4)
    oof, same, flat = (softmax(s * draw.normal(size=(1000, 6))) for s in (3.0, 3.0, 1.5))
    quiet = check_test(oof, [same, same], [same.argmax(1)] * 2, same.argmax(1))
    assert quiet["alarms"] == []
    assert quiet["fold_disagreement"] == 0
    loud = check_test(oof, [flat, same], [flat.argmax(1), same.argmax(1)], same.argmax(1))
    assert len(loud["alarms"]) == 1
    assert "less sure of test images" in loud["alarms"][0]
    assert loud["fold_disagreement"] == pytest.approx((flat.argmax(1) != same.argmax(1)).mean() / 2)
