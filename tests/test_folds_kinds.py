"""The kinds of folds: stratified without groups, blocks of time, images of data.extra, classes that lack."""

import json

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from pipeline import folds
from pipeline.artifacts import paths
from pipeline.dataset.folds.folds_file import build_folds, load_folds
from pipeline.errors import DataError
from pipeline.score.splits import training_rows
from tests.fold_competition import configure, content, fold_by_id, prepare, rows_of, run, with_picture

DAYS = {f"{i:03d}": f"2024-05-{1 + i * 7 % 40 // 2:02d}" for i in range(40)}


def record_of(config):
    return json.loads(content(config)[1])


def by_time(folder, **fold_fields):
    return configure(folder, {"time_column": "day"}, **{"count": 3, **fold_fields})


def test_stratified_goes_by_class_alone_and_says_that_the_score_flatters(tmp_path, capsys):
    config = configure(tmp_path, kind="stratified")
    prepare(config, with_picture([f"{i:03d}" for i in range(12)], 5))
    run(config)
    found, record = load_folds(config), record_of(config)
    labels = np.array(found.labels)
    wanted = np.zeros(40, int)
    for k, (_, rows) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(labels, labels)):
        wanted[rows] = k
    assert found.fold_of.tolist() == wanted.tolist()
    assert (found.kind, record["kind"], record["groups"]) == ("stratified", "stratified", 29)
    (problem,) = record["problems"]
    assert problem.startswith("1 group lies in several folds: '000' (fold ")
    assert problem.endswith('folds.kind = "stratified" ignores groups, so the score flatters itself')
    assert "the score flatters itself" in capsys.readouterr().err
    assert folds.states(config)[0].state == "done"


def test_stratified_folds_of_images_without_twins_have_no_problem(tmp_path):
    config, grouped = configure(tmp_path, kind="stratified"), configure(tmp_path / "grouped")
    prepare(config, rows_of())
    prepare(grouped, rows_of())
    run(config)
    run(grouped)
    assert record_of(config)["problems"] == []
    assert content(config)[0] == content(grouped)[0]
    assert load_folds(config).digest != load_folds(grouped).digest


def test_time_cuts_blocks_in_order_and_never_scores_the_first(tmp_path, capsys):
    config = by_time(tmp_path)
    prepare(config, rows_of(), times=DAYS)
    run(config)
    found, record = load_folds(config), record_of(config)
    days = np.array([int(DAYS[name][-2:]) for name in found.ids])
    assert np.bincount(found.fold_of + 1).tolist() == [10, 10, 10, 10]
    for k in range(3):
        assert days[found.fold_of < k].max() < days[found.fold_of == k].min()
        past = training_rows(found.fold_of, found.groups, k, found.kind)
        assert (past == (found.fold_of < k)).all()
    assert (record["kind"], record["time_column"], record["unscored"]) == ("time", "day", 10)
    assert sum(map(sum, record["balance"].values())) == 30
    printed = capsys.readouterr().out
    assert "40 groups, in the order of time (" in printed
    assert "10 images are never scored" in printed
    assert folds.states(config)[0].state == "done"


def test_twins_of_a_scored_image_in_the_past_are_left_out_of_its_training(tmp_path, capsys):
    config = by_time(tmp_path)
    times = {f"{i:03d}": str(i) for i in range(40)}
    prepare(config, with_picture(["000", "012", "039"], 5), times=times)
    run(config)
    found = load_folds(config)
    assert [found.fold_of[i] for i in (0, 12, 39)] == [-1, 0, 2]
    left_out = [
        np.flatnonzero((found.fold_of < k) & ~training_rows(found.fold_of, found.groups, k, "time")).tolist()
        for k in range(3)
    ]
    assert left_out == [[0], [], [0, 12]]
    assert record_of(config)["left_out"] == [1, 0, 2]
    assert "3 times an image doesn't train a fold that scores a twin of it" in capsys.readouterr().out


