"""The built-in sample competition: drawn insects, laid out as Kaggle does it, the hidden truth beside it.

`python -m pipeline.dataset.sample --sheet sheet.png` draws a contact sheet, `--root DIR` the competition,
`--like ip102 --root DIR` 75,222 images as IP102 has them. Every number that comes of it is about drawn data.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline import interrupt, terminal
from pipeline.artifacts import writer
from pipeline.dataset import lookalike
from pipeline.dataset.drawing.files import csv_bytes, encoded, retaken
from pipeline.dataset.drawing.photograph import photograph
from pipeline.dataset.drawing.species import Traits, draw_species, individual_of, species_names
from pipeline.dataset.sample_plan import Row, plan_competition
from pipeline.errors import PipelineError, UsageError
from pipeline.randomness import generator

TILE, GAP, NAME_WIDTH, TILES = 128, 4, 190, 8


def draw_competition(
    root: Path,
    *,
    classes: int = 12,
    images: int = 700,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw the whole competition into `root` and its truth into the folder `ROOT-solution` beside it.

    `root` gets train.csv and sample_submission.csv (id, label), train/ID.jpg and test/ID.jpg. The other
    folder gets solution.csv (id, label, clean_label), whose label is as noisy as train's, and truth.csv
    (split, id, species, individual, group, kind).
    Equal arguments give equal bytes. `progress` is called with the images done and all of them.
    Raises UsageError for fewer than 2 classes or fewer than 3 images a class.
    """
    root = Path(root).absolute()
    names, rows = species_names(classes, seed), plan_competition(classes, images, seed)
    writer.publish_folder(root, image_files(rows, classes, seed, progress))
    test = [row for row in rows if row.split == "test"]
    shuffled = [test[i].id for i in generator(seed, "submission order").permutation(len(test))]
    train_table = [(row.id, names[row.label]) for row in rows if row.split == "train"]
    solution = [(row.id, names[row.label], names[row.species]) for row in test]
    truth = [
        (row.split, row.id, names[row.species], f"{names[row.species]} {row.individual}", row.group, row.kind)
        for row in rows
    ]
    hidden = root.with_name(root.name + "-solution")
    writer.publish_bytes(hidden / "solution.csv", csv_bytes(("id", "label", "clean_label"), solution))
    truth_columns = ("split", "id", "species", "individual", "group", "kind")
    writer.publish_bytes(hidden / "truth.csv", csv_bytes(truth_columns, truth))
    writer.publish_bytes(root / "train.csv", csv_bytes(("id", "label"), train_table))
    submission = csv_bytes(("id", "label"), [(name, names[0]) for name in shuffled])
    writer.publish_bytes(root / "sample_submission.csv", submission)


def image_files(
    rows: Sequence[Row], classes: int, seed: int, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[str, bytes]]:
    """Draw and encode the images one by one: (name relative to the root, bytes)."""
    species = draw_species(classes, seed)
    for done, row in enumerate(rows, 1):
        yield f"{row.split}/{row.id}.jpg", image_bytes(row, species[row.species], seed)
        if progress is not None:
            progress(done, len(rows))


def draw_individual(species: Traits, number: int, individual: int, seed: int) -> np.ndarray:
    """Draw the one picture, RGB uint8 [H, W, 3], of an individual of species `number`."""
    rng = generator(seed, "picture", number, individual)
    return photograph(individual_of(species, rng), rng)


def image_bytes(row: Row, species: Traits, seed: int) -> bytes:
    """Return the file of one image; an exact duplicate has its original's bytes."""
    picture = draw_individual(species, row.species, row.individual, seed)
    quality = int(generator(seed, "quality", row.species, row.individual).integers(60, 96))
    if row.kind == "near-duplicate":
        rng = generator(seed, "near-duplicate", row.split, row.id)
        return encoded(retaken(picture, rng), "JPEG", quality=int(rng.integers(50, 90)))
    if row.kind == "png":
        return encoded(picture, "PNG")
    if row.kind == "exif":
        exif = Image.Exif()
        exif[0x0112] = 6  # a viewer turns the stored pixels a quarter clockwise
        return encoded(np.rot90(picture), "JPEG", quality=quality, exif=exif)
    if row.kind == "cmyk":
        return encoded(picture, "JPEG", mode="CMYK", quality=quality)
    return encoded(picture, "JPEG", quality=quality)


