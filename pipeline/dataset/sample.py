"""The built-in sample competition: drawn insects, laid out like a Kaggle competition, with its hidden truth beside it.

`python -m pipeline.dataset.sample --sheet sheet.png` draws a contact sheet, `--root data/sample` the competition.
Every number that comes of it is about drawn data.
"""

import argparse
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from pipeline.artifacts import writer
from pipeline.dataset.scenes import photograph
from pipeline.dataset.species import Traits, draw_species, individual_of, species_names
from pipeline.errors import UsageError
from pipeline.randomness import generator

TRAIN_SHARE = 2 / 3
TAIL = 11.0  # images of the biggest class for one of the smallest
SHARES = {"near-duplicate": 0.06, "exact-duplicate": 0.006, "wrong-label": 0.02}
ODD_FILES = ("png", "exif", "cmyk")
FEWEST = {"train": 2, "test": 1}
TILE, GAP, NAME_WIDTH, TILES = 128, 4, 190, 8


class Row(NamedTuple):
    """One image: `species` is true, `label` is what the competition says; equal `group` is one individual."""

    split: str
    id: str
    species: int
    label: int
    individual: int
    group: str
    kind: str


def draw_competition(
    root: Path,
    *,
    classes: int = 12,
    images: int = 700,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw the whole competition into `root` and its truth into the folder `ROOT-solution` beside it.

    `root` gets train.csv and sample_submission.csv (id, label), train/ID.jpg and test/ID.jpg. The other folder
    gets solution.csv (id, label, clean_label) and truth.csv (split, id, species, individual, group, kind).
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


def plan_competition(classes: int, images: int, seed: int) -> list[Row]:
    """Decide what every image shows before one is drawn: rows sorted by id, whose numbers tell nothing."""
    if classes < 2 or images < 3 * classes:
        raise UsageError(
            f"the sample competition can't have {classes} classes with {images} images:"
            f" at least 2 classes and 3 images a class ({3 * max(classes, 2)} images)"
        )
    train = round(TRAIN_SHARE * images)
    order = generator(seed, "class sizes").permutation(classes)
    drafts: list[Row] = []
    first = [0] * classes
    for split, total in (("train", train), ("test", images - train)):
        counts = np.empty(classes, int)
        counts[order] = long_tail(classes, total, FEWEST[split])
        drafts += plan_split(split, counts.tolist(), first, seed)
        first = counts.tolist()
    numbers = generator(seed, "image numbers").permutation(images)
    width = max(4, len(str(images)))
    rows = [row._replace(id=f"{number:0{width}d}") for row, number in zip(drafts, numbers.tolist(), strict=True)]
    return sorted(rows, key=lambda row: row.id)


def plan_split(split: str, counts: Sequence[int], first: Sequence[int], seed: int) -> list[Row]:
    """Plan one split: duplicates stay in it, wrong labels and odd files hit images that have no twin.

    `counts` is the images of each class, `first` the number of its first individual.
    """
    rows = [
        Row(split, "", species, species, first[species] + i, "", "plain")
        for species, count in enumerate(counts)
        for i in range(count)
    ]
    starts = np.cumsum([0, *counts[:-1]]).tolist()
    rng = generator(seed, "special rows", split)
    # The first images of a class stay as they are, so that its label never dies out.
    pool = [i for i in rng.permutation(len(rows)).tolist() if i - starts[rows[i].species] >= FEWEST[split]]
    taken = iter(pool)
    for kind, count in special_counts(len(rows)).items():
        for i, _ in zip(taken, range(count), strict=False):
            row = rows[i]
            if kind.endswith("duplicate"):
                source = starts[row.species] + int(rng.integers(FEWEST[split]))
                group = f"{split}-{source:05d}"
                rows[source] = rows[source]._replace(group=group)
                rows[i] = row._replace(individual=rows[source].individual, group=group, kind=kind)
            elif kind == "wrong-label":
                label = (row.species + 1 + int(rng.integers(len(counts) - 1))) % len(counts)
                rows[i] = row._replace(label=label, kind=kind)
            else:
                rows[i] = row._replace(kind=kind)
    return rows


def special_counts(total: int) -> dict[str, int]:
    """Return how many of `total` images of a split are of each special kind.

    >>> special_counts(467)
    {'near-duplicate': 28, 'exact-duplicate': 3, 'wrong-label': 9, 'png': 1, 'exif': 1, 'cmyk': 1}
    """
    counts = {kind: round(share * total) for kind, share in SHARES.items()}
    counts["near-duplicate"] = max(1, counts["near-duplicate"])
    counts["exact-duplicate"] = max(1, counts["exact-duplicate"])
    return counts | dict.fromkeys(ODD_FILES, 1)


def long_tail(classes: int, total: int, fewest: int) -> list[int]:
    """Split `total` images into falling class sizes, the biggest about TAIL times the smallest.

    >>> long_tail(4, 60, 2), sum(long_tail(12, 467, 2))
    ([33, 16, 8, 3], 467)
    """
    weights = TAIL ** -np.linspace(0.0, 1.0, classes)
    ideal = fewest + (total - fewest * classes) * weights / weights.sum()
    ideal = np.maximum(fewest, total * weights / weights.sum()) if (total * weights / weights.sum()).min() > fewest else ideal
    counts = np.floor(ideal).astype(int)
    for i in np.argsort(-(ideal - counts), kind="stable")[: total - counts.sum()]:
        counts[i] += 1
    return counts.tolist()


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


def retaken(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change a picture as another upload of it would be: cropped by up to 3 %, resized, brighter, flipped."""
    height, width = picture.shape[:2]
    top, left = (round(rng.uniform(0.0, 0.015) * side) for side in (height, width))
    picture = picture[top : height - top, left : width - left]
    scale = rng.uniform(0.85, 1.1)
    picture = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    picture = np.clip(picture * rng.uniform(0.85, 1.15), 0, 255).astype(np.uint8)
    return picture[:, ::-1] if rng.random() < 0.5 else picture


def encoded(picture: np.ndarray, form: str, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue().encode()


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
        prog="python -m pipeline.dataset.sample", description="Draw the sample competition, or its contact sheet."
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="write a contact sheet: a row a species")
    parser.add_argument("--root", type=Path, metavar="DIR", help="write the competition, its truth into DIR-solution")
    parser.add_argument("--classes", type=int, default=12)
    parser.add_argument("--images", type=int, default=700)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.sheet is None and options.root is None:
        parser.error("nothing to draw: give --sheet FILE.png, --root DIR or both")
    if options.sheet is not None:
        writer.publish_bytes(options.sheet, encoded(contact_sheet(options.classes, options.seed), "PNG"))
    if options.root is not None:
        draw_competition(options.root, classes=options.classes, images=options.images, seed=options.seed)


if __name__ == "__main__":
    main()
