"""What the lookalike of IP102 holds: its counts and sizes, its twins, its odd files."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from pipeline.dataset.lookalike_plan import CLASSES, SPLITS, TWIN_SHORT_SIDES, Row, plan_lookalike
from pipeline.errors import UsageError

ALL = 75_222


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return plan_lookalike(ALL, seed=0)


def counts_of(rows: list[Row]) -> np.ndarray:
    """Count classes and splits: int64 [102, 3]."""
    cells = Counter((row.label, row.split) for row in rows)
    return np.array([[cells[label, split] for split in SPLITS] for label in range(CLASSES)])


def test_counts_are_those_of_ip102(rows):
    counts = counts_of(rows)
    train = counts[:, 0]
    assert counts.sum(0).tolist() == [45_095, 7_508, 22_619]
    assert (train.min(), train.argmin(), train.max(), train.argmax()) == (42, 72, 3_444, 101)
    assert np.median(train) == 289
    assert (train == 42).sum() == (train == 3_444).sum() == 1
    assert counts[:, 1].min() == 7
    assert np.abs(counts / counts.sum(1, keepdims=True) - (0.6, 0.1, 0.3)).max() < 0.015


def test_always_the_biggest_class_scores_what_it_does_on_ip102(rows):
    train, test = counts_of(rows)[:, 0], counts_of(rows)[:, 2]
    hit = test[train.argmax()] / test.sum()
    assert hit == pytest.approx(0.0762, abs=3e-4)
    assert 2 * hit / (1 + hit) / CLASSES == pytest.approx(0.0014, abs=5e-5)


def test_counts_fall_evenly_and_no_order_of_labels_tells_them(rows):
    train = counts_of(rows)[:, 0]
    steps = np.diff(np.log(np.sort(train)))
    assert steps.max() < 0.2
    assert abs(np.corrcoef(train, np.arange(CLASSES))[0, 1]) < 0.3


def test_file_numbers_are_sorted_by_class_but_not_by_split(rows):
    assert [row.number for row in rows] == list(range(ALL))
    labels = [row.label for row in rows]
    assert labels == sorted(labels)
    biggest = [row.split for row in rows if row.label == 101]
    changes = np.mean([one != other for one, other in pairwise(biggest)])
    assert changes == pytest.approx(1 - 0.6**2 - 0.1**2 - 0.3**2, abs=0.05)


def test_sizes_are_those_of_ip102(rows):
    sizes = np.array([(row.height, row.width) for row in rows])
    short = sizes.min(1)
    assert (short.min(), short.max()) == (52, 6_034)
    assert (short < 224).mean() == pytest.approx(0.30, abs=0.01)
    assert np.median(sizes, 0) == pytest.approx((328, 430), abs=6)
    assert 2 <= sum(sorted(size) == [3_456, 5_184] for size in sizes.tolist()) <= 5


def test_a_part_has_the_sizes_of_the_whole():
    short = np.array([min(row.height, row.width) for row in plan_lookalike(2_000, seed=0)])
    assert (short < 224).mean() == pytest.approx(0.30, abs=0.02)
    assert short.min() == 52


@pytest.mark.parametrize(("splits", "share"), [(("train",), 0.03), (("val", "test"), 0.14)])
def test_near_duplicates_have_their_share_of_the_splits(rows, splits, share):
    here = [row.kind == "near-duplicate" for row in rows if row.split in splits]
    assert np.mean(here) == pytest.approx(share, abs=0.003)


def test_a_twin_shows_a_training_image_of_its_class_that_shows_itself(rows):
    twins = [row for row in rows if row.kind in ("near-duplicate", "exact-duplicate")]
    assert twins
    for twin in twins:
        source = rows[twin.picture]
        assert (source.kind, source.split, source.picture) == ("plain", "train", source.number)
        assert (source.label, source.height, source.width) == (twin.label, twin.height, twin.width)
        assert TWIN_SHORT_SIDES[0] <= min(source.height, source.width) <= TWIN_SHORT_SIDES[1]
    assert max(Counter(row.picture for row in rows).values()) < 20


def test_two_pairs_of_a_training_and_a_test_file_are_equal(rows):
    exact = [row for row in rows if row.kind == "exact-duplicate"]
    assert [row.split for row in exact] == ["test", "test"]
    assert len({row.label for row in exact}) == 2


def test_ten_files_of_one_label_are_png_and_seven_of_them_have_alpha(rows):
    png = [row for row in rows if row.kind.startswith("png")]
    assert {row.label for row in png} == {56}
    assert Counter(row.kind for row in png) == {"png-alpha": 7, "png": 3}


@pytest.mark.parametrize("images", [306, 307, 1_000, 20_000, 100_000])
def test_other_numbers_keep_every_class_in_every_split(images):
    rows = plan_lookalike(images, seed=1)
    counts = counts_of(rows)
    assert len(rows) == counts.sum() == images
    assert counts.min() >= 1
    assert counts[:, 0].argmax() == 101 or images < 310


def test_the_seed_decides_which_class_has_how_many_and_which_files_are_twins():
    one, again, other = (plan_lookalike(1_000, seed) for seed in (0, 0, 1))
    assert one == again
    assert counts_of(one).tolist() != counts_of(other).tolist()
    assert [row.picture for row in one] != [row.picture for row in other]


def test_too_few_images_are_refused_with_the_number_that_would_do():
    with pytest.raises(UsageError, match=r"305 images.*\(306 images\)"):
        plan_lookalike(305, seed=0)
