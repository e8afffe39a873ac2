"""The folds' part of the page: balance from the record, and the warning where copies lie in two folds."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.page.fold_balance import fold_balance, torn_images

RECORD = {
    "kind": "grouped", "count": 2, "seed": 0, "rows": 10,
    "balance": {"ant": [1, 1], "bee": [5, 3], "<b>": [0, 0]},
    "rare_classes": ["<b>"], "problems": ["class bee is missing from fold 1"], "problem_count": 120,
}  # fmt: skip


def images(pictures: list[int], splits: str = "") -> pd.DataFrame:
    names = {"e": "extra", "t": "test"}
    return pd.DataFrame(
        {
            "id": [f"i{n}" for n in range(len(pictures))],
            "split": [names.get(letter, "train") for letter in splits.ljust(len(pictures))],
            "picture": pictures,
        }
    )


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    path = tmp_path / "folds.csv"
    rows = [("i0", 0), ("i1", 1), ("i2", 0), ("i3", 1), ("i4", -1)]
    lines = [f"{name},ant,{n},{fold}" for n, (name, fold) in enumerate(rows)]
    path.write_text("\n".join(["id,label,group,fold", *lines, ""]))
    return path


def test_balance_is_drawn_largest_class_first() -> None:
    found, figures = fold_balance(RECORD, ["ant", "bee", "<b>"], None)
    assert found.names == ["bee", "ant", "<b>"]
    assert found.counts.tolist() == [[5, 3], [1, 1], [0, 0]]
    heatmap = figures["fold-balance"]["data"][0]
    assert heatmap["z"] == [[0.625, 0.5, 0], [0.375, 0.5, 0]]
    assert heatmap["customdata"][0][2] == ["&lt;b&gt;", 0]
    assert (found.rare, found.problems, found.problem_count) == (["<b>"], RECORD["problems"], 120)
    assert "copies of a picture and groups in one fold" in found.kind


@pytest.mark.parametrize(
    "balance", [None, [], {"ant": "many"}, {"ant": [1, 2], "bee": [1]}, {"ant": [-1, True]}]
)
def test_a_record_that_was_edited_is_no_error(balance: object) -> None:
    found, figures = fold_balance({"balance": balance, "problems": "x", "kind": 3}, [], None)
    assert set(figures) == ({"fold-balance"} if found.names else set())


def test_copies_in_two_folds_are_counted(folds: Path) -> None:
    assert torn_images(images([0, 0, 1, 2, 3]), folds) == 2
    assert torn_images(images([0, 1, 0, 1, 4]), folds) == 0  # each pair lies in one fold
    assert torn_images(images([0, 1, 2, 3, 0], "    e"), folds) == 1  # one of data.extra is in every fold
    assert torn_images(images([0, 1, 2, 3, 4, 0], "     t"), folds) == 0


def test_what_isnt_there_is_unknown(tmp_path: Path, folds: Path) -> None:
    assert torn_images(None, folds) is None
    assert torn_images(images([0]).drop(columns="picture"), folds) is None
    assert torn_images(images([0]), tmp_path / "none.csv") is None


def test_stratified_folds_carry_a_warning_others_a_remark() -> None:
    found, _ = fold_balance({**RECORD, "kind": "stratified"}, [], 312)
    assert found.flatters
    assert "The score flatters" in found.torn
    assert "312 images have a copy or near-duplicate in another fold" in found.torn
    grouped, _ = fold_balance(RECORD, [], 1)
    assert not grouped.flatters
    assert (
        grouped.torn
        == "1 image has a copy or near-duplicate in another fold, which is left out of the training there."
    )
    assert fold_balance(RECORD, [], 0)[0].torn == ""
    assert fold_balance({}, [], None)[0].torn == ""
