import pickle
import shutil

import numpy as np
import pytest

from pipeline import prepare
from pipeline.artifacts import manifest, paths, writer
from pipeline.dataset import audit, shards
from pipeline.dataset.cache import open_cache, read_shard, shrink
from pipeline.dataset.reader import read_image
from pipeline.errors import DataError, ResourceError
from tests import moths
from tests.moths import Killed, bytes_of, configure, draw, facts_of, replaced, run, table_of

RAW_BYTES = 16 * 16 * 4 * 13  # what 13 images of 16 pixels are thought to take


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_IMAGES", 4)
    return moths.draw_competition(tmp_path)


def leave_free(monkeypatch, free):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))


def codecs(config):
    """Return what the shards say that they hold."""
    found = [read_shard(path) for path in sorted(paths.cache(config).glob("shard-*.u8"))]
    return {shard.parameters["codec"] for shard in found if shard is not None}


def test_jpegs_hold_the_pixels_within_the_codec_s_error(root):
    config = configure(root, {"codec": "jpeg"})
    run(config)
    table, opened = table_of(config), open_cache(paths.cache(config))
    assert codecs(config) == {facts_of(config)["codec"]} == {"jpeg"}
    assert (table["length"] > 0).all()
    assert (table[["cached_width", "cached_height"]] == [19, 16]).all(axis=None)
    again = pickle.loads(pickle.dumps(opened))
    for row, path in enumerate(table["path"]):
        golden = shrink(read_image(root / path, 10_000).pixels, 16)
        # noise is the worst there is for JPEG
        assert np.abs(opened.pixels(row).astype(int) - golden).mean() < 4
        np.testing.assert_array_equal(again.pixels(row), opened.pixels(row))


def test_raw_where_twice_its_size_is_free_else_jpeg(root, monkeypatch, capsys):
    config = configure(root)
    leave_free(monkeypatch, 2 * RAW_BYTES)
    run(config)
    assert "the cache holds raw pixels: they take 0.00 GB, 0.00 GB are free" in capsys.readouterr().out
    assert codecs(config) == {"raw"}
    shutil.rmtree(paths.cache(config))
    leave_free(monkeypatch, 2 * RAW_BYTES - 1)
    run(config)
    told = "the cache holds JPEGs of quality 95, since raw pixels need twice their size free: they take 0.00"
    assert told in capsys.readouterr().out
    assert codecs(config) == {"jpeg"}


@pytest.mark.parametrize(
    ("free", "later", "codec"),
    [(2 * RAW_BYTES, 2 * RAW_BYTES - 1, "raw"), (3 * RAW_BYTES // 2, 9 * RAW_BYTES, "jpeg")],
)
def test_once_decided_it_stays(root, monkeypatch, capsys, free, later, codec):
    config = configure(root)

    def kill(event, path):
        if path.name == "shard-00002.u8":
            raise Killed

    with monkeypatch.context() as patch:
        leave_free(patch, free)
        patch.setattr(writer, "on_event", kill)
        with pytest.raises(Killed):
            run(config)
    assert "the cache holds" in capsys.readouterr().out
    assert codecs(config) == {codec}
    leave_free(monkeypatch, later)
    run(config)
    assert facts_of(config)["codec"] == codec
    draw(root / "train" / "005.png", "005", seed=1)
    run(config)
    assert facts_of(config)["codec"] == codec
    assert codecs(config) == {codec}
    assert "the cache holds" not in capsys.readouterr().out
    assert prepare.states(config)[0].state == "done"


def test_another_codec_rewrites_and_makes_what_was_trained_stale(root, monkeypatch):
    raw, jpeg = configure(root, {"codec": "raw"}), configure(root, {"codec": "jpeg"})
    run(raw)
    before, facts = bytes_of(raw), facts_of(raw)
    run(configure(root))
    assert facts_of(raw) == facts
    assert prepare.states(jpeg)[0].why == 'cache.codec changed from "raw" to "jpeg"'
    run(jpeg)
    changed = facts_of(jpeg)
    assert changed["train_digest"] != facts["train_digest"]
    assert changed["test_digest"] != facts["test_digest"]
    assert replaced(configure(root), monkeypatch) == []
    run(raw)
    assert bytes_of(raw) == before
    assert facts_of(raw) == facts


def test_a_copied_jpeg_is_not_encoded_again(root, monkeypatch):
    config = configure(root, {"codec": "jpeg"})
    run(config)
    opened = open_cache(paths.cache(config))
    kept = {name: opened.pixels(row) for row, name in enumerate(opened.table["path"])}
    moths.write_tables(root, moths.IDS[3:])
    monkeypatch.setattr(audit, "read_image", None)
    run(config)
    opened = open_cache(paths.cache(config))
    assert len(opened.table) == 10
    for row, name in enumerate(opened.table["path"]):
        np.testing.assert_array_equal(opened.pixels(row), kept[name])


def test_a_damaged_jpeg_is_told_and_mended(root):
    config = configure(root, {"codec": "jpeg"})
    run(config)
    before, table = bytes_of(config), table_of(config)
    path = paths.cache(config) / "shard-00001.u8"
    data = bytearray(before[path.name])
    start = int(table.loc[5, "offset"])
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)
    opened = open_cache(paths.cache(config))
    with pytest.raises(DataError, match=r"shard-00001\.u8: damaged JPEG .*pipeline\.prepare --verify"):
        opened.pixels(5)
    run(config, verify=True)
    assert bytes_of(config) == before


def test_the_disk_is_checked_for_the_codec_s_size(root, monkeypatch):
    monkeypatch.setattr(shards, "MANY", 5)
    monkeypatch.setattr(shards, "SAMPLED", 13)
    needed = {}
    for codec in ("raw", "jpeg"):
        config = configure(root, {"codec": codec})
        with monkeypatch.context() as patch:
            asked = []
            patch.setattr(
                writer, "require_space", lambda folder, space, what, asked=asked: asked.append(space)
            )
            run(config)
            needed[codec] = asked[1]
        table = table_of(config)
        stored = table["length"] if codec == "jpeg" else table["cached_height"] * table["cached_width"] * 3
        assert needed[codec] == int(stored.sum() * 1.1)
        shutil.rmtree(paths.cache(config))
    assert needed["jpeg"] != needed["raw"]
    leave_free(monkeypatch, 100)
    with pytest.raises(
        ResourceError, match=r"13 decoded images \(some sixth of it with cache.codec=jpeg\) ne"
    ):
        run(configure(root, {"codec": "raw"}))
    assert manifest.read(paths.cache_manifest(configure(root))) is None
