"""Folds keep groups together, classes spread, and do so where scikit-learn's own splitter fails."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.score.splits import check_folds, fold_balance, make_folds, place_groups, rare_classes


@st.composite
def pure_groups(draw):
    """Labels and groups where a group has one class, and a number of folds that the groups allow."""
    class_of_group = draw(st.lists(st.integers(0, 4), min_size=2, max_size=30))
    sizes = draw(st.lists(st.integers(1, 6), min_size=len(class_of_group), max_size=len(class_of_group)))
    count = draw(st.integers(2, min(6, len(class_of_group))))
    return np.repeat(class_of_group, sizes), np.repeat(np.arange(len(sizes)), sizes), count


@settings(derandomize=True, deadline=None, max_examples=150)
@given(pure_groups(), st.integers(0, 3))
def test_every_promise_holds_for_groups_of_one_class(case, seed):
    labels, groups, count = case
    fold_of = make_folds(labels, groups, count, seed)
    assert fold_of.dtype == np.int64
    assert check_folds(fold_of, labels, groups, count) == []
    assert (fold_of == make_folds(labels, groups, count, seed)).all()


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=2, max_size=40), st.integers(2, 5))
def test_groups_of_several_classes_stay_whole_and_no_fold_is_empty(rows, count):
    labels, groups = np.array(rows).T
    if len(np.unique(groups)) < count:
        with pytest.raises(ValueError, match="at least as many groups"):
            make_folds(labels, groups, count, 0)
        return
    problems = check_folds(make_folds(labels, groups, count, 0), labels, groups, count)
    assert not [problem for problem in problems if problem.startswith(("fold", "group"))]


MISSING_CLASS = [1, 0, 1, 1, 0, 1], [0, 2, 0, 1, 0, 1], 2
EMPTY_FOLD = [0] * 8 + [2] + [1] * 10, [0] * 4 + [1] * 4 + [2] + [3] * 5 + [4] * 5, 5


@pytest.mark.parametrize("case", [MISSING_CLASS, EMPTY_FOLD], ids=["missing-class", "empty-fold"])
def test_where_scikit_learn_fails_the_folds_are_whole(case):
    labels, groups, count = np.array(case[0]), np.array(case[1]), case[2]
    theirs = np.zeros(len(labels), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=0)
        for fold, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
            theirs[rows] = fold
    assert check_folds(theirs, labels, groups, count)
    assert check_folds(make_folds(labels, groups, count, 0), labels, groups, count) == []


def test_without_duplicates_every_class_is_spread_evenly():
    labels = np.repeat(["ant", "bee", "fly"], [50, 23, 7])
    balance = fold_balance(make_folds(labels, np.arange(80), 5, seed=3), labels)
    assert balance.sum(1).tolist() == [50, 23, 7]
    assert (np.ptp(balance, axis=1) <= 1).all()


def test_greedy_placement_balances_large_groups():
    draw = np.random.default_rng(0)
    sizes = draw.integers(1, 9, 300)
    classes, groups = np.repeat(draw.integers(0, 6, 300), sizes), np.repeat(np.arange(300), sizes)
    balance = fold_balance(place_groups(classes, groups, 5, seed=0), classes)
    assert (np.ptp(balance, axis=1) <= 2).all()


def test_another_seed_gives_other_folds():
    labels, groups = np.arange(60) % 3, np.arange(60) // 2
    assert (make_folds(labels, groups, 5, 0) != make_folds(labels, groups, 5, 1)).any()
    assert (place_groups(labels, np.arange(60), 5, 0) != place_groups(labels, np.arange(60), 5, 1)).any()


def test_classes_with_fewer_images_than_folds_are_told_and_are_not_fatal():
    labels = np.array(["ant"] * 2 + ["bee"] * 9 + ["fly"] * 4)
    assert rare_classes(labels, 5) == ["ant", "fly"]
    assert check_folds(make_folds(labels, np.arange(15), 5, 0), labels, np.arange(15)) == []
    only_rare = np.array(["ant", "ant", "bee", "bee", "fly"])
    assert sorted(make_folds(only_rare, np.arange(5), 5, 0)) == [0, 1, 2, 3, 4]


def test_check_names_what_is_wrong():
    fold_of = np.array([0, 0, 2, 2, -1])
    labels, groups = np.array([0, 0, 1, 1, 1]), np.array(["a", "b", "b", "c", "c"])
    assert check_folds(fold_of, labels, groups) == ["fold 1 is empty", "group b lies in folds 0, 2"]
    missing = check_folds(np.array([0, 0, 1]), np.array([0, 0, 1]), np.arange(3))
    assert missing == ["class 0 is missing from fold 1, with 2 groups"]


def test_balance_leaves_rows_of_no_fold_out():
    assert fold_balance(np.array([-1, 0, 1]), np.array([7, 7, 9])).tolist() == [[1, 0], [0, 1]]


def test_impossible_requests_say_the_numbers():
    with pytest.raises(ValueError, match="1 folds: there must be at least 2"):
        make_folds(np.zeros(4), np.arange(4), 1, 0)
    with pytest.raises(ValueError, match="5 folds need at least as many groups of images, there are 2"):
        make_folds(np.zeros(9), np.arange(9) % 2, 5, 0)
    with pytest.raises(ValueError, match="one value a row"):
        make_folds(np.zeros(4), np.arange(3), 2, 0)
