"""Batches: which rows a step sees is a function of the key alone, so workers and resuming change nothing."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from pipeline.config import Train, train_side
from pipeline.dataset.augment import augment, build_augment
from pipeline.dataset.cache import Cache
from pipeline.dataset.layouts.image_files import LABELLED
from pipeline.dataset.sampling import draw_rows, repeats, sampler_of
from pipeline.errors import DataError, UsageError
from pipeline.randomness import key

Frame = tuple[int, float]  # side in pixels, crop fraction
Item = tuple[int, int, int]  # epoch, row of the table, repeat
Batch = tuple[torch.Tensor, torch.Tensor]  # uint8 [B, size, size, 3] and int64 [B]


def rows_of(cache: Cache, split: str, ids: Sequence[str]) -> np.ndarray:
    """Return the positions int64 [n] in the cache's table of a split's ids, in their order.

    The rows of data.extra count as "train". Raises DataError where an id has no usable image (any more).
    """
    splits = LABELLED if split == "train" else (split,)
    own = cache.table.index[cache.table["split"].isin(splits)]
    position = dict(zip(cache.table.loc[own, "id"], own, strict=True))
    missing = [name for name in ids if name not in position]
    if missing:
        raise DataError(
            f"{len(missing)} images of the {split} rows can't be used any more ({missing[0]!r}, …): "
            "bring them back, or begin a new lineage with python -m pipeline.folds --force"
        )
    return np.array([position[name] for name in ids], dtype=np.int64)


def count_steps(rows: int, batch: int) -> int:
    """Return the steps of an epoch: every row once, no step with more than `batch` rows.

    >>> count_steps(100, 32)
    4
    """
    return -(-rows // batch)


def epoch_batches(
    rows: np.ndarray, targets: np.ndarray, train: Train, fold: int | None, epoch: int
) -> list[np.ndarray]:
    """Draw an epoch's rows into batches of nearly equal size: a tail of one row would upset BatchNorm.

    rows are positions in the table, `targets` [len(table)] the classes that a balancing sampler draws by.

    >>> [len(b) for b in epoch_batches(np.arange(10), np.zeros(10, int), Train(batch=4), fold=0, epoch=0)]
    [4, 3, 3]
    """
    order = draw_rows(rows, targets, sampler_of(train, epoch), train.seed, fold, epoch)
    return np.array_split(order, count_steps(len(rows), train.batch))


class _Schedule:
    """A batch sampler over all epochs that are left, as (epoch, row, repeat): workers see no other state."""

    def __init__(
        self, rows: np.ndarray, targets: np.ndarray, train: Train, fold: int | None, first_step: int
    ):
        self.rows, self.targets, self.train, self.fold = rows, targets, train, fold
        self.first_step = first_step

    def __len__(self) -> int:
        return self.train.epochs * count_steps(len(self.rows), self.train.batch) - self.first_step

    def __iter__(self) -> Iterator[list[Item]]:
        steps = count_steps(len(self.rows), self.train.batch)
        for epoch in range(self.first_step // steps, self.train.epochs):
            batches = epoch_batches(self.rows, self.targets, self.train, self.fold, epoch)
            again = np.array_split(repeats(np.concatenate(batches)), steps)
            skipped = self.first_step % steps if epoch == self.first_step // steps else 0
            for batch, seen in zip(batches[skipped:], again[skipped:], strict=True):
                yield [(epoch, row, times) for row, times in zip(batch.tolist(), seen.tolist(), strict=True)]


class TrainImages(Dataset):
    """Augmented training images by key: uint8 [size, size, 3] and its target for an item.

    An item is (epoch, row, repeat): how often the epoch had the row before; each time it looks different.
    """

    def __init__(self, cache: Cache, targets: np.ndarray, train: Train, fold: int | None):
        self.cache, self.targets, self.train, self.fold = cache, targets, train, fold
        self.ids = cache.table["id"].tolist()
        sides = {train_side(train, epoch) for epoch in range(train.epochs)}
        self.transforms = {side: build_augment(train.augment, side) for side in sides}

    def __getitem__(self, item: Item) -> tuple[np.ndarray, int]:
        """Return one image, which may be a read-only view of the cache."""
        epoch, row, repeat = item
        side = train_side(self.train, epoch)
        again = (repeat,) if repeat else ()
        draw = key(self.train.seed, "augment", self.fold, epoch, self.ids[row], *again)
        pixels = augment(self.transforms[side], self.cache.pixels(row), draw)
        wanted = (side, side, 3)
        if pixels.dtype != np.uint8 or pixels.shape != wanted:
            raise UsageError(
                f"train.augment gives {pixels.dtype} {tuple(pixels.shape)}, expected uint8 {wanted}: "
                "leave out what changes the size or the type, they are set after it."
            )
        return pixels, int(self.targets[row])

    def __getitems__(self, items: Sequence[Item]) -> Batch:
        """Return a batch of one epoch, each image put in its place while the processor's cache holds it."""
        side = train_side(self.train, items[0][0])
        pixels = _empty_batch((len(items), side, side, 3))
        places, targets = pixels.numpy(), np.empty(len(items), np.int64)
        for i, item in enumerate(items):
            places[i], targets[i] = self[item]
        return pixels, torch.from_numpy(targets)


