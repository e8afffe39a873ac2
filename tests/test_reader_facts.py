"""What the libraries do with odd files: why there is one reader, and why it does what it does."""

import hashlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from pipeline.dataset.reader import ImageError, read_image
from tests.picture_files import LIMIT, SMOOTH, encode, exif

NOISE = np.random.default_rng(3).integers(0, 256, (200, 300, 3), dtype=np.uint8)
JPEG = encode(NOISE, "JPEG")
HALF = JPEG[: len(JPEG) // 2]


def decoded_by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_pillow_s_verify_misses_truncation_and_load_finds_it():
    with Pillow.open(io.BytesIO(HALF)) as image:
        image.verify()
    with Pillow.open(io.BytesIO(HALF)) as image, pytest.raises(OSError, match="truncated"):
        image.load()


def test_opencv_gives_grey_for_a_truncated_jpeg(tmp_path):
    (tmp_path / "half.jpg").write_bytes(HALF)
    pixels = cv2.imread(str(tmp_path / "half.jpg"))
    assert pixels is not None
    assert len(np.unique(pixels[:50].reshape(-1, 3), axis=0)) > 1000
    assert len(np.unique(pixels[-50:].reshape(-1, 3), axis=0)) == 1
    with pytest.raises(ImageError, match=r"^truncated JPEG$"):
        read_image(HALF, LIMIT)


def test_pillow_s_own_conversion_of_16_bits_saturates():
    data = encode((np.arange(600).reshape(20, 30) * 109).astype(np.uint16))
    with Pillow.open(io.BytesIO(data)) as image:
        converted = np.asarray(image.convert("RGB"))
    assert (converted == 255).mean() > 0.9
    assert (read_image(data, LIMIT).pixels == 255).mean() < 0.1


def test_pillow_reads_no_orientation_and_opencv_does():
    data = encode(SMOOTH, "JPEG", exif=exif(6))
    with Pillow.open(io.BytesIO(data)) as image:
        assert image.size == (64, 48)
    assert decoded_by_opencv(data).shape == read_image(data, LIMIT).pixels.shape == (64, 48, 3)


def test_bytes_changed_in_the_middle_decode_fine_and_only_a_hash_finds_them():
    data = bytearray(JPEG)
    data[len(data) * 3 // 4] ^= 8
    image, whole = read_image(bytes(data), LIMIT), read_image(JPEG, LIMIT)
    assert image.note == whole.note == ""
    assert (image.pixels != whole.pixels).any()
    assert hashlib.sha256(data).digest() != hashlib.sha256(JPEG).digest()