def test_classes_that_come_late_or_never_again_are_listed(tmp_path):
    config = by_time(tmp_path)
    rows = [("train", f"{i:03d}", "early" if i < 8 else "late" if i > 25 else "moth", -1) for i in range(40)]
    prepare(config, rows, times={row[1]: row[1] for row in rows})
    run(config)
    assert record_of(config)["problems"] == [
        "class late has no image that trains folds 0, 1",
        "class early is never scored: its images are in no fold",
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"007": ""},
            r"1 of 40 training images have no time in data.time_column = 'day' \(the first is '007'",
        ),
        (
            {"007": "soon"},
            r"time of '007' is neither a number nor a date \('soon'\), that of .*Write all as numbers",
        ),
        ({"007": "20240507"}, r"'007' is a number \('20240507'\), that of '000' a date \('2024-05-01'\)"),
        ({"007": "2024-05-07T10:00Z"}, r"'007' is a date with a time zone .*, that of '000' a date \("),
        (dict.fromkeys(DAYS, "1"), r"3 folds and the block .* at least 4 different times, there are 1"),
    ],
)
def test_times_that_are_none_are_named(tmp_path, changed, message):
    config = by_time(tmp_path)
    prepare(config, rows_of(), times={**DAYS, **changed})
    with pytest.raises(DataError, match=message):
        run(config)


def test_images_of_extra_folders_are_in_no_fold_and_grouped_with_the_rest(tmp_path, capsys):
    config = configure(tmp_path)
    extra = [("extra", "e1", "class 1", 5), ("extra", "e2", "class 1", -1)]
    prepare(config, [*with_picture(["001", "005"], 5), *extra])
    run(config)
    found, record, fold_of = load_folds(config), record_of(config), fold_by_id(config)
    assert (fold_of["e1"], fold_of["e2"]) == (-1, -1)
    assert fold_of["001"] == fold_of["005"]
    place = found.ids.index("e1")
    trains = [training_rows(found.fold_of, found.groups, k, found.kind)[place] for k in range(5)]
    assert trains == [k != fold_of["001"] for k in range(5)]
    assert (record["rows"], record["extra"], record["unscored"]) == (42, 2, 2)
    assert sum(record["left_out"]) == 1
    assert sum(record["balance"]["class 1"]) == 10
    assert record["duplicates"]["exact"] == 2
    assert "2 images are never scored" in capsys.readouterr().out


def test_a_class_without_a_single_usable_image_is_listed(tmp_path, capsys):
    config = configure(tmp_path)
    prepare(config, [*rows_of(), ("train", "x", "gone", -1)], unusable=["x"])
    run(config)
    record = record_of(config)
    assert record["rare_classes"] == ["gone"]
    assert record["balance"]["gone"] == [0] * 5
    assert "(gone, 0)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("unusable", "what"),
    [([f"{i:03d}" for i in range(1, 40, 2)], "all 20 show 'class 0'"), (DAYS, "there is none")],
)
def test_one_class_only_is_an_error(tmp_path, unusable, what):
    config = configure(tmp_path)
    prepare(config, rows_of(40, 2), unusable=list(unusable))
    with pytest.raises(DataError, match=f"at least two classes; of those that can be used {what}"):
        run(config)


def test_the_kind_is_part_of_the_digest_but_for_grouped_folds():
    columns = ["a", "b"], ["ant", "bee"], np.array([0, 1]), np.array([1, 0])
    digests = [build_folds(*columns, kind).digest for kind in ("grouped", "stratified", "time")]
    assert digests == ["e9316b6c36dc5bc7", "03aca3bd4a2f344f", "f86788723487da96"]
    assert build_folds(*columns).digest == digests[0]


def test_a_kind_edited_by_hand_is_refused(tmp_path):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    record = paths.folds_record(config)
    record.write_text(record.read_text().replace('"kind": "grouped"', '"kind": "stratified"'))
    with pytest.raises(DataError, match="it was edited by hand"):
        load_folds(configure(tmp_path, kind="stratified"))
