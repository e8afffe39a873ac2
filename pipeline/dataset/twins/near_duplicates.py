"""Pairs of near-duplicates among many images: close hashes, then sketches, then pictures that are fitted.

Each step sees only what the one before let through, and no image brings more than a fixed number of pairs to
any: 20,000 dark frames or a form that was scanned 5,000 times take minutes, not days.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from pipeline import interrupt
from pipeline.dataset.twins.close_hashes import Index, close_hashes, index_hashes
from pipeline.dataset.twins.pictures import Pictures, no_pictures
from pipeline.errors import Interrupted

HASH_BITS = 10  # of 64 that may differ between near-duplicates
SKETCH = 0.75  # agreement of sketches, as they lie, below which nothing is fitted
LIKENESS = 0.88  # of fitted pictures that are the same one
ALIKE = 50  # images of one hash that are compared with all others; further ones are compared with these
CLOSEST = 1000  # images, by hash, whose sketches an image is compared with, as it is and cropped
FITTED = 20  # of these, by sketch, that are fitted to it
CHUNK_ROWS = 512
INDEXED_ROWS, INDICES = 8192, 16  # an index of what is left is made after so many rows, at most so often
ROUND_PAIRS = 8192
BACK = np.array([0, 1, 2, 3, 4, 6, 5, 7])  # the way back from each way of turning a picture

Progress = Callable[[float, str], None]
Likely = tuple[np.ndarray, np.ndarray]  # pairs int64 [m, 3] of row, other row, way; agreement float32 [m]
NONE: Likely = (np.empty((0, 3), np.int64), np.empty(0, np.float32))
T = TypeVar("T")


def near_pairs(
    hashes: np.ndarray,
    read_grey32: Callable[[int], np.ndarray],
    workers: int = 0,
    progress: Progress | None = None,
    known: tuple[Pictures, np.ndarray] | None = None,
) -> np.ndarray:
    """Return pairs of images that show one picture, enough to connect them: int64 [m, 2].

    hashes uint64 [n]; read_grey32(row) gives an image's `grey32` and is called once for each, by `workers`
    threads (0: one a core), unless its picture is one of those that are known: n pictures and the rows of
    these that are not, which are put there. Needs 1.4 KB an image and, where most are alike, up to 3 KB more,
    and 0.2 GB a thread. The sets that the pairs connect don't depend on the threads. Raises Interrupted at a
    signal.
    """
    n, workers = len(hashes), workers or _cores()
    tell = progress or (lambda _share, _text: None)
    with ThreadPoolExecutor(workers) as pool:
        pictures, unread = known or (no_pictures(n), np.arange(n))
        for share, _ in _in_order(pool, _reading(pictures, unread, read_grey32), workers):
            tell(0.2 * share, f"duplicates: {n:,} pictures read")
        equal, searched, further = _settled(hashes, pictures)
        found = [NONE]
        for share, likely in _in_order(pool, _searching(hashes, pictures, searched, further), workers):
            found.append(likely)
            tell(0.2 + 0.7 * share, f"duplicates: {n:,} pictures compared")
        verified = _verified(_best_first(*_joined(found)), equal, pictures, pool, workers, tell)
    return np.concatenate([equal, verified])


def labels(n: int, pairs: np.ndarray) -> np.ndarray:
    """Label the connected components of n images from pairs int [m, 2] of them: int32 [n]."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _reading(
    pictures: Pictures, rows: np.ndarray, read_grey32: Callable[[int], np.ndarray]
) -> Iterator[tuple[float, Callable[[], None]]]:
    def read(some: np.ndarray) -> None:
        pictures.put(some, [read_grey32(row) for row in some.tolist()])

    for first in range(0, len(rows), CHUNK_ROWS):
        some = rows[first : first + CHUNK_ROWS]
        yield (first + len(some)) / len(rows), partial(read, some)


