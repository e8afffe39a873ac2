"""Many pictures quickly: a class's few insects, drawn once, are laid on crops of drawn textures.

A picture takes a few milliseconds instead of `photograph`'s ten and more. Its coarse field of light is drawn
afresh for each, so that two pictures of one insect don't look alike to a perceptual hash.
"""

import functools

import cv2
import numpy as np

from pipeline.dataset.drawing.anatomy import Canvas
from pipeline.dataset.drawing.insects import draw_insect
from pipeline.dataset.drawing.photograph import SIDE_SHARE, lit, rotation
from pipeline.dataset.drawing.scenes import SCENES
from pipeline.dataset.drawing.species import Traits, draw_species, individual_of
from pipeline.randomness import generator

INDIVIDUALS = 8  # of a class; their pictures differ in pose, size, place, background and light
SPRITE_SIDE = 224
HALF_BODY = 62  # pixels of a sprite; legs, antennae and spread wings need the rest
TEXTURES, TEXTURE_SIDE, GRAIN_SIDE = 32, 512, 2048
DETAILED_SHORT_SIDE = 640  # larger pictures are drawn at this size, then enlarged
FIELD_GRIDS = ((4, 5), (9, 12))  # rows and columns of light and colour, one over the other
BODY_SHARES = (0.17, 0.33)  # half the body's length, as a share of the short side


def draw_collage(label: int, number: int, size: tuple[int, int], classes: int, seed: int) -> np.ndarray:
    """Draw picture `number`, RGB uint8 of `size` (height, width), with an insect of class `label`."""
    height, width = size
    rng = generator(seed, "collage", number)
    shrunk = min(1.0, DETAILED_SHORT_SIDE / min(height, width))
    picture = background(round(height * shrunk), round(width * shrunk), rng, seed)
    individual = int(rng.integers(INDIVIDUALS))
    side = individual >= round(INDIVIDUALS * (1 - SIDE_SHARE))
    lay(picture, sprite(label, individual, side, classes, seed), side, rng)
    picture = developed(picture, rng, seed)
    return picture if shrunk == 1.0 else cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def background(height: int, width: int, rng: np.random.Generator, seed: int) -> np.ndarray:
    """Return a crop of a texture under light and colours of its own, uint8 [height, width, 3]."""
    cloth = texture(int(rng.integers(TEXTURES)), seed)
    zoom = rng.uniform(0.45, 0.98) * TEXTURE_SIDE / max(height, width)
    rows, columns = round(zoom * height), round(zoom * width)
    top, left = rng.integers(0, (TEXTURE_SIDE - rows, TEXTURE_SIDE - columns), endpoint=True).tolist()
    piece = cloth[top : top + rows, left : left + columns]
    if rng.random() < 0.5:
        piece = piece[::-1]
    picture = cv2.resize(piece, (width, height), interpolation=cv2.INTER_LINEAR)
    for grid, spread in zip(FIELD_GRIDS, (0.42, 0.25), strict=True):
        light = rng.uniform(0.95 - spread, 0.95 + spread, (*grid, 1)) * rng.uniform(0.93, 1.07, (*grid, 3))
        coarse = (128 * light).astype(np.uint8)
        field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        picture = cv2.multiply(picture, field, scale=1 / 128)
    return picture


