"""Samplers: as many draws as rows, each row as often as is expected, a function of the key alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.class_balance import SAMPLER_POWERS
from pipeline.dataset.sampling import draw_rows, expected_draws, repeats

BALANCED = [name for name in SAMPLER_POWERS if name != "natural"]
LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=120).map(np.array)


def table(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put rows with these labels at every third place of a table whose other rows are of class 9."""
    targets = np.full(3 * len(labels) + 1, 9)
    rows = np.arange(len(labels)) * 3 + 1
    targets[rows] = labels
    return rows, targets


def times(drawn: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.array([(drawn == row).sum() for row in rows])


def test_natural_is_bit_for_bit_the_same_for_ever():
    drawn = draw_rows(np.arange(8), np.zeros(8, int), "natural", 0, 0, 0)
    assert drawn.tolist() == [5, 3, 6, 4, 2, 7, 0, 1]


@pytest.mark.parametrize("sampler", SAMPLER_POWERS)
@settings(derandomize=True, deadline=None, max_examples=150)
@given(labels=LABELS, epoch=st.integers(0, 5))
def test_each_row_and_class_is_drawn_as_often_as_expected_rounded(sampler, labels, epoch):
    rows, targets = table(labels)
    drawn = draw_rows(rows, targets, sampler, 0, 0, epoch)
    assert len(drawn) == len(rows)
    assert set(drawn) <= set(rows)
    expected = expected_draws(labels, SAMPLER_POWERS[sampler])
    counted = times(drawn, rows)
    assert (np.abs(counted - expected) < 1).all()
    for label in set(labels):
        own = labels == label
        assert abs(counted[own].sum() - expected[own].sum()) < 1 + 1e-9


@settings(derandomize=True, deadline=None, max_examples=100)
@given(labels=LABELS)
def test_expected_draws_follow_the_classes_weights(labels):
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    for power in SAMPLER_POWERS.values():
        expected = expected_draws(labels, power)
        assert expected.sum() == pytest.approx(len(labels))
        of_class = np.bincount(places, expected)
        assert of_class / of_class.sum() == pytest.approx(counts**power / (counts**power).sum())


@pytest.mark.parametrize("sampler", BALANCED)
def test_over_many_epochs_the_rows_of_a_class_are_drawn_alike(sampler):
    labels = np.repeat([0, 1, 2], [30, 7, 2])
    rows, targets = table(labels)
    epochs = 2000
    mean = (
        sum(times(draw_rows(rows, targets, sampler, 0, 0, epoch), rows) for epoch in range(epochs)) / epochs
    )
    expected = expected_draws(labels, SAMPLER_POWERS[sampler])
    standard_error = np.sqrt(0.25 / epochs)  # a number that is one of two neighbours
    assert np.abs(mean - expected).max() < 4 * standard_error


def test_class_balanced_gives_each_class_the_same():
    labels = np.repeat([0, 1, 2], [60, 25, 5])
    rows, targets = table(labels)
    drawn = draw_rows(rows, targets, "class-balanced", 0, 0, 0)
    assert np.bincount(targets[drawn], minlength=3)[:3].tolist() == [30, 30, 30]
    assert times(drawn, rows[labels == 2]).tolist() == [6] * 5


def test_square_root_is_between():
    labels = np.repeat([0, 1], [100, 4])
    rows, targets = table(labels)
    drawn = draw_rows(rows, targets, "square-root", 0, 0, 0)
    assert (targets[drawn] == 1).sum() in (17, 18)  # 104 · 2 / 12


@pytest.mark.parametrize("sampler", SAMPLER_POWERS)
def test_another_epoch_fold_or_seed_is_another_draw_and_the_same_key_the_same(sampler):
    rows, targets = table(np.arange(60) % 5 // 2)
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    drawn = [tuple(draw_rows(rows, targets, sampler, *key)) for key in keys]
    assert len(set(drawn)) == 4
    assert drawn == [tuple(draw_rows(rows, targets, sampler, *key)) for key in keys]


@pytest.mark.parametrize("sampler", BALANCED)
def test_the_order_is_random(sampler):
    labels = np.repeat([0, 1], [80, 20])
    rows, targets = table(labels)
    places = [
        np.flatnonzero(targets[draw_rows(rows, targets, sampler, 0, 0, e)] == 1).mean() for e in range(200)
    ]
    assert np.mean(places) == pytest.approx(49.5, abs=1.5)


@pytest.mark.parametrize("sampler", SAMPLER_POWERS)
def test_one_class_or_one_row_or_none(sampler):
    rows, targets = table(np.zeros(10, int))
    assert sorted(draw_rows(rows, targets, sampler, 0, 0, 0)) == rows.tolist()
    assert draw_rows(np.array([4]), np.arange(9), sampler, 0, 0, 0).tolist() == [4]
    assert draw_rows(np.empty(0, int), np.arange(9), sampler, 0, 0, 0).tolist() == []


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 9), max_size=60))
def test_repeats_count_what_came_before(drawn):
    expected = [drawn[:i].count(row) for i, row in enumerate(drawn)]
    assert repeats(np.array(drawn, dtype=np.int64)).tolist() == expected


def test_an_item_of_row_and_repeat_is_never_drawn_twice():
    rows, targets = table(np.repeat([0, 1, 2], [60, 25, 5]))
    drawn = draw_rows(rows, targets, "class-balanced", 0, 0, 0)
    assert len(set(zip(drawn, repeats(drawn), strict=True))) == len(drawn)
