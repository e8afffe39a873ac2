"""What a second upload does to a picture: the changes through which near-duplicates are looked for."""

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.dataset.drawing.species import draw_species
from pipeline.dataset.reader import read_image
from pipeline.dataset.sample import draw_individual, encoded, retaken

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def draw_pictures(species: int, each: int, seed: int) -> list[np.ndarray]:
    """Draw different individuals, RGB uint8 [H, W, 3]."""
    looks = list(enumerate(draw_species(species, seed)))
    return [draw_individual(look, number, i, seed) for i in range(each) for number, look in looks]


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    return read_image(encoded(picture, "JPEG", quality=quality), 10**7, "drawn").pixels


def cropped(picture: np.ndarray, top: float, bottom: float, left: float, right: float) -> np.ndarray:
    """Cut these shares of height and width off a picture, RGB uint8 [H, W, 3]."""
    height, width = picture.shape[:2]
    lower, outer = height - round(bottom * height), width - round(right * width)
    return picture[round(top * height) : lower, round(left * width) : outer]


def resized(picture: np.ndarray, scale: float) -> np.ndarray:
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def brighter(picture: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(picture * factor, 0, 255).astype(np.uint8)


def marked(picture: np.ndarray) -> np.ndarray:
    """Write across a picture, 40 % opaque."""
    height, width = picture.shape[:2]
    place, size = (width // 4, height // 2), height / 300
    written = cv2.putText(picture.copy(), "photo", place, 0, size, (255, 255, 255), 2)
    return cv2.addWeighted(picture, 0.6, written, 0.4, 0)


def together(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crop 3 % at each edge, resize to 60 %, darken, flip, write JPEG q50."""
    smaller = resized(cropped(picture, 0.03, 0.03, 0.03, 0.03), 0.6)
    return jpeg(np.ascontiguousarray(brighter(smaller, 0.9)[:, ::-1]), 50)


CHANGES: dict[str, Change] = {
    "JPEG q50": lambda picture, _: jpeg(picture, 50),
    "JPEG q30": lambda picture, _: jpeg(picture, 30),
    "resized to 60 %": lambda picture, _: resized(picture, 0.6),
    "a flip or turn, all 8": lambda picture, rng: np.rot90(picture, int(rng.integers(4)))[
        :: rng.choice([-1, 1])
    ],
    "watermark": lambda picture, _: marked(picture),
    "brightness × 1.2": lambda picture, _: brighter(picture, 1.2),
    "brightness × 0.8": lambda picture, _: brighter(picture, 0.8),
    "blurred, 1 pixel": lambda picture, _: cv2.GaussianBlur(picture, (0, 0), 1.0),
    "crop 1 % at each edge": lambda picture, _: cropped(picture, 0.01, 0.01, 0.01, 0.01),
    "crop 2 % at each edge": lambda picture, _: cropped(picture, 0.02, 0.02, 0.02, 0.02),
    "crop 3 % at each edge": lambda picture, _: cropped(picture, 0.03, 0.03, 0.03, 0.03),
    "crop 3 % at one edge": lambda picture, rng: cropped(picture, *(0.03 * np.eye(4)[rng.integers(4)])),
    "crop 3 % at two edges": lambda picture, _: cropped(picture, 0.03, 0.0, 0.03, 0.0),
    "as the sample's twins": retaken,
    "crop 3 %, 60 %, darker, flip, q50": together,
    "crop 5 % at each edge": lambda picture, _: cropped(picture, 0.05, 0.05, 0.05, 0.05),
}
BEYOND = ("crop 5 % at each edge",)  # what isn't promised
