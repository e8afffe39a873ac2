import shutil

import numpy as np
import pytest

from pipeline import prepare
from pipeline.artifacts import paths, writer
from pipeline.dataset import cache, shards
from pipeline.dataset.twins import album
from pipeline.dataset.twins.album import open_album
from pipeline.dataset.twins.phash import grey32
from pipeline.dataset.twins.pictures import no_pictures
from tests import moths
from tests.moths import IDS, Killed, bytes_of, configure, draw, facts_of, replaced, run
from tests.textures import texture

GREYS = {f"{number:064x}": grey32(texture(number)) for number in range(6)}
NAMES = list(GREYS)
PARAMETERS = {"short_side": 16, "codec": "raw"}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(album, "BLOCK_ROWS", 4)
    monkeypatch.setattr(album, "KEPT_FROM", 1)


def alone(names):
    """Return the pictures of files, put one at a time."""
    pictures = no_pictures(len(names))
    for row, name in enumerate(names):
        pictures.put(slice(row, row + 1), [GREYS[name]])
    return pictures


def same(one, other):
    return all(np.array_equal(vars(one)[name], vars(other)[name]) for name in vars(one))


def filled(path, names=NAMES):
    book = open_album(path, PARAMETERS)
    for name in [*names, *names[:2]]:
        book.add(name, GREYS[name])
    return book


def test_pictures_come_in_the_order_that_is_asked_for(tmp_path):
    wanted = [NAMES[5], NAMES[0], NAMES[3]]
    pictures, missing = filled(tmp_path / "pictures.npz").arrange(wanted)
    assert same(pictures, alone(wanted))
    assert missing.tolist() == []


def test_what_is_not_known_is_told_and_kept_once_it_is_put(tmp_path):
    path = tmp_path / "pictures.npz"
    book = filled(path, NAMES[:3])
    pictures, missing = book.arrange(NAMES)
    assert missing.tolist() == [3, 4, 5]
    pictures.put(missing, [GREYS[NAMES[row]] for row in missing])
    book.keep()
    again, missing = open_album(path, PARAMETERS).arrange(NAMES[::-1])
    assert missing.tolist() == []
    assert same(again, alone(NAMES[::-1]))


def test_an_empty_album_and_no_files(tmp_path):
    pictures, missing = open_album(tmp_path / "pictures.npz", PARAMETERS).arrange(NAMES)
    assert missing.tolist() == [0, 1, 2, 3, 4, 5]
    assert len(pictures.grey) == 6
    assert len(filled(tmp_path / "pictures.npz").arrange([])[0].grey) == 0


def test_it_is_written_where_it_changed_and_holds_what_is_used(tmp_path):
    path = tmp_path / "pictures.npz"
    book = filled(path)
    book.arrange(NAMES)  # as they were read
    book.keep()
    before = path.read_bytes()
    path.unlink()
    book = filled(path, NAMES[::-1])
    book.arrange(NAMES)
    book.keep()
    assert path.read_bytes() == before
    path.write_bytes(before + b"\0")
    unchanged = open_album(path, PARAMETERS)
    unchanged.arrange(NAMES)
    unchanged.keep()
    assert path.read_bytes() == before + b"\0"
    fewer = open_album(path, PARAMETERS)
    fewer.arrange(NAMES[1:])
    fewer.keep()
    assert list(open_album(path, PARAMETERS).place) == NAMES[1:]


def test_few_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(album, "KEPT_FROM", 7)
    book = filled(tmp_path / "pictures.npz")
    book.arrange(NAMES)
    book.keep()
    assert list(tmp_path.iterdir()) == []


def test_pictures_made_otherwise_or_damaged_are_none(tmp_path, monkeypatch):
    path = tmp_path / "pictures.npz"
    book = filled(path)
    book.arrange(NAMES)
    book.keep()
    assert len(open_album(path, PARAMETERS).place) == 6
    assert not open_album(path, {**PARAMETERS, "short_side": 17}).place
    with monkeypatch.context() as patch:
        patch.setattr(album, "PROBE", album.PROBE + 1)  # as on a machine that adds otherwise
        assert not open_album(path, PARAMETERS).place
    whole = path.read_bytes()
    for size in range(0, len(whole), len(whole) // 50):
        path.write_bytes(whole[:size])
        assert not open_album(path, PARAMETERS).place
    grey = whole.index(b"grey.npy") + 200
    path.write_bytes(whole[:grey] + bytes([whole[grey] ^ 1]) + whole[grey + 1 :])
    damaged = open_album(path, PARAMETERS)
    assert (damaged.place, damaged.blocks) == ({}, [])


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_IMAGES", 4)
    return moths.draw_competition(tmp_path)


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_no_cached_picture_is_read_again(root, monkeypatch, codec):
    config = configure(root, {"codec": codec})
    with monkeypatch.context() as patch:
        patch.setattr(cache.Cache, "pixels", None)
        run(config)
        draw(root / "train" / "005.png", "005", seed=1)
        files = ["shard-00001.u8", "pictures.npz", "images.parquet", "manifest.json"]
        assert replaced(config, monkeypatch) == files
        assert replaced(config, monkeypatch, verify=True) == []
    (paths.cache(config) / "pictures.npz").unlink()
    draw(root / "train" / "006.png", "006", seed=1)
    assert replaced(config, monkeypatch) == files
    found, facts = bytes_of(config), facts_of(config)
    shutil.rmtree(paths.cache(config))
    run(config)
    assert bytes_of(config) == found
    assert facts_of(config) == facts


def test_what_an_album_says_is_what_the_cache_shows(root, monkeypatch):
    config = configure(root)
    shutil.copy(root / "train" / "001.png", root / "train" / "002.png")
    run(config)
    known = bytes_of(config)["images.parquet"]
    shutil.rmtree(paths.cache(config))
    monkeypatch.setattr(album.Album, "add", lambda *a: None)
    run(config)
    assert bytes_of(config)["images.parquet"] == known


def test_killed_while_it_is_kept_the_same_command_ends_with_the_same_bytes(root, monkeypatch):
    config = configure(root)
    run(config)
    golden = bytes_of(config)
    for point in ("write", "fsync", "replace"):
        shutil.rmtree(paths.cache(config))

        def kill(event, path, point=point):
            if (event, path.name) == (point, "pictures.npz"):
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(writer, "on_event", kill)
            with pytest.raises(Killed):
                run(config)
        run(config)
        assert bytes_of(config) == golden
        assert prepare.states(config)[0].state == "done"


def test_pictures_of_images_that_left_are_forgotten(root):
    config = configure(root)
    run(config)
    moths.write_tables(root, IDS[3:])
    run(config)
    with np.load(paths.cache(config) / "pictures.npz") as kept:
        assert len(kept["sha256s"]) == 10
