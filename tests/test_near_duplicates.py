"""Near-duplicates among many pictures: what is found, what is not, and that nothing runs away."""

import os
import signal

import cv2
import numpy as np
import pytest

from benchmarks.changed_pictures import BEYOND, CHANGES, draw_pictures
from benchmarks.duplicates import dark, form, resaved
from pipeline import interrupt
from pipeline.dataset.twins import near_duplicates
from pipeline.dataset.twins.near_duplicates import labels, near_pairs
from pipeline.dataset.twins.phash import grey32, hash_of_grey, hashes_of
from pipeline.dataset.twins.pictures import FLATTEST, Pictures
from pipeline.errors import Interrupted
from tests.textures import texture

PROMISED = [change for change in CHANGES if change not in BEYOND]


def sets(greys: list[np.ndarray]) -> np.ndarray:
    """Return the number of each picture's set: int [n]."""
    hashes = np.array([hash_of_grey(grey) for grey in greys], np.uint64)
    return labels(len(greys), near_pairs(hashes, greys.__getitem__))


@pytest.fixture(scope="module")
def drawn() -> list[np.ndarray]:
    return draw_pictures(12, 8, seed=0)


@pytest.fixture(scope="module")
def greys(drawn) -> list[np.ndarray]:
    return [grey32(picture) for picture in drawn]


@pytest.fixture(scope="module")
def copies(drawn) -> dict[str, list[np.ndarray]]:
    made = {}
    for change in PROMISED:
        rng = np.random.default_rng(0)
        made[change] = [grey32(np.ascontiguousarray(CHANGES[change](picture, rng))) for picture in drawn]
    return made


def test_changed_pictures_are_found_and_no_others(greys, copies):
    missed = 0
    for change in PROMISED:
        found = sets([*greys, *copies[change]])
        ones, others = np.split(found, 2)
        assert len(set(ones.tolist())) == len(greys), change
        assert np.isin(others[others != ones], ones, invert=True).all(), change
        assert (ones == others).mean() >= 0.95, change
        missed += int((ones != others).sum())
    assert missed <= 10  # of 1,440: a bit less of reach, or a little more of likeness, misses more


def test_changed_clouds_are_found():
    pictures = [texture(number) for number in range(40)]
    for change in PROMISED:
        rng = np.random.default_rng(0)
        changed = [np.ascontiguousarray(CHANGES[change](picture, rng)) for picture in pictures]
        ones, others = np.split(sets([grey32(picture) for picture in [*pictures, *changed]]), 2)
        assert len(set(ones.tolist())) == len(pictures)
        assert (ones == others).mean() >= 0.95, change


def test_little_is_left_to_fit(monkeypatch):
    # fitting is what takes long: with a wider reach or coarser sketches several times as much would be left
    rng = np.random.default_rng(0)
    hazes = [cv2.GaussianBlur(rng.normal(size=(32, 32)), (0, 0), 7) for _ in range(1500)]
    greys = [(haze / haze.std() * 30 + 128).astype(np.float32) for haze in hazes]
    fitted = []
    fit = Pictures.fit
    monkeypatch.setattr(Pictures, "fit", lambda self, pairs: (fitted.append(len(pairs)), fit(self, pairs))[1])
    near_pairs(hashes_of(np.stack(greys)), greys.__getitem__)
    assert 0 < sum(fitted) <= 140


def test_threads_change_nothing(greys, copies):
    both = [*greys, *copies["as the sample's twins"]]
    hashes = np.array([hash_of_grey(grey) for grey in both], np.uint64)
    one = near_pairs(hashes, both.__getitem__, workers=1)
    assert len(one) == len(greys)
    assert near_pairs(hashes, both.__getitem__, workers=3).tolist() == one.tolist()


def test_blocks_and_chunks_change_nothing(greys, copies, monkeypatch):
    both = [*greys, *copies["crop 3 % at each edge"]]
    expected = sets(both)
    for name, value in (("CHUNK_ROWS", 7), ("INDEXED_ROWS", 10), ("ROUND_PAIRS", 3)):
        monkeypatch.setattr(near_duplicates, name, value)
    assert sets(both).tolist() == expected.tolist()


def test_each_picture_is_read_once(greys):
    asked: list[int] = []
    near_pairs(hashes_of(np.stack(greys)), lambda row: (asked.append(row), greys[row])[1])
    assert sorted(asked) == list(range(len(greys)))


def test_flat_pictures_are_one_only_where_they_are_equal():
    shades = [np.full((32, 32), shade, np.float32) for shade in (0, 1, 2, 0, 255, 2)]
    found = sets(shades)
    assert found[0] == found[3]
    assert found[2] == found[5]
    assert len(set(found.tolist())) == 4


def test_pictures_that_show_next_to_nothing_are_not_one():
    faint = [(10 + 0.03 * grey32(texture(5)) + shade).astype(np.float32) for shade in range(5)]
    assert faint[0].std() < FLATTEST
    assert len(set(sets(faint).tolist())) == 5
    assert len(set(sets([4 * grey for grey in faint]).tolist())) == 1


def test_twins_are_found_among_very_many_of_one_hash(monkeypatch):
    monkeypatch.setattr(near_duplicates, "ALIKE", 3)
    clouds = grey32(texture(5))
    others = [grey32(texture(number)) for number in range(3)]
    crowd = [resaved(row) * 0.5 + 20 for row in range(12)]
    found = sets([*others, clouds, *crowd, others[1] * 0.8])
    assert len(set(found[4:16].tolist())) == 1
    assert found[1] == found[-1]
    assert len(set(found.tolist())) == 5


@pytest.mark.parametrize(("kind", "alike"), [(dark, False), (form, False), (resaved, True)])
def test_crowds_are_one_set_or_none(kind, alike):
    crowd = [kind(row) for row in range(1500)]
    found = sets(crowd)
    assert len(set(found.tolist())) == (1 if alike else 1500)


def test_few_are_fitted_however_many_are_alike(monkeypatch):
    monkeypatch.setattr(near_duplicates, "FITTED", 2)
    rng = np.random.default_rng(0)
    clouds = cv2.GaussianBlur(rng.normal(size=(32, 32)), (0, 0), 3) * 400 + 128
    crowd = [(clouds + rng.normal(size=(32, 32)) * 3).astype(np.float32) for _ in range(300)]
    pairs = near_pairs(hashes_of(np.stack(crowd)), crowd.__getitem__)
    assert len(set(labels(300, pairs).tolist())) == 1
    assert len(pairs) <= 2 * 2 * 300


def test_a_signal_stops_the_search(greys):
    def at_half(share: float, text: str) -> None:
        if share > 0.1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped, interrupt.caught():
        near_pairs(hashes_of(np.stack(greys)), greys.__getitem__, progress=at_half)
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert "duplicates" in str(stopped.value)


def test_progress_rises_to_the_end(greys):
    shares: list[float] = []
    near_pairs(hashes_of(np.stack(greys)), greys.__getitem__, progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] <= 1


@pytest.mark.parametrize("n", [0, 1])
def test_no_picture_or_one_has_no_pairs(n):
    pictures = [grey32(texture(0))][:n]
    assert near_pairs(hashes_of(np.stack([grey32(texture(0))]))[:n], pictures.__getitem__).tolist() == []
