"""The contact sheet of augmentation: what a network sees of some training images, before it is trained.

A row is an image, as it is predicted and then as fold 0 is trained on it in epochs 0, 1, 2 …, to the byte.

  python -m pipeline.dataset.augment --sheet out.png                           the first member's recipe
  python -m pipeline.dataset.augment --sheet out.png train.augment=insects     … with another augmentation
"""

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import terminal
from pipeline.artifacts import manifest, paths, writer
from pipeline.config import Config, Member, Train, largest_side, predict_side, train_side
from pipeline.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from pipeline.dataset.cache import Cache

MOST_SIDE = 4000  # pixels of a sheet: tiles shrink to fit
LEAST_TILE, LEAST_COLUMN = 24, 64  # a column is at least as wide as its caption
CAPTION, GAP, TEXT_SIZE = 18, 4, 13
MOST_IMAGES = (MOST_SIDE - CAPTION) // (CAPTION + LEAST_TILE + GAP)
MOST_DRAWS = (MOST_SIDE - GAP) // (LEAST_COLUMN + GAP) - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --sheet, --member, --images and --draws."""
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", required=True, help="write the sheet here")
    parser.add_argument("--member", metavar="NAME", help="whose recipe (default: the first member's)")
    parser.add_argument("--images", type=int, default=8, metavar="N", help="rows: training images (8)")
    parser.add_argument("--draws", type=int, default=6, metavar="N", help="columns: epochs, from 0 on (6)")


def draw(config: Config, options: argparse.Namespace) -> None:
    """Write the sheet of a member's recipe on images that are prepared, and say what it shows.

    Raises UsageError for flags that make no sheet, DataError where nothing is prepared.
    """
    _check(options)
    member = _member(config, options.member)
    prepared = paths.cache_manifest(config)
    if not prepared.exists():
        raise DataError(f"{prepared} isn't there: the sheet needs images: python -m pipeline.prepare")
    from pipeline.dataset.cache import open_cache
    from pipeline.dataset.drawing.files import encoded

    classes, cache = manifest.facts(prepared)["classes"], open_cache(paths.cache(config))
    sheet = contact_sheet(cache, classes, member.train, options.images, options.draws)
    writer.publish_bytes(options.sheet, encoded(sheet, "PNG"))
    recipe, side = member.train.augment, largest_side(member.train)
    named = recipe if isinstance(recipe, str) else f"{len(recipe)} transforms of its own"
    terminal.say(
        f"{options.sheet}: {member.name}, augment: {named}, {side} px; a row is an image as it is predicted, "
        f"then as fold 0 trains on it in epochs 0 to {options.draws - 1}"
    )


def contact_sheet(
    cache: "Cache", classes: Sequence[str], train: Train, images: int, draws: int
) -> "np.ndarray":
    """Draw a row for each of some training images: RGB uint8 [H, W, 3], no side above MOST_SIDE.

    First comes the image as it is predicted, then what TrainImages gives of it for fold 0 in the epochs
    0 … draws − 1, all at the largest side that is trained on, or less where that doesn't fit.
    """
    import numpy as np

    from pipeline.dataset.layouts.image_files import LABELLED
    from pipeline.dataset.loader import TrainImages, frame_image

    targets = cache.table["target"].to_numpy()
    rows = spread_rows(np.flatnonzero(cache.table["split"].isin(LABELLED)), targets, images)
    # Epochs beyond the training's have draws too, and show as well what a recipe does: at its last size.
    epochs = max(train.epochs, draws)
    sides = tuple(train_side(train, min(epoch, train.epochs - 1)) for epoch in range(epochs))
    seen = TrainImages(cache, targets, dataclasses.replace(train, epochs=epochs, sizes=sides), 0)
    lines = []
    for row in rows.tolist():
        predicted = frame_image(cache.pixels(row), predict_side(train), train.test_crop)
        trained = [seen[epoch, row, 0][0] for epoch in range(draws)]
        lines.append((f"{classes[targets[row]]}  {cache.table['id'][row]}", [predicted, *trained]))
    heads = ["predicted", *(f"epoch {epoch}" for epoch in range(draws))]
    return lay_out(heads, lines, tile_side(largest_side(train), len(rows), draws))


