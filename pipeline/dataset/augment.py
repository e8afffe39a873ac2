"""Augmentation: named recipes of Albumentations transforms on uint8, each picture's draw seeded by its key.

The only file that knows Albumentations (2.0.8, the last one under the MIT licence).
"""

import difflib
import functools
import inspect
import os
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version

import albumentations
import cv2
import numpy as np
from albumentations.augmentations.pixel import functional

from pipeline.errors import UsageError

Recipe = str | Sequence[Mapping[str, Any]]

_FLIP = {"name": "HorizontalFlip", "p": 0.5}
_COLOUR = {
    "name": "ColorJitter",
    "brightness": [0.7, 1.3],
    "contrast": [0.7, 1.3],
    "saturation": [0.7, 1.3],
    "hue": [-0.03, 0.03],
    "p": 0.8,
}
RECIPES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "light": [{"name": "RandomResizedCrop", "scale": [0.5, 1.0]}, _FLIP],
    "medium": [
        {"name": "RandomResizedCrop", "scale": [0.35, 1.0]},
        _FLIP,
        {"name": "Rotate", "limit": [-20, 20], "border_mode": cv2.BORDER_REFLECT_101, "p": 0.5},
        _COLOUR,
    ],
}


def build_augment(recipe: Recipe, size: int) -> albumentations.Compose:
    """Make the transform of a named recipe or of a list of `{name, argument …}` tables.

    It takes uint8 [H, W, 3] of any size and gives [size, size, 3]: a transform with a `size` gets it, and
    where none has one the picture is resized and centrally cropped first. Raises UsageError for a name or
    an argument that Albumentations doesn't know.
    """
    if isinstance(recipe, str) and recipe not in RECIPES:
        raise UsageError(f"train.augment = {recipe!r}: unknown recipe; there are {', '.join(RECIPES)}.")
    tables = RECIPES[recipe] if isinstance(recipe, str) else recipe
    transforms = [_build_transform(dict(table), size) for table in tables]
    if not any(hasattr(transform, "size") for transform in transforms):
        transforms[:0] = [
            albumentations.SmallestMaxSize(max_size=size, area_for_downscale="image"),
            albumentations.CenterCrop(height=size, width=size),
        ]
    return albumentations.Compose(transforms)


def augment(transform: albumentations.Compose, pixels: np.ndarray, draw: int) -> np.ndarray:
    """Apply the transform to uint8 [H, W, 3]; `draw` (a key) decides all of its choices."""
    transform.set_random_state(_LateGenerator(draw), random.Random(draw))
    return transform(image=pixels)["image"]


class _LateGenerator:
    """NumPy's generator of a draw, made when a transform first asks for it: most draw from Python's alone.

    To make one takes longer than to flip an image.
    """

    def __init__(self, draw: int):
        self.draw = draw

    @functools.cached_property
    def made(self) -> np.random.Generator:
        return np.random.default_rng(self.draw)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pickle asks for these before `draw` is there
            raise AttributeError(name)
        return getattr(self.made, name)


def _build_transform(table: dict[str, Any], size: int) -> albumentations.BasicTransform:
    name = str(table.pop("name", ""))
    if name not in _names():
        near = difflib.get_close_matches(name, _names(), n=1)
        hint = f": did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"train.augment: Albumentations has no transform {name!r}{hint}")
    known = getattr(albumentations, name)
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    if "size" in inspect.signature(known).parameters:
        arguments.setdefault("size", (size, size))
    # Albumentations only warns of an argument that it doesn't know, and runs with its default.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            transform = known(**arguments)
        except (UserWarning, ValueError, TypeError) as error:
            reason = " ".join(str(error).split()).split(" For further information")[0]
            raise UsageError(f"train.augment: {name}: {reason}") from error
    if isinstance(transform, albumentations.ColorJitter):
        transform.transforms[1] = _adjust_contrast
    return transform


def _adjust_contrast(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Do what ColorJitter does, to the bit: its mean of the grey image takes as long as all the rest."""
    if pixels.dtype != np.uint8 or pixels.shape[-1] != 3 or factor in (0, 1):
        return functional.adjust_contrast_torchvision(pixels, factor)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mean = cv2.sumElems(grey)[0] / grey.size
    return functional.multiply_add(pixels, factor, mean * (1 - factor))


def _names() -> list[str]:
    kinds = {name: getattr(albumentations, name) for name in dir(albumentations)}
    base = albumentations.BasicTransform
    return [name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, base)]
