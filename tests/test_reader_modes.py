import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from skimage import color

from pipeline.dataset.reader import ImageError, read_image
from tests.picture_files import (
    GREY,
    GREY_ALPHA,
    LIMIT,
    PALETTE,
    PICTURE,
    RGB,
    RGB_ALPHA,
    SMOOTH,
    encode,
    gif,
    png,
    png_chunk,
    png_of,
)

DRAW = np.random.default_rng(1)


def by_opencv(data):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def over_white(pixels, alpha):
    """Blend in floating point: pixels [H, W, C] under alpha [H, W, 1], both 0 to 255."""
    share = alpha / 255
    return np.rint(pixels * share + 255 * (1 - share))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form):
    grey = (np.arange(600).reshape(20, 30) * 109).astype(np.uint16)
    image = read_image(encode(grey, form), LIMIT)
    np.testing.assert_array_equal(image.pixels, np.repeat((grey // 256)[:, :, None], 3, axis=2))
    assert image.note == "16-bit grey"
    assert image.pixels.max() > 250


@pytest.mark.parametrize(("colour", "channels"), [(GREY, 1), (RGB, 3), (GREY_ALPHA, 2), (RGB_ALPHA, 4)])
def test_sixteen_bits_of_every_colour_type(colour, channels):
    samples = DRAW.integers(0, 1 << 16, (13, 21, channels)).astype(np.uint16)
    high = samples >> 8
    colours, alpha = (high[:, :, :-1], high[:, :, -1:]) if channels in (2, 4) else (high, np.array(255))
    golden = np.broadcast_to(over_white(colours, alpha), (13, 21, 3))
    np.testing.assert_array_equal(read_image(png_of(samples, colour), LIMIT).pixels, golden)


@pytest.mark.parametrize("compression", [1, 5, 8])  # none, LZW, deflate
def test_sixteen_bit_colour_tiff(compression):
    samples = DRAW.integers(0, 1 << 16, (13, 21, 3)).astype(np.uint16)
    data = cv2.imencode(".tiff", samples[:, :, ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1]
    np.testing.assert_array_equal(read_image(data.tobytes(), LIMIT).pixels, samples >> 8)


def test_32_bits_and_floats_are_refused():
    wide = np.arange(600, dtype=np.int32).reshape(20, 30) * 1000
    with pytest.raises(ImageError, match="0 to 599000 in one channel"):
        read_image(encode(wide, "TIFF"), LIMIT)
    with pytest.raises(ImageError, match="floating-point"):
        read_image(encode(wide.astype(np.float32), "TIFF"), LIMIT)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_alpha_lies_over_white(form):
    alpha = DRAW.integers(0, 256, (13, 21, 1), dtype=np.uint8)
    rgba = np.concatenate([PICTURE, alpha], axis=2)
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    image = read_image(encode(rgba, form, **options), LIMIT)
    np.testing.assert_array_equal(image.pixels, over_white(PICTURE, alpha))
    assert image.note == "alpha over white"


def test_grey_alpha_lies_over_white():
    alpha = DRAW.integers(0, 256, (13, 21, 1), dtype=np.uint8)
    golden = over_white(PICTURE[:, :, :1], alpha).repeat(3, axis=2)
    for data in (
        encode(np.concatenate([PICTURE[:, :, :1], alpha], axis=2)),
        png_of(np.concatenate([PICTURE[:, :, :1], alpha], axis=2), GREY_ALPHA),
    ):
        np.testing.assert_array_equal(read_image(data, LIMIT).pixels, golden)


def test_opaque_alpha_is_nothing_odd():
    opaque = np.concatenate([PICTURE, np.full((13, 21, 1), 255, np.uint8)], axis=2)
    image = read_image(encode(opaque), LIMIT)
    np.testing.assert_array_equal(image.pixels, PICTURE)
    assert image.note == ""


# Of 16-bit colours Pillow keeps the high bytes: a transparent one can't be told from its neighbours.
@pytest.mark.parametrize(
    ("colour", "channels", "dtype"), [(GREY, 1, np.uint8), (RGB, 3, np.uint8), (GREY, 1, np.uint16)]
)
def test_the_transparent_colour_of_a_png_is_white(colour, channels, dtype):
    samples = DRAW.integers(0, np.iinfo(dtype).max, (13, 21, channels)).astype(dtype)
    clear = samples[4, 7].tolist()
    chunk = png_chunk(b"tRNS", struct.pack(f">{channels}H", *clear))
    golden = np.where((samples == clear).all(axis=2, keepdims=True), np.iinfo(dtype).max, samples)
    golden = golden >> 8 * (samples.itemsize - 1)
    got = read_image(png_of(samples, colour, chunk), LIMIT).pixels
    np.testing.assert_array_equal(got, np.broadcast_to(golden, (13, 21, 3)))


def test_palette_with_transparency():
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    image = Pillow.frombytes("P", (4, 3), indices.tobytes())
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    np.testing.assert_array_equal(read_image(encode(image), LIMIT).pixels, colours[indices])
    clear = colours.copy()
    clear[1] = 255
    np.testing.assert_array_equal(read_image(encode(image, transparency=1), LIMIT).pixels, clear[indices])
    half = over_white(colours, np.array(128))[indices]
    data = encode(image, transparency=bytes([128] * 3))
    np.testing.assert_array_equal(read_image(data, LIMIT).pixels, half)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_of_grey_and_of_a_palette(depth):
    values = np.arange(16) % 2**depth
    packed = np.packbits((values[:, None] >> np.arange(depth)[::-1] & 1).astype(np.uint8)).tobytes()
    palette = DRAW.integers(0, 256, (2**depth, 3), dtype=np.uint8)
    rows = zlib.compress((b"\0" + packed) * 2)
    grey = read_image(png((16, 2), depth, GREY, rows), LIMIT).pixels
    np.testing.assert_array_equal(grey[1, :, 0], values * (255 // (2**depth - 1)))
    chunk = png_chunk(b"PLTE", palette.tobytes())
    coloured = read_image(png((16, 2), depth, PALETTE, rows, chunk), LIMIT).pixels
    np.testing.assert_array_equal(coloured[1], palette[values])


def test_one_bit_and_grey():
    bits = np.arange(35).reshape(5, 7) % 3 == 0
    golden = np.repeat(bits[:, :, None] * 255, 3, axis=2)
    for data in (encode(bits), encode(bits, "TIFF", compression="group4"), encode(bits, "BMP")):
        np.testing.assert_array_equal(read_image(data, LIMIT).pixels, golden)
    grey = PICTURE[:, :, 0]
    for form in ("PNG", "TIFF", "BMP", "GIF"):
        got = read_image(encode(grey, form), LIMIT).pixels
        np.testing.assert_array_equal(got, np.repeat(grey[:, :, None], 3, axis=2), err_msg=form)
    jpeg = encode(SMOOTH[:, :, 0], "JPEG")
    np.testing.assert_array_equal(read_image(jpeg, LIMIT).pixels, by_opencv(jpeg))


def test_cmyk():
    inks = DRAW.integers(0, 256, (13, 21, 4), dtype=np.uint8)
    image = read_image(encode(Pillow.frombytes("CMYK", (21, 13), inks.tobytes()), "TIFF"), LIMIT)
    golden = (255.0 - inks[:, :, :3]) * (255.0 - inks[:, :, 3:]) / 255
    np.testing.assert_allclose(image.pixels, golden, atol=1)
    assert image.note == "CMYK"


@pytest.mark.parametrize("kind", ["inverted", "YCCK", "without Adobe's mark"])
def test_cmyk_jpegs_are_inverted_as_opencv_reads_them(kind):
    small = DRAW.integers(0, 256, (6, 8, 4), dtype=np.uint8)
    inks = cv2.resize(small, (64, 48), interpolation=cv2.INTER_LINEAR)
    data = bytearray(encode(Pillow.frombytes("CMYK", (64, 48), inks.tobytes()), "JPEG", quality=95))
    mark = data.index(b"\xff\xee\x00\x0eAdobe")
    if kind == "YCCK":
        data[mark + 15] = 2
    if kind == "without Adobe's mark":
        del data[mark : mark + 16]
    image = read_image(bytes(data), LIMIT)
    assert np.abs(image.pixels.astype(int) - by_opencv(data)).max() <= 2
    assert image.note == "CMYK"
    if kind == "inverted":
        golden = (255.0 - inks[:, :, :3]) * (255.0 - inks[:, :, 3:]) / 255
        np.testing.assert_allclose(image.pixels, golden, atol=6)


def test_other_colour_spaces_of_a_tiff():
    lab = color.rgb2lab(SMOOTH)
    stored = np.rint(lab * [2.55, 1, 1]) % 256
    data = encode(Pillow.frombytes("LAB", (64, 48), stored.astype(np.uint8).tobytes()), "TIFF")
    difference = np.abs(read_image(data, LIMIT).pixels.astype(int) - SMOOTH)
    assert difference.mean() < 4
    ycbcr = encode(SMOOTH, "TIFF", mode="YCbCr")
    np.testing.assert_allclose(read_image(ycbcr, LIMIT).pixels.astype(int), SMOOTH, atol=3)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        *(("GIF", {}), ("PNG", {}), ("PNG", {"default_image": True}), ("WEBP", {"lossless": True})),
        *(("TIFF", {}), ("MPO", {"quality": 100})),
    ],
)
def test_the_first_frame_of_an_animation(form, options):
    frames = [Pillow.fromarray(np.full((8, 9, 3), colour, np.uint8)) for colour in (200, 100, 0)]
    image = read_image(encode(frames[0], form, save_all=True, append_images=frames[1:], **options), LIMIT)
    np.testing.assert_array_equal(image.pixels, np.full((8, 9, 3), 200))
    assert image.note == "several frames"


def test_a_frame_smaller_than_its_gif():
    red, green, blue = np.eye(3, dtype=int) * 255
    golden = np.tile(red, (4, 4, 1))
    golden[1, 1:3], golden[2, 1:3] = green, blue
    image = read_image(gif((4, 4), (2, 2), (1, 1), None), LIMIT)
    np.testing.assert_array_equal(image.pixels, golden)
    golden[golden[:, :, 0] == 255] = 255
    clear = read_image(gif((4, 4), (2, 2), (1, 1), 3), LIMIT)
    np.testing.assert_array_equal(clear.pixels, golden)
    assert (image.note, clear.note) == ("", "alpha over white")
