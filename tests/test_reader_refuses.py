import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.reader import ImageError, read_bytes, read_image
from tests.picture_files import GREY, LIMIT, RGB, WHOLE, gif, png, tiff

MEGABYTE = 1 << 20


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


def patched(name, place, form, *values):
    """Return a whole file with other numbers at a place."""
    data = bytearray(WHOLE[name])
    data[place : place + struct.calcsize(form)] = struct.pack(form, *values)
    return bytes(data)


def webp_canvas(side):
    canvas = (side - 1).to_bytes(3, "little")
    head = b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + canvas * 2
    return b"RIFF" + struct.pack("<I", len(head) + 82) + head + bytes(82)


def deflated(size):
    squeeze = zlib.compressobj(9)
    pieces = [squeeze.compress(bytes(min(MEGABYTE, size - i))) for i in range(0, size, MEGABYTE)]
    return b"".join([*pieces, squeeze.flush()])


def bombs(side):
    """Return files of a few kilobytes that say, and PNG and TIFF that really hold, side × side pixels."""
    short = min(side, 65535)
    rows = deflated(side * (1 + side // 8))
    frame = WHOLE["jpeg"].index(b"\xff\xc0") + 5
    strip = {256: side, 257: side, 258: 1, 259: 8, 262: 1, 273: 8 + 2 + 12 * 8 + 4, 278: side, 279: len(rows)}
    tile = {**strip, 256: 8, 257: 8, 322: side, 323: side, 324: 8 + 2 + 12 * 10 + 4, 325: len(rows)}
    tile = {tag: value for tag, value in tile.items() if tag not in (273, 279, 278)} | {277: 1}
    return {
        "png": png((side, side), 1, GREY, rows),
        "png without pixels": png((side, side), 8, RGB, zlib.compress(b"")),
        "jpeg": patched("jpeg", frame, ">HH", short, short),
        "bmp": patched("bmp", 18, "<ii", side, side),
        "gif screen": gif((short, short), (2, 2), (0, 0), None),
        "gif frame": gif((2, 2), (short, short), (0, 0), None),
        "webp canvas": webp_canvas(min(side, 1 << 24)),
        "webp lossless": patched("webp lossless", 21, "<I", 16383 | 16383 << 14),
        "webp lossy": patched("webp", 26, "<HH", 16383, 16383),
        "tiff": tiff(strip, rows),
        "tiff tile": tiff(tile, rows),
    }


READ_ALL = """
import resource, sys
from pathlib import Path
from pipeline.dataset.reader import ImageError, read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        print(path.name, read_image(path, 64_000_000).pixels.shape)
    except ImageError as error:
        print(path.name, error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("side", [10_000, 20_000, 60_000])
def test_bombs_are_refused_before_memory_is_taken(side, tmp_path):
    for name, data in bombs(side).items():
        assert len(data) < MEGABYTE
        (tmp_path / name).write_bytes(data)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", READ_ALL, str(tmp_path)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    *lines, grown = told.stdout.splitlines()
    assert len(lines) == 11
    for line in lines:
        assert line.endswith("pixels, more than data.max_pixels = 64,000,000"), line
    page_or_kilobyte = 1024 if sys.platform == "darwin" else 1
    assert int(grown) / page_or_kilobyte < 30_000  # KiB; the smallest bomb takes 100,000


def test_max_pixels_is_the_last_that_is_read():
    assert read_image(WHOLE["png"], 13 * 21).pixels.shape == (13, 21, 3)
    with pytest.raises(ImageError, match="21 x 13 pixels, more than"):
        read_image(WHOLE["png"], 13 * 21 - 1)
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 277: 1, 322: 16, 323: 16, 324: 134, 325: 256}
    data = tiff(tags, bytes(range(256)))
    golden = np.arange(256).reshape(16, 16)[:8, :8]
    np.testing.assert_array_equal(read_image(data, 256).pixels[:, :, 0], golden)
    with pytest.raises(ImageError, match="16 x 16 pixels, more than"):
        read_image(data, 255)


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
