import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from pipeline import prepare
from pipeline.artifacts import paths
from pipeline.config import resolve
from pipeline.dataset import audit, cache, shards
from pipeline.dataset.cache import open_cache, shrink
from pipeline.dataset.reader import read_image
from pipeline.errors import DataError
from tests import moths
from tests.moths import IDS, TEST_IDS, bytes_of, configure, draw, facts_of, replaced, run, write_tables
from tests.picture_files import encode


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_IMAGES", 4)
    return moths.draw_competition(tmp_path)


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
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 10] ^= 1
    rewrite_unseen(path, data)
    assert replaced(config, monkeypatch) == []
    with pytest.raises(DataError, match=r"train/005\.png: broken PNG"):
        run(config, verify=True)


def rewrite_unseen(path, data):
    """Give a file other bytes, its size, time and inode being as they were."""
    status = path.stat()
    assert len(data) == status.st_size
    with path.open("r+b") as stream:
        stream.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_another_picture_behind_unchanged_times_is_told_by_verify(root, monkeypatch, capsys):
    colours = [encode(np.full((20, 24, 3), value, np.uint8), "BMP") for value in (40, 200)]
    path = root / "train" / "005.png"
    path.write_bytes(colours[0])
    config = configure(root)
    run(config)
    before = facts_of(config)
    rewrite_unseen(path, colours[1])
    assert replaced(config, monkeypatch) == []
    capsys.readouterr()
    changed = ["shard-00001.u8", "images.parquet", "manifest.json"]
    assert replaced(config, monkeypatch, verify=True) == changed
    told = capsys.readouterr().err
    assert told == "warning: content changed behind unchanged times: 1 image (005).\n"
    np.testing.assert_array_equal(open_cache(paths.cache(config)).pixels(5), 200)
    assert facts_of(config)["train_digest"] != before["train_digest"]
    assert facts_of(config)["test_digest"] == before["test_digest"]


def test_shards_from_before_there_were_jpegs_are_kept(root, monkeypatch):
    config = configure(root)
    run(config)
    for path in paths.cache(config).glob("shard-*.u8"):
        rewrite_footer(path)
    paths.cache_manifest(config).unlink()
    monkeypatch.setattr(audit, "read_image", None)
    assert replaced(config, monkeypatch) == ["manifest.json"]
    assert open_cache(paths.cache(config)).pixels(0).shape == (16, 19, 3)


def rewrite_footer(path):
    """Leave a raw shard as it was written by the version before: without the lengths of JPEGs."""
    data = path.read_bytes()
    length, _, magic = cache.TRAILER.unpack(data[-cache.TRAILER.size :])
    end = len(data) - cache.TRAILER.size
    footer = json.loads(data[end - length : end])
    footer["images"] = [image[:10] for image in footer["images"]]
    content = data[: end - length] + json.dumps(footer, sort_keys=True).encode()
    size = len(content) - (end - length)
    trailer = cache.TRAILER.pack(size, hashlib.sha256(content).digest(), magic)
    path.write_bytes(content + trailer)


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
