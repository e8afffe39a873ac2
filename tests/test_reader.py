import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from pipeline.dataset.reader import ImageError, format_of, read_bytes, read_image, upright

LIMIT = 1_000_000
PICTURE = np.random.default_rng(0).integers(0, 256, (13, 21, 3), dtype=np.uint8)
SMOOTH = np.stack(
    [
        np.add.outer(np.arange(48) * 3, np.arange(64)),
        np.tile(np.arange(64) * 4, (48, 1)),
        np.full((48, 64), 90),
    ],
    axis=2,
).astype(np.uint8)


def encode(pixels, form="PNG", mode=None, **options):
    image = pixels if isinstance(pixels, Pillow.Image) else Pillow.fromarray(pixels, mode and None)
    if mode:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation):
    tags = Pillow.Exif()
    tags[0x0112] = orientation
    return tags


WHOLE = {
    "jpeg": encode(SMOOTH, "JPEG"),
    "progressive": encode(SMOOTH, "JPEG", progressive=True),
    "png": encode(PICTURE),
    "webp": encode(PICTURE, "WEBP"),
    "webp lossless": encode(PICTURE, "WEBP", lossless=True),
    "gif": encode(PICTURE, "GIF"),
    "bmp": encode(PICTURE, "BMP"),
    "tiff": encode(PICTURE, "TIFF"),
    "tiff lzw": encode(PICTURE, "TIFF", compression="tiff_lzw"),
}


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


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form):
    grey = (np.arange(600).reshape(20, 30) * 109).astype(np.uint16)
    image = read_image(encode(grey, form), LIMIT)
    np.testing.assert_array_equal(image.pixels, np.repeat((grey // 256)[:, :, None], 3, axis=2))
    assert image.note == "16-bit grey"
    assert image.pixels.max() > 250


def test_32_bits_and_floats_are_refused():
    wide = np.arange(600, dtype=np.int32).reshape(20, 30) * 1000
    with pytest.raises(ImageError, match="0 to 599000 in one channel"):
        read_image(encode(wide, "TIFF"), LIMIT)
    with pytest.raises(ImageError, match="floating-point"):
        read_image(encode(wide.astype(np.float32), "TIFF"), LIMIT)


def test_alpha_lies_over_white():
    alpha = np.random.default_rng(1).integers(0, 256, (13, 21, 1), dtype=np.uint8)
    share = alpha / 255
    image = read_image(encode(np.concatenate([PICTURE, alpha], axis=2)), LIMIT)
    np.testing.assert_array_equal(image.pixels, np.rint(PICTURE * share + 255 * (1 - share)))
    assert image.note == "alpha over white"
    grey = np.concatenate([PICTURE[:, :, :1], alpha], axis=2)
    golden = np.rint(grey[:, :, :1] * share + 255 * (1 - share)).repeat(3, axis=2)
    np.testing.assert_array_equal(read_image(encode(grey), LIMIT).pixels, golden)


def test_opaque_alpha_is_nothing_odd():
    opaque = np.concatenate([PICTURE, np.full((13, 21, 1), 255, np.uint8)], axis=2)
    image = read_image(encode(opaque), LIMIT)
    np.testing.assert_array_equal(image.pixels, PICTURE)
    assert image.note == ""


def test_palette_with_transparency():
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    image = Pillow.fromarray(indices)
    image = Pillow.frombytes("P", (4, 3), indices.tobytes())
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    np.testing.assert_array_equal(read_image(encode(image), LIMIT).pixels, colours[indices])
    clear = colours.copy()
    clear[1] = 255
    np.testing.assert_array_equal(read_image(encode(image, transparency=1), LIMIT).pixels, clear[indices])
    half = np.rint(colours * 0.5019607843 + 255 * (1 - 0.5019607843))[indices]
    np.testing.assert_array_equal(
        read_image(encode(image, transparency=bytes([128] * 3)), LIMIT).pixels, half
    )


def test_one_bit_and_grey():
    bits = np.arange(35).reshape(5, 7) % 3 == 0
    golden = np.repeat(bits[:, :, None] * 255, 3, axis=2)
    np.testing.assert_array_equal(read_image(encode(bits), LIMIT).pixels, golden)
    grey = PICTURE[:, :, 0]
    np.testing.assert_array_equal(
        read_image(encode(grey), LIMIT).pixels, np.repeat(grey[:, :, None], 3, axis=2)
    )


def test_cmyk():
    inks = np.random.default_rng(2).integers(0, 256, (13, 21, 4), dtype=np.uint8)
    image = read_image(encode(Pillow.frombytes("CMYK", (21, 13), inks.tobytes()), "TIFF"), LIMIT)
    golden = (255.0 - inks[:, :, :3]) * (255.0 - inks[:, :, 3:]) / 255
    np.testing.assert_allclose(image.pixels, golden, atol=1)
    assert image.note == "CMYK"
    jpeg = read_image(encode(SMOOTH, "JPEG", mode="CMYK", quality=95), LIMIT)
    np.testing.assert_allclose(jpeg.pixels.astype(int), SMOOTH, atol=12)
    assert jpeg.note == "CMYK"


def test_the_first_frame_of_an_animation():
    frames = [Pillow.fromarray(np.full((8, 9, 3), colour, np.uint8)) for colour in (200, 100, 0)]
    for form, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = encode(frames[0], form, save_all=True, append_images=frames[1:], **options)
        image = read_image(data, LIMIT)
        np.testing.assert_array_equal(image.pixels, np.full((8, 9, 3), 200), err_msg=form)
        assert image.note == "several frames"


@pytest.mark.parametrize("name", WHOLE)
def test_every_truncation_is_found(name):
    whole = WHOLE[name]
    read_image(whole, LIMIT)
    for cut in {*range(1, 12), len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 40}:
        with pytest.raises(ImageError):
            read_image(whole[:-cut], LIMIT)


def test_a_truncated_jpeg_is_called_so():
    with pytest.raises(ImageError, match=r"^truncated JPEG$"):
        read_image(WHOLE["jpeg"][:-2], LIMIT)


def pixels_or_reason(data):
    try:
        return read_image(data, LIMIT).pixels, ""
    except ImageError as error:
        return None, str(error)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_damaged_bytes_give_an_image_or_a_reason(name, data):
    damaged = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, min(len(damaged), 400) - 1))] = data.draw(st.integers(0, 255))
    pixels, reason = pixels_or_reason(bytes(damaged))
    assert "0x" not in reason  # an address would differ from run to run
    if pixels is not None:
        assert (pixels.dtype, pixels.shape[2]) == (np.uint8, 3)
        assert pixels.size <= 3 * LIMIT


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>404</html>", "no JPEG, PNG, WebP, BMP, GIF or TIFF: begins with b'<!DOCTYP'"),
        (b"%PDF-1.7\n", "no JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9999 9999\n", "no JPEG"),
        (b"SIMPLE  =                    T", "no JPEG"),
        (b"plain text", "no JPEG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "truncated PNG"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(data, reason):
    with pytest.raises(ImageError, match=reason):
        read_image(data, LIMIT, "a.jpg")


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bombs(width, height):
    start = struct.pack(">II", width, height)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", start + b"\x08\x02\0\0\0")
        + png_chunk(b"IDAT", zlib.compress(b""))
    )
    jpeg = bytearray(WHOLE["jpeg"])
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", min(height, 65535), min(width, 65535))
    bmp = bytearray(WHOLE["bmp"])
    bmp[18:26] = struct.pack("<ii", width, height)
    gif = bytearray(WHOLE["gif"])
    gif[6:10] = struct.pack("<HH", min(width, 65535), min(height, 65535))
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    webp = (
        b"RIFF"
        + struct.pack("<I", 100)
        + b"WEBPVP8X"
        + struct.pack("<I", 10)
        + b"\2\0\0\0"
        + canvas
        + bytes(82)
    )
    lossless = bytearray(WHOLE["webp lossless"])
    lossless[21:25] = struct.pack("<I", 16383 | 16383 << 14)
    lossy = bytearray(WHOLE["webp"])
    lossy[26:30] = struct.pack("<HH", 16383, 16383)
    tiff = bytearray(WHOLE["tiff"])
    for tag, value in ((256, width), (257, height)):
        place = tiff.index(
            struct.pack("<HH", tag, 4) if struct.pack("<HH", tag, 4) in tiff else struct.pack("<HH", tag, 3)
        )
        tiff[place : place + 12] = struct.pack("<HHII", tag, 4, 1, value)
    png += png_chunk(b"IEND", b"")
    return [bytes(data) for data in (png, jpeg, bmp, gif, webp, lossless, lossy, tiff)]