def lay(picture: np.ndarray, cut: np.ndarray, side: bool, rng: np.random.Generator) -> None:
    """Lay a sprite, uint8 [S, S, 4], on a picture, in place: turned, scaled and foreshortened."""
    height, width = picture.shape[:2]
    scale = min(height, width) * rng.uniform(*BODY_SHARES) / HALF_BODY
    turn = rng.normal(0.0, 0.35) if side else rng.uniform(0.0, 2 * np.pi)
    flip = -1.0 if side and rng.random() < 0.5 else 1.0
    tilt = rotation(rng.uniform(0.0, np.pi))
    foreshortened = tilt @ np.diag([1.0, rng.uniform(0.78, 1.0)]) @ tilt.T
    matrix = scale * foreshortened @ rotation(turn) @ np.diag([flip, 1.0])
    centre = np.array([width, height]) * rng.normal(0.5, 0.09, 2)
    reach = np.abs(matrix).sum(1) * SPRITE_SIDE / 2
    left, top = np.clip(np.floor(centre - reach), 0, (width - 1, height - 1)).astype(int).tolist()
    right, bottom = (
        np.clip(np.ceil(centre + reach), (left + 1, top + 1), (width, height)).astype(int).tolist()
    )
    offset = centre - (left, top) - matrix @ (SPRITE_SIDE / 2, SPRITE_SIDE / 2)
    place, clear = np.concatenate([matrix, offset[:, None]], 1), (0, 0, 0, 255)
    layer = cv2.warpAffine(cut, place, (right - left, bottom - top), borderValue=clear)
    under = picture[top:bottom, left:right]
    through = cv2.cvtColor(layer[:, :, 3], cv2.COLOR_GRAY2RGB)
    light = cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)
    cv2.add(cv2.multiply(under, through, scale=1 / 255), light, under)


def developed(picture: np.ndarray, rng: np.random.Generator, seed: int) -> np.ndarray:
    """Do to a picture what a camera does: grain, exposure and white balance."""
    height, width = picture.shape[:2]
    top, left = rng.integers(0, GRAIN_SIDE - np.array([height, width]), endpoint=True).tolist()
    grey = grain(seed)[top : top + height, left : left + width]
    strength = rng.uniform(0.0, 0.33)
    noisy = cv2.addWeighted(picture, 1.0, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), strength, -128 * strength)
    gains = np.exp(rng.normal(0.0, 0.07, 3) + rng.normal(0.0, 0.12))
    table = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)
    return cv2.LUT(noisy, table[None])


@functools.lru_cache(maxsize=4 * INDIVIDUALS)
def sprite(label: int, individual: int, side: bool, classes: int, seed: int) -> np.ndarray:
    """Draw an individual and its shadow: uint8 [S, S, 4], its light, then what shows through of the rest."""
    rng = generator(seed, "sprite", label, individual)
    traits = individual_of(species(classes, seed)[label], rng)
    shape, middle = (SPRITE_SIDE, SPRITE_SIDE), SPRITE_SIDE / 2
    place = np.array([[HALF_BODY, 0, middle], [0, HALF_BODY, middle]], np.float64)
    canvas = Canvas(np.full((*shape, 3), traits.body, np.uint8), np.zeros(shape, np.uint8), place, side)
    draw_insect(canvas, traits, rng)
    # Over black and over white, in the same light: the difference is what shows through.
    dark, bright = (
        lit(np.full((*shape, 3), tone, np.uint8), canvas, generator(seed, "sprite light", label, individual))
        for tone in (0, 255)
    )
    through = functools.reduce(cv2.max, cv2.split(cv2.subtract(bright, dark)))
    return cv2.merge([*cv2.split(dark), through])


@functools.cache
def species(classes: int, seed: int) -> list[Traits]:
    """Return the looks of all classes."""
    return draw_species(classes, seed)


@functools.lru_cache(maxsize=TEXTURES)
def texture(number: int, seed: int) -> np.ndarray:
    """Draw one of the backgrounds that pictures are cut from: uint8 [S, S, 3]."""
    rng = generator(seed, "texture", number)
    return SCENES[tuple(SCENES)[number % len(SCENES)]](TEXTURE_SIDE, TEXTURE_SIDE, rng)


@functools.lru_cache(maxsize=1)
def grain(seed: int) -> np.ndarray:
    """Draw film grain for pictures to take crops of: uint8 [S, S], around 128."""
    noise = generator(seed, "grain").normal(128.0, 40.0, (GRAIN_SIDE, GRAIN_SIDE))
    return np.clip(noise, 0, 255).astype(np.uint8)
