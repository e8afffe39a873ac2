"""Filling the cache: shards that are right stay, the others are written from old pixels and new looks."""

import contextlib
import functools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from pipeline import interrupt, terminal
from pipeline.artifacts import writer
from pipeline.dataset import cache
from pipeline.dataset.audit import Looked, each_image, hash_file, look
from pipeline.dataset.cache import SHARD_IMAGES, Record, Shard
from pipeline.dataset.survey import Survey, known_hashes
from pipeline.dataset.twins.album import Album
from pipeline.errors import Interrupted

T = TypeVar("T")
Found = tuple[Record, np.ndarray | None]
SAMPLED, MANY = 32, 1000  # for many images the cache's size is estimated from a sample of them


class Place(NamedTuple):
    """An image that is cached, or is known to be none: its record, and the shard with its pixels."""

    record: Record
    shard: int


def fill_shards(now: Survey, workers: int, verify: bool, album: Album) -> list[Shard]:
    """Make the folder's shards hold exactly the survey's rows, in order, and return what they hold.

    Each shard is published whole, so a kill costs one. What an earlier run cached is copied, not decoded,
    where the file's sha256 is the same; `verify` hashes every file and every shard. What is read goes into
    the album too. Memory is bounded but for that.
    """
    old = _old_shards(now, verify)
    places = _reusable(now, old, workers, verify)
    shards: list[Shard | None] = []
    ranges = [range(i, min(i + SHARD_IMAGES, len(places))) for i in range(0, len(places), SHARD_IMAGES)]
    for number, rows in enumerate(ranges):
        held = [place.record for place in places[rows.start : rows.stop] if place is not None]
        shards.append(old[number] if number in old and held == old[number].records else None)
    written = [rows for rows, shard in zip(ranges, shards, strict=True) if shard is None]
    paths = now.rows["path"].tolist()
    unseen = [paths[row] for rows in written for row in rows if places[row] is None]
    seen = [place for rows in written for row in rows if (place := places[row]) is not None]
    if written:
        _require_space(now, seen, unseen)
    work = functools.partial(look, now.table.roots, now.parameters)
    with _in_turn(work, unseen, workers, "read") as looked:
        fresh, maps = _noted(looked, album), dict[int, np.ndarray]()
        for number, rows in enumerate(ranges):
            if shards[number] is None:
                images = (
                    _copy(now.folder, place, maps) if (place := places[row]) else next(fresh) for row in rows
                )
                path = cache.shard_path(now.folder, number)
                shards[number] = cache.write_shard(path, now.parameters, images)
    current = {cache.shard_path(now.folder, number) for number in range(len(ranges))}
    for path in set(now.folder.glob("shard-*.u8*")) - current:
        writer.remove(path)
    return [shard for shard in shards if shard is not None]


def decide_codec(now: Survey) -> Survey:
    """Decide on a codec that is "auto", and say why: raw where twice its size is free, else JPEG."""
    if now.parameters["codec"] != "auto":
        return now
    chosen = {codec: replace(now, parameters={**now.parameters, "codec": codec}) for codec in ("raw", "jpeg")}
    paths = [path for path in now.rows["path"] if path]
    needed = _picture_bytes(chosen["raw"], paths) * len(paths)
    free = shutil.disk_usage(now.folder).free
    sizes = f"they take {needed / 1e9:,.2f} GB, {free / 1e9:,.2f} GB are free"
    if free >= 2 * needed:
        terminal.stage("prepare", f"the cache holds raw pixels: {sizes}")
        return chosen["raw"]
    terminal.stage(
        "prepare",
        f"the cache holds JPEGs of quality 95, since raw pixels need twice their size free: {sizes}",
    )
    return chosen["jpeg"]


def _old_shards(now: Survey, verify: bool) -> dict[int, Shard]:
    found = {}
    paths = sorted(now.folder.glob("shard-?????.u8"))
    with terminal.progress("prepare") as line:
        for count, path in enumerate(paths):
            _stop_if_asked()
            line.update(count / len(paths), f"{count:,} of {len(paths):,} shards checked")
            shard = cache.read_shard(path, check=verify)
            if shard is not None and shard.parameters == now.parameters:
                found[int(path.stem[-5:])] = shard
    return found


