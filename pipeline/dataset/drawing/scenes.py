"""Where a drawn insect sits: leaf, bark, soil or card, none of them tied to a species."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from pipeline.dataset.drawing.species import Colour, Hsv, rgb


def smooth_noise(shape: tuple[int, int], grid: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Return float32 [H, W] from 0 to 1: random values on a coarse grid (rows, columns), eased in between."""
    # Not cv2.resize, whose cubic interpolation has other last bits on other processors.
    rows, columns = (max(2, round(count)) for count in grid)
    coarse = rng.random((rows, columns), np.float32)
    row, down = eased(rows, shape[0])
    column, right = eased(columns, shape[1])
    tall = coarse[row] + down[:, None] * (coarse[row + 1] - coarse[row])
    return tall[:, column] + right * (tall[:, column + 1] - tall[:, column])


def eased(cells: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Spread `size` pixels over a grid: the grid point before each, and how far it is to the next (0 to 1).

    >>> eased(2, 3)
    (array([0, 0, 0]), array([0. , 0.5, 1. ], dtype=float32))
    """
    position = np.linspace(0.0, cells - 1.0, size)
    before = np.minimum(position.astype(int), cells - 2)
    share = position - before
    return before, (share * share * (3.0 - 2.0 * share)).astype(np.float32)


def coloured(values: np.ndarray, ramp: Sequence[Hsv]) -> np.ndarray:
    """Turn float [H, W] from 0 to 1 into RGB uint8 [H, W, 3] along a ramp of colours.

    >>> coloured(np.array([[0.0, 1.0]]), [(0.0, 0.0, 0.0), (0.0, 1.0, 1.0)]).tolist()
    [[[0, 0, 0], [255, 0, 0]]]
    """
    colours = np.array([rgb(hsv) for hsv in ramp])
    steps = np.linspace(0, 255, len(ramp))
    table = np.stack([np.interp(np.arange(256), steps, channel) for channel in colours.T], 1)
    return table.astype(np.uint8)[(np.clip(values, 0, 1) * 255).astype(np.uint8)]


def draw_line(picture: np.ndarray, start: np.ndarray, stop: np.ndarray, colour: Colour, width: int) -> None:
    ends = np.round(np.stack([start, stop])).astype(np.int32)
    cv2.polylines(picture, [ends], False, colour, width, cv2.LINE_AA)


def draw_leaf(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a leaf with a midrib and side veins; RGB uint8 [H, W, 3]."""
    hue, saturation, value = rng.uniform((0.17, 0.35, 0.45), (0.36, 0.75, 0.75)).tolist()
    shape = (height, width)
    field = 0.7 * smooth_noise(shape, (4, 5), rng) + 0.3 * smooth_noise(shape, (height / 4, width / 4), rng)
    leaf = coloured(field, [(hue, saturation, 0.65 * value), (hue - 0.03, 0.85 * saturation, value)])
    vein = rgb((hue - 0.04, 0.6 * saturation, 1.2 * value))
    angle, spread, reach = rng.uniform(0.0, np.pi), rng.uniform(0.6, 1.0), height + width
    axis = reach * np.array([np.cos(angle), np.sin(angle)])
    middle = np.array([width, height]) * rng.uniform(0.2, 0.8, 2)
    veined = leaf.copy()
    draw_line(veined, middle - axis, middle + axis, vein, 4)
    for step in np.arange(-1.0, 1.0, rng.uniform(18, 40) / reach):
        for turn in (angle + spread, angle - spread):
            branch = reach * np.array([np.cos(turn), np.sin(turn)])
            draw_line(veined, middle + step * axis, middle + step * axis + branch, vein, 1)
    return cv2.addWeighted(veined, 0.6, leaf, 0.4, 0).astype(np.uint8)


def draw_bark(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw bark with upright ridges; RGB uint8 [H, W, 3]."""
    hue, value, shape = rng.uniform(0.04, 0.12), rng.uniform(0.45, 0.75), (height, width)
    field = 0.6 * smooth_noise(shape, (5, width / 7), rng)
    field += 0.2 * smooth_noise(shape, (height / 5, width / 3), rng) + 0.25 * smooth_noise(shape, (3, 3), rng)
    return coloured(field, [(hue, 0.5, 0.2 * value), (hue, 0.45, 0.7 * value), (hue, 0.25, value)])


def draw_soil(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw crumbly soil with pebbles; RGB uint8 [H, W, 3]."""
    hue, value, shape = rng.uniform(0.05, 0.11), rng.uniform(0.4, 0.7), (height, width)
    field = 0.45 * smooth_noise(shape, (height / 3, width / 3), rng)
    field += 0.35 * smooth_noise(shape, (14, 18), rng) + 0.2 * smooth_noise(shape, (3, 4), rng)
    soil = coloured(field, [(hue, 0.6, 0.35 * value), (hue, 0.45, 0.8 * value), (hue, 0.25, value)])
    for _ in range(rng.integers(8, 30)):
        centre, axes = (rng.random(2) * (width, height)).astype(int).tolist(), rng.integers(2, 9, 2).tolist()
        tone = rgb((rng.normal(hue, 0.02), rng.uniform(0.1, 0.4), value * rng.uniform(0.4, 1.3)))
        cv2.ellipse(soil, centre, axes, rng.uniform(0, 180), 0, 360, tone, -1, cv2.LINE_AA)
    return soil


def draw_card(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a pale card, plain, ruled or squared; RGB uint8 [H, W, 3]."""
    hue, value, shape = rng.uniform(0.0, 1.0), rng.uniform(0.7, 0.97), (height, width)
    field = 0.8 * smooth_noise(shape, (2, 2), rng) + 0.2 * smooth_noise(shape, (height / 2, width / 2), rng)
    card = coloured(field, [(hue, 0.12, 0.82 * value), (hue, 0.05, value)])
    step, ruling = int(rng.integers(14, 30)), rng.random()
    ruled = np.zeros(shape, bool)
    ruled[step // 2 :: step] = ruling < 0.5
    ruled[:, step // 2 :: step] |= ruling < 0.25
    card[ruled] = (0.85 * card[ruled]).astype(np.uint8)
    return card


SCENES: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "leaf": draw_leaf,
    "bark": draw_bark,
    "soil": draw_soil,
    "card": draw_card,
}
