"""Small grey pictures of many images: what candidates for one picture are compared by."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.dataset.twins.phash import SIDE, hashes_of
from pipeline.dataset.twins.same_picture import INNER, agreement, likeness, slopes, smooth, turned_slopes

FLATTEST = 2.0  # grey levels of standard deviation below which a picture shows nothing that could be compared
CELL = 3  # pixels of a sketch's cell, few enough that an edge cropped off doesn't matter
CELLS = INNER // CELL
LEVELS = 127
PIECE_PAIRS = 256  # that fit a CPU's cache while they are compared


@dataclass(frozen=True)
class Pictures:
    """n pictures, 1.3 KB each.

    `grey` uint8 [n, 32, 32] is smoothed and runs from its darkest to its brightest, `span` float32 [n] grey
    levels; `sketch` int8 [n, 2, 10, 10] is its slopes in cells, none where it is flat. `middle` uint64 [n] is
    its hash without the outermost pixels, so 3.1 % cropped at each edge. Equal pictures, and no others, have
    an equal `name`, uint64 [n].
    """

    grey: np.ndarray
    span: np.ndarray
    sketch: np.ndarray
    middle: np.ndarray
    name: np.ndarray

    def put(self, rows: slice | np.ndarray, greys: Sequence[np.ndarray]) -> None:
        """Set the pictures of some rows to `grey32` ones; threads may set different rows."""
        read = np.stack(greys).astype(np.float32)
        smoothed = smooth(read)
        low, high = smoothed.min((1, 2)), smoothed.max((1, 2))
        span = np.maximum(high - low, 1e-6)
        cells = slopes(smoothed).reshape(-1, 2, CELLS, CELL, CELLS, CELL).mean((3, 5))
        shown = smoothed.std((1, 2)) >= FLATTEST
        self.grey[rows] = np.rint((smoothed - low[:, None, None]) * (255 / span)[:, None, None])
        self.span[rows] = span
        self.sketch[rows] = np.rint(cells * shown[:, None, None, None] * LEVELS)
        self.middle[rows] = hashes_of(read[:, 1:-1, 1:-1])
        self.name[rows] = [_name(grey) for grey in read]

    def flat(self) -> np.ndarray:
        """Tell which pictures show nothing: bool [n]."""
        return (self.sketch == 0).all((1, 2, 3))

    def agree(self, pairs: np.ndarray) -> np.ndarray:
        """Return how well sketches agree: float32 [m] for pairs int [m, 3 or more] of row, other row, way."""
        firsts, of = np.unique(pairs[:, 0], return_inverse=True)
        ways = turned_slopes(self.sketch[firsts]).astype(np.float32)
        others = self.sketch

        def compare(some: slice) -> np.ndarray:
            return agreement(ways[pairs[some, 2], of[some]], others[pairs[some, 1]].astype(np.float32))

        return _in_pieces(compare, len(pairs), 4 * PIECE_PAIRS)

    def fit(self, pairs: np.ndarray) -> np.ndarray:
        """Return the `likeness`, float32 [m], of pairs int [m, 3 or more] of row, other row, way."""

        def compare(some: slice) -> np.ndarray:
            ones, others = self._greys(pairs[some, 0]), self._greys(pairs[some, 1])
            return likeness(_turned(ones, pairs[some, 2]), others)

        return _in_pieces(compare, len(pairs), PIECE_PAIRS)

    def _greys(self, rows: np.ndarray) -> np.ndarray:
        return self.grey[rows] * (self.span[rows] / np.float32(255))[:, None, None]


def no_pictures(n: int) -> Pictures:
    """Make room for n pictures."""
    grey, sketch = np.zeros((n, SIDE, SIDE), np.uint8), np.zeros((n, 2, CELLS, CELLS), np.int8)
    return Pictures(grey, np.zeros(n, np.float32), sketch, np.zeros(n, np.uint64), np.zeros(n, np.uint64))


def _turned(greys: np.ndarray, ways: np.ndarray) -> np.ndarray:
    greys = np.where((ways & 4 > 0)[:, None, None], greys.swapaxes(1, 2), greys)
    greys = np.where((ways & 1 > 0)[:, None, None], greys[:, :, ::-1], greys)
    return np.where((ways & 2 > 0)[:, None, None], greys[:, ::-1], greys)


def _in_pieces(compare: Callable[[slice], np.ndarray], count: int, size: int) -> np.ndarray:
    pieces = [compare(slice(i, i + size)) for i in range(0, count, size)]
    return np.concatenate([np.empty(0, np.float32), *pieces])


def _name(grey: np.ndarray) -> int:
    return int.from_bytes(hashlib.blake2b(grey.tobytes(), digest_size=8).digest(), "little")
