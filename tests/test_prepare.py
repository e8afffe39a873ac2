import argparse
import fcntl
import functools
import io
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from pipeline import interrupt, prepare
from pipeline.artifacts import manifest, paths, writer
from pipeline.config import resolve
from pipeline.dataset import audit, image_files, shards
from pipeline.dataset.cache import open_cache, shrink
from pipeline.dataset.duplicates import perceptual_hash
from pipeline.dataset.reader import read_image
from pipeline.errors import DataError, Interrupted, LockedError, ResourceError
from pipeline.randomness import generator

IDS = [f"{i:03d}" for i in range(10)]
TEST_IDS = ["1e5", "NA", "007x"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_IMAGES", 4)


@pytest.fixture
def root(tmp_path):
    """Draw a competition with a train.csv: 10 training and 3 test images, the id of each its seed."""
    folder = tmp_path / "data" / "moths"
    for split, ids in (("train", IDS), ("test", TEST_IDS)):
        (folder / split).mkdir(parents=True)
        for name in ids:
            draw(folder / split / f"{name}.png", name)
    write_tables(folder)
    return folder


def write_tables(folder, ids=IDS):
    lines = [f"{name},{'ab'[i % 2]}" for i, name in enumerate(ids)]
    (folder / "train.csv").write_text("\n".join(["id,label", *lines]) + "\n")
    (folder / "sample_submission.csv").write_text(
        "\n".join(["id,label", *(f"{name},a" for name in TEST_IDS)])
    )


def draw(path, name, seed=0):
    pixels = generator(seed, "picture", name).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def configure(root, **data):
    folder = root.parent.parent
    return resolve(
        {
            "data": {"name": "moths", "root": str(root), **data},
            "cache": {"short_side": 16, "workers": 1},
            "paths": {name: str(folder / "out" / name) for name in ("data", "runs", "folds", "submissions")},
            "members": [{"name": "m", "model": "m"}],
        },
        {},
        "test",
    )


def run(config, verify=False):
    prepare.run(config, argparse.Namespace(verify=verify))


def replaced(config, monkeypatch, verify=False):
    """Run, and return the names of the files that were published."""
    names = []
    with monkeypatch.context() as patch:
        patch.setattr(writer, "on_event", lambda event, path: event == "replace" and names.append(path.name))
        run(config, verify)
    return names


def table_of(config):
    return pd.read_parquet(paths.cache(config) / "images.parquet")


def facts_of(config):
    return manifest.facts(paths.cache_manifest(config))


def bytes_of(config):
    files = paths.cache(config).iterdir()
    return {path.name: path.read_bytes() for path in files if path.name != "manifest.json"}


def test_the_table_and_the_pixels_are_those_of_the_files(root):
    config = configure(root)
    run(config)
    table, opened = table_of(config), open_cache(paths.cache(config))
    assert table["id"].tolist() == IDS + TEST_IDS
    assert table["split"].tolist() == ["train"] * 10 + ["test"] * 3
    assert table["target"].tolist() == [0, 1] * 5 + [-1] * 3
    assert table["shard"].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3]
    assert (table[["width", "height", "cached_width", "cached_height"]] == [24, 20, 19, 16]).all(axis=None)
    for row, path in enumerate(table["path"]):
        source = read_image(root / path, 10_000).pixels
        np.testing.assert_array_equal(opened.pixels(row), shrink(source, 16))
        assert table["phash"][row] == perceptual_hash(source)
        assert table["sha256"][row] == manifest.file_sha256(root / path)
        status = (root / path).stat()
        found = table.loc[row, ["size", "mtime_ns", "inode"]].tolist()
        assert found == [status.st_size, status.st_mtime_ns, status.st_ino]


def test_the_facts(root):
    config = configure(root)
    assert prepare.states(config)[0].state == "to do"
    run(config)
    facts = facts_of(config)
    assert facts["classes"] == ["a", "b"]
    assert facts["rows"] == {"train": 10, "test": 3}
    assert facts["layout"] == "table"
    assert facts["short_side"] == 16
    assert facts["sample_submission"] == str(root / "sample_submission.csv")
    assert prepare.states(config)[0].state == "done"


def test_nothing_changed_writes_nothing(root, monkeypatch, capsys):
    config = configure(root)
    run(config)
    monkeypatch.setattr(audit, "read_bytes", None)
    assert replaced(config, monkeypatch) == []
    assert capsys.readouterr().out.endswith("prepare   up to date\n")


def test_verifying_what_is_unchanged_writes_nothing(root, monkeypatch):
    config = configure(root)
    run(config)
    assert replaced(config, monkeypatch, verify=True) == []


