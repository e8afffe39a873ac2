import fcntl
import os

import numpy as np
import pytest

from pipeline import prepare
from pipeline.artifacts import manifest, paths
from pipeline.dataset import audit, shards
from pipeline.dataset.cache import open_cache, shrink
from pipeline.dataset.reader import read_image
from pipeline.dataset.twins.duplicates import perceptual_hash
from pipeline.errors import LockedError
from tests import moths
from tests.moths import IDS, TEST_IDS, configure, draw, facts_of, replaced, run, table_of
from tests.picture_files import encode


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_IMAGES", 4)
    return moths.draw_competition(tmp_path)


def test_the_table_and_the_pixels_are_those_of_the_files(root):
    config = configure(root)
    run(config)
    table, opened = table_of(config), open_cache(paths.cache(config))
    assert table["id"].tolist() == IDS + TEST_IDS
    assert table["split"].tolist() == ["train"] * 10 + ["test"] * 3
    assert table["target"].tolist() == [0, 1] * 5 + [-1] * 3
    assert table["shard"].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3]
    assert sorted(table["picture"]) == sorted(table["in_group"]) == list(range(13))
    assert (table[["width", "height", "cached_width", "cached_height"]] == [24, 20, 19, 16]).all(axis=None)
    for row, path in enumerate(table["path"]):
        source = read_image(root / path, 10_000).pixels
        np.testing.assert_array_equal(opened.pixels(row), shrink(source, 16))
        assert table["phash"][row] == perceptual_hash(shrink(source, 16))
        assert table["sha256"][row] == manifest.file_sha256(root / path)
        status = (root / path).stat()
        found = table.loc[row, ["size", "mtime_ns", "inode"]].tolist()
        assert found == [status.st_size, status.st_mtime_ns, status.st_ino]


def test_the_facts(root):
    config = configure(root)
    assert prepare.states(config)[0].state == "to do"
    run(config)
    facts = facts_of(config)
    assert facts["classes"] == facts["class_codes"] == ["a", "b"]
    assert facts["rows"] == {"train": 10, "extra": 0, "val": 0, "test": 3}
    assert facts["problems"] == {"train": 0, "extra": 0, "val": 0, "test": 0}
    assert facts["official_digest"] == ""
    assert facts["layout"] == "table"
    assert facts["short_side"] == 16
    assert facts["sample_submission"] == str(root / "sample_submission.csv")
    assert prepare.states(config)[0].state == "done"


def test_a_changed_test_image_leaves_the_training_digest(root):
    config = configure(root)
    run(config)
    facts = facts_of(config)
    draw(root / "test" / "NA.png", "NA", seed=1)
    run(config)
    assert facts_of(config)["train_digest"] == facts["train_digest"]
    assert facts_of(config)["test_digest"] != facts["test_digest"]


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


def test_tiny_and_thin_pictures_are_resized_and_listed(root, capsys):
    config = configure(root)
    run(config)
    facts = facts_of(config)
    shapes = {"000": (1, 1), "001": (3, 5000), "002": (15, 24), "003": (16, 32), "004": (33, 16)}
    for name, (height, width) in shapes.items():
        pixels = np.full((height, width, 3), 7, np.uint8)
        (root / "train" / f"{name}.png").write_bytes(encode(pixels))
    (root / "train" / "000.png").rename(root / "train" / "000.jpg")
    run(config)
    table = table_of(config)
    assert table["note"].tolist()[:6] == [
        "PNG named .jpg; smaller than 16 pixels",
        "smaller than 16 pixels; longer than 2:1, ends cut off",
        "smaller than 16 pixels",
        "",
        "longer than 2:1, ends cut off",
        "",
    ]
    sizes = table[["cached_height", "cached_width"]].to_numpy().tolist()
    assert sizes[:5] == [[1, 1], [3, 6], [15, 24], [16, 32], [32, 16]]
    assert "1 smaller than 16 pixels; longer than 2:1, ends cut off" in capsys.readouterr().out
    assert facts_of(config)["rows"] == facts["rows"]
    assert facts_of(config)["test_digest"] == facts["test_digest"]


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
