"""Augmentation: a draw's key decides its bytes; recipes take any picture, or say why not."""

import hashlib
import math
import pickle
import random
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.artifacts.manifest import digest
from pipeline.dataset.augment import RECIPES, augment, build_augment
from pipeline.dataset.loader import frame_image
from pipeline.errors import UsageError
from pipeline.randomness import key

SIZE = 32
CROP = {"name": "RandomResizedCrop"}
FLIP = {"name": "HorizontalFlip"}
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
NESTED = [
    {"name": "RandomResizedCrop"},
    {
        "name": "OneOf",
        "p": 0.9,
        "transforms": [
            {"name": "SomeOf", "n": 2, "transforms": [JITTER, NOISE, {"name": "MotionBlur"}]},
            {"name": "Sequential", "p": 0.5, "transforms": [{"name": "CoarseDropout"}, {"name": "Rotate"}]},
            {"name": "RandomOrder", "n": 2, "transforms": [NOISE, {"name": "ElasticTransform"}]},
        ],
    },
]
MIXED = ["light", "medium", "heavy", "insects", COLOURFUL, NESTED]


def plain(recipe, pixels: np.ndarray, draw: int) -> np.ndarray:
    """Augment as Albumentations by itself does."""
    import albumentations  # behind the module under test, which tells it to stay off the network

    def built(table):
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
        if table["name"] == "RandomResizedCrop":
            values["size"] = (SIZE, SIZE)
        if "transforms" in table:
            values["transforms"] = [built(inner) for inner in table["transforms"]]
        return getattr(albumentations, str(values.pop("name")))(**values)

    tables = RECIPES[recipe] if isinstance(recipe, str) else recipe
    composed = albumentations.Compose([built(table) for table in tables])
    composed.set_random_state(np.random.default_rng(draw), random.Random(draw))
    return composed(image=pixels)["image"]


def sha256_of(recipe, draws: int = 30) -> str:
    """Hash what a recipe makes of pictures of all shapes."""
    transform, sha256 = build_augment(recipe, SIZE), hashlib.sha256()
    for i in range(draws):
        sha256.update(augment(transform, picture(*SHAPES[i % 5]), key(0, "augment", 0, 1, i)).tobytes())
    return sha256.hexdigest()


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


@pytest.mark.parametrize("recipe", MIXED)
def test_the_key_alone_decides(recipe):
    first, second = build_augment(recipe, SIZE), build_augment(recipe, SIZE)
    draws = [key(0, "augment", 0, 1, i) for i in range(12)]
    forth = [augment(first, picture(40, 50), draw) for draw in draws]
    back = [augment(second, picture(40, 50), draw) for draw in reversed(draws)]
    assert all(np.array_equal(a, b) for a, b in zip(forth, reversed(back), strict=True))
    assert len({pixels.tobytes() for pixels in forth}) == len(draws)


@pytest.mark.parametrize("recipe", [*MIXED, [*COLOURFUL, JITTER, NOISE], [*COLOURFUL, NOISE], FLAT, AS_IT_IS])
def test_it_is_what_albumentations_gives(recipe):
    transform = build_augment(recipe, SIZE)
    draws = [key(0, "augment", 0, 1, i) for i in range(40)]
    for draw, shape in zip(draws, SHAPES * 8, strict=True):
        wanted = plain(recipe, picture(*shape), draw)
        assert np.array_equal(augment(transform, picture(*shape), draw), wanted)


def test_another_process_draws_the_same():
    code = "from tests.test_augment import MIXED, sha256_of; print([sha256_of(recipe) for recipe in MIXED])"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([sha256_of(recipe) for recipe in MIXED])


def test_light_stays_what_it_was():
    assert sha256_of("light", draws=200)[:16] == "8878b49fec4ce9ea"


def test_a_recipe_by_name_stays_what_it_was():
    assert {name: digest(tables) for name, tables in RECIPES.items()} == {
        "none": "4f53cda18c2baa0c",
        "light": "663669b65ab62593",
        "medium": "04b55c1acc3c5b90",
        "heavy": "b6ce8bc5a2524a6a",
        "insects": "6cc8e10347fd2a3c",
    }


@pytest.mark.parametrize("recipe", MIXED)
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


def test_insects_lie_in_every_direction_and_are_not_lost():
    bright = np.linspace(60, 200, 340).astype(np.uint8)[None, :, None].repeat(256, 0).repeat(3, 2)
    pixels = cv2.circle(np.ascontiguousarray(bright), (170, 128), 25, (255, 0, 0), -1)
    transform, directions = build_augment("insects", 64), set()
    offset = np.arange(64) - 31.5
    for i in range(150):
        red, green, _ = np.moveaxis(augment(transform, pixels, key(0, "any", i)).astype(float), 2, 0)
        assert (red - green > 60).mean() > 0.02
        brighter = math.atan2((green * offset[:, None]).sum(), (green * offset).sum())
        directions.add(round(4 * brighter / math.pi) % 8)
    assert directions == set(range(8))


