"""The folds stage and its files: written once, checked always, never silently others."""

import argparse
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import folds
from pipeline.artifacts import lock, manifest, paths, writer
from pipeline.config import Config, resolve
from pipeline.dataset import cache, csv_file, grouping
from pipeline.dataset.folds_file import build_folds, load_folds, read_folds, table_bytes
from pipeline.errors import DataError, LockedError, ResourceError

ODD_NAMES = ["007", "1e5", "NA", "a,b", 'say "hi"', "line\nend", "käfer", "c\\xe9"]


def configure(folder: Path, group_column: str = "", **fold_fields: int) -> Config:
    names = ("data", "runs", "folds", "submissions")
    return resolve(
        {
            "data": {"name": "moths", "group_column": group_column},
            "folds": fold_fields,
            "members": [{"model": "resnet18"}],
            "paths": {name: str(folder / name) for name in names},
        },
        {},
        "test",
    )


def prepare(
    config: Config, rows: list[tuple[str, str, str, int]], groups: dict[str, str] | None = None
) -> None:
    """Leave what `prepare` leaves for (split, id, label, picture): equal pictures ≥ 0 are equal bytes."""
    images = []
    for number, (_, name, _, picture) in enumerate(rows):
        rng = np.random.default_rng(picture if picture >= 0 else 1000 + number)
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        sha256 = f"{picture if picture >= 0 else 1000 + number:064x}"
        phash = int(rng.integers(0, 1 << 63))
        images.append((cache.Record(name, sha256, 20, 20, phash, "", "", 0, 0, 0), pixels))
    folder = paths.cache(config)
    shard = cache.write_shard(cache.shard_path(folder, 0), {}, images)
    table = pd.DataFrame(shard.records, columns=list(cache.Record._fields))
    table.insert(0, "id", [row[1] for row in rows])
    table["split"], table["label"] = [row[0] for row in rows], [row[2] for row in rows]
    table["group"] = [(groups or {}).get(row[1], "") for row in rows]
    table["phash"] = table["phash"].astype(np.uint64)
    table["shard"] = 0
    table = grouping.with_groups(table, cache.cache_of(folder, table, [shard.digest]), None)
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    writer.publish_bytes(folder / "images.parquet", buffer.getvalue())
    expected = manifest.Expected("prepare", 1, {})
    facts = {"classes_digest": "0" * 16, "train_digest": "1" * 16, "shards": [shard.digest]}
    manifest.publish(paths.cache_manifest(config), expected, [], 0.0, facts)


def rows_of(count: int = 40, classes: int = 4) -> list[tuple[str, str, str, int]]:
    return [("train", f"{i:03d}", f"class {i % classes}", -1) for i in range(count)]


def run(config: Config, force: bool = False) -> None:
    folds.run(config, argparse.Namespace(force=force))


def content(config: Config) -> tuple[bytes, bytes]:
    return paths.folds_table(config).read_bytes(), paths.folds_record(config).read_bytes()


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


def test_copies_and_user_groups_stay_together(tmp_path, capsys):
    config = configure(tmp_path, count=2)
    rows = rows_of(24, 2)
    rows[0], rows[2], rows[3] = (("train", rows[i][1], rows[i][2], 5) for i in (0, 2, 3))
    prepare(config, [*rows, ("test", "t1", "", 5), ("test", "t2", "", -1)], {"010": "nest", "011": "nest"})
    run(config)
    found = load_folds(config)
    fold_of = dict(zip(found.ids, found.fold_of.tolist(), strict=True))
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
    assert "smallest class rare has 2 images" in printed.out
    assert "classes with fewer images than the 5 folds, which some folds lack: 1 (rare, 2)" in printed.err


def test_fewer_groups_than_folds_is_an_error(tmp_path):
    config = configure(tmp_path)
    prepare(config, rows_of(4, 2))
    with pytest.raises(DataError, match=r"5 folds need at least as many groups.*Set folds\.count"):
        run(config)


@pytest.mark.parametrize("change", [{"seed": 1}, {"count": 4}])
def test_other_settings_are_refused_without_force(tmp_path, change):
    config = configure(tmp_path)
    prepare(config, rows_of())
    run(config)
    before = content(config)
    other = configure(tmp_path, **change)
    key, value = next(iter(change.items()))
    assert folds.states(other)[0].state == "stale"
    with pytest.raises(DataError, match=rf"made with folds\.{key}=.*, not {value}\..*--force") as caught:
        run(other)
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
    assert load_folds(other).ids == load_folds(config).ids


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


def with_picture(names: list[str], picture: int) -> list[tuple[str, str, str, int]]:
    return [(*row[:3], picture if row[1] in names else -1) for row in rows_of()]


def in_two_folds(config: Config) -> tuple[list[str], list[str]]:
    """Return the ids of fold 0 and those of fold 1."""
    found = load_folds(config)
    zero, one = ([found.ids[i] for i in np.flatnonzero(found.fold_of == k)] for k in (0, 1))
    return zero, one


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
    found = load_folds(config)
    fold_of = dict(zip(found.ids, found.fold_of.tolist(), strict=True))
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
    config, grouped = configure(tmp_path), configure(tmp_path, group_column="site")
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
    config = configure(tmp_path, group_column="site")
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
    assert state.why.endswith("moths.json doesn't say which images its groups hold for")
    run(config)
    assert content(config) == before


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
