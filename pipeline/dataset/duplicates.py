"""Which images show the same picture, so that no fold is scored on a twin of what it was trained on.

Groups are connected components of equal bytes, of the user's groups, and of near-duplicates: 64-bit DCT
hashes within 10 bits over the 8 flips and rotations, each pair verified on 32 × 32 grey.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

HASH_BITS = 10  # of 64 that may differ between near-duplicates
CORRELATION = 0.95  # that verified near-duplicates reach
LARGEST = 50  # pictures in a group; larger ones are more likely black frames and forms than one picture
SIDE = 32
CENTRE = 26  # pixels of the centre that is compared; the rest is room for shifts
SCALES = (
    1.0,
    0.97,
    1.03,
    0.94,
    1.06,
)  # of width and of height: either picture cropped by up to 3 % at each edge
HALVES = ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5))  # pixels
HOPELESS, UNLIKELY = 0.55, 0.8  # correlations, unscaled and scaled, below which nothing finer is tried
REFINED = 5  # pairs of scales that are tried at half pixels
FLATTEST = 2.0  # grey levels of standard deviation below which a picture shows nothing that could be compared
BLOCK_ROWS, BLOCK_COLUMNS = 16, 4096


@dataclass(frozen=True)
class Groups:
    """What `find_groups` found for n images.

    `group_of` and `picture_of` int64 [n], counted from 0 by first member; pictures ignore the user's groups.
    `exact` and `near` count the images whose bytes, or only whose picture, an earlier image has. `too_large`
    holds the rows of each set of near-duplicates that was too large to be merged.
    """

    group_of: np.ndarray
    picture_of: np.ndarray
    exact: int
    near: int
    too_large: list[list[int]]


def find_groups(
    sha256s: Sequence[str],
    user_groups: Sequence[str],
    phashes: np.ndarray,
    read_grey32: Callable[[int], np.ndarray],
) -> Groups:
    """Group images by bytes, by the user's groups ("" is none), and by picture.

    phashes uint64 [n] come from `perceptual_hash`; read_grey32(row) gives an image's `grey32`, and is asked
    for rows with a candidate only. Time grows with n²: 4 n² hashes are compared.
    """
    n = len(sha256s)
    by_bytes = _first_with_equal(sha256s, n)
    by_user = _first_with_equal(user_groups, n)
    near = near_pairs(np.asarray(phashes, np.uint64), by_bytes, read_grey32)
    copies = list(enumerate(by_bytes))
    units = components(n, [*copies, *enumerate(by_user)])
    near, too_large = _without_large(near, units)
    picture_of = components(n, [*copies, *near])
    group_of = components(n, [*copies, *enumerate(by_user), *near])
    exact = n - len(set(by_bytes))
    return Groups(group_of, picture_of, exact, n - int(picture_of.max(initial=-1)) - 1 - exact, too_large)


def grey32(rgb: np.ndarray) -> np.ndarray:
    """Shrink a picture, uint8 [H, W, 3], to what hashes and comparisons see: float32 [32, 32], 0 to 255."""
    import cv2

    small = cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def perceptual_hash(rgb: np.ndarray) -> int:
    """Hash what a picture, uint8 [H, W, 3], looks like: the signs of 64 low frequencies of its DCT.

    Frequency (8, 8) stands in for the mean. Flips and quarter turns change the hash in a known way
    (`turned_hashes`). After Zauner, "Implementation and benchmarking of perceptual hash functions" (2010).

    >>> half = np.zeros((40, 60, 3), np.uint8)
    >>> half[:, 30:] = 255
    >>> f"{perceptual_hash(half):016x}"
    '1100000000000000'
    """
    return hash_of_grey(grey32(rgb))


def hash_of_grey(grey: np.ndarray) -> int:
    """Hash a `grey32` picture: bit 63 − (8u + v) is the sign of vertical frequency u, horizontal v."""
    signs = (COSINES @ grey @ COSINES.T) > 1e-3
    bits = signs[:8, :8].copy()
    bits[0, 0] = signs[8, 8]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def turned_hashes(phashes: np.ndarray) -> np.ndarray:
    """Return the hashes, uint64 [8, n], of the pictures turned in all 8 ways, in the order of `turned`.

    A flip changes the sign of the odd frequencies, a transposition swaps the two directions.
    """
    octets = np.asarray(phashes, ">u8").reshape(-1, 1).view(np.uint8)
    swapped = np.unpackbits(octets, axis=1).reshape(-1, 8, 8).swapaxes(1, 2).reshape(-1, 64)
    transposed = np.packbits(swapped, axis=1).view(">u8").astype(np.uint64).reshape(-1)
    horizontal, vertical = np.uint64(0x5555555555555555), np.uint64(0x00FF00FF00FF00FF)
    masks = (np.uint64(0), horizontal, vertical, horizontal ^ vertical)
    return np.stack([base ^ mask for base in (np.asarray(phashes, np.uint64), transposed) for mask in masks])


def turned(grey: np.ndarray, way: int) -> np.ndarray:
    """Turn a picture [H, W] in one of 8 ways: bit 2 transposes, then bit 0 flips it sideways, bit 1 over."""
    grey = grey.T if way & 4 else grey
    return np.ascontiguousarray(grey[:: -1 if way & 2 else 1, :: -1 if way & 1 else 1])


def near_pairs(
    phashes: np.ndarray, by_bytes: Sequence[int], read_grey32: Callable[[int], np.ndarray]
) -> list[tuple[int, int]]:
    """Return verified pairs of near-duplicates, enough to connect them; exact copies count as one image."""
    rows = np.unique(np.asarray(by_bytes, np.int64))
    greys: dict[int, np.ndarray] = {}
    parent = list(range(len(phashes)))
    pairs = []
    for first, second, way in _candidates(phashes[rows]):
        one, other = int(rows[first]), int(rows[second])
        if _root(parent, one) == _root(parent, other):
            continue
        for row in (one, other):
            if row not in greys:
                greys[row] = np.asarray(read_grey32(row), np.float32)
        if same_picture(turned(greys[one], way), greys[other]):
            parent[_root(parent, one)] = _root(parent, other)
            pairs.append((one, other))
    return pairs


def same_picture(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two `grey32` pictures, turned alike, are the same but for brightness, a shift and a scale.

    The centre of `one` is looked for in `other`, which is scaled by up to 6 % either way: normalised
    correlation of at least .95 within 3 pixels; where that comes close, half pixels are tried as well.
    """
    margin = (SIDE - CENTRE) // 2
    centre = np.ascontiguousarray(one[margin : margin + CENTRE, margin : margin + CENTRE])
    if centre.std() < FLATTEST or other.std() < FLATTEST or _likeness(centre, other, (1.0, 1.0)) < HOPELESS:
        return False
    likeness = {scales: _likeness(centre, other, scales) for scales in product(SCALES, SCALES)}
    best = sorted(likeness, key=likeness.__getitem__, reverse=True)[:REFINED]
    if likeness[best[0]] >= CORRELATION or likeness[best[0]] < UNLIKELY:
        return likeness[best[0]] >= CORRELATION
    return any(_likeness(centre, other, *tried) >= CORRELATION for tried in product(best, HALVES))