def spread_rows(rows: "np.ndarray", targets: "np.ndarray", count: int) -> "np.ndarray":
    """Choose up to `count` of the rows, int64 [n], spread over their classes `targets[row]`, in their order.

    Of more classes than `count` those at even distances are taken. Equal arguments choose equal rows.

    >>> import numpy as np
    >>> rows, targets = np.array([0, 1, 2, 4, 5]), np.array([2, 0, 0, -1, 1, 2])
    >>> targets[spread_rows(rows, targets, 4)], targets[spread_rows(rows, targets, 2)]
    (array([0, 0, 1, 2]), array([0, 2]))
    """
    import numpy as np

    from pipeline.randomness import generator

    present = np.unique(targets[rows])
    if count < len(present):
        present = present[np.linspace(0, len(present) - 1, count).round().astype(int)]
    pools = [generator(0, "sheet", int(k)).permutation(rows[targets[rows] == k]) for k in present]
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*pools))
    chosen = np.array([row for row in in_turn if row is not None][:count], dtype=np.int64)
    return chosen[np.argsort(targets[chosen], kind="stable")]


def tile_side(size: int, images: int, draws: int) -> int:
    """Return the side of a sheet's tiles: the training size, or less where the sheet would be too large.

    >>> tile_side(224, 8, 6), tile_side(224, 40, 6), tile_side(512, 4, 10)
    (224, 77, 359)
    """
    across = (MOST_SIDE - GAP) // (1 + draws) - GAP
    down = (MOST_SIDE - CAPTION) // max(images, 1) - CAPTION - GAP
    return min(size, across, down)


def lay_out(
    heads: Sequence[str], lines: Sequence[tuple[str, Sequence["np.ndarray"]]], side: int
) -> "np.ndarray":
    """Draw rows of square tiles, `side` pixels each, below their name and their column's head: RGB uint8."""
    import cv2
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    column, line = max(side, LEAST_COLUMN) + GAP, CAPTION + side + GAP
    sheet = Image.new("RGB", (GAP + len(heads) * column, CAPTION + len(lines) * line), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT_SIZE)
    for i, head in enumerate(heads):
        pen.text((GAP + i * column, 1), head, fill="black", font=font)
    for number, (name, tiles) in enumerate(lines):
        top, text = CAPTION + number * line, " ".join(name.split())
        while font.getlength(text) > sheet.width - 2 * GAP:
            text = text[:-2] + "…"
        pen.text((GAP, top + 1), text, fill="black", font=font)
        for i, pixels in enumerate(tiles):
            how = cv2.INTER_AREA if len(pixels) > side else cv2.INTER_NEAREST  # larger: its pixels are seen
            tile = cv2.resize(pixels, (side, side), interpolation=how)
            sheet.paste(Image.fromarray(tile), (GAP + i * column, top + CAPTION))
    return np.asarray(sheet)


def _check(options: argparse.Namespace) -> None:
    if not (1 <= options.images <= MOST_IMAGES and 1 <= options.draws <= MOST_DRAWS):
        raise UsageError(
            f"--images {options.images} --draws {options.draws}: a sheet has 1 to {MOST_IMAGES} images, "
            f"1 to {MOST_DRAWS} draws."
        )
    if options.sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet {options.sheet}: the sheet is a PNG file: let its name end in .png.")


def _member(config: Config, name: str | None) -> Member:
    found = next((member for member in config.members if name in (None, member.name)), None)
    if found is None:
        known = ", ".join(member.name for member in config.members)
        raise UsageError(f"--member {name}: no such member; there are {known}.")
    return found
