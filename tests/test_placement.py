"""Greedy placement: as even as scikit-learn's splitters, for any number of groups."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.score.fold_checks import check_folds, fold_balance
from pipeline.score.placement import place_groups


def unevenness(fold_of, classes, count):
    """Σ_c (n_cf − n_c/count)² / n_c."""
    balance, sizes = fold_balance(fold_of, classes, count=count), np.bincount(classes)[:, None]
    return float(((balance - sizes / count) ** 2 / sizes).sum())


def scikit_learns(classes, groups, count):
    fold_of = np.zeros(len(classes), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=0)
        for fold, (_, rows) in enumerate(splitter.split(classes, classes, groups)):
            fold_of[rows] = fold
    return fold_of


def drawn_case(seed):
    """Classes, groups that mix them, and a number of folds that both splitters can make."""
    draw = np.random.default_rng(seed)
    n, count = int(draw.integers(12, 120)), int(draw.integers(2, 6))
    classes = draw.integers(0, draw.integers(2, 6), n)
    groups = draw.integers(0, draw.integers(2 * count, n), n)
    return *(np.unique(values, return_inverse=True)[1] for values in (classes, groups)), count


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(2, 9), st.integers(0, 3))
def test_single_rows_are_spread_evenly_by_class_and_in_all(sizes, count, seed):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    fold_of = place_groups(classes, np.arange(len(classes)), count, seed)
    assert (np.ptp(fold_balance(fold_of, classes, count=count), axis=1) <= 1).all()
    assert np.ptp(np.bincount(fold_of, minlength=count)) <= 1


@st.composite
def grouped_by_class(draw):
    """Classes and groups of one class each, most of them single rows, as duplicates are."""
    sizes = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 3, 7]), min_size=8, max_size=60))
    class_of_group = draw(st.lists(st.integers(0, 3), min_size=len(sizes), max_size=len(sizes)))
    classes = np.repeat(np.unique(class_of_group, return_inverse=True)[1], sizes)
    return classes, np.repeat(np.arange(len(sizes)), sizes), draw(st.integers(2, 6))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(grouped_by_class())
def test_groups_of_one_class_are_spread_as_evenly_as_scikit_learn_does(case):
    classes, groups, count = case
    fold_of = place_groups(classes, groups, count, 0)
    assert check_folds(fold_of, classes, groups, count) == []
    if np.bincount(classes).max() >= count:
        theirs = unevenness(scikit_learns(classes, groups, count), classes, count)
        assert unevenness(fold_of, classes, count) <= 1.1 * theirs + 0.05


def test_groups_of_several_classes_are_spread_more_evenly_than_scikit_learn_does_on_average():
    ours, theirs = np.empty(150), np.empty(150)
    for seed in range(150):
        classes, groups, count = drawn_case(seed)
        fold_of = place_groups(classes, groups, count, seed)
        assert not [text for text in check_folds(fold_of, classes, groups, count) if text[:5] != "class"]
        ours[seed] = unevenness(fold_of, classes, count)
        theirs[seed] = unevenness(scikit_learns(classes, groups, count), classes, count)
    assert ours.mean() < theirs.mean()


def test_large_groups_are_balanced():
    draw = np.random.default_rng(0)
    sizes = draw.integers(1, 9, 300)
    classes, groups = np.repeat(draw.integers(0, 6, 300), sizes), np.repeat(np.arange(300), sizes)
    balance = fold_balance(place_groups(classes, groups, 5, seed=0), classes)
    assert (np.ptp(balance, axis=1) <= 2).all()


def test_the_best_split_of_a_small_case_is_found():
    classes = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    groups = np.array([0, 0, 1, 2, 3, 3, 4, 5])  # a pair and two single rows of each class
    assert unevenness(place_groups(classes, groups, 2, 0), classes, 2) == 0


@pytest.mark.parametrize("alone", [True, False])
def test_equal_seeds_give_equal_folds_and_others_don_t(alone):
    classes, groups = np.arange(60) % 3, np.arange(60) // (1 if alone else 2)
    one, same, other = (place_groups(classes, groups, 5, seed) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()
    assert one.dtype == np.int64


def test_many_classes_and_groups_take_no_dense_table_of_both():
    n, n_classes = 60_000, 6_000
    draw = np.random.default_rng(0)
    classes, groups = draw.integers(0, n_classes, n), np.arange(n)
    groups[: n // 10] //= 2
    groups = np.unique(groups, return_inverse=True)[1]
    fold_of = place_groups(classes, groups, 5, 0)  # groups × classes would be 2.7 GB
    assert not [text for text in check_folds(fold_of, classes, groups, 5) if text[:5] != "class"]
    assert (np.bincount(fold_of) > n / 5 - 50).all()
