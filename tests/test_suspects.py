"""Ranking suspected wrong labels: planted ones come first, also where classes are of unequal size."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from pipeline.score.suspects import class_thresholds, confident_classes, rank_suspects


def planted(
    seed: int, share: float = 0.05, strength: float = 0.1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return out-of-fold probs, labels and which labels are wrong: long-tailed digits, read by regression."""
    images, true = load_digits(return_X_y=True)
    draw = np.random.default_rng(seed)
    kept = [draw.permutation(np.flatnonzero(true == k))[: int(170 * 20 ** (-k / 9))] for k in range(10)]
    rows = np.concatenate(kept)
    images, true = images[rows] / 16, true[rows]
    wrong = np.zeros(len(true), bool)
    wrong[draw.permutation(len(true))[: round(share * len(true))]] = True
    labels = np.where(wrong, (true + 1 + draw.integers(0, 9, len(true))) % 10, true)
    probs = np.zeros((len(labels), 10))
    for train, held in StratifiedKFold(4, shuffle=True, random_state=seed).split(images, labels):
        model = LogisticRegression(C=strength, max_iter=300).fit(images[train], labels[train])
        probs[held] = model.predict_proba(images[held])
    return probs, labels, wrong


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_wrong_labels_come_first(seed):
    probs, labels, wrong = planted(seed)
    found = rank_suspects(probs, labels)
    n = int(wrong.sum())
    assert wrong[found.rows[:n]].mean() >= 0.7  # by chance it would be 0.05
    assert wrong[found.rows[: 2 * n]].sum() / n >= 0.85
    assert found.counted[wrong].mean() >= 0.6
    assert found.counted[~wrong].mean() <= 0.1


def test_rare_classes_dont_fill_the_list():
    by_margin, by_prob = [], []
    for seed in range(3):
        # so weak a model is never sure of a rare class: its right labels have low probabilities too
        probs, labels, wrong = planted(seed, share=0.02, strength=0.02)
        n = int(wrong.sum())
        own = probs[np.arange(len(labels)), labels]
        by_margin.append(wrong[rank_suspects(probs, labels).rows[:n]].mean())
        by_prob.append(wrong[np.argsort(own, kind="stable")[:n]].mean())
    assert np.mean(by_margin) > np.mean(by_prob) + 0.2
    assert np.mean(by_margin) > 0.5


def test_margin_is_what_the_formula_says():
    probs = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]])
    found = rank_suspects(probs, np.array([0, 0, 1]))
    # thresholds: class 0 (0.6 + 0.2) / 2 = 0.4, class 1 0.8
    np.testing.assert_allclose(found.margin, np.log([0.6 / 0.4 / 0.3, 0.2 / 0.4 / 0.5, 0.8 / 0.8 / 0.1]))
    assert found.suggested.tolist() == [1, 1, 0]
    assert found.rows.tolist() == [1, 0, 2]


def test_rows_counted_as_wrong_are_sure_of_another_class():
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55], [0.1, 0.9]])
    labels = np.array([0, 0, 0, 1])
    assert class_thresholds(probs, labels)[0] == pytest.approx((0.9 + 0.2 + 0.45) / 3)
    assert confident_classes(probs, class_thresholds(probs, labels)).tolist() == [0, -1, -1, 1]
    assert rank_suspects(probs, labels).counted.tolist() == [False] * 4
    sure = np.array([[0.9, 0.1], [0.02, 0.98], [0.1, 0.9], [0.1, 0.9]])
    assert rank_suspects(sure, np.array([0, 0, 1, 1])).counted.tolist() == [False, True, False, False]


def test_a_class_without_rows_is_no_suspicion_and_zeros_stay_finite():
    probs = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    found = rank_suspects(probs, np.array([0, 0]))
    assert np.isfinite(found.margin).all()
    assert found.rows.tolist() == [1, 0]
    assert not found.counted.any()  # nothing is known of how sure the model is of class 1


def test_equal_margins_keep_their_order():
    probs = np.tile([[0.3, 0.7]], (5, 1))
    assert rank_suspects(probs, np.zeros(5, int)).rows.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("shape", "rows"), [((3, 1), 3), ((3, 2), 2), ((3,), 3)])
def test_other_shapes_are_refused(shape, rows):
    with pytest.raises(ValueError, match="must be"):
        rank_suspects(np.ones(shape), np.zeros(rows, int))
