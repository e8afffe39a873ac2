"""Augmentation: recipes become Albumentations transforms on uint8, each picture's draw seeded by its key.

The only file that knows Albumentations (2.0.8, the last one under the MIT licence); its import takes seconds
and waits in the functions. As a command it draws a contact sheet: sheet.py.
"""

import difflib
import functools
import inspect
import os
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.dataset.recipes import RECIPES
from pipeline.errors import UsageError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version

if TYPE_CHECKING:
    import albumentations
    import numpy as np

Table = Mapping[str, Any]
Recipe = str | Sequence[Table]
Transform = Any  # albumentations.BasicTransform or, of a group, albumentations.BaseCompose

GROUPS = ("OneOf", "SomeOf", "RandomOrder", "Sequential")  # what is made of other transforms
GROUP_ARGUMENTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "p": ("a number from 0 to 1", lambda p: type(p) in (int, float) and 0 <= p <= 1),
    "n": ("a whole number from 1 on", lambda n: type(n) is int and n >= 1),
    "replace": ("true or false", lambda replace: type(replace) is bool),
    "transforms": ("a list of tables, one at least", bool),
}


def build_augment(recipe: Recipe, size: int) -> "albumentations.Compose":
    """Make the transform of a named recipe or of a list of `{name, argument …}` tables.

    It takes uint8 [H, W, 3] of any size and gives [size, size, 3]: a transform with a `size` gets it, and
    where none is sure to set it the picture is resized and centrally cropped first. The `transforms` of a
    group (OneOf, SomeOf, RandomOrder, Sequential) are tables again. Raises UsageError, with the table's
    place, for a name or an argument that Albumentations doesn't know and for what doesn't give such images,
    which a picture shows that all transforms are tried on.
    """
    import albumentations

    if isinstance(recipe, str) and recipe not in RECIPES:
        raise UsageError(f"train.augment = {recipe!r}: unknown recipe; there are {', '.join(RECIPES)}.")
    tables = RECIPES[recipe] if isinstance(recipe, str) else recipe
    transforms = _build_all(tables, size, "train.augment")
    resize = [
        albumentations.SmallestMaxSize(max_size=size, area_for_downscale="image"),
        albumentations.CenterCrop(height=size, width=size),
    ]
    sized = any(_sets_size(transform) for transform in transforms)
    composed = albumentations.Compose(transforms if sized else [*resize, *transforms])
    _try_out(composed, transforms, size, sized)
    return composed


def augment(transform: "albumentations.Compose", pixels: "np.ndarray", draw: int) -> "np.ndarray":
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
    def made(self) -> "np.random.Generator":
        import numpy as np

        return np.random.default_rng(self.draw)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pickle asks for these before `draw` is there
            raise AttributeError(name)
        return getattr(self.made, name)


def _build_all(tables: Any, size: int, where: str) -> list[Transform]:
    if not isinstance(tables, Sequence) or not all(isinstance(table, Mapping) for table in tables):
        raise UsageError(f'{where} = {tables!r}: give a list of tables, as in [{{name = "HorizontalFlip"}}].')
    return [_build(table, size, f"{where}[{i}]") for i, table in enumerate(tables)]


def _build(table: Table, size: int, where: str) -> Transform:
    import albumentations

    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    name = str(arguments.pop("name", ""))
    if name not in _names():
        near = difflib.get_close_matches(name, _names(), n=1)
        hint = f": did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"{where}: Albumentations has no transform {name!r}{hint}")
    kind = getattr(albumentations, name)
    takes = list(inspect.signature(kind).parameters)
    # Albumentations only warns of an argument that it doesn't know, and runs with its default.
    if unknown := [key for key in arguments if key not in takes]:
        raise UsageError(f"{where}: {name}: no argument {unknown[0]!r}, it takes {', '.join(takes)}.")
    if name in GROUPS:
        arguments["transforms"] = _build_all(arguments.get("transforms", ()), size, f"{where}.transforms")
        _check_group(name, arguments, where)
    elif "size" in takes:
        arguments.setdefault("size", (size, size))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            transform = kind(**arguments)
        except (UserWarning, ValueError, TypeError) as error:
            raise UsageError(f"{where}: {name}: {_reason(error)}") from error
    if isinstance(transform, albumentations.ColorJitter):
        transform.transforms[1] = _adjust_contrast
    return transform


