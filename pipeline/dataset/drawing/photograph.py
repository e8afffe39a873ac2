"""From an individual to a picture: pose, light and shadow, grass in front, the camera."""

import cv2
import numpy as np

from pipeline.dataset.drawing.anatomy import Canvas
from pipeline.dataset.drawing.insects import draw_insect
from pipeline.dataset.drawing.scenes import SCENES
from pipeline.dataset.drawing.species import Traits, rgb

SHORT_SIDES = (160, 224)
ASPECTS = (1.0, 1.0, 1.25, 1.333, 1.333, 1.5)
UPRIGHT_SHARE = 0.25
SIDE_SHARE = 0.3
OCCLUDED_SHARE = 0.35
BODY_SHARES = (0.20, 0.36)  # half the body's length, as a share of the short side


def photograph(traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Draw one picture, RGB uint8 [H, W, 3], of one individual; the short side is 160 to 224 pixels."""
    height, width = frame_size(rng)
    scene = SCENES[tuple(SCENES)[rng.integers(len(SCENES))]](height, width, rng)
    side = bool(rng.random() < SIDE_SHARE)
    # The edges of the insect fade into the layer's own colour, so it starts as the body's.
    paint, coverage = np.full((height, width, 3), traits.body, np.uint8), np.zeros((height, width), np.uint8)
    canvas = Canvas(paint, coverage, pose(height, width, side, rng), side)
    draw_insect(canvas, traits, rng)
    picture = lit(scene, canvas, rng)
    if rng.random() < OCCLUDED_SHARE:
        picture = occluded(picture, canvas, rng)
    return developed(picture, rng)


def frame_size(rng: np.random.Generator) -> tuple[int, int]:
    """Draw height and width in pixels."""
    short = int(rng.integers(SHORT_SIDES[0], SHORT_SIDES[1] + 1))
    long = round(short * ASPECTS[rng.integers(len(ASPECTS))])
    return (long, short) if rng.random() < UPRIGHT_SHARE else (short, long)


def pose(height: int, width: int, side: bool, rng: np.random.Generator) -> np.ndarray:
    """Return body-to-pixel float [2, 3]: any direction from above, roughly level from the side."""
    size = min(height, width) * rng.uniform(*BODY_SHARES)
    turn = rng.normal(0.0, 0.35) if side else rng.uniform(0.0, 2 * np.pi)
    flip = -1.0 if side and rng.random() < 0.5 else 1.0
    tilt = rng.uniform(0.0, np.pi)
    foreshortened = rotation(tilt) @ np.diag([1.0, rng.uniform(0.78, 1.0)]) @ rotation(-tilt)
    matrix = size * foreshortened @ rotation(turn) @ np.diag([flip, 1.0])
    centre = np.array([width, height]) * rng.normal(0.5, 0.07, 2)
    return np.concatenate([matrix, centre[:, None]], 1)


def rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def lit(scene: np.ndarray, canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Put the insect on the scene with a cast shadow and light from one side; uint8 [H, W, 3]."""
    angle = rng.uniform(0.0, 2 * np.pi)
    x, y = np.cos(angle), np.sin(angle)
    distance, softness = rng.uniform(0.03, 0.14) * canvas.scale, rng.uniform(0.02, 0.07) * canvas.scale
    shift = np.array([[1, 0, distance * x], [0, 1, distance * y]], np.float32)
    cast = cv2.warpAffine(canvas.coverage, shift, canvas.coverage.shape[::-1])
    shadow = cv2.GaussianBlur(cast, (0, 0), max(0.6, softness)).astype(np.float32) / 255
    # The slope of the blurred outline stands for the slope of a rounded back.
    height = cv2.GaussianBlur(canvas.coverage, (0, 0), max(0.8, 0.06 * canvas.scale))
    slope = x * cv2.Sobel(height, cv2.CV_32F, 1, 0) + y * cv2.Sobel(height, cv2.CV_32F, 0, 1)
    relief = 1.0 + np.clip(0.00014 * canvas.scale * slope, -0.5, 0.7)
    alpha = canvas.coverage.astype(np.float32)[..., None] / 255
    under = scene * (1.0 - rng.uniform(0.25, 0.65) * shadow[..., None])
    return np.clip(under + alpha * (canvas.paint * relief[..., None] - under), 0, 255).astype(np.uint8)


def occluded(picture: np.ndarray, canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Lay one or two blurred blades of grass in front of the insect."""
    cover = np.zeros(picture.shape[:2], np.uint8)
    for _ in range(rng.integers(1, 3)):
        turn = rotation(rng.uniform(0.0, np.pi))
        along, across = turn[:, 0] * sum(picture.shape[:2]), turn[:, 1] * canvas.scale
        middle = canvas.place[:, 2] + rng.normal(0.0, 0.55) * across
        half = rng.uniform(0.05, 0.16) * across
        ends = [-along - half, along - 0.4 * half, along + 0.4 * half, -along + half]
        cv2.fillPoly(cover, [np.round(middle + np.array(ends)).astype(np.int32)], (255,), cv2.LINE_AA)
    blurred = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.7, 2.5))
    alpha = blurred.astype(np.float32)[..., None] / 255
    hsv = (rng.uniform(0.12, 0.32), rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.7))
    return (picture + alpha * (np.array(rgb(hsv), np.float32) - picture)).astype(np.uint8)


def developed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Do to a picture what a camera does: white balance, exposure, contrast, blur, noise."""
    gains = np.exp(rng.normal(0.0, 0.07, 3) + rng.normal(0.0, 0.14))
    levels = np.linspace(0.0, 1.0, 256)[:, None] ** np.exp(rng.normal(0.0, 0.15)) * gains
    table = np.clip(255 * levels, 0, 255).astype(np.uint8)
    balanced = cv2.LUT(picture, table[None])
    if (sigma := rng.uniform(-0.3, 1.5)) > 0.3:
        balanced = cv2.GaussianBlur(balanced, (0, 0), sigma)
    grain = rng.integers(-64, 65, picture.shape[:2], np.int16) * rng.uniform(0.02, 0.22)
    return np.clip(balanced + grain[..., None], 0, 255).astype(np.uint8)
