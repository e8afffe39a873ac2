"""Which images show the same picture, so that no fold is scored on a twin of what it was trained on.

Groups are connected components of equal bytes, of the user's groups, of equal and of nearly equal pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.dataset.twins.album import Album
from pipeline.dataset.twins.near_duplicates import Progress, labels, near_pairs
from pipeline.dataset.twins.phash import grey32, hash_of_grey, perceptual_hash, turned_hashes

__all__ = ["Groups", "find_groups", "grey32", "hash_of_grey", "perceptual_hash", "turned_hashes"]

LARGEST = 50  # pictures in a group; larger ones are more likely black frames and forms than one picture


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
    *,
    workers: int = 0,
    progress: Progress | None = None,
    album: Album | None = None,
) -> Groups:
    """Group images by bytes, by the user's groups ("" is none), and by picture.

    phashes uint64 [n] come from `perceptual_hash`; read_grey32(row) gives an image's `grey32`, and is asked
    once for each file that isn't in the album, by `workers` threads (0: one a core), which change no result.
    The album then holds the pictures of these files. progress(share done, text) is called as it goes. Raises
    Interrupted at a signal.
    """
    n = len(sha256s)
    by_bytes = _first_with_equal(sha256s)
    by_user = _first_with_equal(user_groups)
    copies, users = (np.stack([np.arange(n), first], 1) for first in (by_bytes, by_user))
    files = np.unique(by_bytes)
    hashes = np.asarray(phashes, np.uint64)[files]
    known = album.arrange([sha256s[row] for row in files]) if album else None
    found = near_pairs(hashes, lambda row: read_grey32(int(files[row])), workers, progress, known)
    near, too_large = _without_large(files[found], components(n, np.concatenate([copies, users])))
    picture_of = components(n, np.concatenate([copies, near]))
    group_of = components(n, np.concatenate([copies, users, near]))
    exact = n - len(files)
    return Groups(group_of, picture_of, exact, n - int(picture_of.max(initial=-1)) - 1 - exact, too_large)


def components(n: int, pairs: np.ndarray) -> np.ndarray:
    """Number the connected components of n images from pairs int [m, 2] of them: int64 [n], by first member.

    >>> components(5, np.array([[1, 3], [3, 4]]))
    array([0, 1, 2, 1, 1])
    """
    _, found, names = np.unique(labels(n, pairs), return_index=True, return_inverse=True)
    order = np.empty(len(found), np.int64)
    order[np.argsort(found)] = np.arange(len(found))
    return order[names]


def _without_large(near: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """Drop the pairs that would join more than LARGEST units (sets that are one for another reason)."""
    joined = components(int(units.max(initial=-1)) + 1, units[near])
    large = np.bincount(joined) > LARGEST if len(joined) else np.zeros(0, bool)
    set_of = joined[units]
    kept = near[~large[set_of[near[:, 0]]]]
    return kept, [np.flatnonzero(set_of == name).tolist() for name in np.flatnonzero(large)]


def _first_with_equal(values: Sequence[str]) -> np.ndarray:
    first: dict[str, int] = {}
    return np.array([first.setdefault(value, row) if value else row for row, value in enumerate(values)], int)
