"""How drawn pictures and their tables become files, and what another upload of a picture looks like."""

import csv
import io
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from PIL import Image


def encoded(picture: np.ndarray, form: str, mode: str = "RGB", **options: object) -> bytes:
    """Return the bytes of an image file: `form` is Pillow's name of its format, `options` go to Pillow."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def retaken(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change a picture as another upload of it would be: cropped by up to 3 %, resized, brighter, flipped."""
    height, width = picture.shape[:2]
    top, left = (round(rng.uniform(0.0, 0.015) * side) for side in (height, width))
    picture = picture[top : height - top, left : width - left]
    scale = rng.uniform(0.85, 1.1)
    picture = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    picture = np.clip(picture * rng.uniform(0.85, 1.15), 0, 255).astype(np.uint8)
    return picture[:, ::-1] if rng.random() < 0.5 else picture


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    r"""Return a table as a CSV file.

    >>> csv_bytes(("id", "label"), [("007", "ant")])
    b'id,label\n007,ant\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue().encode()