def test_a_changed_image_rewrites_one_shard(root, monkeypatch, capsys):
    config = configure(root)
    run(config)
    before, facts = bytes_of(config), facts_of(config)
    draw(root / "train" / "005.png", "005", seed=1)
    state = prepare.states(config)[0]
    assert (state.state, state.why) == ("stale", "1 image changed (005)")
    assert replaced(config, monkeypatch) == ["shard-00001.u8", "images.parquet", "manifest.json"]
    assert "(1 image changed (005))" in capsys.readouterr().out
    changed = facts_of(config)
    assert changed["train_digest"] != facts["train_digest"]
    assert changed["test_digest"] == facts["test_digest"]
    shutil.rmtree(paths.cache(config))
    run(config)
    assert facts_of(config) == changed
    draw(root / "train" / "005.png", "005")
    run(config)
    assert facts_of(config) == facts
    assert {name: before[name] for name in before if name != "images.parquet"} == {
        name: data for name, data in bytes_of(config).items() if name != "images.parquet"
    }


def test_a_changed_test_image_leaves_the_training_digest(root):
    config = configure(root)
    run(config)
    facts = facts_of(config)
    draw(root / "test" / "NA.png", "NA", seed=1)
    run(config)
    assert facts_of(config)["train_digest"] == facts["train_digest"]
    assert facts_of(config)["test_digest"] != facts["test_digest"]


def test_a_touched_image_is_hashed_not_decoded(root, monkeypatch):
    config = configure(root)
    run(config)
    facts = facts_of(config)
    os.utime(root / "train" / "005.png", (1, 1))
    monkeypatch.setattr(audit, "read_image", None)
    assert replaced(config, monkeypatch) == ["images.parquet", "manifest.json"]
    assert facts_of(config) == facts
    assert replaced(config, monkeypatch) == []


def test_other_rows_copy_the_pixels_that_are_there(root, monkeypatch):
    config = configure(root)
    run(config)
    write_tables(root, IDS[3:])
    monkeypatch.setattr(audit, "read_image", None)
    run(config)
    opened = open_cache(paths.cache(config))
    assert opened.table["id"].tolist() == IDS[3:] + TEST_IDS
    for row, path in enumerate(opened.table["path"]):
        np.testing.assert_array_equal(opened.pixels(row), shrink(read_image(root / path, 10_000).pixels, 16))
    assert len(list(paths.cache(config).glob("shard-*"))) == 3
    assert prepare.states(config)[0].state == "done"


def test_another_label_is_another_training_digest_and_no_decoding(root, monkeypatch):
    config = configure(root)
    run(config)
    facts = facts_of(config)
    text = (root / "train.csv").read_text().replace("003,b", "003,a")
    (root / "train.csv").write_text(text)
    assert prepare.states(config)[0].why == "1 image with another label or group (003)"
    monkeypatch.setattr(audit, "read_bytes", None)
    assert replaced(config, monkeypatch) == ["images.parquet", "manifest.json"]
    assert facts_of(config)["train_digest"] != facts["train_digest"]
    assert facts_of(config)["test_digest"] == facts["test_digest"]


def test_another_short_side_reads_all_again(root):
    config = configure(root)
    run(config)
    larger = resolve(
        {
            "data": {"name": "moths", "root": str(root)},
            "cache": {"short_side": 18},
            "paths": {"data": str(root.parent.parent / "out" / "data")},
            "members": [{"name": "m", "model": "m"}],
        },
        {},
        "test",
    )
    assert prepare.states(larger)[0].why == "cache.short_side changed from 16 to 18"
    before = facts_of(config)
    run(larger)
    assert open_cache(paths.cache(larger)).pixels(0).shape == (18, 22, 3)
    # What was trained stays what it is: the images are the same.
    assert facts_of(larger)["train_digest"] == before["train_digest"]


def test_content_that_changed_behind_the_times_needs_verify(root, monkeypatch):
    config = configure(root)
    run(config)
    path = root / "train" / "005.png"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 10] ^= 1
    with path.open("r+b") as stream:
        stream.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert replaced(config, monkeypatch) == []
    with pytest.raises(DataError, match=r"train/005\.png: broken PNG"):
        run(config, verify=True)


def test_a_damaged_shard_is_made_again(root, monkeypatch):
    config = configure(root)
    run(config)
    before = bytes_of(config)
    path = paths.cache(config) / "shard-00001.u8"
    path.unlink()
    assert prepare.states(config)[0].why == f"{path} is missing or damaged"
    assert replaced(config, monkeypatch) == ["shard-00001.u8"]
    path.write_bytes(b"\0" + before["shard-00001.u8"][1:])
    assert replaced(config, monkeypatch) == []
    assert replaced(config, monkeypatch, verify=True) == ["shard-00001.u8"]
    assert bytes_of(config) == before


def spoil(root):
    (root / "train" / "001.png").write_bytes(b"")
    (root / "train" / "004.png").write_bytes((root / "train" / "004.png").read_bytes()[:-2])
    (root / "test" / "NA.png").write_bytes(b"<html>")


