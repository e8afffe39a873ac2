"""Whether two pictures are one but for what a second upload does to it, judged on 32 × 32 grey.

Each pixel's slope counts by its direction more than by its strength, so that neither a watermark nor another
brightness hides a likeness, and a dark insect on a plain card is not like every other one. After Fitch et
al., "Orientation correlation" (BMVC 2002); pictures are fitted to each other as in Baker and Matthews,
"Lucas–Kanade 20 years on" (IJCV 2004).
"""

import functools

import numpy as np

from pipeline.dataset.twins.phash import SIDE

SOFT = 2.0  # grey levels a pixel: slopes below this count by their strength, steeper ones by direction alone
EDGE = 1.25  # pixels of 32 by which an edge may lie elsewhere: 3.9 % cropped off there
STEP = 1 / 16  # pixel
ROUNDS = 4
INNER = SIDE - 2  # slopes are taken inside the border


def smooth(greys: np.ndarray) -> np.ndarray:
    """Blur pictures, float32 [n, 32, 32], by (1, 2, 1) / 4 both ways: less of what depends on the grid."""
    wide = np.pad(greys, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16


def slopes(greys: np.ndarray) -> np.ndarray:
    """Return g / (|g| + SOFT) of the slopes g across and down: float32 [n, 2, 30, 30] of float32 [n, 32, 32].

    >>> ramp = np.tile(np.arange(32, dtype=np.float32) * 6, (1, 32, 1))
    >>> slopes(ramp)[0, :, 0, 0].tolist()
    [0.75, 0.0]
    """
    across = (greys[:, 1:-1, 2:] - greys[:, 1:-1, :-2]) / 2
    down = (greys[:, 2:, 1:-1] - greys[:, :-2, 1:-1]) / 2
    strength = np.sqrt(across * across + down * down) + np.float32(SOFT)
    return np.stack([across / strength, down / strength], 1)


def turned_slopes(slope: np.ndarray) -> np.ndarray:
    """Return the slopes [8, n, 2, h, h] of pictures turned in all 8 ways, from those [n, 2, h, h] of none."""
    ways = []
    for way in range(8):
        across, down = slope[:, 0], slope[:, 1]
        if way & 4:
            across, down = down.swapaxes(1, 2), across.swapaxes(1, 2)
        if way & 1:
            across, down = -across[:, :, ::-1], down[:, :, ::-1]
        if way & 2:
            across, down = across[:, ::-1], -down[:, ::-1]
        ways.append(np.stack([across, down], 1))
    return np.stack(ways)


def agreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the cosines, float32 [n], of two stacks of slopes [n, 2, h, h]; 0 where either has none."""
    one, other = one.reshape(len(one), -1), other.reshape(len(other), -1)
    lengths = np.einsum("ni,ni->n", one, one) * np.einsum("ni,ni->n", other, other)
    return np.einsum("ni,ni->n", one, other) / np.sqrt(np.maximum(lengths, 1e-12))


def likeness(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how well each other picture, fitted to the one, agrees with it in slopes: float32 [n], up to 1.

    Both are smoothed pictures, float32 [n, 32, 32], turned alike. Each edge of the other may move by EDGE:
    the four moves are found by Gauss–Newton steps on the normalised difference.
    """
    down, across = _weights()
    wanted, length = _normalised(ones)
    rise, run = np.gradient(ones, axis=(1, 2))
    steps = np.stack([run * across[::-1], run * across, rise * down[::-1], rise * down], 1)
    steps = ((steps - steps.mean((2, 3), keepdims=True)) / length[..., None]).reshape(len(ones), 4, -1)
    steps -= (steps @ wanted[:, :, None]) * wanted[:, None]
    curvature = steps @ steps.swapaxes(1, 2)
    damping = 1e-3 * np.trace(curvature, axis1=1, axis2=2) / 4 + 1e-9
    curvature += damping[:, None, None] * np.eye(4, dtype=np.float32)
    moves = np.zeros((len(ones), 4), np.float32)
    best, fitted = np.full(len(ones), -2.0, np.float32), others
    for turn in range(ROUNDS + 1):
        moved = _moved(others, moves)
        seen, _ = _normalised(moved)
        correlation = np.einsum("ni,ni->n", wanted, seen)
        better = correlation > best
        best = np.where(better, correlation, best)
        fitted = np.where(better[:, None, None], moved, fitted)
        if turn < ROUNDS:
            step = np.linalg.solve(curvature, steps @ (seen - wanted)[:, :, None])[:, :, 0]
            moves = np.clip(moves - step, -EDGE, EDGE)
    return agreement(slopes(ones), slopes(fitted))


def _weights() -> tuple[np.ndarray, np.ndarray]:
    share = ((np.arange(SIDE) + 0.5) / SIDE).astype(np.float32)
    return share[:, None], share


def _normalised(greys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = greys.reshape(len(greys), -1)
    flat = flat - flat.mean(1, keepdims=True)
    length = np.sqrt(np.einsum("ni,ni->n", flat, flat))[:, None] + np.float32(1e-6)
    return flat / length, length[..., None]


def _moved(greys: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Resample pictures, whose left, right, upper and lower edges come from `moves` pixels further on."""
    table = _resampling()
    last = table.shape[0] // 2
    place = np.rint(moves / STEP).astype(np.int64) + last
    return table[place[:, 2], place[:, 3]] @ greys @ table[place[:, 0], place[:, 1]].swapaxes(1, 2)


@functools.cache
def _resampling() -> np.ndarray:
    """Return the matrices, float32 [41, 41, 32, 32], that move the first and the last edge of a line."""
    move = np.arange(-EDGE, EDGE + STEP / 2, STEP)
    share = (np.arange(SIDE) + 0.5) / SIDE
    place = np.arange(SIDE) + move[:, None, None] * (1 - share) + move[None, :, None] * share
    place = np.clip(place, 0, SIDE - 1)
    return np.clip(1 - np.abs(place[..., None] - np.arange(SIDE)), 0, None).astype(np.float32)
