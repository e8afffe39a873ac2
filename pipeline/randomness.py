"""Randomness as a value: every draw has a key of its own, so no result depends on a generator's history."""

import hashlib

import numpy as np


def key(seed: int, what: str, *parts: int | str | None) -> int:
    """Name one random draw: a 63-bit integer from the seed, what is drawn, and for which fold, epoch, index.

    Equal arguments give equal keys on every machine and Python; a text and a number never collide.

    >>> key(0, "augment", 3, 1, 42) == key(0, "augment", 3, 1, 42)
    True
    >>> key(0, "augment", 3, 1, 42) == key(0, "augment", 3, 1, 43)
    False
    >>> key(0, "order", 1) == key(0, "order", "1")
    False
    """
    text = repr((int(seed), what, *parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(seed: int, what: str, *parts: int | str | None) -> np.random.Generator:
    """Return a NumPy generator that is used for one draw (or one image) and thrown away.

    >>> bool(generator(0, "order", 1).random() == generator(0, "order", 1).random())
    True
    """
    return np.random.Generator(np.random.PCG64(key(seed, what, *parts)))