def _settled(hashes: np.ndarray, pictures: Pictures) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Settle what needs no search: pairs [m, 2] of equal pictures; rows to search; pairs [m, 3] of the rest.

    Of equal pictures only the first is searched for, of flat ones none: they could be anything.
    """
    n = len(hashes)
    _, first, of = np.unique(pictures.name, return_index=True, return_inverse=True)
    original = first[of]
    copies = original != np.arange(n)
    equal = np.stack([original, np.arange(n)], 1)[copies]
    left = np.argsort(hashes, kind="stable")
    left = left[~(copies | pictures.flat())[left]]
    _, begins, counts = np.unique(hashes[left], return_index=True, return_counts=True)
    begin = np.repeat(begins, counts)
    rank = np.arange(len(left)) - begin
    behind = np.flatnonzero(rank >= ALIKE)
    ahead = left[begin[behind, None] + np.arange(ALIKE)].ravel()
    further = np.stack([np.repeat(left[behind], ALIKE), ahead, np.zeros_like(ahead)], 1)
    return equal, np.sort(left[rank < ALIKE]), further


class Search(NamedTuple):
    """The images that are searched: `rows` int64 [m] of all, `hashes` uint64 [m], and an index of these."""

    pictures: Pictures
    rows: np.ndarray
    hashes: np.ndarray
    every: Index


def _searching(
    hashes: np.ndarray, pictures: Pictures, rows: np.ndarray, further: np.ndarray
) -> Iterator[tuple[float, Callable[[], Likely]]]:
    """Yield the share of the search that is done with each task, and the task."""
    for i in range(0, len(further), CHUNK_ROWS * ALIKE):
        yield 0.0, partial(_likely, pictures, further[i : i + CHUNK_ROWS * ALIKE])
    m, own = len(rows), hashes[rows]
    search = Search(pictures, rows, own, index_hashes(own))
    block = max(INDEXED_ROWS, -(-m // INDICES))
    for start in range(0, m, block):
        later = index_hashes(own[start:])
        for first in range(start, min(start + block, m), CHUNK_ROWS):
            last = min(first + CHUNK_ROWS, start + block, m)
            yield last / m, partial(_chunk, search, later, start, first, last)


def _chunk(search: Search, later: Index, start: int, first: int, last: int) -> Likely:
    """Compare images with those from `start` on, and each, cropped, with all."""
    cropped = search.pictures.middle[search.rows[first:last]]
    found = [NONE]
    for index, begin, hashes in ((later, start, search.hashes[first:last]), (search.every, 0, cropped)):
        for close in close_hashes(index, hashes, HASH_BITS):
            pairs = close + np.array([first, begin, 0, 0])
            pairs = pairs[pairs[:, 0] != pairs[:, 1]]
            pairs = pairs[_best(pairs[:, 0], pairs[:, 3], CLOSEST)]
            pairs = np.stack([search.rows[pairs[:, 0]], search.rows[pairs[:, 1]], pairs[:, 2]], 1)
            found.append(_likely(search.pictures, pairs))
    return _joined(found)


def _likely(pictures: Pictures, pairs: np.ndarray) -> Likely:
    """Return those of the pairs [m, 3], sorted by their first rows, that are worth a fit."""
    agreed = pictures.agree(pairs)
    likely = np.flatnonzero(agreed >= SKETCH)
    likely = likely[_best(pairs[likely, 0], -agreed[likely], FITTED)]
    return pairs[likely], agreed[likely]


def _joined(found: Iterable[Likely]) -> Likely:
    pairs, agreed = zip(*found, strict=True)
    return np.concatenate(pairs), np.concatenate(agreed)


def _best(rows: np.ndarray, cost: np.ndarray, limit: int) -> np.ndarray:
    """Return the places, in order, of the `limit` cheapest entries of each row; rows are sorted.

    >>> _best(np.array([4, 4, 4, 7]), np.array([2, 1, 2, 9]), 2)
    array([0, 1, 3])
    """
    begins = np.flatnonzero(np.concatenate([rows[:1] >= 0, rows[1:] != rows[:-1]]))
    counts = np.diff(begins, append=len(rows))
    if counts.max(initial=0) <= limit:
        return np.arange(len(rows))
    rank = np.arange(len(rows)) - np.repeat(begins, counts)
    return np.sort(np.lexsort((cost, rows))[rank < limit])


def _best_first(pairs: np.ndarray, agreed: np.ndarray) -> np.ndarray:
    """Return each pair [m, 3] once, the earlier row first, sorted by falling agreement [m].

    >>> _best_first(np.array([[0, 3, 2], [7, 5, 5], [5, 7, 6]]), np.array([0.8, 0.9, 0.9])).tolist()
    [[5, 7, 6], [0, 3, 2]]
    """
    way = np.where(pairs[:, 0] > pairs[:, 1], BACK[pairs[:, 2]], pairs[:, 2])
    pairs = np.stack([pairs[:, :2].min(1), pairs[:, :2].max(1), way], 1)
    code = (pairs[:, 0] << 34) + (pairs[:, 1] << 3) + way
    _, place = np.unique(code, return_index=True)
    return pairs[place[np.argsort(-agreed[place], kind="stable")]]


def _verified(
    likely: np.ndarray,
    equal: np.ndarray,
    pictures: Pictures,
    pool: ThreadPoolExecutor,
    workers: int,
    tell: Progress,
) -> np.ndarray:
    """Return those of the pairs [m, 3] that are one picture, int64 [k, 2]; what is connected is left out."""
    n, total = len(pictures.grey), len(likely)
    found = [equal]
    size = max(ROUND_PAIRS, n // 8)
    for i in range(0, total, size):
        _stop_if_asked()
        label = labels(n, np.concatenate(found))
        some = likely[i : i + size]
        some = some[label[some[:, 0]] != label[some[:, 1]]]
        alike = np.concatenate(list(pool.map(pictures.fit, np.array_split(some, workers))))
        found.append(some[alike >= LIKENESS, :2])
        tell(0.9 + 0.1 * min(1.0, (i + size) / total), f"duplicates: {total:,} likely pairs fitted")
    return np.concatenate([equal[:0], *found[1:]])


def _in_order(
    pool: ThreadPoolExecutor, tasks: Iterable[tuple[float, Callable[[], T]]], workers: int
) -> Iterator[tuple[float, T]]:
    """Yield what each task came with and what it returns, in order; few are under way at any time."""
    waiting: deque[tuple[float, Future[T]]] = deque()
    try:
        for share, task in tasks:
            waiting.append((share, pool.submit(task)))
            if len(waiting) > 2 * workers:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    finally:
        for _, future in waiting:
            future.cancel()


def _first(waiting: deque[tuple[float, Future[T]]]) -> tuple[float, T]:
    _stop_if_asked()
    share, future = waiting.popleft()
    return share, future.result()


def _stop_if_asked() -> None:
    number = interrupt.requested()
    if number is not None:
        raise Interrupted("stopped at the duplicates: the same command looks for them anew.", number)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
