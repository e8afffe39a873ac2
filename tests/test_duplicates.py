"""Duplicates: what is found to be one picture, and what is not."""

import io
from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline import config
from pipeline.dataset import duplicates, layouts, sample
from pipeline.dataset.duplicates import (
    components,
    find_groups,
    grey32,
    perceptual_hash,
    turned,
    turned_hashes,
)
from pipeline.dataset.reader import read_bytes, read_image

TEXTURES = 40


def texture(number: int) -> np.ndarray:
    """Draw coloured clouds on four scales: uint8 [H, W, 3]."""
    rng = np.random.default_rng(number)
    height, width = rng.integers(150, 300, 2)
    layers = []
    for blur in (50, 20, 8, 3):
        noise = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), blur)
        layers.append(noise / noise.std())
    clouds = np.sum(layers, axis=0)
    return np.clip(clouds / clouds.std() * 50 + 128, 0, 255).astype(np.uint8)


def jpeg(picture: np.ndarray, quality: int = 50) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def cropped(picture: np.ndarray, share: float) -> np.ndarray:
    top, left = (round(side * share / 2) for side in picture.shape[:2])
    return picture[top : picture.shape[0] - top, left : picture.shape[1] - left]


def marked(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    written = cv2.putText(
        picture.copy(), "photo", (width // 4, height // 2), 0, height / 300, (255, 255, 255), 2
    )
    return cv2.addWeighted(picture, 0.6, written, 0.4, 0)


CHANGES: dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    "jpeg": (1.0, jpeg),
    "resized": (1.0, lambda picture: cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)),
    "flipped": (1.0, lambda picture: picture[:, ::-1]),
    "upside down": (1.0, lambda picture: picture[::-1]),
    "turned left": (1.0, np.rot90),
    "turned right": (1.0, lambda picture: np.rot90(picture, 3)),
    "brighter": (1.0, lambda picture: np.clip(picture * 1.2, 0, 255).astype(np.uint8)),
    "watermark": (0.9, marked),
    "cropped": (0.95, lambda picture: cropped(picture, 0.03)),
    "all": (
        0.9,
        lambda picture: jpeg(np.ascontiguousarray(cropped(picture, 0.03)[:, ::-1] * 0.9).astype("u1")),
    ),
}


def group(pictures: list[np.ndarray], users: list[str] | None = None) -> duplicates.Groups:
    hashes = np.array([perceptual_hash(picture) for picture in pictures], np.uint64)
    greys = [grey32(picture) for picture in pictures]
    names = [picture.tobytes().hex() for picture in pictures]
    return find_groups(names, users or [""] * len(pictures), hashes, greys.__getitem__)


@pytest.fixture(scope="module")
def textures() -> list[np.ndarray]:
    return [texture(number) for number in range(TEXTURES)]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_textures_are_found_and_no_others(textures, change):
    recall, function = CHANGES[change]
    changed = [np.ascontiguousarray(function(picture)) for picture in textures]
    found = group([*textures, *changed]).group_of
    assert np.mean(found[TEXTURES:] == found[:TEXTURES]) >= recall
    assert found[:TEXTURES].tolist() == list(range(TEXTURES))
    assert len(set(found[TEXTURES:].tolist())) == TEXTURES
    assert all(found[TEXTURES + i] in (i, *range(TEXTURES, 2 * TEXTURES)) for i in range(TEXTURES))


@pytest.mark.parametrize("way", range(8))
def test_hashes_turn_with_their_pictures(textures, way):
    for picture in textures[:10]:
        grey = grey32(picture)
        expected = turned_hashes(np.array([duplicates.hash_of_grey(grey)], np.uint64))[way, 0]
        difference = int(expected) ^ duplicates.hash_of_grey(turned(grey, way))
        assert difference.bit_count() <= 1  # a frequency that is nearly zero may take either sign


def test_the_hash_agrees_with_scipys_cosine_transform(textures):
    from scipy.fft import dctn

    for picture in textures[:5]:
        frequencies = dctn(grey32(picture).astype(np.float64))[:9, :9]
        signs = (frequencies > 0)[:8, :8]
        signs[0, 0] = frequencies[8, 8] > 0
        assert perceptual_hash(picture) == int("".join("1" if sign else "0" for sign in signs.ravel()), 2)


def test_groups_by_bytes_by_user_and_by_picture(textures):
    one, two, three, four, five = textures[:5]
    found = group(
        [one, two, one, three, two[:, ::-1].copy(), four, five], ["", "", "", "nest", "", "nest", ""]
    )
    assert found.group_of.tolist() == [0, 1, 0, 2, 1, 2, 3]
    assert found.picture_of.tolist() == [0, 1, 0, 2, 1, 3, 4]
    assert (found.exact, found.near, found.too_large) == (1, 1, [])


def test_flat_pictures_are_not_all_one(textures):
    black = [np.full((40, 40, 3), value, np.uint8) for value in range(5)]
    assert group([*black, black[0]]).group_of.tolist() == [0, 1, 2, 3, 4, 0]


def test_a_group_that_is_too_large_is_reported_not_merged(textures, monkeypatch):
    monkeypatch.setattr(duplicates, "LARGEST", 3)
    copies = [jpeg(textures[0], quality) for quality in (90, 80, 70, 60)]
    found = group([*copies, copies[1], textures[1], jpeg(textures[1])])
    assert found.group_of.tolist() == [0, 1, 2, 3, 1, 4, 4]
    assert found.too_large == [[0, 1, 2, 3, 4]]


def test_blocks_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, 150, dtype=np.uint64)
    hashes[100:] = hashes[:50] ^ np.uint64(0b1011)
    whole = set(duplicates._candidates(hashes))
    monkeypatch.setattr(duplicates, "BLOCK_ROWS", 7)
    monkeypatch.setattr(duplicates, "BLOCK_COLUMNS", 13)
    assert set(duplicates._candidates(hashes)) == whole
    assert {(row, row + 100, 0) for row in range(50)} <= whole


def test_no_images_and_one_image():
    nothing = find_groups([], [], np.array([], np.uint64), lambda row: np.zeros((32, 32)))
    assert nothing.group_of.tolist() == []
    assert group([texture(0)]).group_of.tolist() == [0]


def test_the_planted_copies_of_the_sample_are_the_groups(tmp_path):
    sample.draw_competition(tmp_path / "sample", classes=4, images=150, seed=1)
    frame = layouts.read_table(config.Data(name="sample"), tmp_path / "sample").frame
    truth = pd.read_csv(tmp_path / "sample-solution" / "truth.csv", dtype=str, keep_default_na=False)
    planted = dict(zip(zip(truth["split"], truth["id"], strict=True), truth["group"], strict=True))
    rows = list(zip(frame["split"], frame["id"], strict=True))
    pictures = [
        read_image(read_bytes(tmp_path / "sample", path), 10**7, path).pixels for path in frame["path"]
    ]
    found = group(pictures).group_of
    expected = [planted[row] or row for row in rows]
    assert len(set(expected)) < len(rows)
    assert len(set(zip(found.tolist(), expected, strict=True))) == len(set(expected)) == found.max() + 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_components_are_the_finest_partition_that_joins_the_pairs(pairs):
    found = components(10, pairs)
    sets = [{row} for row in range(10)]
    for a, b in pairs:
        joined = sets[a] | sets[b]
        for row in joined:
            sets[row] = joined
    expected = sorted({min(members) for members in sets})
    assert found.tolist() == [expected.index(min(members)) for members in sets]
