"""Thumbnails of cached images as data URLs, so that the page needs no other file."""

import base64

import numpy as np

SIDE_PIXELS = 168
JPEG_QUALITY = 82


def data_url(pixels: np.ndarray) -> str:
    """Shrink an RGB image (uint8 [H, W, 3]) to a JPEG as a `data:` URL, its long side SIDE_PIXELS at most."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE_PIXELS / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    done, jpeg = cv2.imencode(
        ".jpg", np.ascontiguousarray(small[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise ValueError(f"OpenCV can't write a JPEG of shape {small.shape}")
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
