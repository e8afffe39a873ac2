import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.dataset.reader import (
    ImageError,
    decode_cached,
    encode_cached,
    format_of,
    read_bytes,
    read_image,
    upright,
)
from tests.picture_files import LIMIT, PICTURE, SMOOTH, WHOLE, encode, exif


def test_lossless_formats_give_the_pixels_back():
    for name in ("png", "webp lossless", "bmp", "tiff", "tiff lzw"):
        image = read_image(WHOLE[name], LIMIT)
        np.testing.assert_array_equal(image.pixels, PICTURE, err_msg=name)
        assert (image.pixels.dtype, image.note) == (np.uint8, "")


def test_jpeg_pixels_are_opencv_s():
    for name in ("jpeg", "progressive"):
        golden = cv2.cvtColor(
            cv2.imdecode(np.frombuffer(WHOLE[name], np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
        )
        np.testing.assert_array_equal(read_image(WHOLE[name], LIMIT).pixels, golden)


STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.transpose(a, (1, 0, 2)),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(np.transpose(a, (1, 0, 2)), 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_all_eight_orientations_read_equal(form, orientation):
    stored = np.ascontiguousarray(STORED[orientation](PICTURE))
    options = {"lossless": True} if form == "WEBP" else {}
    image = read_image(encode(stored, form, exif=exif(orientation), **options), LIMIT)
    np.testing.assert_array_equal(image.pixels, PICTURE)
    assert image.note == ("" if orientation == 1 or form == "TIFF" else f"EXIF orientation {orientation}")


def test_jpeg_orientation_is_opencv_s():
    for orientation in range(1, 9):
        data = encode(SMOOTH, "JPEG", exif=exif(orientation))
        golden = cv2.cvtColor(
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
        )
        np.testing.assert_array_equal(read_image(data, LIMIT).pixels, golden)


def test_orientation_99_changes_nothing_and_is_noted():
    image = read_image(encode(PICTURE, exif=exif(99)), LIMIT)
    np.testing.assert_array_equal(image.pixels, PICTURE)
    assert image.note == "EXIF orientation 99"


def test_damaged_exif_is_noted_not_fatal():
    data = encode(SMOOTH, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    image = read_image(data, LIMIT)
    assert image.note == "damaged metadata"
    np.testing.assert_array_equal(image.pixels, read_image(WHOLE["jpeg"], LIMIT).pixels)


def test_upright_is_undone_by_its_inverse():
    inverse = {6: 8, 8: 6}
    for orientation in range(1, 9):
        there = upright(PICTURE, orientation)
        np.testing.assert_array_equal(upright(there, inverse.get(orientation, orientation)), PICTURE)


def test_cached_jpegs_come_near_to_their_pixels():
    for pixels, mean, most in ((SMOOTH, 1.5, 8), (PICTURE, 4, 24)):
        data = encode_cached(pixels)
        assert (data.dtype, data.ndim, data[:3].tobytes()) == (np.uint8, 1, b"\xff\xd8\xff")
        got = decode_cached(data, *pixels.shape[:2])
        np.testing.assert_array_equal(got, read_image(data.tobytes(), LIMIT).pixels)
        difference = np.abs(got.astype(int) - pixels)
        assert difference.mean() < mean
        assert difference.max() <= most
    with pytest.raises(ImageError, match="damaged"):
        decode_cached(data, 21, 13)
    with pytest.raises(ImageError, match="damaged"):
        decode_cached(data[30:], 13, 21)


def test_cached_jpegs_keep_colours_at_full_resolution():
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255
    difference = np.abs(decode_cached(encode_cached(stripes), 32, 32).astype(int) - stripes)
    assert difference.mean() < 8
    halved = read_image(encode(stripes, "JPEG", quality=95, subsampling="4:2:0"), LIMIT).pixels
    assert np.abs(halved.astype(int) - stripes).mean() > 60


def test_tiny_and_thin_pictures():
    for shape in ((1, 1, 3), (3, 5000, 3), (5000, 3, 3)):
        pixels = np.full(shape, 7, np.uint8)
        np.testing.assert_array_equal(read_image(encode(pixels), LIMIT).pixels, pixels)


def test_the_name_is_compared_not_trusted(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(WHOLE["png"])
    image = read_image(path, LIMIT)
    assert image.note == "PNG named .jpg"
    np.testing.assert_array_equal(image.pixels, PICTURE)
    assert read_image(WHOLE["jpeg"], LIMIT, "B.JPG").note == ""
    assert read_image(WHOLE["jpeg"], LIMIT, "no_suffix").note == ""
    assert format_of(WHOLE["webp"]) == "WEBP"


def test_names_that_are_not_utf8(tmp_path):
    for name in (b"caf\xe9.png", 'käfer, "1"\n\x1b[31m 🪲.png'.encode(), b"x" * 251 + b".png"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(WHOLE["png"])  # noqa: PTH118
        data = read_bytes(tmp_path, os.fsdecode(name))
        np.testing.assert_array_equal(read_image(data, LIMIT).pixels, PICTURE)
