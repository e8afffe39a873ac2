"""Groups: by bytes, by the user, by picture, and what is too large to be one."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.dataset import sample
from pipeline.dataset.reader import read_bytes, read_image
from pipeline.dataset.twins import duplicates
from pipeline.dataset.twins.duplicates import components, find_groups
from pipeline.dataset.twins.phash import grey32, perceptual_hash
from tests.textures import texture


def jpeg(picture: np.ndarray, quality: int = 50) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def group(pictures: list[np.ndarray], users: list[str] | None = None) -> duplicates.Groups:
    hashes = np.array([perceptual_hash(picture) for picture in pictures], np.uint64)
    greys = [grey32(picture) for picture in pictures]
    names = [picture.tobytes().hex() for picture in pictures]
    return find_groups(names, users or [""] * len(pictures), hashes, greys.__getitem__)


@pytest.fixture(scope="module")
def textures() -> list[np.ndarray]:
    return [texture(number) for number in range(8)]


def test_groups_by_bytes_by_user_and_by_picture(textures):
    one, two, three, four, five = textures[:5]
    found = group(
        [one, two, one, three, two[:, ::-1].copy(), four, five], ["", "", "", "nest", "", "nest", ""]
    )
    assert found.group_of.tolist() == [0, 1, 0, 2, 1, 2, 3]
    assert found.picture_of.tolist() == [0, 1, 0, 2, 1, 3, 4]
    assert (found.exact, found.near, found.too_large) == (1, 1, [])


def test_equal_pixels_are_one_picture_even_where_they_show_nothing():
    black, grey = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 9, np.uint8)
    pictures = [black, grey, black, grey]
    hashes = np.array([perceptual_hash(picture) for picture in pictures], np.uint64)
    greys = [grey32(picture) for picture in pictures]
    found = find_groups(
        ["a", "b", "c", "d"], [""] * 4, hashes, greys.__getitem__
    )  # other bytes, equal pixels
    assert found.group_of.tolist() == [0, 1, 0, 1]
    assert (found.exact, found.near) == (0, 2)


def test_a_group_that_is_too_large_is_reported_not_merged(textures, monkeypatch):
    monkeypatch.setattr(duplicates, "LARGEST", 3)
    copies = [jpeg(textures[0], quality) for quality in (90, 80, 70, 60)]
    found = group([*copies, copies[1], textures[1], jpeg(textures[1])])
    assert found.group_of.tolist() == [0, 1, 2, 3, 1, 4, 4]
    assert found.too_large == [[0, 1, 2, 3, 4]]


def test_a_group_that_is_large_by_bytes_or_by_the_user_is_kept(textures):
    copies = [textures[0]] * (duplicates.LARGEST + 5)
    nest = ["nest"] * (duplicates.LARGEST + 5)
    found = group([*copies, jpeg(textures[0]), textures[1]], [*nest, "", "nest"])
    assert found.group_of.tolist() == [0] * (duplicates.LARGEST + 7)
    assert found.too_large == []


def test_only_files_are_compared_not_their_copies(textures):
    asked: list[int] = []
    pictures = [textures[0], textures[0], textures[1], textures[0]]
    greys = [grey32(picture) for picture in pictures]
    hashes = np.array([perceptual_hash(picture) for picture in pictures], np.uint64)
    find_groups(["a", "a", "b", "a"], [""] * 4, hashes, lambda row: (asked.append(row), greys[row])[1])
    assert sorted(asked) == [0, 2]


def test_no_images_and_one_image():
    nothing = find_groups([], [], np.array([], np.uint64), lambda row: np.zeros((32, 32)))
    assert nothing.group_of.tolist() == []
    assert group([texture(0)]).group_of.tolist() == [0]


def test_the_planted_copies_of_the_sample_are_the_groups(tmp_path):
    sample.draw_competition(tmp_path / "sample", classes=4, images=150, seed=1)
    truth = pd.read_csv(tmp_path / "sample-solution" / "truth.csv", dtype=str, keep_default_na=False)
    paths = (truth["split"] + "/" + truth["id"] + ".jpg").tolist()
    root = tmp_path / "sample"
    found = group([read_image(read_bytes(root, path), 10**7, path).pixels for path in paths]).group_of
    expected = truth["group"].where(truth["group"] != "", truth["split"] + truth["id"]).tolist()
    assert len(set(expected)) < len(paths)
    assert len(set(zip(found.tolist(), expected, strict=True))) == len(set(expected)) == found.max() + 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_components_are_the_finest_partition_that_joins_the_pairs(pairs):
    found = components(10, np.array(pairs, int).reshape(-1, 2))
    sets = [{row} for row in range(10)]
    for a, b in pairs:
        joined = sets[a] | sets[b]
        for row in joined:
            sets[row] = joined
    expected = sorted({min(members) for members in sets})
    assert found.tolist() == [expected.index(min(members)) for members in sets]