def test_all_unreadable_images_are_named_at_once(root):
    spoil(root)
    config = configure(root)
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            run(config)
        assert caught.value.exit_code == 3
        assert str(caught.value).splitlines() == [
            "3 of 13 images can't be used:",
            "  train/001.png: empty file",
            "  train/004.png: truncated PNG",
            "  test/NA.png: no JPEG, PNG, WebP, BMP, GIF or TIFF: begins with b'<html>'",
            "Mend or remove them, or leave them out with data.unreadable=skip (a test image then gets the"
            " class priors).",
        ]
    assert table_of(config)["problem"].ne("").sum() == 3
    assert not paths.cache_manifest(config).exists()


def test_mending_one_costs_one(root, monkeypatch):
    spoil(root)
    config = configure(root)
    with pytest.raises(DataError):
        run(config)
    for split, name in (("train", "001"), ("train", "004"), ("test", "NA")):
        draw(root / split / f"{name}.png", name)
    seen = []
    look = shards.look
    monkeypatch.setattr(shards, "look", lambda *a: seen.append(a[-1]) or look(*a))
    run(config)
    assert seen == ["train/001.png", "train/004.png", "test/NA.png"]


def test_skipped_images_stay_in_the_table(root, capsys):
    spoil(root)
    (root / "train" / "009.png").unlink()
    config = configure(root, unreadable="skip")
    run(config)
    table = table_of(config)
    assert table.loc[table["shard"] < 0, "id"].tolist() == ["001", "004", "009", "NA"]
    assert table.loc[9, "problem"] == "no file: 009 or 009.jpg, .png …"
    assert open_cache(paths.cache(config)).table["id"].tolist() == [
        name for name in IDS + TEST_IDS if name not in ("001", "004", "009", "NA")
    ]
    assert facts_of(config)["rows"] == {"train": 7, "test": 3}
    assert facts_of(config)["problems"] == {"train": 3, "test": 1}
    warned = capsys.readouterr().err
    assert "train images that can't be used are left out: 3 (the first is train/001.png: empty" in warned
    assert (
        "test images that can't be used are predicted from the class priors: 1 (the first is test" in warned
    )
    run(config)
    assert capsys.readouterr().out == "prepare   up to date\n"
    with pytest.raises(DataError, match="1 of 13 images are missing"):
        run(configure(root))


def test_missing_images_are_counted_and_twenty_named(root):
    write_tables(root, [f"m{i}" for i in range(25)])
    with pytest.raises(DataError) as caught:
        run(configure(root))
    lines = str(caught.value).splitlines()
    assert lines[0] == f"25 of 28 images are missing in {root}:"
    assert lines[1] == "  id m0: no m0 or m0.jpg, .png …"
    assert lines[20:] == [
        "  id m19: no m19 or m19.jpg, .png …",
        "  … and 5 more",
        "Put them there, or leave them out with data.unreadable=skip.",
    ]


def test_nothing_usable_is_an_error_even_when_skipping(root):
    for path in root.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="13 of 13 images can't be used"):
        run(configure(root, unreadable="skip"))


class Killed(BaseException):
    """As SIGKILL: nothing that handles errors sees it coming."""


@pytest.mark.parametrize("first_time", [True, False])
def test_killed_at_any_write_the_same_command_ends_with_the_same_bytes(root, monkeypatch, first_time):
    config = configure(root)
    run(config)
    draw(root / "train" / "002.png", "002", seed=1)
    write_tables(root, IDS[1:])
    kept = root.parent / "kept"
    shutil.copytree(paths.cache(config), kept)
    run(config)
    golden, facts, point = bytes_of(config), facts_of(config), 0

    def kill(event, path):
        nonlocal left
        left -= 1
        if left < 0:
            (path.parent / f"{path.name}.tmp").write_bytes(b"torn")
            raise Killed

    while True:
        shutil.rmtree(paths.cache(config))
        if not first_time:
            shutil.copytree(kept, paths.cache(config))
        left = point
        monkeypatch.setattr(writer, "on_event", kill)
        try:
            run(config)
        except Killed:
            monkeypatch.setattr(writer, "on_event", None)
            run(config)
            point += 1
        else:
            break
        found = bytes_of(config)
        assert {name: data for name, data in found.items() if not name.endswith(".tmp")} == golden
        assert facts_of(config) == facts
        assert prepare.states(config)[0].state == "done"
    monkeypatch.setattr(writer, "on_event", None)
    assert point > 15


def test_a_kill_costs_one_shard(root, monkeypatch):
    config = configure(root)

    def kill(event, path):
        if path.name == "shard-00002.u8":
            raise Killed

    monkeypatch.setattr(writer, "on_event", kill)
    with pytest.raises(Killed):
        run(config)
    monkeypatch.setattr(writer, "on_event", None)
    seen = []
    look = shards.look
    monkeypatch.setattr(shards, "look", lambda *a: seen.append(a[-1]) or look(*a))
    run(config)
    assert len(seen) == 5


