"""Where a drawn insect sits and how it was photographed: backgrounds, light, shadow, occlusion, camera."""

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.dataset.anatomy import Canvas
from pipeline.dataset.insects import draw_insect
from pipeline.dataset.species import Traits, rgb

SHORT_SIDES = (160, 224)
ASPECTS = (1.0, 1.0, 1.25, 1.333, 1.333, 1.5)


def photograph(traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Draw one picture, RGB uint8 [H, W, 3], of one individual; the short side is 160 to 224 pixels."""
    height, width = frame_size(rng)
    scene = SCENES[tuple(SCENES)[rng.integers(len(SCENES))]](height, width, rng)
    side = bool(rng.random() < 0.3)
    canvas = Canvas(
        np.full((height, width, 3), traits.body, np.uint8),
        np.zeros((height, width), np.uint8),
        pose(height, width, side, rng),
    )
    draw_insect(canvas, traits, rng, side)
    picture = compose(scene, canvas, rng)
    if rng.random() < 0.35:
        picture = occlude(picture, canvas, rng)
    return develop(picture, rng)


def frame_size(rng: np.random.Generator) -> tuple[int, int]:
    short = int(rng.integers(SHORT_SIDES[0], SHORT_SIDES[1] + 1))
    long = round(short * ASPECTS[rng.integers(len(ASPECTS))])
    return (short, long) if rng.random() < 0.75 else (long, short)


def pose(height: int, width: int, side: bool, rng: np.random.Generator) -> np.ndarray:
    """Return body-to-pixel float [2, 3]: any direction from above, roughly level from the side."""
    size = min(height, width) * rng.uniform(0.20, 0.36)
    turn = rng.normal(0.0, 0.35) if side else rng.uniform(0.0, 2 * np.pi)
    tilt, squash = rng.uniform(0.0, np.pi), rng.uniform(0.78, 1.0)
    flip = -1.0 if side and rng.random() < 0.5 else 1.0
    view = rotation(tilt) @ np.diag([1.0, squash]) @ rotation(-tilt)
    matrix = size * view @ rotation(turn) @ np.diag([flip, 1.0])
    centre = np.array([width, height]) / 2 + rng.normal(0.0, 0.07, 2) * (width, height)
    return np.concatenate([matrix, centre[:, None]], 1)


def rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def compose(scene: np.ndarray, canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Put the insect on the scene with a cast shadow and light from one side; uint8 [H, W, 3]."""
    light = rng.uniform(0.0, 2 * np.pi)
    depth, softness = rng.uniform(0.03, 0.14) * canvas.scale, rng.uniform(0.02, 0.07) * canvas.scale
    shift = np.float32([[1, 0, depth * np.cos(light)], [0, 1, depth * np.sin(light)]])
    size = canvas.coverage.shape[::-1]
    shadow = cv2.GaussianBlur(cv2.warpAffine(canvas.coverage, shift, size), (0, 0), max(0.6, softness))
    soft = cv2.GaussianBlur(canvas.coverage, (0, 0), max(0.8, 0.06 * canvas.scale)).astype(np.float32)
    slope = np.cos(light) * cv2.Sobel(soft, cv2.CV_32F, 1, 0) + np.sin(light) * cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    relief = 1.0 + np.clip(slope * (0.0011 * canvas.scale / 8), -0.5, 0.7)
    alpha = canvas.coverage.astype(np.float32)[..., None] / 255
    under = scene * (1.0 - shadow.astype(np.float32)[..., None] * (rng.uniform(0.25, 0.65) / 255))
    return np.clip(under + alpha * (canvas.paint * relief[..., None] - under), 0, 255).astype(np.uint8)


def occlude(picture: np.ndarray, canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Lay one or two blurred blades of grass in front of the insect."""
    height, width = picture.shape[:2]
    veil = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 3)):
        angle = rng.uniform(0.0, np.pi)
        along = np.array([np.cos(angle), np.sin(angle)]) * (height + width)
        across = np.array([-np.sin(angle), np.cos(angle)])
        middle = canvas.place[:, 2] + across * rng.normal(0.0, 0.55) * canvas.scale
        half = across * rng.uniform(0.05, 0.16) * canvas.scale
        blade = np.array([middle - along - half, middle + along - 0.4 * half, middle + along + 0.4 * half, middle - along + half])
        cv2.fillPoly(veil, [np.round(blade).astype(np.int32)], 255, cv2.LINE_AA)
    veil = cv2.GaussianBlur(veil, (0, 0), rng.uniform(0.7, 2.5))
    alpha = veil.astype(np.float32)[..., None] / 255
    colour = np.float32(rgb(rng.uniform(0.12, 0.32), rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.7)))
    return (picture + alpha * (colour - picture)).astype(np.uint8)


def develop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Do to a picture what a camera does: white balance, exposure, contrast, blur, noise."""
    gains = np.exp(rng.normal(0.0, 0.07, 3) + rng.normal(0.0, 0.14))
    levels = np.linspace(0.0, 1.0, 256)[:, None] ** np.exp(rng.normal(0.0, 0.15)) * gains
    table = np.clip(255 * levels, 0, 255).astype(np.uint8)
    picture = cv2.LUT(picture, table[None])
    if (sigma := rng.uniform(-0.3, 1.5)) > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    grain = rng.integers(-64, 65, picture.shape[:2], np.int16) * rng.uniform(0.02, 0.22)
    return np.clip(picture + grain[..., None], 0, 255).astype(np.uint8)


def smooth_noise(height: int, width: int, rows: float, columns: float, rng: np.random.Generator) -> np.ndarray:
    """Return float32 [H, W] from 0 to 1 that changes over H/rows and W/columns pixels."""
    grid = rng.random((max(2, round(rows)), max(2, round(columns))), np.float32)
    return np.clip(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def coloured(values: np.ndarray, colours: list[tuple[int, int, int]]) -> np.ndarray:
    """Turn float [H, W] from 0 to 1 into RGB uint8 [H, W, 3] along a ramp of colours."""
    steps = np.linspace(0, 255, len(colours))
    ramp = np.stack([np.interp(np.arange(256), steps, channel) for channel in zip(*colours, strict=True)], 1)
    return ramp.astype(np.uint8)[(np.clip(values, 0, 1) * 255).astype(np.uint8)]


def draw_leaf(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    hue, saturation = rng.uniform(0.17, 0.36), rng.uniform(0.35, 0.75)
    value = rng.uniform(0.45, 0.75)
    field = 0.7 * smooth_noise(height, width, 4, 5, rng) + 0.3 * smooth_noise(height, width, height / 4, width / 4, rng)
    leaf = coloured(field, [rgb(hue, saturation, value * 0.65), rgb(hue - 0.03, saturation * 0.85, value)])
    vein = rgb(hue - 0.04, saturation * 0.6, min(1.0, value * 1.2))
    angle, reach = rng.uniform(0.0, np.pi), height + width
    axis = np.array([np.cos(angle), np.sin(angle)])
    middle = np.array([width, height]) * rng.uniform(0.2, 0.8, 2)
    lines, spread = leaf.copy(), rng.uniform(0.6, 1.0)
    cv2.line(lines, *(tuple(np.int32(middle + sign * reach * axis).tolist()) for sign in (-1, 1)), vein, 4, cv2.LINE_AA)
    for step in np.arange(-reach, reach, rng.uniform(18, 40)):
        for turn in (spread, -spread):
            start = middle + step * axis
            stop = start + reach * (rotation(turn) @ axis)
            cv2.line(lines, tuple(np.int32(start).tolist()), tuple(np.int32(stop).tolist()), vein, 1, cv2.LINE_AA)
    return cv2.addWeighted(lines, 0.6, leaf, 0.4, 0)


def draw_bark(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    hue, value = rng.uniform(0.04, 0.12), rng.uniform(0.45, 0.75)
    ridges = smooth_noise(height, width, 5, width / 7, rng)
    field = 0.6 * ridges + 0.2 * smooth_noise(height, width, height / 5, width / 3, rng)
    field += 0.25 * smooth_noise(height, width, 3, 3, rng)
    bark = coloured(field, [rgb(hue, 0.5, value * 0.2), rgb(hue, 0.45, value * 0.7), rgb(hue, 0.25, value)])
    return bark


def draw_soil(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    hue, value = rng.uniform(0.05, 0.11), rng.uniform(0.4, 0.7)
    field = 0.45 * smooth_noise(height, width, height / 3, width / 3, rng) + 0.35 * smooth_noise(height, width, 14, 18, rng)
    field += 0.2 * smooth_noise(height, width, 3, 4, rng)
    soil = coloured(field, [rgb(hue, 0.6, value * 0.35), rgb(hue, 0.45, value * 0.8), rgb(hue, 0.25, value)])
    for _ in range(int(rng.integers(8, 30))):
        centre = tuple(int(v) for v in rng.random(2) * (width, height))
        axes = tuple(int(v) for v in rng.integers(2, 9, 2))
        tone = rgb(hue + rng.normal(0.0, 0.02), rng.uniform(0.1, 0.4), value * rng.uniform(0.4, 1.3))
        cv2.ellipse(soil, centre, axes, float(rng.uniform(0, 180)), 0, 360, tone, -1, cv2.LINE_AA)
    return soil


def draw_card(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    hue, value = rng.uniform(0.0, 1.0), rng.uniform(0.7, 0.97)
    field = smooth_noise(height, width, 2, 2, rng) * 0.8 + 0.2 * smooth_noise(height, width, height / 2, width / 2, rng)
    card = coloured(field, [rgb(hue, 0.12, value * 0.82), rgb(hue, 0.05, value)])
    if rng.random() < 0.5:
        step = int(rng.integers(14, 30))
        card[step // 2 :: step] = (card[step // 2 :: step] * 0.85).astype(np.uint8)
        if rng.random() < 0.5:
            card[:, step // 2 :: step] = (card[:, step // 2 :: step] * 0.85).astype(np.uint8)
    return card


SCENES: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "leaf": draw_leaf,
    "bark": draw_bark,
    "soil": draw_soil,
    "card": draw_card,
}
