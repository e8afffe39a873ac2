"""Folds keep groups together, classes spread, and do so where scikit-learn's own splitter fails."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.artifacts import manifest
from pipeline.dataset.sample_plan import plan_competition
from pipeline.score.fold_checks import check_folds, fold_balance
from pipeline.score.placement import place_groups
from pipeline.score.splits import SCIKIT_LEARN_GROUPS, make_folds, time_folds, training_rows

# As the folds came out before there was another way than scikit-learn's, 1.9.1.
SAMPLE, SAMPLE_WITHOUT_GROUPS = "0d04c3b95fe776be", "069d2f62e2ca1001"


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


def test_the_samples_folds_are_those_that_its_figures_were_published_with():
    rows = [row for row in plan_competition(12, 700, 0) if row.split == "train"]
    labels, groups = np.array([row.label for row in rows]), np.array([row.group or row.id for row in rows])
    names = np.array([f"{label:02d}" for label in labels])
    fold_of = make_folds(names, groups, 5, 0)
    assert (len(rows), len(set(groups))) == (467, 436)
    assert manifest.digest(fold_of.tolist()) == SAMPLE
    assert manifest.digest(make_folds(names, np.arange(467), 5, 0).tolist()) == SAMPLE_WITHOUT_GROUPS


def test_many_groups_are_placed_without_scikit_learn():
    groups = np.arange(3 * (SCIKIT_LEARN_GROUPS + 1)) // 3
    labels = groups**2 // 7 % 12
    fold_of = make_folds(labels, groups, 5, 0)
    assert (fold_of == place_groups(labels, groups, 5, 0)).all()
    assert check_folds(fold_of, labels, groups, 5) == []
    fewer = slice(3 * SCIKIT_LEARN_GROUPS)
    by_scikit_learn = make_folds(labels[fewer], groups[fewer], 5, 0)
    assert (by_scikit_learn != place_groups(labels[fewer], groups[fewer], 5, 0)).any()
    assert check_folds(by_scikit_learn, labels[fewer], groups[fewer], 5) == []


def test_without_duplicates_every_class_is_spread_evenly():
    labels = np.repeat([0, 1, 2], [50, 23, 7])
    balance = fold_balance(make_folds(labels, np.arange(80), 5, seed=3), labels)
    assert balance.sum(1).tolist() == [50, 23, 7]
    assert (np.ptp(balance, axis=1) <= 1).all()


def test_another_seed_gives_other_folds():
    labels, groups = np.arange(60) % 3, np.arange(60) // 2
    assert (make_folds(labels, groups, 5, 0) != make_folds(labels, groups, 5, 1)).any()


def test_classes_with_fewer_images_than_folds_are_not_fatal():
    labels = np.array(["ant"] * 2 + ["bee"] * 9 + ["fly"] * 4)
    assert check_folds(make_folds(labels, np.arange(15), 5, 0), labels, np.arange(15)) == []
    only_rare = np.array(["ant", "ant", "bee", "bee", "fly"])
    assert sorted(make_folds(only_rare, np.arange(5), 5, 0)) == [0, 1, 2, 3, 4]


def test_impossible_requests_say_the_numbers():
    with pytest.raises(ValueError, match="1 folds: there must be at least 2"):
        make_folds(np.zeros(4), np.arange(4), 1, 0)
    with pytest.raises(ValueError, match="5 folds need at least as many groups of images, there are 2"):
        make_folds(np.zeros(9), np.arange(9) % 2, 5, 0)
    with pytest.raises(ValueError, match="one value a row"):
        make_folds(np.zeros(4), np.arange(3), 2, 0)
    with pytest.raises(ValueError, match=r"3 folds .* need at least 4 different times, there are 3"):
        time_folds(np.array([1, 2, 2, 3]), 3)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.integers(-5, 40), min_size=3, max_size=80), st.integers(2, 6))
def test_time_is_cut_into_blocks_in_order_between_different_times(values, count):
    times = np.array(values)
    if len(set(values)) <= count:
        with pytest.raises(ValueError, match="different times"):
            time_folds(times, count)
        return
    fold_of = time_folds(times, count)
    assert np.unique(fold_of).tolist() == list(range(-1, count))
    for fold in range(count):
        assert times[fold_of < fold].max() < times[fold_of == fold].min()


def test_blocks_of_different_times_have_nearly_equal_sizes():
    times = np.random.default_rng(0).permutation(1003)
    sizes = np.bincount(time_folds(times, 5) + 1)
    assert np.ptp(sizes) <= 1
    ties = np.bincount(time_folds(times // 10, 5) + 1)
    assert np.ptp(ties) <= 10


def test_the_training_rows_of_every_kind_written_out():
    # row 0 is never scored and a twin of row 3 in fold 0; rows 4 and 6 are twins in folds 1 and 2
    fold_of = np.array([-1, -1, 0, 0, 1, 1, 2])
    groups = np.array([3, 0, 2, 3, 6, 5, 6])
    rows = {
        kind: [np.flatnonzero(training_rows(fold_of, groups, k, kind)).tolist() for k in range(3)]
        for kind in ("grouped", "stratified", "time")
    }
    assert rows["grouped"] == [[1, 4, 5, 6], [0, 1, 2, 3], [0, 1, 2, 3, 5]]
    assert rows["stratified"] == [[0, 1, 4, 5, 6], [0, 1, 2, 3, 6], [0, 1, 2, 3, 4, 5]]
    assert rows["time"] == [[1], [0, 1, 2, 3], [0, 1, 2, 3, 5]]
