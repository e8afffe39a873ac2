"""Perceptual hashes: 64 bits of what a picture looks like, and how they change when it is turned."""

import functools

import numpy as np

SIDE = 32
FLIPS = (0x0, 0x5555555555555555, 0x00FF00FF00FF00FF, 0x55AA55AA55AA55AA)  # none, sideways, over, both


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
    return int(hashes_of(grey[None])[0])


def hashes_of(greys: np.ndarray) -> np.ndarray:
    """Hash square grey pictures, float32 [n, side, side]: uint64 [n]."""
    cosines = _cosines(greys.shape[1])
    signs = (cosines @ greys @ cosines.T) > 1e-3
    bits = signs[:, :8, :8].copy()
    bits[:, 0, 0] = signs[:, 8, 8]
    return np.packbits(bits.reshape(len(greys), 64), axis=1).view(">u8").astype(np.uint64).reshape(-1)


def turned_hashes(phashes: np.ndarray) -> np.ndarray:
    """Return the hashes, uint64 [8, n], of the pictures turned in all 8 ways, in the order of `turned`.

    A flip changes the sign of the odd frequencies, a transposition swaps the two directions.
    """
    octets = np.asarray(phashes, ">u8").reshape(-1, 1).view(np.uint8)
    swapped = np.unpackbits(octets, axis=1).reshape(-1, 8, 8).swapaxes(1, 2).reshape(-1, 64)
    transposed = np.packbits(swapped, axis=1).view(">u8").astype(np.uint64).reshape(-1)
    bases = (np.asarray(phashes, np.uint64), transposed)
    return np.stack([base ^ np.uint64(flip) for base in bases for flip in FLIPS])


def turned(grey: np.ndarray, way: int) -> np.ndarray:
    """Turn a picture [H, W] in one of 8 ways: bit 2 transposes, then bit 0 flips it sideways, bit 1 over."""
    grey = grey.T if way & 4 else grey
    return np.ascontiguousarray(grey[:: -1 if way & 2 else 1, :: -1 if way & 1 else 1])


@functools.cache
def _cosines(side: int) -> np.ndarray:
    angle = np.pi * np.outer(np.arange(9), np.arange(side) + 0.5) / side
    return np.cos(angle).astype(np.float32)
