"""The audit: every image is read once, in parallel, in bounded memory: its hash, size, problem and pixels."""

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2
import numpy as np

from pipeline.dataset.cache import Record, shrink
from pipeline.dataset.layouts.image_files import Roots
from pipeline.dataset.parcels import Parcel, new_slots, pack, slot_of, unpack
from pipeline.dataset.reader import ImageError, decode_cached, encode_cached, read_bytes, read_image
from pipeline.dataset.twins.phash import grey32, hash_of_grey
from pipeline.errors import ResourceError

T = TypeVar("T")
Looked = tuple[Record, np.ndarray | None, np.ndarray | None]
CHUNK_IMAGES = 16
CHUNKS_AHEAD = 4  # chunks a process that are read before their turn; more would only hold memory
_shared: dict[str, Any] = {}  # of a pool's process: where its results go
POOL_SECONDS = 3.0  # work that is left before other processes are started, which takes about half of it


def look(roots: Roots, parameters: Mapping[str, Any], path: str) -> Looked:
    """Read one image whole: its record, its picture as `cache.write_shard` takes it, what grouping sees.

    That is the `grey32` of the picture as it is cached, and so is the hash. A bad file has None for both.
    `path` is that of the table, to be found by `roots`; `parameters` are the survey's.
    """
    sha256, record = "", Record(path, "", 0, 0, 0, "", "", 0, 0, 0)
    try:
        root, name = roots.place(path)
        data = read_bytes(root, name)
        sha256 = hashlib.sha256(data).hexdigest()
        image = read_image(data, parameters["max_pixels"], name)
    except ImageError as error:
        return record._replace(sha256=sha256, problem=str(error)), None, None
    height, width = image.pixels.shape[:2]
    found = record._replace(sha256=sha256, width=width, height=height, note=image.note)
    picture = pixels = shrink(image.pixels, parameters["short_side"])
    if parameters["codec"] != "raw":
        height, width = pixels.shape[:2]
        picture = encode_cached(pixels)
        pixels = decode_cached(picture, height, width)
        found = found._replace(cached_height=height, cached_width=width, length=len(picture))
    grey = grey32(pixels)
    return found._replace(phash=hash_of_grey(grey)), picture, grey


def hash_file(roots: Roots, path: str) -> str:
    """Return the sha256 of a file's bytes, "" where it can't be read."""
    try:
        return hashlib.sha256(read_bytes(*roots.place(path))).hexdigest()
    except ImageError:
        return ""


def each_image(work: Callable[[str], T], paths: Sequence[str], workers: int) -> Generator[T]:
    """Yield `work(path)` in the order of `paths`, by `workers` processes (0: one a core), a few chunks ahead.

    `work` must be picklable. This process begins, and does it all where little is left after a few images.
    Raises ResourceError naming the images at hand when a process dies.
    """
    workers = workers or _cores()
    begun, spent = 0, 0.0
    while begun < len(paths) and (workers == 1 or _left(spent, begun, len(paths)) < POOL_SECONDS):
        started = time.monotonic()
        result = work(paths[begun])
        spent += time.monotonic() - started
        begun += 1
        yield result
    if begun < len(paths):
        yield from _in_pool(work, paths[begun:], workers)


def _left(spent: float, done: int, total: int) -> float:
    return spent / done * (total - done) if done >= CHUNK_IMAGES else 0.0


def _in_pool(work: Callable[[str], T], paths: Sequence[str], workers: int) -> Generator[T]:
    context, ahead = multiprocessing.get_context("spawn"), workers * CHUNKS_AHEAD
    slots = new_slots(ahead + 1, context)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (slots,))
    waiting: deque[tuple[Sequence[str], int, Future[Parcel]]] = deque()

    def oldest() -> list[T]:
        _, slot, future = waiting[0]
        results: list[T] = unpack(future.result(), slot_of(slots, slot))
        return results

    try:
        for i in range(0, len(paths), CHUNK_IMAGES):
            chunk, slot = paths[i : i + CHUNK_IMAGES], i // CHUNK_IMAGES % (ahead + 1)
            waiting.append((chunk, slot, pool.submit(_work_chunk, work, chunk, slot)))
            if len(waiting) > ahead:
                yield from oldest()
                waiting.popleft()
        while waiting:
            yield from oldest()
            waiting.popleft()
    except BrokenProcessPool as error:
        first, last = (waiting[0][0][0], waiting[0][0][-1]) if waiting else (paths[0], paths[-1])
        raise ResourceError(
            f"a process that reads images died (out of memory?), somewhere in {first} … {last}:"
            " run the same command again, with cache.workers=1 if it stays so."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _work_chunk(work: Callable[[str], T], chunk: Sequence[str], slot: int) -> Parcel:
    return pack([work(path) for path in chunk], slot_of(_shared["slots"], slot))


def _start_worker(slots: Any) -> None:
    _shared["slots"] = slots
    # Ctrl-C reaches every process of a terminal; only the first one may answer. A kill -9 of that one reaches
    # nobody else, and a pool's process would wait for ever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