def contact_sheet(classes: int, seed: int) -> np.ndarray:
    """Draw a row a species, its name and its first eight individuals: RGB uint8 [H, W, 3]."""
    names, species = species_names(classes, seed), draw_species(classes, seed)
    step = TILE + GAP
    sheet = np.full((GAP + classes * step, NAME_WIDTH + TILES * step, 3), 255, np.uint8)
    for number, (name, look) in enumerate(zip(names, species, strict=True)):
        top = GAP + number * step
        for line, word in enumerate(name.split()):
            place = (8, top + TILE // 2 + 24 * line - 8)
            cv2.putText(sheet, word, place, cv2.FONT_HERSHEY_DUPLEX, 0.62, (30, 30, 30), 1, cv2.LINE_AA)
        for i in range(TILES):
            picture = draw_individual(look, number, i, seed)
            scale = TILE / max(picture.shape[:2])
            size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            y, x = top + (TILE - size[1]) // 2, NAME_WIDTH + i * step + (TILE - size[0]) // 2
            sheet[y : y + size[1], x : x + size[0]] = small
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.dataset.sample",
        description="Draw the sample competition, its contact sheet, or a data set of another one's scale.",
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE.png", help="write a contact sheet: a row a species"
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="write the competition, its truth into DIR-solution"
    )
    parser.add_argument("--classes", type=int, help="species of the competition (12)")
    parser.add_argument("--images", type=int, help="(700; like ip102: 75,222, fewer keep its shares)")
    parser.add_argument("--seed", type=int, default=0)
    like = parser.add_argument_group("a data set with another one's classes, counts and sizes")
    like.add_argument("--like", choices=["ip102"], help="into --root, which files are twins into DIR-truth")
    like.add_argument(
        "--layout", choices=lookalike.LAYOUTS, help="lists: as published; folders: as on Kaggle"
    )
    like.add_argument("--workers", type=int, help="processes that draw (0: one a core)")
    options = parser.parse_args(arguments)
    if options.sheet is None and options.root is None:
        parser.error("nothing to draw: give --sheet FILE.png, --root DIR or both")
    try:
        if options.like:
            draw_like(options)
        else:
            draw_what(options)
    except PipelineError as fault:
        terminal.error(str(fault))
        raise SystemExit(fault.exit_code) from fault


def draw_what(options: argparse.Namespace) -> None:
    """Write the files that the command line asks for."""
    if options.layout is not None or options.workers is not None:
        raise UsageError("--layout and --workers go with --like ip102.")
    classes = 12 if options.classes is None else options.classes
    if options.sheet is not None:
        writer.publish_bytes(options.sheet, encoded(contact_sheet(classes, options.seed), "PNG"))
    if options.root is None:
        return
    with terminal.progress("sample") as line:
        draw_competition(
            options.root,
            classes=classes,
            images=700 if options.images is None else options.images,
            seed=options.seed,
            progress=lambda done, total: line.update(done / total, f"{done}/{total} images"),
        )


def draw_like(options: argparse.Namespace) -> None:
    """Write the data set that the command line asks for, and say how long it took."""
    if options.sheet is not None or options.classes is not None or options.root is None:
        raise UsageError("--like ip102 has 102 classes and no sheet: give --root DIR alone.")
    workers = options.workers or 0
    if workers < 0:
        raise UsageError(f"--workers {workers}: give 0 (one a core) or more.")
    began = time.monotonic()

    def show(done: int, total: int) -> None:
        rate = done / (time.monotonic() - began)
        left = terminal.duration((total - done) / rate)
        line.update(done / total, f"{done:,} of {total:,} images, {rate:,.0f}/s, {left} left")

    layout = options.layout or "lists"
    images = sum(lookalike.IMAGES) if options.images is None else options.images
    with interrupt.caught(), terminal.progress("drawing") as line:
        lookalike.draw_lookalike(
            options.root,
            layout=layout,
            images=images,
            seed=options.seed,
            workers=workers,
            progress=show,
        )
    seconds = terminal.duration(time.monotonic() - began)
    terminal.say(
        f"{images:,} images of 102 classes in {options.root} ({layout}), {seconds};"
        f" which show the same picture: {options.root}-truth/truth.csv"
    )


if __name__ == "__main__":
    main()
