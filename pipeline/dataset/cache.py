"""The cache: decoded pixels on disk in shards of 2,048 images, memory-mapped, and the table that finds them.

A shard is pictures (uint8 [H, W, 3] or a JPEG each, image after image), then a footer (JSON: each image and
what it was made from), then a trailer (length, sha256). It depends on the images' names and bytes alone:
equal on every machine, and enough to go on from after a kill. `images.parquet`, published last, is what
readers use.
"""

import hashlib
import json
import math
import mmap
import os
import struct
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from pipeline.artifacts import manifest, writer
from pipeline.dataset.reader import ImageError, decode_cached
from pipeline.errors import DataError

if TYPE_CHECKING:  # what reads images in other processes imports this module, and starts sooner without these
    import pandas as pd

VERSION = 2  # of the reader, the hash and the resize: another one reads all images again
SHARD_IMAGES = 2048
LONGEST = 2  # long side / short side of a cached image
TRAILER = struct.Struct("<Q32s8s")
MAGIC = b"shard\0v1"
PIECE_BYTES = 1 << 22
SYNCED_BYTES = 1 << 26  # of a shard that go to the disk while the next ones are made, not all at its end


class Record(NamedTuple):
    """What a shard knows of one image: pixels where `problem` is "", else cached sizes and offset of 0.

    `length` is that of the JPEG in bytes, 0 for raw pixels (and in shards older than the JPEGs).
    """

    path: str
    sha256: str
    width: int
    height: int
    phash: int
    problem: str
    note: str
    offset: int
    cached_height: int
    cached_width: int
    length: int = 0

    @property
    def bytes(self) -> int:
        """Return the size of the picture in the shard."""
        return self.length or self.cached_height * self.cached_width * 3


class Shard(NamedTuple):
    """A shard's footer: what its pixels were made with, a record an image, and the sha256 of it all."""

    parameters: dict[str, Any]
    records: list[Record]
    digest: str


@dataclass(frozen=True)
class Cache:
    """The images that can be used: `table` has a row for each, `pixels(row)` its decoded image.

    It may be pickled, or used after a fork: each process opens the shards that it needs itself.
    """

    folder: Path
    table: "pd.DataFrame"
    places: np.ndarray  # int64 [n, 5]: shard, offset, height, width, length (0: raw)
    digests: list[str]  # sha256 of each shard
    _maps: dict[int, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def pixels(self, row: int) -> np.ndarray:
        """Return the image of a row of the table: uint8 [H, W, 3], read-only where it's a view of its shard.

        Raises DataError for a shard that isn't the one of the table, or is damaged.
        """
        number, offset, height, width, length = self.places[row].tolist()
        shard = self._maps.get(number)
        if shard is None:
            path = shard_path(self.folder, number)
            if shard_digest(path) != self.digests[number]:
                raise DataError(f"{path} isn't the shard that was indexed: python -m pipeline.prepare")
            shard = self._maps[number] = map_shard(path)
        if length == 0:
            return shard[offset : offset + height * width * 3].reshape(height, width, 3)
        try:
            return decode_cached(shard[offset : offset + length], height, width)
        except ImageError as error:
            path = shard_path(self.folder, number)
            raise DataError(f"{path}: {error}: python -m pipeline.prepare --verify") from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}


def open_cache(folder: Path) -> Cache:
    """Open the cached images of a competition; raises DataError where `prepare` hasn't made them."""
    import pandas as pd

    digests = manifest.facts(folder / "manifest.json")["shards"]
    try:
        table = pd.read_parquet(folder / "images.parquet")
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / 'images.parquet'} can't be read: python -m pipeline.prepare") from error
    return cache_of(folder, table, digests)


def cache_of(folder: Path, audit: "pd.DataFrame", digests: list[str]) -> Cache:
    """Return the usable images of an audit table, in shards of these digests."""
    table = audit[audit["shard"] >= 0].reset_index(drop=True)
    places = table[["shard", "offset", "cached_height", "cached_width", "length"]].to_numpy(np.int64)
    return Cache(folder, table, places, digests)


