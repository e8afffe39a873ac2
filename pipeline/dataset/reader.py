"""The one reader: a file's bytes become RGB pixels the same way for audit, training, test and demo.

Bytes → magic-byte allow-list → width x height ≤ max_pixels before anything is decoded → full decode → first
frame → 16-bit scaled → alpha over white → RGB → EXIF orientation. A file's name never decides its format.
The cache's own JPEGs, of pixels that went this way before, are coded here too.
"""

import io
import os
import stat
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePath

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL.Image import Image as PillowImage

MAX_BYTES = 1 << 30  # a file above this is refused unread, so that memory stays bounded
MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
}
PNG_END = b"IEND\xaeB`\x82"
EXIF_ORIENTATION = 0x0112
TIFF_TILE = (0x0142, 0x0143)  # width and height of a tile
JPEG_OPTIONS = (
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)
Pillow.MAX_IMAGE_PIXELS = None  # its own limit; data.max_pixels is checked before anything is decoded


class ImageError(ValueError):
    """A file that can't be used as an image; the text is the reason, for people."""


@dataclass(frozen=True)
class Image:
    """A picture: `pixels` uint8 [H, W, 3] RGB, upright; `note` says what was odd about its file, or ""."""

    pixels: np.ndarray
    note: str


def read_bytes(root: Path, relative: str) -> bytes:
    """Return the content of a regular file under `root`; nothing outside it, no pipe, no device, no hanging.

    Raises ImageError for a name or a link that leads out of `root`, and for what can't be read.
    """
    real_root, real = os.path.realpath(root), os.path.realpath(os.path.join(root, relative))  # noqa: PTH118
    if not real.startswith(real_root.rstrip("/") + "/"):
        raise ImageError("leads out of the data folder")
    return _regular_bytes(real)


def read_image(source: bytes | Path, max_pixels: int, name: str = "") -> Image:
    """Decode an image file, or its bytes, fully; `name` is only compared with what the bytes are, for a note.

    Of an animation the first frame counts; colour profiles are not applied. Raises ImageError with the
    reason: truncated, broken, too many pixels (found before decoding), no known format.
    """
    if isinstance(source, Path):
        name, source = name or source.name, _regular_bytes(os.fspath(source))
    kind = format_of(source)
    _check_end(source, kind)
    # What Pillow warns of is damaged metadata (or a damaged end that is no error yet): it becomes a note.
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            pixels, notes = _decode(source, kind, max_pixels)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # Pillow raises nearly anything on damaged bytes
            raise ImageError(_reason(kind, error)) from error
    if warned:
        notes.append("damaged metadata")
    suffix = PurePath(name).suffix.lower()
    if suffix and suffix not in SUFFIXES[kind]:
        notes.insert(0, f"{kind} named {suffix}")
    return Image(pixels, "; ".join(dict.fromkeys(notes)))


def format_of(data: bytes) -> str:
    """Name the format by the first bytes; raises ImageError for what is none of the six.

    >>> format_of(b"GIF89a...")
    'GIF'
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    found = next((kind for magic, kind in MAGIC.items() if data.startswith(magic)), None)
    if found is None:
        if not data:
            raise ImageError("empty file")
        raise ImageError(f"no JPEG, PNG, WebP, BMP, GIF or TIFF: begins with {data[:8]!r}")
    return found


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror [H, W, ...] as EXIF's orientation says (Exif 3.0, tag 274); only 2–8 change it.

    >>> upright(np.array([[1, 2], [3, 4]]), 6)
    array([[3, 1],
           [4, 2]])
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def encode_cached(pixels: np.ndarray) -> np.ndarray:
    """Make a JPEG, uint8 [n], of a picture, uint8 [H, W, 3] RGB, for the cache: quality 95, chroma 4:4:4."""
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), JPEG_OPTIONS)[1].ravel()


def decode_cached(data: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the pixels of `encode_cached`, uint8 [H, W, 3] RGB; raises ImageError for damaged bytes.

    Only for bytes that this pipeline wrote and hashed: of others, OpenCV gives grey where they are cut off.
    """
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if pixels is None or pixels.shape[:2] != (height, width):
        raise ImageError("damaged JPEG of the cache")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _regular_bytes(path: str) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("not a regular file")
            if status.st_size > MAX_BYTES:
                raise ImageError(f"file of {status.st_size:,} bytes, more than {MAX_BYTES:,}")
            return stream.read()
    except OSError as error:
        raise ImageError(error.strerror or "can't be read") from error


