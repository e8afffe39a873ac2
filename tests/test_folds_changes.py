"""Images and groups that change after the folds were made: what still holds is kept, the rest is refused."""

import json

import pytest

from pipeline import folds
from pipeline.artifacts import paths, writer
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.errors import DataError
from tests.fold_competition import (
    configure,
    content,
    fold_by_id,
    in_two_folds,
    prepare,
    rows_of,
    run,
    with_picture,
)


def test_bytes_that_become_a_twin_in_another_fold_are_refused(tmp_path):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    zero, one = in_two_folds(config)
    first, last = sorted((zero[0], one[0]))
    before = content(config)
    prepare(config, with_picture([first, last], 5))
    state = folds.states(config)[0]
    assert (state.state, state.why) == (
        "stale",
        "the bytes or groups of images changed after the folds were made",
    )
    with pytest.raises(DataError, match=r"may hold no more: the bytes .*python -m pipeline\.folds tells"):
        load_folds(config)
    message = rf"1 group lies in several folds: '{first}' \(fold \d\) and '{last}' \(fold \d\) show the same"
    for _ in range(2):
        with pytest.raises(DataError, match=message + r" picture\. .*--force") as caught:
            run(config)
        assert caught.value.exit_code == 3
    assert content(config) == before
    run(config, force=True)
    fold_of = fold_by_id(config)
    assert fold_of[first] == fold_of[last]
    assert folds.states(config)[0].state == "done"


@pytest.mark.parametrize("twins", [False, True])
def test_bytes_that_tear_no_group_keep_the_folds(tmp_path, capsys, twins):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    zero, _ = in_two_folds(config)
    before = content(config)
    prepare(config, with_picture(zero[:2] if twins else zero[:1], 5))
    assert folds.states(config)[0].state == "stale"
    run(config)
    after = content(config)
    assert after[0] == before[0]
    old, new = (json.loads(record) for _, record in (before, after))
    changed = {key for key in old if old[key] != new[key]}
    assert changed == ({"images_digest", "duplicates", "conflicts"} if twins else {"images_digest"})
    assert (
        "folds     kept, since no group lies in two folds (the bytes or groups of" in capsys.readouterr().out
    )
    assert folds.states(config)[0].state == "done"
    run(config)
    assert "folds     up to date" in capsys.readouterr().out
    assert content(config) == after


def test_a_group_column_set_later_is_checked(tmp_path):
    config, grouped = configure(tmp_path), configure(tmp_path, data={"group_column": "site"})
    prepare(config, rows_of())
    run(config)
    zero, one = in_two_folds(config)
    before = content(config)
    # prepare hasn't read the column yet: what it will find is checked again
    assert folds.states(grouped)[0].why == 'data.group_column changed from "" to "site"'
    run(grouped)
    prepare(grouped, rows_of(), {zero[0]: "pond", one[0]: "pond", zero[1]: "wood", zero[2]: "wood"})
    for work in (config, grouped):
        assert folds.states(work)[0].state == "stale"
    with pytest.raises(
        DataError, match=r"1 group lies .* same value of data\.group_column, 'pond'\. .*--force"
    ):
        run(grouped)
    assert content(grouped)[0] == before[0]
    prepare(grouped, rows_of(), {zero[1]: "wood", zero[2]: "wood"})
    run(grouped)
    assert content(grouped)[0] == before[0]
    assert json.loads(content(grouped)[1])["group_column"] == "site"
    prepare(config, rows_of())
    run(config)
    assert content(config) == before


def test_a_chain_through_the_users_group_and_a_picture_is_refused(tmp_path):
    config = configure(tmp_path, data={"group_column": "site"})
    prepare(config, rows_of())
    run(config)
    zero, one = in_two_folds(config)
    # nothing in common but for a test image: it has the bytes of one, the site of the other
    sites = {one[0]: "bog", "t": "bog"}
    prepare(config, [*with_picture([zero[0]], 5), ("test", "t", "", 5)], sites)
    with pytest.raises(DataError, match=r"1 group lies .* belong together through other images"):
        run(config)


@pytest.mark.parametrize("key", ["images_digest", "group_column"])
def test_an_older_record_is_checked_and_renewed(tmp_path, key):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    before = content(config)
    older = {name: value for name, value in json.loads(before[1]).items() if name != key}
    writer.publish_bytes(paths.folds_record(config), json.dumps(older).encode())
    state = folds.states(config)[0]
    assert state.state == "stale"
    assert state.why.endswith("its record doesn't say which images its groups hold for")
    run(config)
    assert content(config) == before


