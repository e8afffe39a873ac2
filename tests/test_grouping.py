import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest

from pipeline.dataset.cache import Record, cache_of, shard_path, write_shard
from pipeline.dataset.twins.grouping import COLUMNS, with_groups
from pipeline.dataset.twins.phash import perceptual_hash


def texture(number):
    """Draw coloured clouds on three scales: uint8 [120, 160, 3]."""
    rng = np.random.default_rng(number)
    layers = [cv2.GaussianBlur(rng.normal(size=(120, 160, 3)), (0, 0), blur) for blur in (30, 12, 5)]
    clouds = np.sum([layer / layer.std() for layer in layers], axis=0)
    return np.clip(clouds / clouds.std() * 50 + 128, 0, 255).astype(np.uint8)


def build(folder, pictures, groups=None, splits=None):
    """Return the audit table and the cache of pictures; None is a file that can't be used."""
    images = []
    for picture in pictures:
        if picture is None:
            images.append((Record("", "0" * 64, 0, 0, 0, "broken", "", 0, 0, 0), None))
        else:
            name = hashlib.sha256(picture).hexdigest()
            images.append((Record("", name, 160, 120, perceptual_hash(picture), "", "", 0, 0, 0), picture))
    shard = write_shard(shard_path(folder, 0), {}, images)
    audit = pd.DataFrame(shard.records, columns=list(Record._fields))
    audit["phash"] = audit["phash"].astype(np.uint64)
    audit["id"] = [f"{i:03d}" for i in range(len(pictures))]
    audit["split"] = splits or "train"
    audit["group"] = groups or ""
    audit["shard"] = np.where(audit["problem"] == "", 0, -1)
    return audit, cache_of(folder, audit, [shard.digest])


def darker(picture):
    return np.ascontiguousarray(picture[:, ::-1] * 0.8).astype(np.uint8)


@pytest.fixture
def pictures():
    one, two, three = (texture(number) for number in range(3))
    return [one, two, one, None, darker(one), three, two]


def test_copies_and_near_duplicates_are_one_picture(tmp_path, pictures):
    found = with_groups(*build(tmp_path, pictures), None)
    assert found["picture"].tolist() == [0, 1, 0, -1, 0, 2, 1]
    assert found["in_group"].tolist() == [0, 1, 0, -1, 0, 2, 1]
    assert found["crowd"].tolist() == [-1] * 7
    assert all(found[name].dtype == np.int64 for name in COLUMNS)


def test_the_user_s_groups_join_pictures_of_every_split(tmp_path, pictures):
    groups = ["", "", "", "hill", "hill", "hill", ""]
    found = with_groups(*build(tmp_path, pictures, groups, ["train"] * 4 + ["test"] * 3), None)
    by_id = found.set_index("id")
    assert by_id["picture"].nunique() == 4
    joined = by_id.loc[["000", "002", "004", "005"], "in_group"]
    assert joined.nunique() == 1
    assert by_id.loc["001", "in_group"] == by_id.loc["006", "in_group"] != joined.iloc[0]
    assert by_id.loc["003", list(COLUMNS)].tolist() == [-1, -1, -1]


def test_the_order_of_rows_changes_nothing(tmp_path, pictures):
    audit, images = build(tmp_path, pictures)
    found = with_groups(audit, images, None).set_index("id")
    mixed = audit.iloc[[6, 2, 4, 0, 3, 5, 1]].reset_index(drop=True)
    again = with_groups(mixed, cache_of(tmp_path, mixed, images.digests), None).set_index("id")
    pd.testing.assert_frame_equal(again.loc[found.index, list(COLUMNS)], found[list(COLUMNS)])


def test_a_crowd_is_told_and_not_merged(tmp_path):
    base = texture(0)
    dims = [np.clip(base * (0.6 + 0.007 * i), 0, 255).astype(np.uint8) for i in range(51)]
    found = with_groups(*build(tmp_path, [*dims, texture(1), texture(1)]), None)
    assert found["crowd"].tolist() == [0] * 51 + [-1, -1]
    assert found["picture"].nunique() == 52
    few = with_groups(*build(tmp_path, dims[:50]), None)
    assert few["crowd"].tolist() == [-1] * 50
    assert few["picture"].nunique() == 1


def test_groups_of_the_same_images_are_taken_over(tmp_path, pictures):
    audit, images = build(tmp_path, pictures)
    before = with_groups(audit, images, None)
    unread = cache_of(tmp_path / "elsewhere", audit, images.digests)
    mixed = before.iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(with_groups(audit, unread, mixed), before)


@pytest.mark.parametrize("change", ["sha256", "phash", "group", "id", "split", "fewer"])
def test_groups_of_other_images_are_found_again(tmp_path, pictures, change):
    audit, images = build(tmp_path, pictures)
    before = with_groups(audit, images, None).assign(picture=7)
    if change == "fewer":
        before = before.iloc[1:]
    else:
        value = 1 if change == "phash" else "other"
        before[change] = before[change].where(before["id"] != "002", value)
    assert with_groups(audit, images, before)["picture"].tolist() == [0, 1, 0, -1, 0, 2, 1]
    ungrouped = audit.copy()
    assert with_groups(audit, images, ungrouped)["picture"].tolist() == [0, 1, 0, -1, 0, 2, 1]


def test_progress_is_told(tmp_path, pictures):
    told = []
    with_groups(*build(tmp_path, pictures), None, 1, lambda share, text: told.append(share))
    assert told == sorted(told)
    assert 0 < told[-1] <= 1