@pytest.mark.parametrize(
    "recipe",
    [
        [{**CROP, "p": 0.5}],
        [FLIP, {"name": "OneOf", "p": 1.0, "transforms": [CROP, {**CROP, "p": 0.2}]}],
        [{"name": "OneOf", "p": 0.5, "transforms": [CROP]}],
        [{"name": "OneOf", "p": 1.0, "transforms": [CROP, FLIP]}],
        [{"name": "Sequential", "p": 1.0, "transforms": [FLIP, CROP]}],
        [{"name": "SomeOf", "transforms": [CROP, FLIP]}],
        [],
    ],
)
def test_the_size_is_right_whatever_is_drawn(recipe):
    transform = build_augment(recipe, SIZE)
    found = {augment(transform, picture(37, 53), key(0, "size", i)).shape for i in range(20)}
    assert found == {(SIZE, SIZE, 3)}


def test_a_surely_sized_group_sees_the_whole_picture():
    grouped = [
        {"name": "OneOf", "p": 1.0, "transforms": [{**CROP, "scale": [1.0, 1.0], "ratio": [1.6, 1.6]}]}
    ]
    pixels = np.zeros((50, 80, 3), np.uint8)
    pixels[:, :10] = 255
    assert augment(build_augment(grouped, SIZE), pixels, 0)[:, 0].min() == 255


def one_of(*tables, **arguments):
    return [{"name": "OneOf", "transforms": list(tables), **arguments}]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("strong", "'strong'.*none, light, medium, heavy, insects"),
        ([{"name": "HorizontalFlp"}], r"augment\[0\].*'HorizontalFlp': did you mean 'HorizontalFlip'"),
        ([{"name": "OneOff", "transforms": [FLIP]}], "no transform 'OneOff': did you mean 'OneOf'"),
        ([{"name": "Pad3D", "padding": 2}], "no transform 'Pad3D'"),
        ([FLIP, {"p": 1.0}], r"augment\[1\].*no transform ''"),
        ([{"name": "GaussNoise", "var_limit": [1, 2]}], "GaussNoise: .*'var_limit', it takes std_range, "),
        ([{"name": "HorizontalFlip", "p": 2}], "HorizontalFlip: p: .*less than or equal to 1"),
        ([{"name": "RandomResizedCrop", "scale": [0.5]}], "RandomResizedCrop: scale"),
        (["HorizontalFlip"], r"train.augment = \['HorizontalFlip'\]: give a list of tables"),
        (one_of(), r"augment\[0\]: OneOf: transforms must be a list of tables, one at least"),
        ([{"name": "OneOf"}], "OneOf: transforms must be"),
        (one_of("HorizontalFlip"), r"augment\[0\].transforms = .*: give a list of tables"),
        (one_of(FLIP, p=1.5), "OneOf: p must be a number from 0 to 1"),
        (one_of(FLIP, p=True), "OneOf: p must be a number"),
        (one_of(FLIP, n=2), "OneOf: no argument 'n', it takes transforms, p"),
        (one_of({**FLIP, "p": 0.0}), "OneOf: the p of its transforms are their weights"),
        ([{"name": "SomeOf", "n": 0, "transforms": [FLIP]}], "SomeOf: n must be a whole number from 1"),
        ([{"name": "SomeOf", "n": 2, "transforms": [FLIP]}], "SomeOf: .*greater than number of transforms"),
        (one_of(FLIP, {"name": "Blurr"}), r"augment\[0\]\.transforms\[1\].*'Blurr'"),
        (
            one_of(*one_of({"name": "Blur", "size": 3})),
            r"\[0\]\.transforms\[0\]\.transforms\[0\]: Blur.*'size'",
        ),
        (one_of(*one_of({"name": "Blur", "p": -1})), r"\[0\]\.transforms\[0\]\.transforms\[0\]: Blur: p:"),
    ],
)
def test_a_mistake_is_named_with_its_place(recipe, words):
    with pytest.raises(UsageError, match=words):
        build_augment(recipe, SIZE)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ([{"name": "Normalize"}], r"augment\[0\]: Normalize gives float32 \(32, 32, 3\): leave it out"),
        ([FLIP, {"name": "ToFloat", "p": 0.01}], r"augment\[1\]: ToFloat gives float32"),
        (one_of(FLIP, {"name": "ToTensorV2"}), r"\[0\]\.transforms\[1\]: ToTensorV2 gives torch.uint8"),
        ([{"name": "ToGray", "num_output_channels": 1}], r"ToGray gives uint8 \(32, 32"),
        ([{"name": "MaskDropout"}], "MaskDropout: fails on an image of 32 × 32: .*'mask'"),
        ([{"name": "BBoxSafeRandomCrop"}], "BBoxSafeRandomCrop: fails .*'bboxes'"),
        ([{"name": "RandomCrop", "height": 64, "width": 64}], "RandomCrop: fails on an image of 32 × 32: "),
        ([{"name": "RandomCrop", "height": 8, "width": 8}], r"\(8, 8, 3\), expected uint8 \(32, 32, 3\)"),
        ([CROP, {"name": "Resize", "height": 8, "width": 8}], r"\(8, 8, 3\), expected uint8 \(32, 32, 3\)"),
    ],
)
def test_what_can_not_be_trained_on_is_refused_before_any_image_is_read(recipe, words):
    with pytest.raises(UsageError, match=words):
        build_augment(recipe, SIZE)
