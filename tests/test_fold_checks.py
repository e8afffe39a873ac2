"""What is wrong or odd about folds is named, and nothing else is."""

import numpy as np

from pipeline.score.fold_checks import check_folds, fold_balance, out_of_order, unlearnt_classes


def test_check_names_what_is_wrong():
    fold_of = np.array([0, 0, 2, 2, -1])
    labels, groups = np.array([0, 0, 1, 1, 1]), np.array(["a", "b", "b", "c", "c"])
    assert check_folds(fold_of, labels, groups) == ["fold 1 is empty", "group b lies in folds 0, 2"]
    missing = check_folds(np.array([0, 0, 1]), np.array([0, 0, 1]), np.arange(3))
    assert missing == ["class 0 is missing from fold 1, with 2 groups"]
    both = check_folds(np.array([0, 0, 0, 1, 2]), np.array([0, 0, 0, 1, 1]), np.arange(5), 3)
    assert both == ["class 0 is missing from folds 1, 2, with 3 groups"]


def test_rows_of_no_fold_may_share_a_group_with_any():
    assert check_folds(np.array([-1, 0, 1, -1]), np.zeros(4, int), np.array([0, 0, 1, 1]), 2) == []


def test_check_finds_every_split_group_of_many():
    fold_of = np.arange(2000) % 5
    groups = np.arange(2000) // 2
    problems = check_folds(fold_of, np.zeros(2000, int), groups, 5)
    assert problems[:2] == ["group 0 lies in folds 0, 1", "group 1 lies in folds 2, 3"]
    assert len(problems) == 1000


def test_folds_without_a_single_row_are_empty():
    assert check_folds(np.array([-1, -1]), np.zeros(2, int), np.arange(2), 2) == [
        "fold 0 is empty",
        "fold 1 is empty",
    ]


def test_balance_leaves_rows_of_no_fold_out():
    assert fold_balance(np.array([-1, 0, 1]), np.array([0, 0, 1])).tolist() == [[1, 0], [0, 1]]
    assert fold_balance(np.array([0]), np.array([1]), 3, 2).tolist() == [[0, 0], [1, 0], [0, 0]]


def test_classes_that_a_model_never_sees():
    trains = [np.array([True, False, False]), np.array([True, True, False])]
    told = unlearnt_classes(trains, np.array([0, 1, 2]), ["ant", "bee", "fly"], np.ones(3, bool))
    assert told == [
        "class bee has no image that trains fold 0",
        "class fly has no image that trains folds 0, 1",
    ]


def test_a_fold_that_starts_before_an_earlier_one_ends_is_out_of_order():
    fold_of = np.array([1, -1, 0, 0, 1])
    assert out_of_order(fold_of, np.array([5, 1, 2, 3, 3])) is None
    assert out_of_order(fold_of, np.array([5, 1, 2, 3, 2.5])) == (3, 4)
    assert out_of_order(fold_of, np.array([5, 4, 6, 7, 9])) == (3, 0)
    assert out_of_order(fold_of, np.array([5, 4, 6, 6, 3])) == (2, 4)
