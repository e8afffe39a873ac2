"""Augmentation: a draw's key decides its bytes; recipes take any picture, or say why not."""

import hashlib
import pickle
import random

import numpy as np
import pytest

from pipeline.dataset.augment import RECIPES, augment, build_augment
from pipeline.dataset.loader import frame_image
from pipeline.errors import UsageError
from pipeline.randomness import key

SIZE = 32
SHAPES = [(1, 1), (20, 600), (37, 53), (600, 20), (SIZE, SIZE)]
COLOURFUL = [
    {"name": "RandomResizedCrop", "scale": [0.4, 1.0], "ratio": [0.8, 1.25]},
    {"name": "Affine", "rotate": [-10, 10], "translate_percent": {"x": [-0.1, 0.1], "y": [0.0, 0.0]}},
    {"name": "CoarseDropout", "num_holes_range": [1, 3], "hole_height_range": [2, 6], "p": 1.0},
]
JITTER = {"name": "ColorJitter", "brightness": 0.5, "contrast": 0.9, "saturation": 0.5, "hue": 0.1, "p": 0.9}
NOISE = {"name": "GaussNoise", "p": 0.7}
FLAT = [{"name": "RandomResizedCrop"}, {**JITTER, "contrast": [0.0, 0.0]}]
AS_IT_IS = [{"name": "RandomResizedCrop"}, {**JITTER, "contrast": [1.0, 1.0], "p": 1.0}]


def plain(recipe, pixels: np.ndarray, draw: int) -> np.ndarray:
    """Augment as Albumentations by itself does."""
    import albumentations  # behind the module under test, which tells it to stay off the network

    transforms = []
    for table in RECIPES[recipe] if isinstance(recipe, str) else recipe:
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
        if table["name"] == "RandomResizedCrop":
            values["size"] = (SIZE, SIZE)
        transforms.append(getattr(albumentations, str(values.pop("name")))(**values))
    composed = albumentations.Compose(transforms)
    composed.set_random_state(np.random.default_rng(draw), random.Random(draw))
    return composed(image=pixels)["image"]


def picture(height: int, width: int) -> np.ndarray:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels.setflags(write=False)  # as the cache gives it
    return pixels


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_recipe_gives_training_images_of_any_shape(recipe, shape):
    pixels = augment(build_augment(recipe, SIZE), picture(*shape), 1)
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("recipe", ["light", "medium", COLOURFUL])
def test_the_key_alone_decides(recipe):
    first, second = build_augment(recipe, SIZE), build_augment(recipe, SIZE)
    draws = [key(0, "augment", 0, 1, i) for i in range(12)]
    forth = [augment(first, picture(40, 50), draw) for draw in draws]
    back = [augment(second, picture(40, 50), draw) for draw in reversed(draws)]
    assert all(np.array_equal(a, b) for a, b in zip(forth, reversed(back), strict=True))
    assert len({pixels.tobytes() for pixels in forth}) == len(draws)


@pytest.mark.parametrize(
    "recipe", ["light", "medium", COLOURFUL, [*COLOURFUL, JITTER, NOISE], [*COLOURFUL, NOISE], FLAT, AS_IT_IS]
)
def test_it_is_what_albumentations_gives(recipe):
    transform = build_augment(recipe, SIZE)
    draws = [key(0, "augment", 0, 1, i) for i in range(40)]
    for draw, shape in zip(draws, SHAPES * 8, strict=True):
        wanted = plain(recipe, picture(*shape), draw)
        assert np.array_equal(augment(transform, picture(*shape), draw), wanted)


def test_light_stays_what_it_was():
    transform, sha256 = build_augment("light", SIZE), hashlib.sha256()
    for i in range(200):
        sha256.update(augment(transform, picture(*SHAPES[i % 5]), key(0, "augment", 0, 1, i)).tobytes())
    assert sha256.hexdigest()[:16] == "8878b49fec4ce9ea"


@pytest.mark.parametrize("recipe", ["light", "medium"])
def test_a_transform_that_was_used_may_go_to_another_process(recipe):
    used = build_augment(recipe, SIZE)
    augment(used, picture(40, 50), 1)
    sent = pickle.loads(pickle.dumps(used))
    assert np.array_equal(augment(sent, picture(40, 50), 2), augment(used, picture(40, 50), 2))


def test_the_source_stays_as_it_is():
    pixels = picture(40, 50).copy()
    before = pixels.copy()
    augment(build_augment(COLOURFUL, SIZE), pixels, 3)
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("shape", [(64, 64), (40, 50), (7, 5), (100, 33)])
def test_without_augmentation_training_sees_what_prediction_sees(shape):
    pixels = augment(build_augment("none", SIZE), picture(*shape), 0)
    assert np.array_equal(pixels, frame_image(picture(*shape), SIZE, 1.0))


def test_transforms_of_a_list_are_composed_in_order():
    twice = [{"name": "HorizontalFlip", "p": 1.0}, {"name": "VerticalFlip", "p": 1.0}]
    pixels = augment(build_augment(twice, SIZE), picture(SIZE, SIZE), 0)
    assert np.array_equal(pixels, picture(SIZE, SIZE)[::-1, ::-1])


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("strong", "'strong'.*none, light, medium"),
        ([{"name": "HorizontalFlp"}], "'HorizontalFlp': did you mean 'HorizontalFlip'"),
        ([{"name": "OneOf"}], "no transform 'OneOf'"),
        ([{"p": 1.0}], "no transform ''"),
        ([{"name": "GaussNoise", "var_limit": [1, 2]}], "GaussNoise: .*'var_limit'"),
        ([{"name": "HorizontalFlip", "p": 2}], "HorizontalFlip: .* p .*less than or equal to 1"),
        ([{"name": "RandomResizedCrop", "scale": [0.5]}], "RandomResizedCrop: .*scale"),
    ],
)
def test_a_mistake_is_named(recipe, words):
    with pytest.raises(UsageError, match=words):
        build_augment(recipe, SIZE)