def _reusable(now: Survey, old: dict[int, Shard], workers: int, verify: bool) -> list[Place | None]:
    """Return where each row's image is already, None for the rows whose files must be read whole."""
    anywhere = {record.path: Place(record, k) for k, shard in old.items() for record in shard.records}
    places: list[Place | None] = []
    for row, (path, wanted) in enumerate(now.rows[["path", "expected"]].itertuples(index=False)):
        number, position = divmod(row, SHARD_IMAGES)
        records = old[number].records if number in old else []
        if path == "":
            places.append(Place(Record("", "", 0, 0, 0, f"no file: {wanted}", "", 0, 0, 0), -1))
        elif position < len(records) and records[position].path == path:
            places.append(Place(records[position], number))
        else:
            places.append(anywhere.get(path))
    hashes = [""] * len(places) if verify else known_hashes(now)
    unsure = [row for row, place in enumerate(places) if place and place.shard >= 0 and not hashes[row]]
    paths = now.rows["path"].tolist()
    with _in_turn(
        functools.partial(hash_file, now.table.roots), [paths[row] for row in unsure], workers, "checked"
    ) as found:
        for row, sha256 in zip(unsure, found, strict=True):
            hashes[row] = sha256
    return [
        place if place and (place.shard < 0 or place.record.sha256 == sha256 != "") else None
        for place, sha256 in zip(places, hashes, strict=True)
    ]


def _noted(looked: Iterator[Looked], album: Album) -> Iterator[Found]:
    for record, picture, grey in looked:
        if grey is not None:
            album.add(record.sha256, grey)
        yield record, picture


def _copy(folder: Path, place: Place, maps: dict[int, np.ndarray]) -> Found:
    record = place.record
    if record.problem:
        return record, None
    if place.shard not in maps:
        # Held until the end: a shard that is replaced meanwhile stays readable through its map.
        maps[place.shard] = cache.map_shard(cache.shard_path(folder, place.shard))
    picture = maps[place.shard][record.offset : record.offset + record.bytes]
    return record, picture if record.length else picture.reshape(record.cached_height, record.cached_width, 3)


@contextlib.contextmanager
def _in_turn(
    work: Callable[[str], T], paths: Sequence[str], workers: int, done: str
) -> Iterator[Iterator[T]]:
    """Give an iterator over the results of `work`, with progress; stops at a signal, with what is on disk."""
    started = time.monotonic()

    def counted(line: terminal.Line) -> Iterator[T]:
        for count, item in enumerate(results, 1):
            _stop_if_asked()
            rate = count / (time.monotonic() - started)
            left = terminal.duration((len(paths) - count) / rate)
            text = f"{count:,} of {len(paths):,} images {done}, {rate:,.0f}/s, {left} left"
            line.update(count / len(paths), text)
            yield item

    with (
        contextlib.closing(each_image(work, paths, workers)) as results,
        terminal.progress("prepare") as line,
    ):
        yield counted(line)


def _stop_if_asked() -> None:
    number = interrupt.requested()
    if number is not None:
        raise Interrupted("stopped: the same command goes on with the images that are left.", number)


def _require_space(now: Survey, seen: Sequence[Place], unseen: Sequence[str]) -> None:
    needed = sum(place.record.bytes for place in seen) + _picture_bytes(now, unseen) * len(unseen)
    what = f"the cache of {len(now.rows):,} decoded images"
    if now.parameters["codec"] == "raw":
        what += " (some sixth of it with cache.codec=jpeg)"
    writer.require_space(now.folder, int(needed * 1.1), what)


def _picture_bytes(now: Survey, paths: Sequence[str]) -> float:
    """Return what a picture takes in the cache: the mean of a sample; of few the raw bytes of a 4:3 one."""
    if len(paths) <= MANY:
        return now.parameters["short_side"] ** 2 * 3 * 4 / 3
    found = [look(now.table.roots, now.parameters, path)[1] for path in paths[:: len(paths) // SAMPLED]]
    return sum(picture.nbytes for picture in found if picture is not None) / len(found)
