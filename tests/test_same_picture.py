"""One picture or two: what a second upload may change, and what it may not."""

import cv2
import numpy as np
import pytest

from pipeline.dataset.drawing.species import draw_species
from pipeline.dataset.sample import draw_individual
from pipeline.dataset.twins import near_duplicates, same_picture
from pipeline.dataset.twins.phash import grey32, turned
from pipeline.dataset.twins.same_picture import agreement, likeness, slopes, smooth, turned_slopes
from tests.textures import texture

# The most alike of 120 million pairs of drawn individuals: (species, individual) of both and the way to turn
# the first; of 12 species with seed 7, 500 of each, and of 102 species with seed 5, 140 of each.
MOST_ALIKE = {
    (12, 7): [((1, 43), (1, 361), 3), ((4, 94), (4, 491), 4)],
    (102, 5): [
        ((25, 27), (88, 108), 3),
        ((25, 29), (86, 75), 4),
        ((12, 67), (48, 93), 1),
        ((59, 82), (12, 107), 1),
    ],
}


def smoothed(pictures: list[np.ndarray]) -> np.ndarray:
    return smooth(np.stack([grey32(picture) for picture in pictures]))


def test_slopes_agree_with_numpys_gradient():
    greys = smoothed([texture(number) for number in range(4)])
    down, across = np.gradient(greys, axis=(1, 2))
    strength = np.hypot(across, down) + same_picture.SOFT
    expected = np.stack([across / strength, down / strength], 1)[:, :, 1:-1, 1:-1]
    assert slopes(greys) == pytest.approx(expected, abs=1e-5)


def test_smoothing_agrees_with_opencv():
    grey = grey32(texture(1))
    expected = cv2.GaussianBlur(grey, (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
    assert smooth(grey[None])[0] == pytest.approx(expected, abs=1e-3)


def test_slopes_turn_with_their_pictures():
    greys = smoothed([texture(number) for number in range(3)])
    for way, found in enumerate(turned_slopes(slopes(greys))):
        expected = slopes(np.stack([turned(grey, way) for grey in greys]))
        assert found == pytest.approx(expected, abs=1e-6)


def test_edges_move_as_opencv_resamples():
    grey = smoothed([texture(2)])
    moves = np.array([[1.25, -0.5, -1.0, 0.25]], np.float32)  # left, right, upper, lower
    share = (np.arange(32) + 0.5) / 32
    x = np.arange(32) + 1.25 * (1 - share) - 0.5 * share
    y = np.arange(32) - 1.0 * (1 - share) + 0.25 * share
    across, down = (grid.astype(np.float32) for grid in np.meshgrid(x, y))
    expected = cv2.remap(grey[0], across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert same_picture._moved(grey, moves)[0] == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize("edges", [(0.03, 0.03, 0.03, 0.03), (0.03, 0.0, 0.0, 0.0), (0.0, 0.03, 0.03, 0.0)])
def test_a_fit_finds_the_edges_that_were_cropped(edges):
    pictures = [texture(number) for number in range(20)]
    top, bottom, left, right = edges
    crops = [
        picture[round(top * h) : h - round(bottom * h), round(left * w) : w - round(right * w)]
        for picture in pictures
        for h, w in [picture.shape[:2]]
    ]
    ones, others = smoothed(pictures), smoothed(crops)
    as_they_lie = agreement(slopes(ones), slopes(others))
    assert (as_they_lie < 0.95).all()
    assert (likeness(ones, others) > 0.96).all()
    assert (likeness(others, ones) > 0.96).all()


def test_brightness_and_contrast_hardly_matter():
    greys = smoothed([texture(number) for number in range(10)])
    assert likeness(greys, greys) == pytest.approx(1, abs=1e-5)
    assert (likeness(greys, 0.7 * greys + 30) > 0.98).all()


@pytest.mark.parametrize(("species", "seed"), MOST_ALIKE)
def test_the_most_alike_of_different_individuals_are_told_apart(species, seed):
    looks = draw_species(species, seed)
    ones, others = [], []
    for first, second, way in MOST_ALIKE[species, seed]:
        one, other = (grey32(draw_individual(looks[kind], kind, i, seed)) for kind, i in (first, second))
        ones.append(turned(one, way))
        others.append(other)
    found = likeness(smooth(np.stack(ones)), smooth(np.stack(others)))
    assert (found > 0.8).all()  # these pairs are what the threshold is for
    assert (found < near_duplicates.LIKENESS - 0.01).all()


def test_a_picture_without_slopes_is_like_nothing():
    greys = np.stack([np.full((32, 32), 7, np.float32), smoothed([texture(1)])[0]])
    assert likeness(greys, greys[::-1]) == pytest.approx(0, abs=1e-6)