def test_a_record_of_a_version_that_knew_one_kind_holds(tmp_path):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    new = ("kind", "file", "file_digest", "time_column", "extra", "unscored", "left_out", "problem_count")
    older = {name: value for name, value in json.loads(content(config)[1]).items() if name not in new}
    writer.publish_bytes(paths.folds_record(config), json.dumps(older).encode())
    assert folds.states(config)[0].state == "done"
    assert load_folds(config).kind == "grouped"


def test_an_extra_image_that_becomes_a_twin_of_a_scored_one_is_refused(tmp_path):
    config = configure(tmp_path)
    extra = [("extra", "e1", "class 0", -1)]
    prepare(config, [*rows_of(), *extra])
    run(config)
    digest = load_folds(config).digest
    prepare(config, [*with_picture(["004"], 5), ("extra", "e1", "class 0", 5)])
    own = fold_in_table(config, "004")
    message = (
        rf"and now fold {own} would be trained without 'e1', which belongs to an image scored there\. Undo"
    )
    with pytest.raises(DataError, match=message):
        run(config)
    run(config, force=True)
    assert load_folds(config).digest != digest
    prepare(config, [*rows_of(), *extra])
    with pytest.raises(
        DataError, match=r"would be trained with 'e1' too, which belongs to no image scored there"
    ):
        run(config)


def fold_in_table(config, name):
    """Return the fold that the table has for an image, whatever has changed since."""
    lines = content(config)[0].decode().splitlines()
    return next(int(line.rsplit(",", 1)[1]) for line in lines if line.startswith(f"{name},"))


def test_stratified_folds_hold_whatever_the_groups_are(tmp_path, capsys):
    config = configure(tmp_path, kind="stratified")
    prepare(config, rows_of())
    run(config)
    zero, one = in_two_folds(config)
    before = content(config)
    prepare(config, with_picture([zero[0], one[0]], 5))
    run(config)
    assert "kept, since groups don't count (the bytes or groups" in capsys.readouterr().out
    assert content(config)[0] == before[0]
    (problem,) = json.loads(content(config)[1])["problems"]
    assert "show the same picture" in problem


def test_times_that_change_keep_the_folds_while_their_order_holds(tmp_path, capsys):
    config = configure(tmp_path, {"time_column": "day"}, count=3)
    times = {f"{i:03d}": str(i) for i in range(40)}
    prepare(config, rows_of(), times=times)
    run(config)
    before = content(config)
    prepare(config, rows_of(), times={**times, "012": "13.5"})
    assert folds.states(config)[0].why == (
        "the bytes, groups or times of images changed after the folds were made"
    )
    run(config)
    assert "kept, since each fold is trained on the same images" in capsys.readouterr().out
    assert content(config)[0] == before[0]
    prepare(config, rows_of(), times={**times, "012": "31"})
    message = (
        r"and now its folds aren't in the order .* '012' \(fold 0, 31\) is later than '020' \(fold 1, 20\)"
    )
    with pytest.raises(DataError, match=message):
        run(config)
    prepare(config, with_picture(["000", "012"], 5), times=times)
    with pytest.raises(DataError, match=r"and now fold 0 would be trained without '000'"):
        run(config)


def test_a_time_column_set_later_or_changed_is_refused(tmp_path):
    config = configure(tmp_path, count=3)
    times = {f"{i:03d}": str(i) for i in range(40)}
    prepare(config, rows_of(), times=times)
    run(config)
    by_day, by_hour = (configure(tmp_path, {"time_column": name}, count=3) for name in ("day", "hour"))
    with pytest.raises(DataError, match=r"made with folds\.kind=grouped, not time\."):
        run(by_day)
    assert (
        folds.states(configure(tmp_path, {"time_column": "day"}, count=3, kind="grouped"))[0].state == "done"
    )
    run(by_day, force=True)
    for work in (run, load_folds):
        with pytest.raises(DataError, match=r'made with data\.time_column="day", not "hour"\.'):
            work(by_hour)


def test_images_that_move_between_training_and_extra_are_refused(tmp_path):
    config = configure(tmp_path)
    moved = [("extra", *row[1:]) if row[1] == "004" else row for row in rows_of()]
    prepare(config, rows_of())
    run(config)
    prepare(config, moved)
    with pytest.raises(DataError, match=r"made for other data: 1 image of data\.extra with a fold \('004'\)"):
        run(config)
    run(config, force=True)
    prepare(config, rows_of())
    with pytest.raises(DataError, match=r"made for other data: 1 training image has no fold \('004'\)"):
        run(config)
