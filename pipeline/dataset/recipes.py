"""Augmentation recipes by name: lists of Albumentations transforms with arguments, as TOML writes them."""

from typing import Any

REFLECT = 4  # cv2.BORDER_REFLECT_101


def _hue(p: float, degrees: int, saturation: int) -> dict[str, Any]:
    # Of OpenCV's 180 degrees. By itself, and rarely: it takes as long as ColorJitter's other three.
    limits = {"hue_shift_limit": degrees, "sat_shift_limit": saturation, "val_shift_limit": 0}
    return {"name": "HueSaturationValue", **limits, "p": p}


def _blur_or_noise(p: float, most_pixels: int, noise: list[float]) -> dict[str, Any]:
    # In OneOf the p of each is its weight: noise takes ten times as long as blur.
    return {
        "name": "OneOf",
        "p": p,
        "transforms": [
            {"name": "GaussianBlur", "blur_limit": [3, most_pixels], "p": 0.5},
            {"name": "MotionBlur", "blur_limit": [3, most_pixels], "p": 0.3},
            {"name": "GaussNoise", "std_range": noise, "p": 0.2},
        ],
    }


def _holes(p: float, most: int, sides: list[float]) -> dict[str, Any]:
    # `sides` are shares of the image's.
    ranges = {"num_holes_range": [1, most], "hole_height_range": sides, "hole_width_range": sides}
    return {"name": "CoarseDropout", **ranges, "fill": "random_uniform", "p": p}


_FLIP = {"name": "HorizontalFlip", "p": 0.5}
_COLOUR = {
    "name": "ColorJitter",
    "brightness": [0.7, 1.3],
    "contrast": [0.7, 1.3],
    "saturation": [0.7, 1.3],
    "hue": [-0.03, 0.03],
    "p": 0.8,
}
# A run is named by its recipe's name, not by what that stands for: an entry is never changed, only added.
RECIPES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "light": [{"name": "RandomResizedCrop", "scale": [0.5, 1.0]}, _FLIP],
    "medium": [
        {"name": "RandomResizedCrop", "scale": [0.35, 1.0]},
        _FLIP,
        {"name": "Rotate", "limit": [-20, 20], "border_mode": REFLECT, "p": 0.5},
        _COLOUR,
    ],
    "heavy": [
        {"name": "RandomResizedCrop", "scale": [0.25, 1.0]},
        _FLIP,
        {"name": "Affine", "rotate": [-30, 30], "scale": [0.8, 1.2], "border_mode": REFLECT, "p": 0.4},
        {"name": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0, "p": 0.8},
        _hue(0.2, degrees=10, saturation=0),
        _blur_or_noise(0.3, most_pixels=7, noise=[0.02, 0.08]),
        _holes(0.5, most=3, sides=[0.1, 0.3]),
    ],
    # Small animals in field photographs: from any side, and no crop or hole so large that they are lost.
    "insects": [
        {"name": "RandomResizedCrop", "scale": [0.4, 1.0]},
        _FLIP,
        {"name": "VerticalFlip", "p": 0.5},
        {"name": "Rotate", "limit": [-180, 180], "border_mode": REFLECT, "p": 0.5},
        {"name": "RandomBrightnessContrast", "brightness_limit": 0.15, "contrast_limit": 0.2, "p": 0.7},
        _hue(0.25, degrees=6, saturation=20),
        _blur_or_noise(0.2, most_pixels=5, noise=[0.01, 0.04]),
        _holes(0.3, most=1, sides=[0.08, 0.2]),
    ],
}
