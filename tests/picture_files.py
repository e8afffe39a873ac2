"""Image files of every format, made by Pillow or byte by byte, and the pixels that they must give."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image as Pillow

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
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # PNG's colour types


def encode(pixels: Any, form: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    """Make a file of pixels, or of a Pillow image, with Pillow."""
    image = pixels if isinstance(pixels, Pillow.Image) else Pillow.fromarray(pixels)
    if mode:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Pillow.Exif:
    tags = Pillow.Exif()
    tags[0x0112] = orientation
    return tags


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(size: tuple[int, int], depth: int, colour: int, packed: bytes, *more: bytes) -> bytes:
    """Build a PNG of size (width, height) by the specification: `packed` is its deflated rows."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    chunks = (png_chunk(b"IHDR", header), *more, png_chunk(b"IDAT", packed), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_of(samples: np.ndarray, colour: int, *more: bytes) -> bytes:
    """Build a PNG of samples [H, W, C], uint8 or uint16."""
    height, width = samples.shape[:2]
    rows = samples.reshape(height, -1)
    packed = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in rows)
    return png((width, height), samples.itemsize * 8, colour, zlib.compress(packed), *more)


def tiff(tags: dict[int, int], data: bytes) -> bytes:
    """Build a little-endian TIFF of one directory; `data` follows it."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def gif(screen: tuple[int, int], frame: tuple[int, int], at: tuple[int, int], clear: int | None) -> bytes:
    """Build a GIF of a frame of 2 × 2: green over blue, on a screen of palette red, green, blue, grey.

    `frame` is the size that its header claims; `clear` is the palette's transparent entry.
    """
    palette = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x81, 0, 0) + palette
    control = b"\x21\xf9\x04" + bytes([int(clear is not None), 0, 0, clear or 0, 0])
    codes = [4, 1, 4, 1, 4, 2, 4, 2, 5]  # of 3 bits: each pixel after a "clear", then the end
    bits = sum(code << 3 * i for i, code in enumerate(codes)).to_bytes(4, "little")
    body = b"," + struct.pack("<HHHHB", *at, *frame, 0) + b"\x02\x04" + bits + b"\0"
    return head + control + body + b";"


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
