"""Batches: every row once an epoch, whatever the workers and wherever it goes on; exact central crops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Train
from pipeline.dataset.loader import (
    TrainImages,
    count_steps,
    epoch_batches,
    frame_image,
    predict_loader,
    rows_of,
    train_loader,
)
from pipeline.errors import DataError, UsageError
from tests.tiny import Pictures

TRAIN = Train(epochs=2, batch=4, size=16, augment="light", device="cpu")
TARGETS = np.arange(12) % 3
ROWS = np.array([0, 1, 2, 4, 5, 6, 8, 9, 10])


def pictures() -> Pictures:
    return Pictures([(20, 30)] * 12)


def batches(first_step=0, workers=0, cache=None):
    loader = train_loader(cache or pictures(), ROWS, TARGETS, TRAIN, 1, first_step, workers)
    assert len(loader) == 6 - first_step
    return [(pixels.numpy().copy(), targets.tolist()) for pixels, targets in loader]


def equal(a, b) -> bool:
    pairs = zip(a, b, strict=True)
    return all(np.array_equal(x, y) and s == t for (x, s), (y, t) in pairs)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(n=st.integers(1, 200), batch=st.integers(1, 64), epoch=st.integers(0, 5))
def test_every_row_once_in_batches_of_nearly_one_size(n, batch, epoch):
    rows = np.arange(n) * 3
    found = epoch_batches(rows, rows % 3, Train(batch=batch), 0, epoch)
    sizes = [len(part) for part in found]
    assert sorted(np.concatenate(found).tolist()) == rows.tolist()
    assert len(sizes) == count_steps(n, batch)
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1


def test_another_epoch_fold_or_seed_is_another_order():
    rows = np.arange(50)
    orders = [
        np.concatenate(epoch_batches(rows, rows, Train(batch=8, seed=seed), fold, epoch)).tolist()
        for seed, fold, epoch in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    ]
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize("first_step", [1, 2, 3, 4, 5])
def test_going_on_gives_the_rest_of_the_whole(first_step):
    assert equal(batches(first_step), batches()[first_step:])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_change_nothing():
    before = torch.random.get_rng_state()
    assert equal(batches(workers=2), batches())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_item_has_no_history():
    fresh, used = (TrainImages(pictures(), TARGETS, TRAIN, 0) for _ in range(2))
    for row in ROWS:
        used[(0, int(row), 0)]
    assert np.array_equal(fresh[(1, 5, 0)][0], used[(1, 5, 0)][0])
    assert not np.array_equal(fresh[(1, 5, 0)][0], fresh[(0, 5, 0)][0])
    assert not np.array_equal(fresh[(1, 5, 0)][0], fresh[(1, 5, 1)][0])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_has_one_form(workers):
    sizes = []
    for pixels, targets in train_loader(pictures(), ROWS, TARGETS, TRAIN, 0, 0, workers):
        assert (pixels.dtype, targets.dtype) == (torch.uint8, torch.int64)
        assert pixels.shape == (len(targets), 16, 16, 3)
        assert pixels.is_contiguous()
        assert pixels.is_shared() == bool(workers)  # a worker's batch isn't copied on its way
        sizes.append(len(targets))
    assert sizes == [3] * 6


def test_a_balancing_sampler_draws_rows_again_and_each_time_they_look_different():
    targets = np.array([0] * 8 + [1, 2, 0, 0])
    train = Train(epochs=2, batch=5, size=16, augment="light", device="cpu", sampler="class-balanced")
    rows = np.arange(10)
    found = list(train_loader(pictures(), rows, targets, train, 0, 0, 0))
    classes = np.concatenate([labels for _, labels in found])
    assert np.bincount(classes[:10]).tolist() in ([3, 3, 4], [3, 4, 3], [4, 3, 3])
    seen = [image.tobytes() for pixels, _ in found for image in pixels.numpy()]
    assert len(set(seen)) == 20
    later = list(train_loader(pictures(), rows, targets, train, 0, 3, 0))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(later, found[3:], strict=True))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_progressive_resizing_gives_each_epoch_its_side(workers):
    train = Train(epochs=4, batch=9, sizes=(16, 24), augment="light", device="cpu")
    shapes = [pixels.shape for pixels, _ in train_loader(pictures(), ROWS, TARGETS, train, 0, 0, workers)]
    assert [shape[1:3] for shape in shapes] == [(16, 16), (16, 16), (24, 24), (24, 24)]


def test_batches_belong_to_their_targets_and_may_be_changed():
    cache = Pictures([(16, 16)] * 12)
    plain = Train(epochs=2, batch=4, size=16, augment="none", device="cpu")
    for step, (pixels, targets) in enumerate(train_loader(cache, ROWS, TARGETS, plain, 0, 0, 0)):
        rows = epoch_batches(ROWS, TARGETS, plain, 0, step // 3)[step % 3]
        assert targets.tolist() == TARGETS[rows].tolist()
        assert np.array_equal(pixels.numpy(), np.stack([cache.images[row] for row in rows]))
        pixels.zero_()


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ({"name": "RandomCrop", "height": 8, "width": 8}, r"uint8 \(8, 8, 3\), expected uint8 \(16, 16, 3\)"),
        ({"name": "Normalize"}, r"float32 \(16, 16, 3\)"),
    ],
)
def test_a_recipe_that_leaves_the_form_is_refused(transform, words):
    with pytest.raises(UsageError, match=words):
        TrainImages(pictures(), TARGETS, Train(size=16, augment=(transform,)), 0)


def test_what_only_some_images_show_is_refused_then():
    parts = [{"name": "RandomCrop", "height": 8, "width": 8}, {"name": "NoOp"}]
    train = Train(size=16, augment=({"name": "OneOf", "p": 1.0, "transforms": parts},))
    images = TrainImages(pictures(), TARGETS, train, 0)
    with pytest.raises(UsageError, match=r"uint8 \(8, 8, 3\), expected uint8 \(16, 16, 3\)"):
        images.__getitems__([(epoch, 0, 0) for epoch in range(20)])


def test_rows_of_follows_the_ids_of_one_split():
    cache = pictures()
    cache.table.loc[3, "id"] = "img0"  # a test image with a training image's id
    assert rows_of(cache, "train", ["img5", "img0"]).tolist() == [5, 0]
    assert rows_of(cache, "test", ["img0", "img7"]).tolist() == [3, 7]
    with pytest.raises(DataError, match=r"2 images of the train rows .*'img7'"):
        rows_of(cache, "train", ["img0", "img7", "new"])


def test_prediction_keeps_the_order_and_reads_once():
    cache = Pictures([(20, 30), (40, 40), (9, 31), (16, 24), (50, 20)])
    frames = [(16, 1.0), (8, 0.5)]
    parts = list(predict_loader(cache, np.array([4, 0, 2]), frames, 2, 0, "cpu"))
    assert [len(part[0]) for part in parts] == [2, 1]
    assert cache.reads == [4, 0, 2]
    for f, frame in enumerate(frames):
        whole = torch.cat([part[f] for part in parts]).numpy()
        wanted = [frame_image(cache.images[row], *frame) for row in (4, 0, 2)]
        assert np.array_equal(whole, np.stack(wanted))


def test_frame_is_the_exact_centre_where_nothing_is_resized():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    assert np.array_equal(frame_image(pixels, 30, 1.0), pixels[:, 5:35])
    assert np.array_equal(frame_image(pixels, 15, 0.5), pixels[7:22, 13:28])


def test_frame_shrinks_by_the_mean_of_blocks():
    pixels = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    blocks = pixels.reshape(15, 4, 20, 4, 3).mean(axis=(1, 3))
    assert np.abs(frame_image(pixels, 15, 1.0) - blocks[:, 2:17]).max() <= 0.5


def test_frame_enlarges_as_torch_does():
    pixels = np.random.default_rng(2).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    wanted = torch.nn.functional.interpolate(images, size=(16, 16), mode="bilinear")[0].permute(1, 2, 0)
    assert np.abs(frame_image(pixels, 16, 1.0) - wanted.numpy()).max() <= 1
    assert (frame_image(np.full((1, 1, 3), 77, np.uint8), 16, 1.0) == 77).all()


@pytest.mark.parametrize("shape", [(1, 1), (20, 600), (37, 53), (600, 20)])
@pytest.mark.parametrize("crop", [1.0, 0.875, 0.3])
def test_frame_has_its_size_whatever_the_image(shape, crop):
    assert frame_image(np.zeros((*shape, 3), np.uint8), 24, crop).shape == (24, 24, 3)
