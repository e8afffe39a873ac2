"""folds.file: the user's own assignment is taken as it is, or refused with what doesn't fit."""

import json

import numpy as np
import pytest

from pipeline import folds
from pipeline.artifacts import paths
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.errors import DataError, UsageError
from pipeline.score.splits import training_rows
from tests.fold_competition import configure, content, fold_by_id, prepare, rows_of, run, with_picture

NAMES = [row[1] for row in rows_of()]
IN_ORDER = {name: i // 8 for i, name in enumerate(NAMES)}  # 5 folds of 8 images


def table(fold_of, **columns):
    """Return CSV text with id, fold and further columns, given by id."""
    lines = [",".join(["id", "fold", *columns])]
    lines += [
        ",".join([name, str(fold), *(values.get(name, "") for values in columns.values())])
        for name, fold in fold_of.items()
    ]
    return "\n".join(lines)


def own(folder, text, data=None, **fold_fields):
    path = folder / "mine.csv"
    path.write_text(text)
    return configure(folder, data, file=str(path), **fold_fields)


def test_the_file_is_the_assignment(tmp_path, capsys):
    config = own(tmp_path, table(dict(reversed(IN_ORDER.items()))))
    prepare(config, rows_of())
    run(config)
    assert fold_by_id(config) == IN_ORDER
    record = json.loads(content(config)[1])
    assert (record["file"], record["kind"]) == (config.folds.file, "grouped")
    assert len(record["file_digest"]) == 16
    assert f"5 folds from {config.folds.file} of 40 images" in capsys.readouterr().out
    assert folds.states(config)[0].state == "done"
    other_seed = configure(tmp_path, file=config.folds.file, seed=7)
    assert folds.states(other_seed)[0].state == "done"  # a seed draws nothing here


def test_rows_that_are_never_scored_and_unusable_images(tmp_path):
    config = own(tmp_path, table({**IN_ORDER, "003": -1, "e1": -1}))
    prepare(
        config, [*rows_of(), ("extra", "e1", "class 0", -1), ("extra", "e2", "class 0", -1)], unusable=["000"]
    )
    run(config)
    wanted = {**IN_ORDER, "003": -1, "e1": -1, "e2": -1}
    del wanted["000"]
    assert fold_by_id(config) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table(IN_ORDER).replace("fold", "split", 1), r"has no column 'fold': it has id, split\. "),
        (table({**IN_ORDER, "new": 1, "newer": 1}), r"training images: 2 rows have no image \('new'\)"),
        (table(dict(list(IN_ORDER.items())[2:])), r"images: 2 images have no fold \('000'\)"),
        (table({**IN_ORDER, "004": "1.0"}), r"line 6: 004,1\.0: the fold is '1\.0', expected a whole"),
        (table({**IN_ORDER, "004": -2}), r"the fold is '-2', expected a whole number: 0 to 4, or -1 for"),
        (table({name: k + 1 for name, k in IN_ORDER.items()}), r"no row has fold 0, .* they count from 0"),
        (table({name: k * 2 for name, k in IN_ORDER.items()}), r"no row has fold 1, though .* go up to 8"),
        (table({name: k % 4 for name, k in IN_ORDER.items()}), r"4 folds \(0 to 3\), .* set folds\.count=4"),
        (table(dict.fromkeys(NAMES, 0)), r"all scored rows are in one fold, there must be at least 2"),
        (table(IN_ORDER) + "\n004,3", r"id '004' has two rows"),
        (table(IN_ORDER, label={**{row[1]: row[2] for row in rows_of()}, "009": "moth"}),
         r"1 label is another \('009': was moth, is class 1\)"),
        (table({**IN_ORDER, "e1": 2}), r"'e1' comes from data\.extra, .*: its fold must be −1 .*, not 2"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(tmp_path, text, message):
    config = own(tmp_path, text)
    prepare(config, [*rows_of(), ("extra", "e1", "class 0", -1)])
    with pytest.raises(DataError, match=message) as caught:
        run(config)
    assert str(tmp_path / "mine.csv") in str(caught.value)
    assert not paths.folds_table(config).exists()


def test_a_file_that_is_not_there_or_is_the_folds_own_table(tmp_path):
    config = configure(tmp_path, file=str(tmp_path / "none.csv"))
    prepare(config, rows_of())
    with pytest.raises(DataError, match=r"can't read .*none\.csv: No such file"):
        run(config)
    config = configure(tmp_path, file=str(paths.folds_table(config)))
    with pytest.raises(UsageError, match=r"moths\.csv, where the folds are written: give it another name"):
        run(config)
    run(own(tmp_path, table(IN_ORDER)))
    assert folds.states(config)[0].why.endswith("where the folds are written: give it another name.")


def test_split_pictures_are_refused_or_taken_as_stratified(tmp_path):
    config = own(tmp_path, table(IN_ORDER))
    prepare(config, with_picture(["001", "009"], 5))
    message = (
        r"1 group lies .*: '001' \(fold 0\) and '009' \(fold 1\) show the same picture\. .*\"stratified\""
    )
    with pytest.raises(DataError, match=message):
        run(config)
    taken = configure(tmp_path, file=config.folds.file, kind="stratified")
    run(taken)
    assert fold_by_id(taken) == IN_ORDER
    (problem,) = json.loads(content(taken)[1])["problems"]
    assert "'001' (fold 0) and '009' (fold 1) show the same picture" in problem
    assert problem.endswith("so the score flatters itself")
    assert folds.states(config)[0].why.endswith("was made with folds.kind=stratified, not grouped.")


def test_groups_of_the_file_join_in(tmp_path):
    groups = {"001": "pond", "009": "pond"}
    config = own(tmp_path, table(IN_ORDER, group=groups))
    prepare(config, rows_of())
    with pytest.raises(
        DataError, match=r"'001' \(fold 0\) and '009' \(fold 1\) have the same group in folds\.file, 'pond'"
    ):
        run(config)
    # 000 shows what 002 shows, which shares a group of the file with 001
    config = own(tmp_path, table(IN_ORDER, group={"001": "pond", "002": "pond"}))
    prepare(config, with_picture(["000", "002"], 5))
    run(config)
    found = load_folds(config)
    assert len(set(found.groups[[0, 1, 2]])) == 1
    assert len(set(found.groups)) == 38


def test_a_changed_file_is_refused_without_force(tmp_path):
    config = own(tmp_path, table(IN_ORDER))
    prepare(config, rows_of())
    run(config)
    before = content(config)
    swapped = {**IN_ORDER, "000": 1, "008": 0}
    own(tmp_path, table(swapped))
    assert folds.states(config)[0].state == "stale"
    assert load_folds(config)  # what is trained is in the table
    with pytest.raises(DataError, match=r"mine\.csv changed after .*moths\.csv was made\..*--force"):
        run(config)
    assert content(config) == before
    run(config, force=True)
    assert fold_by_id(config) == swapped
    for other, why in (
        (configure(tmp_path), r"was made from folds\.file=.*mine\.csv, which isn't set now"),
        (configure(tmp_path, file=config.folds.file, count=4), r"made with folds\.count=5, not 4"),
    ):
        with pytest.raises(DataError, match=why):
            run(other)


def test_a_file_that_is_set_later_is_told(tmp_path):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    with pytest.raises(DataError, match=r"was made without folds\.file=.*mine\.csv\. Undo"):
        run(own(tmp_path, table(IN_ORDER)))


def test_blocks_of_time_from_a_file_must_be_in_order(tmp_path):
    times = {name: f"{i:03d}" for i, name in enumerate(NAMES)}
    blocks = {name: fold - 1 for name, fold in IN_ORDER.items()}
    config = own(tmp_path, table(blocks), {"time_column": "day"}, count=4)
    prepare(config, rows_of(), times=times)
    run(config)
    found = load_folds(config)
    assert found.kind == "time"
    assert np.flatnonzero(training_rows(found.fold_of, found.groups, 1, "time")).tolist() == list(range(16))
    own(tmp_path, table({**blocks, "000": 3, "039": -1}), {"time_column": "day"}, count=4)
    message = r"order of data\.time_column: '039' \(fold -1, 039\) is later than '008' \(fold 0, 008\)"
    with pytest.raises(DataError, match=message):
        run(config, force=True)
    without = configure(tmp_path, file=config.folds.file, kind="time", count=4)
    run(without, force=True)  # nothing says what came before what
    assert fold_by_id(without)["039"] == -1
