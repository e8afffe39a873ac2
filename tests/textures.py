"""Coloured clouds: pictures with detail on every scale, which nothing else in the tests looks like."""

import functools

import cv2
import numpy as np


@functools.cache
def texture(number: int) -> np.ndarray:
    """Draw coloured clouds on four scales: uint8 [H, W, 3]."""
    rng = np.random.default_rng(number)
    height, width = rng.integers(150, 300, 2)
    layers = []
    for blur in (50, 20, 8, 3):
        noise = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), blur)
        layers.append(noise / noise.std())
    clouds = np.sum(layers, axis=0)
    return np.clip(clouds / clouds.std() * 50 + 128, 0, 255).astype(np.uint8)
