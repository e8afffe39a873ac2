"""Perceptual hashes: what the bits are, and how they turn with a picture."""

import numpy as np
import pytest
from scipy.fft import dctn

from pipeline.dataset.twins.phash import (
    grey32,
    hash_of_grey,
    hashes_of,
    perceptual_hash,
    turned,
    turned_hashes,
)
from tests.textures import texture

GREYS = [grey32(texture(number)) for number in range(10)]


@pytest.mark.parametrize("way", range(8))
def test_hashes_turn_with_their_pictures(way):
    for grey in GREYS:
        expected = turned_hashes(np.array([hash_of_grey(grey)], np.uint64))[way, 0]
        difference = int(expected) ^ hash_of_grey(turned(grey, way))
        assert difference.bit_count() <= 1  # a frequency that is nearly zero may take either sign


@pytest.mark.parametrize("cut", [0, 1])
def test_the_hash_agrees_with_scipys_cosine_transform(cut):
    for grey in GREYS:
        inner = grey[cut : 32 - cut, cut : 32 - cut]
        frequencies = dctn(inner.astype(np.float64))[:9, :9]
        signs = (frequencies > 0)[:8, :8]
        signs[0, 0] = frequencies[8, 8] > 0
        expected = int("".join("1" if sign else "0" for sign in signs.ravel()), 2)
        assert hash_of_grey(inner) == expected == int(hashes_of(np.stack([inner]))[0])


def test_a_picture_is_hashed_as_its_grey_is():
    assert perceptual_hash(texture(3)) == hash_of_grey(GREYS[3])
    red = np.zeros((50, 80, 3), np.uint8)
    red[..., 0] = 100
    assert grey32(red) == pytest.approx(29.9)


def test_no_pictures_have_no_hashes():
    assert hashes_of(np.empty((0, 32, 32), np.float32)).tolist() == []
    assert turned_hashes(np.empty(0, np.uint64)).shape == (8, 0)
