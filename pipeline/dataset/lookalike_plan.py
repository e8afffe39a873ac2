"""What a drawn lookalike of IP102 holds: IP102's counts and sizes, which files are twins, which are odd.

IP102: Wu et al., "IP102: A Large-Scale Benchmark Dataset for Insect Pest Recognition" (CVPR 2019). Its facts
are in capitals here; what isn't known of it is drawn.
"""

from typing import NamedTuple

import numpy as np

from pipeline.errors import UsageError
from pipeline.randomness import generator

CLASSES = 102
SPLITS = ("train", "val", "test")
IMAGES = (45_095, 7_508, 22_619)  # of the splits; 60/10/30 of every class
FEWEST, MEDIAN, MOST = 42, 289, 3_444  # training images of a class
RAREST_LABEL, COMMONEST_LABEL = 72, 101
NAMES = {0: "rice leaf roller", 101: "Cicadellidae"}
PNG_LABEL, PNGS, PNGS_WITH_ALPHA = 56, 10, 7  # named .jpg like the rest
EXACT_TWINS = 2  # pairs of a training and a test file
# One team counted 14 % of val and test as near-duplicates of a training image. Nobody counted those within
# train: a few per cent, since search engines and videos gave the training images too.
HELD_OUT_TWINS = 0.14
TRAIN_TWINS = 0.03
# Short sides at shares of the images. Known: 52 at least, 30 % below 224, a median picture of 430 × 328, a
# largest side of 6,034 (below). The rest is drawn so that the mean file has the known 39.5 KB.
SHARES = (0.0, 0.02, 0.10, 0.30, 0.50, 0.75, 0.92, 0.99, 0.999, 1.0)
SHORT_SIDES = (52, 100, 150, 224, 320, 400, 560, 900, 1_500, 3_000)
ASPECTS = (1.25, 1.333, 1.333, 1.5, 1.5, 1.778)
UPRIGHT_SHARE = 0.12
# Height and width of the largest, which dominate the time of decoding: "a few of 5184 × 3456".
LARGEST = ((6_034, 8_045), (3_456, 5_184), (3_456, 5_184), (5_184, 3_456), (3_456, 5_184))
# Only these have twins, which are up to 15 % smaller: no file is smaller than the smallest, none huge twice.
TWIN_SHORT_SIDES = (64, 1_600)


class Row(NamedTuple):
    """One file: `picture` is the number of the file that shows it first; `kind` is how this one was made."""

    number: int
    label: int
    split: str
    picture: int
    kind: str
    height: int
    width: int


def plan_lookalike(images: int, seed: int) -> list[Row]:
    """Decide what every file shows before one is drawn; file numbers are sorted by class, as IP102's are.

    `height` and `width` are the picture's; a near-duplicate is resized from there. Raises UsageError where
    some class and split would have no image.
    """
    if images < CLASSES * len(SPLITS):
        raise UsageError(
            f"a drawing like ip102 can't have {images} images: every one of {CLASSES} classes needs one in "
            f"each of {len(SPLITS)} splits ({CLASSES * len(SPLITS)} images)"
        )
    rows: list[Row] = []
    sizes = picture_sizes(images, seed)
    with_exact = generator(seed, "exact twins").permutation(CLASSES)[:EXACT_TWINS].tolist()
    for label, counts in enumerate(class_counts(images, seed).tolist()):
        splits = np.repeat(SPLITS, counts)
        splits = generator(seed, "order in a class", label).permutation(splits).tolist()
        first = len(rows)
        mine = [
            Row(first + i, label, split, first + i, "plain", *sizes[first + i])
            for i, split in enumerate(splits)
        ]
        rows += with_odd_files(mine, label, label in with_exact, seed)
    return rows


def class_counts(images: int, seed: int) -> np.ndarray:
    """Return the images of each class in train, val and test: int64 [102, 3], IP102's or scaled from them."""
    order = generator(seed, "class sizes").permutation(CLASSES).tolist()
    middle = [label for label in order if label not in (RAREST_LABEL, COMMONEST_LABEL)]
    train = np.empty(CLASSES, np.int64)
    train[[RAREST_LABEL, *middle, COMMONEST_LABEL]] = training_counts()
    splits = [train, *(shared_out(train, total, fewest=7) for total in IMAGES[1:])]
    whole = np.stack(splits, 1)
    return (
        whole if images == whole.sum() else shared_out(whole.ravel(), images, fewest=1).reshape(whole.shape)
    )


