"""Thumbnails of cached images as data URLs, so that the page needs no other file."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.dataset.cache import Cache, open_cache
from pipeline.dataset.layouts.image_files import LABELLED
from pipeline.errors import DataError

SIDE_PIXELS = 168
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """One image for people: `thumbnail` is a data URL, "" where there is none; `note` says what it shows.

    `label` is "" for test images, even where it is known: who looks at it spoils the official score.
    """

    id: str
    split: str
    label: str
    thumbnail: str
    note: str = ""


@dataclass
class Album:
    """The audit table's images as pictures: `place` int [n] is each row's place in the cache, −1 for none.

    `why` says why thumbnails are missing, "" while none is.
    """

    images: pd.DataFrame
    cache: Cache | None
    place: np.ndarray
    why: str = ""
    made: dict[int, str] = field(default_factory=dict)

    def picture(self, row: int, note: str = "") -> Picture:
        """Return the picture of a row of the audit table, counted from 0."""
        name, split, label = (str(self.images[column].iat[row]) for column in ("id", "split", "label"))
        return Picture(name, split, "" if split == "test" else label, self._thumbnail(row), note)

    def rows_of(self, ids: Sequence[str], labelled: bool) -> np.ndarray:
        """Return the rows int [n] of ids among those that are trained on, or the others; −1: unknown."""
        rows = np.flatnonzero(self.images["split"].isin(LABELLED) == labelled)
        found = pd.Index(self.images["id"].to_numpy()[rows]).get_indexer(list(ids))
        return np.where(found >= 0, np.append(rows, -1)[found], -1)

    def _thumbnail(self, row: int) -> str:
        if row not in self.made:
            self.made[row] = self._make(row)
        return self.made[row]

    def _make(self, row: int) -> str:
        if self.cache is None or self.place[row] < 0:
            return ""
        try:
            return data_url(self.cache.pixels(int(self.place[row])))
        except DataError as error:
            self.why = self.why or str(error)
            return ""


def open_album(images: pd.DataFrame, cache_folder: Path) -> Album:
    """Join the audit table with the cache beside it; without a cache there are no thumbnails, and `why`."""
    usable = (images["shard"] >= 0).to_numpy() if "shard" in images else np.zeros(len(images), bool)
    place = np.where(usable, np.cumsum(usable) - 1, -1)
    try:
        cache = open_cache(cache_folder)
    except DataError as error:
        return Album(images, None, place, str(error))
    except KeyError:  # a table or manifest of an earlier version, with fewer columns or facts
        return Album(images, None, place, "the cache is of an earlier version: python -m pipeline.prepare")
    if len(cache.table) != usable.sum():
        return Album(
            images, None, place, "the images were prepared again meanwhile: python -m pipeline.report"
        )
    return Album(images, cache, place)


def data_url(pixels: np.ndarray) -> str:
    """Shrink an RGB image (uint8 [H, W, 3]) to a JPEG as a `data:` URL, its long side SIDE_PIXELS at most."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE_PIXELS / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    done, jpeg = cv2.imencode(
        ".jpg", np.ascontiguousarray(small[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise ValueError(f"OpenCV can't write a JPEG of shape {small.shape}")
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