def _check_group(name: str, arguments: Mapping[str, Any], where: str) -> None:
    """Check what Albumentations doesn't: its groups take any value, and fail or do nothing in use."""
    for key, (wanted, is_right) in GROUP_ARGUMENTS.items():
        if key in arguments and not is_right(arguments[key]):
            raise UsageError(f"{where}: {name}: {key} must be {wanted}.")
    if name == "OneOf" and not any(inner.p for inner in arguments["transforms"]):
        raise UsageError(f"{where}: OneOf: the p of its transforms are their weights: one must be above 0.")


def _sets_size(transform: Transform, forced: bool = False) -> bool:
    """Tell whether a transform gives [size, size, 3] whatever is drawn; OneOf ignores the p of its choice."""
    import albumentations

    if transform.p < 1 and not forced:
        return False
    if not isinstance(transform, albumentations.BaseCompose):
        return hasattr(transform, "size")
    inner = [_sets_size(each, isinstance(transform, albumentations.OneOf)) for each in transform]
    return any(inner) if isinstance(transform, albumentations.Sequential) else all(inner)


def _try_out(composed: "albumentations.Compose", transforms: list[Transform], size: int, sized: bool) -> None:
    """Apply each transform, whatever its p, to a picture; raises UsageError for what no training can use."""
    import numpy as np

    shape = (size, 4 * size // 3 if sized else size, 3)
    composed.set_random_state(_LateGenerator(0), random.Random(0))
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    tried = _tried(transforms, pixels, "train.augment", in_turn=True)
    if tried.shape != (size, size, 3):
        raise UsageError(
            f"train.augment gives {tried.dtype} {tried.shape}, expected uint8 {(size, size, 3)}: "
            "leave out what changes the size or the type, they are set after it."
        )


def _tried(transforms: Sequence[Transform], pixels: "np.ndarray", where: str, in_turn: bool) -> "np.ndarray":
    import albumentations

    tried = pixels
    for i, transform in enumerate(transforms):
        place, before = f"{where}[{i}]", tried if in_turn else pixels
        if isinstance(transform, albumentations.BaseCompose):
            follows = isinstance(transform, albumentations.Sequential)
            tried = _tried(transform.transforms, before, f"{place}.transforms", follows)
        else:
            tried = _tried_alone(transform, before, f"{place}: {type(transform).__name__}")
    return tried


def _tried_alone(transform: "albumentations.BasicTransform", pixels: "np.ndarray", name: str) -> "np.ndarray":
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            tried = transform(image=pixels, force_apply=True)["image"]
        except Exception as error:  # of any type: a transform that wants a mask, boxes, a volume, a file …
            height, width = pixels.shape[:2]
            raise UsageError(f"{name}: fails on an image of {width} × {height}: {_reason(error)}") from error
    if str(tried.dtype) != "uint8" or tried.ndim != 3 or tried.shape[2] != 3:
        raise UsageError(
            f"{name} gives {tried.dtype} {tuple(tried.shape)}: leave it out, images stay uint8 [H, W, 3] and "
            "are normalised after it, as the model wants it."
        )
    return tried


def _reason(error: Exception) -> str:
    if isinstance(error.__cause__, ValidationError):
        found = error.__cause__.errors()
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in found) + "."
    text = " ".join(str(error).split())
    return f"{type(error).__name__} {text}" if isinstance(error, KeyError) else text


def _adjust_contrast(pixels: "np.ndarray", factor: float) -> "np.ndarray":
    """Do what ColorJitter does, to the bit: its mean of the grey image takes as long as all the rest."""
    import cv2
    from albumentations.augmentations.pixel import functional

    if pixels.dtype != "uint8" or pixels.shape[-1] != 3 or factor in (0, 1):
        return functional.adjust_contrast_torchvision(pixels, factor)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mean = cv2.sumElems(grey)[0] / grey.size
    return functional.multiply_add(pixels, factor, mean * (1 - factor))


@functools.cache
def _names() -> tuple[str, ...]:
    import albumentations as known

    abstract = {known.BasicTransform, known.ImageOnlyTransform, known.DualTransform}
    kinds = {name: getattr(known, name) for name in dir(known) if isinstance(getattr(known, name), type)}
    of_images = [
        name
        for name, kind in kinds.items()
        if issubclass(kind, known.BasicTransform) and not issubclass(kind, known.Transform3D)
    ]
    return (*GROUPS, *(name for name in of_images if kinds[name] not in abstract))


if __name__ == "__main__":
    from pipeline.command import run
    from pipeline.dataset import sheet

    run(sheet.draw, sheet.__doc__, "dataset.augment", sheet.add_arguments)