def _likeness(
    centre: np.ndarray, other: np.ndarray, scales: tuple[float, float], offset: tuple[float, float] = (0, 0)
) -> float:
    """Return the best correlation of a centre with a picture scaled about its middle, over all shifts."""
    import cv2

    middle = (SIDE - 1) / 2
    rows = [
        [scales[0], 0, middle * (1 - scales[0]) + offset[0]],
        [0, scales[1], middle * (1 - scales[1]) + offset[1]],
    ]
    moved = cv2.warpAffine(
        other, np.array(rows), (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return float(cv2.matchTemplate(moved, centre, cv2.TM_CCOEFF_NORMED).max())


def components(n: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Number the connected components of n images from pairs of them: int64 [n], counted by first member.

    >>> components(5, [(1, 3), (3, 4)])
    array([0, 1, 2, 1, 1])
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.asarray(pairs, np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(n, n))
    _, found, names = np.unique(
        connected_components(graph, directed=False)[1], return_index=True, return_inverse=True
    )
    order = np.empty(len(found), np.int64)
    order[np.argsort(found)] = np.arange(len(found))
    return order[names]


def _candidates(phashes: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield (row, later row, way to turn the first) of close hashes, in blocks that fit a CPU's cache."""
    ways = turned_hashes(phashes)
    n = len(phashes)
    for start in range(0, n, BLOCK_ROWS):
        for left in range(start, n, BLOCK_COLUMNS):
            columns = phashes[left : left + BLOCK_COLUMNS]
            for way in range(8):
                block = ways[way, start : start + BLOCK_ROWS, None] ^ columns
                bits = np.bitwise_count(block)
                if bits.min() > HASH_BITS:
                    continue
                for row, column in np.argwhere(bits <= HASH_BITS).tolist():
                    if start + row < left + column:
                        yield start + row, left + column, way


def _without_large(
    near: Sequence[tuple[int, int]], units: np.ndarray
) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """Drop the pairs that would join more than LARGEST units (sets that are one for another reason)."""
    joined = components(int(units.max(initial=-1)) + 1, [(int(units[a]), int(units[b])) for a, b in near])
    large = np.flatnonzero(np.bincount(joined) > LARGEST) if len(joined) else np.empty(0, np.int64)
    kept = [pair for pair in near if joined[units[pair[0]]] not in large]
    return kept, [np.flatnonzero(joined[units] == name).tolist() for name in large]


def _first_with_equal(values: Sequence[str], n: int) -> list[int]:
    first: dict[str, int] = {}
    return [first.setdefault(values[row], row) if values[row] else row for row in range(n)]


def _root(parent: list[int], row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row


def _cosines() -> np.ndarray:
    angle = np.pi * np.outer(np.arange(9), np.arange(SIDE) + 0.5) / SIDE
    return np.cos(angle).astype(np.float32)


COSINES = _cosines()
