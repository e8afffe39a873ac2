"""Which 64-bit hashes lie within a few bits of others over all 8 flips and turns: exactly, not by trying all.

The bits fall into four classes by the parity of both frequencies, 16 bits each. A flip complements two of the
last three classes and leaves the rest, so hashes that differ by at most `reach` bits differ by at most
(reach − c) // 4 in some class c, but for its complement. These few are looked up and compared whole. After
Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing" (CVPR 2012).
"""

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np

from pipeline.dataset.twins.phash import FLIPS, turned_hashes

CLASSES = 4
CLASS_BITS = np.array([0xAA00AA00AA00AA00, 0x5500550055005500, 0xAA00AA00AA00AA, 0x55005500550055], np.uint64)
# the flips, of those in FLIPS, that complement each class
COMPLEMENTED = ((), (1, 3), (2, 3), (1, 2))
BATCH_PAIRS = 1 << 21  # that are found for some hashes before others are looked up
PIECE_PAIRS = 1 << 18  # that are compared at a time, some 30 bytes each


class Index(NamedTuple):
    """n hashes sorted by the word of each class: `rows` int32 and `hashes` uint64 [4, n].

    Those with word w of class c are from `begins[c, w]` to `begins[c, w + 1]`, int64 [4, 65537].
    """

    rows: np.ndarray
    hashes: np.ndarray
    begins: np.ndarray


def index_hashes(hashes: np.ndarray) -> Index:
    """Sort hashes, uint64 [n], for `close_hashes`."""
    words = _words(hashes)
    rows = np.argsort(words.astype(np.uint16), axis=1, kind="stable").astype(np.int32)
    counts = np.stack([np.bincount(word, minlength=1 << 16) for word in words])
    begins = np.concatenate([np.zeros((CLASSES, 1), np.int64), counts.cumsum(1)], 1)
    return Index(rows, hashes[rows], begins)


class Lookup(NamedTuple):
    """The words of a class that are wanted for each of k hashes: where the index has them, and how often."""

    hashes: np.ndarray  # uint64 [k], transposed or not
    ways: list[int]  # in which a hash may be turned, if a word is found
    of: int  # the class
    begin: np.ndarray  # int64 [k, m]
    many: np.ndarray  # int64 [k, m]


def close_hashes(index: Index, hashes: np.ndarray, reach: int) -> Iterator[np.ndarray]:
    """Find the rows of the index that hashes, uint64 [k], are close to once they are turned.

    Yields int64 [m, 4]: place among `hashes`, row of the index, way to turn the former, bits that differ, at
    most `reach`; each once, sorted by the first three, all of a place together.
    """
    lookups = list(_lookups(index, hashes, reach))
    ends = np.sum([lookup.many.sum(1) for lookup in lookups], 0).cumsum()
    for first, last in _runs(ends, BATCH_PAIRS):
        found = [close for lookup in lookups for close in _compared(index, lookup, first, last, reach)]
        every = np.concatenate([np.empty((0, 4), np.int64), *found])
        yield every[np.argsort((every[:, 0] * index.rows.shape[1] + every[:, 1]) * 8 + every[:, 2])]


def _lookups(index: Index, hashes: np.ndarray, reach: int) -> Iterator[Lookup]:
    for base, turned in ((0, hashes), (4, turned_hashes(hashes)[4])):
        for c, words in enumerate(_words(turned)):
            kept = [flip for flip in range(4) if flip not in COMPLEMENTED[c]]
            for complement, flips in ((0, kept), (0xFFFF, COMPLEMENTED[c]))[: 2 if c else 1]:
                wanted = words[:, None] ^ complement ^ _masks((reach - c) // 4)
                begin = index.begins[c][wanted]
                many = index.begins[c][1:][wanted] - begin
                yield Lookup(turned, [base + flip for flip in flips], c, begin, many)


def _compared(index: Index, lookup: Lookup, first: int, last: int, reach: int) -> Iterator[np.ndarray]:
    """Yield what is close to the hashes from `first` to `last` and isn't found in a class before."""
    flips = [np.uint64(FLIPS[way % 4]) for way in lookup.ways]
    turned = lookup.hashes[first:last] ^ flips[0]
    masks = [flip ^ flips[0] for flip in flips]
    for some, ends, at in _positions(lookup.begin[first:last], lookup.many[first:last]):
        different = index.hashes[lookup.of].take(at)
        begin = 0
        for one, end in zip(turned[some], ends.tolist(), strict=True):
            np.bitwise_xor(different[begin:end], one, out=different[begin:end])
            begin = end
        fewest = np.bitwise_count(different)
        for mask in masks[1:]:
            np.minimum(fewest, np.bitwise_count(different ^ mask), out=fewest)
        hit = np.flatnonzero(fewest <= reach)
        for way, mask in zip(lookup.ways, masks, strict=True):
            left = different[hit] ^ mask
            new = np.bitwise_count(left) <= reach
            for c in range(lookup.of):
                new &= np.bitwise_count(left & CLASS_BITS[c]) > (reach - c) // 4
            near = hit[new]
            places = first + some.start + np.searchsorted(ends, near, side="right")
            rows = index.rows[lookup.of][at[near]]
            bits = np.bitwise_count(left[new])
            yield np.stack([places, rows, np.full(len(near), way), bits], 1, dtype=np.int64)


def _positions(begin: np.ndarray, count: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield, piece by piece, where the index has the wanted words [k, m] of some hashes.

    A piece is a slice of the k, where each one's positions end, and the positions, int64.
    """
    for low, high in _runs(count.sum(1).cumsum(), PIECE_PAIRS):
        sizes, origin = count[low:high].ravel(), begin[low:high].ravel()
        filled = np.flatnonzero(sizes)
        if len(filled):
            sizes, origin = sizes[filled], origin[filled]
            stops = sizes.cumsum()
            at = np.repeat(origin - stops + sizes, sizes)
            at += np.arange(len(at))
            yield slice(low, high), count[low:high].sum(1).cumsum(), at


def _runs(ends: np.ndarray, size: int) -> list[tuple[int, int]]:
    """Cut rows, whose sizes add up to `ends`, into runs of about `size`.

    >>> _runs(np.array([3, 5, 9, 10]), 5)
    [(0, 2), (2, 4)]
    """
    goals = np.arange(size, ends[-1] + size, size)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(ends, goals, side="right"), [len(ends)]]))
    return list(pairwise(cuts.tolist()))


def _words(hashes: np.ndarray) -> np.ndarray:
    """Return the bits of each class, int32 [4, n], 0 to 65535."""
    octets = np.asarray(hashes, ">u8").reshape(-1, 1).view(np.uint8)
    bits = np.unpackbits(octets, axis=1).reshape(-1, 4, 2, 4, 2).transpose(2, 4, 0, 1, 3)
    packed = np.packbits(bits.reshape(CLASSES, -1, 16), axis=2).astype(np.int32)
    return packed[..., 0] << 8 | packed[..., 1]


def _masks(near: int) -> np.ndarray:
    """Return all words with at most `near` bits: int32 [m].

    >>> len(_masks(2))
    137
    """
    chosen = [bits for count in range(near + 1) for bits in combinations(range(16), count)]
    return np.array([sum(1 << bit for bit in bits) for bits in chosen], np.int32)