def shrink(pixels: np.ndarray, short_side: int) -> np.ndarray:
    """Make [H, W, 3] uint8 as small as the cache keeps it: nothing is enlarged, the aspect is kept.

    The ends of a long side beyond twice the short one are cut off, then the short side comes down to
    `short_side`: each pixel is the mean of k × k, interpolated at most two pixels apart. That differs from
    OpenCV's area interpolation by .4 of 255, the mean over drawn images, and takes half its time.

    >>> shrink(np.zeros((300, 1000, 3), np.uint8), 100).shape
    (100, 200, 3)
    >>> shrink(np.zeros((3, 5000, 3), np.uint8), 100).shape
    (3, 6, 3)
    """
    height, width = pixels.shape[:2]
    longest = LONGEST * min(height, width)
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    pixels = np.ascontiguousarray(pixels[top : top + longest, left : left + longest])
    height, width = pixels.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return pixels
    width, height = max(short_side, round(width * scale)), max(short_side, round(height * scale))
    k = max(2, math.ceil(0.5 / scale))
    finer = cv2.resize(pixels, (k * width, k * height), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(finer, (width, height), interpolation=cv2.INTER_AREA)


def shard_path(folder: Path, number: int) -> Path:
    """Return the file of a shard."""
    return folder / f"shard-{number:05d}.u8"


def write_shard(
    path: Path, parameters: Mapping[str, Any], images: Iterable[tuple[Record, np.ndarray | None]]
) -> Shard:
    """Publish a shard whole, picture by picture as they come; the records get their offsets here.

    A picture is uint8 [H, W, 3], which decides the cached sizes; a JPEG, uint8 [n], of the sizes that its
    record says; or None for an image that can't be used.
    """
    sha256, offset, records, syncs = hashlib.sha256(), 0, [], list[Future[None]]()
    with writer.publish_stream(path) as stream, ThreadPoolExecutor(1) as pool:
        for record, picture in images:
            if picture is None:
                records.append(record._replace(offset=0, cached_height=0, cached_width=0, length=0))
                continue
            height, width = (
                picture.shape[:2] if picture.ndim == 3 else (record.cached_height, record.cached_width)
            )
            records.append(record._replace(offset=offset, cached_height=height, cached_width=width))
            content = np.ascontiguousarray(picture).data.cast("B")
            sha256.update(content)
            stream.write(content)
            offset += len(content)
            if offset // SYNCED_BYTES > len(syncs):
                syncs.append(pool.submit(os.fsync, stream.fileno()))
        footer = json.dumps({"parameters": dict(parameters), "images": records}, sort_keys=True).encode()
        sha256.update(footer)
        stream.write(footer)
        stream.write(TRAILER.pack(len(footer), sha256.digest(), MAGIC))
        for sync in syncs:
            sync.result()
    return Shard(dict(parameters), records, sha256.hexdigest())


def shard_digest(path: Path) -> str | None:
    """Return the sha256 that a shard says of itself, or None where no whole shard is there."""
    found = _trailer(path)
    return found[1] if found else None


def read_shard(path: Path, check: bool = False) -> Shard | None:
    """Read a shard's footer, or None where no whole shard is there; `check` hashes its content as well."""
    found = _trailer(path)
    if found is None:
        return None
    start, digest, end = found
    if check and _content_sha256(path, end) != digest:
        return None
    with path.open("rb") as stream:
        stream.seek(start)
        content = stream.read(end - start)
    try:
        footer = json.loads(content)
        return Shard(footer["parameters"], [Record(*image) for image in footer["images"]], digest)
    except (ValueError, KeyError, TypeError):
        return None


def map_shard(path: Path) -> np.ndarray:
    """Map a shard's bytes into memory, uint8 [n], read-only; raises DataError where it isn't there."""
    try:
        with path.open("rb") as stream:
            return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read ({error}): python -m pipeline.prepare") from error


def _trailer(path: Path) -> tuple[int, str, int] | None:
    """Return where the footer starts, the sha256 of all before the trailer, and where that ends."""
    try:
        with path.open("rb") as stream:
            end = stream.seek(0, 2) - TRAILER.size
            if end < 0:
                return None
            stream.seek(end)
            length, digest, magic = TRAILER.unpack(stream.read(TRAILER.size))
    except OSError:
        return None
    return (end - length, digest.hex(), end) if magic == MAGIC and length <= end else None


def _content_sha256(path: Path, end: int) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as stream:
        while end > 0:
            piece = stream.read(min(end, PIECE_BYTES))
            if not piece:
                break
            sha256.update(piece)
            end -= len(piece)
    return sha256.hexdigest()