class FramedImages(Dataset):
    """Images for prediction: item i is one uint8 [side, side, 3] per frame, read from the cache once."""

    def __init__(self, cache: Cache, rows: np.ndarray, frames: Sequence[Frame]):
        self.cache, self.rows, self.frames = cache, rows, frames

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, ...]:
        pixels = self.cache.pixels(int(self.rows[i]))
        return tuple(torch.from_numpy(frame_image(pixels, *frame)) for frame in self.frames)


def train_loader(
    cache: Cache,
    rows: np.ndarray,
    targets: np.ndarray,
    train: Train,
    fold: int | None,
    first_step: int,
    workers: int,
    carried: np.ndarray | None = None,
) -> DataLoader:
    """Make the loader of a fold's steps from `first_step` on: (uint8 [B, size, size, 3], int64 [B]).

    `rows` are positions in the cache's table, `targets` [len(table)] their class indices. A batch has these,
    or `carried` int [len(table)] in their place.
    """
    images = TrainImages(cache, targets if carried is None else carried, train, fold)
    return DataLoader(
        images,
        batch_sampler=_Schedule(rows, targets, train, fold, first_step),
        collate_fn=_as_it_is,
        **_worker_settings(workers, train.device),
    )


def predict_loader(
    cache: Cache, rows: np.ndarray, frames: Sequence[Frame], batch: int, workers: int, device: str
) -> DataLoader:
    """Make the loader of images to predict, in the order of `rows`: uint8 [B, side, side, 3] a frame."""
    return DataLoader(
        FramedImages(cache, rows, frames), batch_size=batch, **_worker_settings(workers, device)
    )


def frame_image(pixels: np.ndarray, side: int, crop: float) -> np.ndarray:
    """Resize the short side to side / crop and cut the central square of `side` pixels.

    >>> frame_image(np.zeros((50, 80, 3), np.uint8), 32, 1.0).shape
    (32, 32, 3)
    """
    height, width = pixels.shape[:2]
    scale = round(side / crop) / min(height, width)
    size = (max(side, round(width * scale)), max(side, round(height * scale)))
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (resized.shape[0] - side) // 2, (resized.shape[1] - side) // 2
    return np.ascontiguousarray(resized[top : top + side, left : left + side])


def _empty_batch(shape: tuple[int, ...]) -> torch.Tensor:
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    # In memory that the main process shares, as torch's own collation does: sending it copies nothing.
    storage = torch.UntypedStorage._new_shared(math.prod(shape))
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)


def _as_it_is(batch: Any) -> Any:
    return batch


def _worker_settings(workers: int, device: str) -> dict[str, Any]:
    cv2.setNumThreads(0)
    settings: dict[str, Any] = {
        "num_workers": workers,
        "generator": torch.Generator(),  # its own: the global one is seeded by key at each step
        "pin_memory": device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()),
    }
    if workers:
        settings |= {"persistent_workers": True, "timeout": 120, "worker_init_fn": _start_worker}
    return settings


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