def test_a_signal_stops_with_what_is_done(root, monkeypatch):
    config = configure(root)
    monkeypatch.setattr(interrupt, "requested", lambda: 15)
    with pytest.raises(Interrupted) as caught:
        run(config)
    assert caught.value.exit_code == 143
    monkeypatch.undo()
    run(config)
    assert prepare.states(config)[0].state == "done"


def test_other_processes_give_the_same_bytes(root, monkeypatch):
    config = configure(root)
    paths_of = [f"train/{name}.png" for name in IDS] * 2
    work = functools.partial(audit.look, image_files.Roots(root), 10_000, 16)
    alone = list(audit.each_image(work, paths_of, 1))
    monkeypatch.setattr(audit, "POOL_SECONDS", 0.0)
    shared = list(audit.each_image(work, paths_of, 2))
    assert [record for record, _ in shared] == [record for record, _ in alone]
    for (_, pixels), (_, golden) in zip(shared, alone, strict=True):
        np.testing.assert_array_equal(pixels, golden)
    assert config.cache.workers == 1


def die(path):
    os._exit(9)


def test_a_process_that_dies_is_told_with_its_images(monkeypatch):
    monkeypatch.setattr(audit, "POOL_SECONDS", -1.0)
    with pytest.raises(ResourceError, match=r"somewhere in a/0\.png … a/15\.png: run the same command again"):
        list(audit.each_image(die, [f"a/{i}.png" for i in range(20)], 2))


def test_a_full_disk_is_foreseen(root, monkeypatch):
    config = configure(root)
    usage = shutil.disk_usage(root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ResourceError, match="the cache of 13 decoded images needs"):
        run(config)
    assert list(paths.cache(config).glob("shard*")) == []


def test_the_cache_s_size_is_estimated_from_a_sample(root, monkeypatch):
    monkeypatch.setattr(shards, "MANY", 5)
    monkeypatch.setattr(shards, "SAMPLED", 4)
    asked = []
    monkeypatch.setattr(writer, "require_space", lambda folder, needed, what: asked.append(needed))
    run(configure(root))
    assert asked == [0, int(13 * 16 * 19 * 3 * 1.1)]


IDLE_POOL = """
import multiprocessing, os, time
from pipeline.dataset import audit
audit.POOL_SECONDS = -1.0
found = audit.each_image(os.path.basename, [str(i) for i in range(999)], 2)
next(found)
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
time.sleep(60)
"""


def test_the_processes_end_with_the_first_one(tmp_path):
    script = tmp_path / "idle_pool.py"
    script.write_text("if __name__ == '__main__':\n" + textwrap.indent(IDLE_POOL, "    "))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment) as first:
        assert first.stdout is not None
        pids = [int(pid) for pid in first.stdout.readline().split()]
        first.kill()
    assert len(pids) == 2
    for _ in range(100):
        if not any(is_running(pid) for pid in pids):
            return
        time.sleep(0.1)
    pytest.fail(f"{pids} are still there")


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # dead, and nobody asked yet how


def test_a_second_process_is_told_of_the_first(root):
    config = configure(root)
    paths.cache(config).mkdir(parents=True)
    with (paths.cache(config) / "prepare.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="the image cache is held"):
            run(config)
        assert prepare.states(config)[0].state == "running"


def test_odd_files_are_noted_once(root, capsys):
    (root / "train" / "000.png").rename(root / "train" / "000.jpg")
    (root / "train" / "001.png").rename(root / "train" / "001.JPEG")
    config = configure(root)
    run(config)
    assert "read, but odd: 1 PNG named .jpeg, 1 PNG named .jpg;" in capsys.readouterr().out
    assert table_of(config)["note"].tolist()[:3] == ["PNG named .jpg", "PNG named .jpeg", ""]


def test_file_names_of_any_bytes(tmp_path):
    root = tmp_path / "data" / "moths"
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        draw(root / label / os.fsdecode(b'caf\xe9, "1"\n.png'), label)
        draw(root / label / "🪲 back\\slash.png", label, seed=1)
    config = configure(root)
    run(config)
    assert len(open_cache(paths.cache(config)).table) == 4
    assert any("\\xe9" in path for path in table_of(config)["path"])
    run(config)
    assert prepare.states(config)[0].state == "done"


def test_data_that_is_still_to_be_fetched_waits(tmp_path):
    config = configure(tmp_path / "data" / "moths", drawn={})
    assert prepare.states(config)[0].why == "earlier stages first"
    config = configure(tmp_path / "data" / "moths")
    assert "isn't there" in prepare.states(config)[0].why