def training_counts() -> np.ndarray:
    """Return rising class sizes with IP102's least, median, most and sum: int64 [102].

    Their logarithms rise evenly up to the median, from there as a power of the rank that the sum decides.

    >>> counts = training_counts()
    >>> counts.min(), float(np.median(counts)), counts.max(), counts.sum()
    (np.int64(42), 289.0, np.int64(3444), np.int64(45095))
    """
    half = CLASSES // 2
    ramp = np.linspace(0.0, 1.0, half)
    below = np.exp(np.linspace(np.log(FEWEST), np.log(MEDIAN), half))

    def law(power: float) -> np.ndarray:
        above = MEDIAN * np.exp(np.log(MOST / MEDIAN) * ramp**power)
        return np.rint(np.concatenate([below, above])).astype(np.int64)

    low, high = 0.1, 10.0  # the sum falls as the power grows
    for _ in range(40):
        power = (low + high) / 2
        low, high = (power, high) if law(power).sum() > IMAGES[0] else (low, power)
    counts = law(high)
    # What rounding leaves goes to classes that are neither least, median nor most.
    counts[half + 1 : half + 1 + IMAGES[0] - counts.sum()] += 1
    return counts


def shared_out(weights: np.ndarray, total: int, fewest: int) -> np.ndarray:
    """Split a total in proportion to weights, by largest remainder, what is above `fewest` for each.

    >>> shared_out(np.array([1, 10, 89]), 20, fewest=1)
    array([ 1,  2, 17])
    """
    above = np.maximum(0.0, total * weights / weights.sum() - fewest)
    ideal = fewest + (total - fewest * len(weights)) * above / max(above.sum(), 1.0)
    counts = np.floor(ideal + 1e-9).astype(np.int64)
    counts[np.argsort(counts - ideal, kind="stable")[: total - counts.sum()]] += 1
    return counts


def picture_sizes(images: int, seed: int) -> list[tuple[int, int]]:
    """Return height and width of each picture: the same shares of each size for any number of them."""
    rng = generator(seed, "sizes")
    rank = rng.permutation(images)
    short = np.exp(np.interp(rank / (images - 1), SHARES, np.log(SHORT_SIDES)))
    long = short * rng.choice(ASPECTS, images)
    upright = rng.random(images) < UPRIGHT_SHARE
    both = np.rint(np.stack([np.where(upright, long, short), np.where(upright, short, long)], 1)).astype(int)
    for number, size in enumerate(LARGEST[: round(len(LARGEST) * images / sum(IMAGES))]):
        both[rank == images - 1 - number] = size
    return [(height, width) for height, width in both.tolist()]


def with_odd_files(rows: list[Row], label: int, exact: bool, seed: int) -> list[Row]:
    """Make some files of a class twins of its training files, or PNG; each file is odd in one way at most."""
    rng = generator(seed, "twins", label)
    shuffled = [rows[i] for i in rng.permutation(len(rows)).tolist() if usable(rows[i])]
    train = [row for row in shuffled if row.split == "train"]
    held_out = [row for row in shuffled if row.split != "train"]
    retaken = train[1 : 1 + round(TRAIN_TWINS * len(train))]
    sources = train[:1] + train[1 + len(retaken) :]
    changed: dict[int, Row] = {}
    if exact and sources:
        twins = [row for row in held_out if row.split == "test"][:1]
        changed = {twin.number: shown_again(sources[0], twin, "exact-duplicate") for twin in twins}
    near = [row for row in held_out if row.number not in changed][: round(HELD_OUT_TWINS * len(held_out))]
    for twin in retaken + near if sources else []:
        source = sources[int(rng.integers(len(sources)))]
        changed[twin.number] = shown_again(source, twin, "near-duplicate")
    if label == PNG_LABEL:
        shown_twice = {row.picture for row in changed.values()}
        single = [row for row in shuffled if row.number not in changed and row.number not in shown_twice]
        for i, row in enumerate(single[:PNGS]):
            changed[row.number] = row._replace(kind="png-alpha" if i < PNGS_WITH_ALPHA else "png")
    return [changed.get(row.number, row) for row in rows]


def usable(row: Row) -> bool:
    """Tell whether a file may show another one's picture, or another one this one's."""
    return TWIN_SHORT_SIDES[0] <= min(row.height, row.width) <= TWIN_SHORT_SIDES[1]


def shown_again(source: Row, twin: Row, kind: str) -> Row:
    """Return the row of a file that shows another one's picture."""
    return twin._replace(picture=source.number, kind=kind, height=source.height, width=source.width)