@pytest.mark.parametrize("side", [10_000, 20_000, 60_000])
def test_bombs_are_refused_before_they_are_decoded(side, monkeypatch):
    def never(*_):
        raise MemoryError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    monkeypatch.setattr("PIL._webp.WebPAnimDecoder", never)
    for data in bombs(side, side):
        with pytest.raises(ImageError, match=r"pixels, more than data.max_pixels = 64,000,000"):
            read_image(data, 64_000_000)


def test_max_pixels_is_the_last_that_is_read():
    assert read_image(WHOLE["png"], 13 * 21).pixels.shape == (13, 21, 3)
    with pytest.raises(ImageError, match="21 x 13 pixels, more than"):
        read_image(WHOLE["png"], 13 * 21 - 1)


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


def test_only_regular_files_inside_the_folder_are_read(tmp_path):
    root = tmp_path / "data"
    (root / "train").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(WHOLE["png"])
    (root / "train" / "a.png").write_bytes(WHOLE["png"])
    (root / "inside.png").symlink_to("train/a.png")
    (root / "out.png").symlink_to(tmp_path / "secret.png")
    (root / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(root / "pipe.png")
    assert read_bytes(root, "train/a.png") == read_bytes(root, "inside.png") == WHOLE["png"]
    for name in ("../secret.png", "/etc/hostname", "out.png", "zero.png", "train/../../secret.png"):
        with pytest.raises(ImageError, match="leads out of the data folder"):
            read_bytes(root, name)
    for name, reason in (
        ("pipe.png", "not a regular"),
        ("train", "directory|not a regular"),
        ("no.png", "No such"),
    ):
        with pytest.raises(ImageError, match=reason):
            read_bytes(root, name)
