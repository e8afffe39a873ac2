"""The folds stage and its files: written once, checked always, never silently others."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import folds
from pipeline.artifacts import lock, paths, writer
from pipeline.dataset.folds.folds_file import build_folds, load_folds, read_folds, table_bytes
from pipeline.dataset.layouts import csv_file
from pipeline.errors import DataError, LockedError, ResourceError
from tests.fold_competition import configure, content, fold_by_id, prepare, rows_of, run

ODD_NAMES = ["007", "1e5", "NA", "a,b", 'say "hi"', "line\nend", "käfer", "c\\xe9"]


def test_folds_are_stratified_and_kept(tmp_path, capsys):
    config = configure(tmp_path)
    prepare(config, rows_of())
    assert folds.states(config)[0].state == "to do"
    run(config)
    found = load_folds(config)
    assert found.ids == [f"{i:03d}" for i in range(40)]
    assert np.bincount(found.fold_of).tolist() == [8] * 5
    record = json.loads(content(config)[1])
    assert record["balance"] == {f"class {k}": [2] * 5 for k in range(4)}
    assert (record["rows"], record["groups"], record["digest"]) == (40, 40, found.digest)
    assert folds.states(config)[0].state == "done"
    before = content(config)
    run(config)
    assert content(config) == before
    printed = capsys.readouterr().out
    assert "5 folds of 40 images in 40 groups (0 exact copies, 0 near-duplicates), 4 classes" in printed
    assert "folds     up to date" in printed


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    rows = rows_of()
    one, other = configure(tmp_path / "one"), configure(tmp_path / "other")
    rows[3] = ("train", "003", "class 3", 5)
    rows[7] = ("train", "007", "class 3", 5)
    prepare(one, rows)
    prepare(other, rows[::-1])
    run(one)
    run(other)
    assert content(one)[0] == content(other)[0]
    assert (
        load_folds(one).digest == "eaeceed4d910a5fa"
    )  # as it always was: else every member is trained again


def test_copies_and_user_groups_stay_together(tmp_path, capsys):
    config = configure(tmp_path, count=2)
    rows = rows_of(24, 2)
    rows[0], rows[2], rows[3] = (("train", rows[i][1], rows[i][2], 5) for i in (0, 2, 3))
    prepare(config, [*rows, ("test", "t1", "", 5), ("test", "t2", "", -1)], {"010": "nest", "011": "nest"})
    run(config)
    fold_of = fold_by_id(config)
    assert fold_of["000"] == fold_of["002"] == fold_of["003"]
    assert fold_of["010"] == fold_of["011"]
    record = json.loads(content(config)[1])
    assert record["duplicates"] == {
        "exact": 2, "near": 0, "groups_too_large": 0, "label_conflicts": 1,
        "test_twins": 1, "exact_test_twins": 1,
    }  # fmt: skip
    assert record["groups"] == 21
    assert record["test_twins"] == [["t1", "000"]]
    printed = capsys.readouterr().err
    assert "pictures with two labels: 1 (000 class 0 and 003 class 1)" in printed
    assert "test images with a twin in train, 1 of them exact: 1 (t1 is 000)" in printed


def test_classes_smaller_than_the_folds_are_listed(tmp_path, capsys):
    config = configure(tmp_path)
    prepare(config, [*rows_of(), ("train", "x", "rare", -1), ("train", "y", "rare", -1)])
    run(config)
    assert json.loads(content(config)[1])["rare_classes"] == ["rare"]
    printed = capsys.readouterr()
    assert "smallest class rare: 2" in printed.out
    assert "classes with fewer images than the 5 folds, which some folds lack: 1 (rare, 2)" in printed.err


def test_fewer_groups_than_folds_is_an_error(tmp_path):
    config = configure(tmp_path)
    prepare(config, rows_of(4, 2))
    with pytest.raises(DataError, match=r"5 folds need at least as many groups.*Set folds\.count"):
        run(config)


@pytest.mark.parametrize("change", [{"seed": 1}, {"count": 4}, {"kind": "stratified"}])
def test_other_settings_are_refused_without_force(tmp_path, change):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    before = content(config)
    other = configure(tmp_path, **change)
    key, value = next(iter(change.items()))
    assert folds.states(other)[0].state == "stale"
    for work in (load_folds, run):
        with pytest.raises(DataError, match=rf"made with folds\.{key}=.*, not {value}\..*--force") as caught:
            work(other)
        assert caught.value.exit_code == 3
    assert content(config) == before
    run(other, force=True)
    assert json.loads(content(config)[1])[key] == value
    assert load_folds(other).digest not in before[1].decode()


def test_other_data_is_refused_without_force(tmp_path):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    prepare(config, [*rows_of()[1:-1], ("train", "new", "class 0", -1), ("train", "039", "class 0", -1)])
    message = r"1 image has no fold \('new'\), 1 row has no image \('000'\), 1 label is another \('039'"
    with pytest.raises(DataError, match=message):
        load_folds(config)
    with pytest.raises(DataError, match=message):
        run(config)
    run(config, force=True)
    assert "new" in load_folds(config).ids


def test_edits_by_hand_are_refused(tmp_path):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    table = paths.folds_table(config)
    lines = table.read_text().splitlines()
    name, label, group, fold = lines[1].split(",")
    lines[1] = ",".join((name, label, group, str((int(fold) + 1) % 5)))
    writer.publish_bytes(table, "\n".join(lines).encode())
    for work in (load_folds, run):
        with pytest.raises(
            DataError, match=r"moths\.csv isn't what .*moths\.json says: it was edited by hand"
        ):
            work(config)
    writer.publish_bytes(table, b"id,label,group,fold\n1,a,0,x\n")
    with pytest.raises(DataError, match="a group or fold is no whole number"):
        load_folds(config)
    writer.publish_bytes(table, b"id,label,fold\n1,a,0\n")
    with pytest.raises(DataError, match="has the columns id, label, fold, not id, label, group, fold"):
        load_folds(config)


@pytest.mark.parametrize("lost", ["table", "record"])
def test_one_file_alone_gets_its_other_back_but_no_other_folds(tmp_path, lost):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    before = content(config)
    path = paths.folds_table(config) if lost == "table" else paths.folds_record(config)
    path.unlink()
    run(config)
    assert content(config) == before
    path.unlink()
    other = configure(tmp_path, seed=1)
    with pytest.raises(DataError, match="is missing, and these settings and images give other folds"):
        run(other)
    run(other, force=True)
    assert sorted(fold_by_id(other)) == [row[1] for row in rows_of()]


def test_a_kill_at_any_write_ends_with_the_same_files(tmp_path, monkeypatch):
    config = configure(tmp_path / "whole")
    prepare(config, rows_of())
    run(config)
    total = 8  # write, fsync, replace and the folder's fsync, of two files
    for stop in range(total):
        broken = configure(tmp_path / f"stop{stop}")
        prepare(broken, rows_of())
        left = iter(range(stop, -1, -1))

        def fail(name: str, path: Path, left=left) -> None:
            if next(left) == 0:
                raise OSError(28, "disk full")

        monkeypatch.setattr(writer, "on_event", fail)
        with pytest.raises(ResourceError):
            run(broken)
        monkeypatch.setattr(writer, "on_event", None)
        run(broken)
        assert content(broken) == content(config)


def test_another_process_that_writes_the_folds_is_waited_for(tmp_path, monkeypatch, capsys):
    config = configure(tmp_path)
    prepare(config, rows_of())
    with lock.hold(paths.competition(config) / "folds.lock", "the fold assignment"):
        assert folds.states(config)[0].state == "running"
        with pytest.raises(LockedError, match="the fold assignment is held by pid"):
            run(config)
    assert not paths.folds_table(config).exists()
    hold, done = lock.hold, []

    def late(path: Path, what: str):
        """Take the lock only after another process has done the work under it."""
        monkeypatch.setattr(lock, "hold", hold)
        run(config)
        done.append(content(config))
        monkeypatch.setattr(writer, "on_event", lambda name, path: pytest.fail(f"{name} {path}"))
        return hold(path, what)

    monkeypatch.setattr(lock, "hold", late)
    run(config)
    assert [content(config)] == done
    assert "folds     up to date" in capsys.readouterr().out


def test_odd_ids_survive(tmp_path):
    config = configure(tmp_path, count=2)
    prepare(config, [("train", name, "ant" if i % 2 else "bee", -1) for i, name in enumerate(ODD_NAMES)])
    run(config)
    assert load_folds(config).ids == sorted(ODD_NAMES)


def test_missing_files_say_what_to_do(tmp_path):
    config = configure(tmp_path)
    assert folds.states(config)[0].why == "earlier stages first"
    with pytest.raises(DataError, match=r"moths\.csv isn't there: python -m pipeline\.folds"):
        load_folds(config)
    with pytest.raises(DataError, match=r"missing or unreadable: python -m pipeline"):
        run(config)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
        unique=True,
        min_size=1,
    )
)
def test_the_table_is_read_as_it_was_written(tmp_path_factory, ids):
    n = len(ids)
    written = build_folds(ids, ids[::-1], np.arange(n), np.arange(n) % 2 - 1)
    path = tmp_path_factory.mktemp("folds") / "x.csv"
    writer.publish_bytes(path, table_bytes(written))
    found = read_folds(path)
    assert (found.ids, found.labels, found.digest) == (written.ids, written.labels, written.digest)
    assert csv_file.read(path).columns == ["id", "label", "group", "fold"]
