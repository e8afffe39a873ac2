"""A drawn lookalike of IP102 on disk, in either of its layouts, and beside it which files are twins.

`python -m pipeline.dataset.sample --like ip102 --root DIR` draws it. It is there for scale: speed, memory,
grouping. Scores on it say nothing about IP102.
"""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath

import cv2
import numpy as np

from pipeline import interrupt
from pipeline.artifacts import manifest, writer
from pipeline.dataset.audit import each_image
from pipeline.dataset.drawing.collage import draw_collage
from pipeline.dataset.drawing.files import csv_bytes, encoded, retaken
from pipeline.dataset.lookalike_plan import CLASSES, IMAGES, NAMES, SPLITS, Row, plan_lookalike
from pipeline.errors import DataError, Interrupted, ResourceError
from pipeline.randomness import generator

LAYOUTS = ("lists", "folders")
VERSION = 1  # raised when equal arguments draw other bytes
MEAN_BYTES = 42_000  # of a file, rounded up
QUALITIES = (60, 96)


def draw_lookalike(
    root: Path,
    *,
    layout: str = "lists",
    images: int = sum(IMAGES),
    seed: int = 0,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw images and lists into `root`, by `workers` processes (0: one a core); ROOT-truth gets truth.csv.

    truth.csv has a row a file: file (relative to `root`), class (the label), split, picture (the same number
    for every file that shows one picture) and kind. Equal arguments draw equal bytes, however many workers.
    Raises UsageError for too few images, DataError where `root` holds anything but this very drawing.
    """
    root = Path(root).absolute()
    truth = root.with_name(root.name + "-truth")
    drawing = {"like": "ip102", "layout": layout, "images": images, "seed": seed, "version": VERSION}
    rows = planned(images, seed)
    refuse_foreign(root, truth, drawing)
    writer.require_space(root, MEAN_BYTES * images, f"{images:,} drawn images")
    writer.publish_bytes(truth / "drawing.json", json.dumps(drawing).encode() + b"\n")
    names = [file_name(row, layout, images) for row in rows]
    writer.publish_folder(root, drawn_files(names, images, seed, workers, progress))
    table = [
        (name, row.label, row.split, row.picture, row.kind) for name, row in zip(names, rows, strict=True)
    ]
    writer.publish_bytes(truth / "truth.csv", csv_bytes(("file", "class", "split", "picture", "kind"), table))
    writer.publish_folder(root, lists(rows, images))


def refuse_foreign(root: Path, truth: Path, drawing: dict[str, object]) -> None:
    """Raise DataError where files would be written among those of somebody else, or of another drawing."""
    known = manifest.read_json(truth / "drawing.json")
    if known == drawing:
        return
    for folder in (root, truth):
        if folder.is_dir() and any(folder.iterdir()) and (folder == root or known is None):
            whose = f"holds another drawing ({known})" if known else "has files that no drawing of ours made"
            raise DataError(
                f"{folder} {whose}, and they aren't overwritten: move them away, or give another --root."
            )


def file_name(row: Row, layout: str, images: int) -> str:
    """Name a file relative to the root.

    >>> row = Row(7, 3, "val", 7, "plain", 100, 100)
    >>> file_name(row, "lists", 400), file_name(row, "folders", 400)
    ('images/00007.jpg', 'classification/val/3/00007.jpg')
    """
    folder = f"classification/{row.split}/{row.label}" if layout == "folders" else "images"
    return f"{folder}/{row.number:0{digits(images)}d}.jpg"


def lists(rows: Sequence[Row], images: int) -> dict[str, bytes]:
    """Return IP102's lists by name: labels count from 0, the lines of classes.txt from 1."""
    names = [f"{label + 1} {NAMES.get(label, f'pest {label}')}\n" for label in range(CLASSES)]
    files = {"classes.txt": "".join(names)}
    for split in SPLITS:
        lines = [f"{row.number:0{digits(images)}d}.jpg {row.label}\n" for row in rows if row.split == split]
        files[f"{split}.txt"] = "".join(lines)
    return {name: text.encode() for name, text in files.items()}


def digits(images: int) -> int:
    return max(5, len(str(images - 1)))


def drawn_files(
    names: Sequence[str],
    images: int,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[str, bytes]]:
    """Draw and encode the images in parallel, a few ahead: (name relative to the root, bytes)."""
    draw = functools.partial(drawn_file, images, seed)
    try:
        with contextlib.closing(each_image(draw, names, workers)) as drawn:
            for done, (name, data) in enumerate(zip(names, drawn, strict=True), 1):
                if (number := interrupt.requested()) is not None:
                    raise Interrupted("stopped: the same command draws it all again.", number)
                yield name, data
                if progress is not None:
                    progress(done, images)
    except ResourceError as error:
        raise ResourceError(f"{error} For a drawing: --workers 1 needs the least memory.") from error


def drawn_file(images: int, seed: int, name: str) -> bytes:
    """Return the bytes of one file, which follow from its number alone."""
    row = planned(images, seed)[int(PurePath(name).stem)]
    picture = draw_collage(row.label, row.picture, (row.height, row.width), CLASSES, seed)
    if row.kind == "near-duplicate":
        rng = generator(seed, "near-duplicate", row.number)
        return encoded(retaken(picture, rng), "JPEG", quality=int(rng.integers(50, 90)))
    if row.kind == "png":
        return encoded(picture, "PNG")
    if row.kind == "png-alpha":
        return encoded(cut_out(picture), "PNG", mode="RGBA")
    quality = int(generator(seed, "quality", row.picture).integers(*QUALITIES))
    return encoded(picture, "JPEG", quality=quality)


def cut_out(picture: np.ndarray) -> np.ndarray:
    """Make everything outside an ellipse transparent: RGBA uint8 [H, W, 4]."""
    height, width = picture.shape[:2]
    alpha = np.zeros((height, width), np.uint8)
    cv2.ellipse(alpha, (width // 2, height // 2), (width // 2, height // 2), 0, 0, 360, 255, -1, cv2.LINE_AA)
    return np.dstack([picture, alpha])


@functools.lru_cache(maxsize=1)
def planned(images: int, seed: int) -> list[Row]:
    """Return the plan, which every process makes once for itself."""
    return plan_lookalike(images, seed)
