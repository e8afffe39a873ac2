"""What the sample competition holds: which species an image shows, which ones are twins, wrong or odd."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.errors import UsageError
from pipeline.randomness import generator

TRAIN_SHARE = 2 / 3
TAIL = 11.0  # images of the biggest class for one of the smallest
SHARES = {"near-duplicate": 0.06, "exact-duplicate": 0.006, "wrong-label": 0.02}
ODD_FILES = ("png", "exif", "cmyk")
FEWEST = {"train": 2, "test": 1}


class Row(NamedTuple):
    """One image: `species` is true, `label` is what the competition says; equal `group` is one individual."""

    split: str
    id: str
    species: int
    label: int
    individual: int
    group: str
    kind: str


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
    rows = [
        row._replace(id=f"{number:0{width}d}") for row, number in zip(drafts, numbers.tolist(), strict=True)
    ]
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
    rng = generator(seed, "special rows", split)
    # The first images of a class stay as they are, so that its label never dies out.
    pool = [
        i
        for i in rng.permutation(len(rows)).tolist()
        if rows[i].individual - first[rows[i].species] >= FEWEST[split]
    ]
    kinds = [kind for kind, count in special_counts(len(rows)).items() for _ in range(count)]
    special = dict(zip(pool, kinds, strict=False))
    for i, kind in special.items():
        species = rows[i].species
        rows[i] = rows[i]._replace(kind=kind)
        if kind == "wrong-label":
            rows[i] = rows[i]._replace(label=(species + 1 + int(rng.integers(len(counts) - 1))) % len(counts))
        elif kind.endswith("duplicate"):
            start = sum(counts[:species])
            sources = [source for source in range(start, start + counts[species]) if source not in special]
            source = int(rng.choice(sources))
            rows[source] = rows[source]._replace(group=f"{split}-{source:05d}")
            rows[i] = rows[source]._replace(kind=kind)
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
    ([34, 16, 7, 3], 467)
    """
    weights = TAIL ** -np.linspace(0.0, 1.0, classes)
    ideal = total * weights / weights.sum()
    if ideal[-1] < fewest:
        ideal = fewest + (total - fewest * classes) * weights / weights.sum()
    counts = np.floor(ideal).astype(int)
    counts[np.argsort(counts - ideal, kind="stable")[: total - counts.sum()]] += 1
    return counts.tolist()