def _check_end(data: bytes, kind: str) -> None:
    # Pillow decodes these without looking for their end, so a few missing bytes would go unseen.
    whole = {
        "PNG": lambda: PNG_END in data,
        "GIF": lambda: data.rstrip(b"\0").endswith(b";"),
        "BMP": lambda: int.from_bytes(data[2:6], "little") <= len(data),
    }
    if kind in whole and not whole[kind]():
        raise ImageError(f"truncated {kind}")


def _decode(data: bytes, kind: str, max_pixels: int) -> tuple[np.ndarray, list[str]]:
    if kind == "WEBP":  # its decoder allocates the canvas when it is opened
        _check_size(*_webp_size(data), max_pixels)
    with Pillow.open(io.BytesIO(data), formats=[kind]) as image:
        _check_size(*image.size, max_pixels)
        if kind == "TIFF":  # its decoder allocates a tile whole, however small the image in it
            width, height = (getattr(image, "tag_v2", {}).get(tag, 1) for tag in TIFF_TILE)
            _check_size(width, height, max_pixels)
        image.load()
        pixels, notes = _rgb(image)
        # A TIFF's orientation is applied by Pillow itself, which then drops the tag.
        orientation = _orientation(image)
        if orientation is None:
            notes.append("damaged metadata")
        elif orientation != 1:
            notes.append(f"EXIF orientation {orientation}")
        if getattr(image, "is_animated", False):
            notes.append("several frames")
    return upright(pixels, orientation or 1), notes


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageError(f"{width} x {height} pixels, more than data.max_pixels = {max_pixels:,}")


def _webp_size(data: bytes) -> tuple[int, int]:
    chunk, body = data[12:16], data[20:30].ljust(10, b"\0")
    if chunk == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _rgb(image: PillowImage) -> tuple[np.ndarray, list[str]]:
    mode = image.mode
    if mode.startswith("I"):
        # Pillow's own conversion clips at 255, which turns 16-bit grey into white.
        grey = np.asarray(image)
        if "transparency" in image.info:
            grey = np.where(grey == image.info["transparency"], 0xFFFF, grey)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise ImageError(f"{grey.min()} to {grey.max()} in one channel: neither 8 nor 16 bits")
        return np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2), ["16-bit grey"]
    if mode == "F":
        raise ImageError("floating-point pixels")
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = np.asarray((image.convert("LA") if mode == "La" else image).convert("RGBA"))
        return _over_white(rgba), ["alpha over white"] if rgba[:, :, 3].min() < 255 else []
    if mode != "RGB":  # Pillow copies the picture even where nothing is converted
        image = image.convert("RGB")
    return np.asarray(image), [mode] if mode == "CMYK" else []


def _over_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[:, :, 3:].astype(np.uint16)
    return ((rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _orientation(image: PillowImage) -> int | None:
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF, in as many ways as there are cameras
        return None
    return orientation if isinstance(orientation, int) else None


def _reason(kind: str, error: Exception) -> str:
    text = str(error)
    if "truncated" in text.lower():
        return f"truncated {kind}"
    # Pillow's text for an unknown header holds an address in memory, other in each run.
    return f"broken {kind}" if isinstance(error, Pillow.UnidentifiedImageError) else f"broken {kind}: {text}"
