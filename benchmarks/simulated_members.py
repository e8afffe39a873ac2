"""Members with a known truth: probabilities of 102 classes with IP102's counts, drawn, never trained.

Simulated, with figures like those of 20 convolutional networks on a hard long tail (of 45,000 rows: macro-F1
of one member .36 to .48, their mean about .53; correlation of two members .6 to .85, two of five top classes
differ):
- classes come in 8 groups of look-alikes, and how easy an image is varies;
- errors have a part that all members share, one that a family of architectures shares, and their own;
- each member knows some classes better than others, leans to some, and is too sure or too unsure;
- a member answers about as Bayes would with the prior of the training rows.
Not simulated: duplicates, wrong labels, views, and that a fold's model isn't its neighbour: out-of-fold and
new rows come from the same members.
"""

from typing import NamedTuple

import numpy as np

from pipeline.dataset.lookalike_plan import training_counts
from pipeline.randomness import generator
from pipeline.score.calibrate import softmax

SIGNAL, EASE = 3.6, 0.35  # how far a row's true class stands out, and the spread of its logarithm over rows
GROUPS, LOOKALIKE = 8, 0.45  # groups of classes; what of the signal the others of the group get
FAMILIES = 4
SHARED, FAMILY, OWN = 1.0, 0.35, (0.45, 0.9)  # noise of all members, of a family, of the best to the worst
UNEVEN, LEANING = 0.08, 0.3  # spread over classes of a member's signal and of its additional log-odds
SHARPNESS = (0.7, 2.0)  # by how much members are too unsure or too sure: what temperatures are for
TRUST = 0.62  # of Bayes' factor for equally easy rows that all show what they should: about calibrated
PIECE = 20_000


class Drawn(NamedTuple):
    """Members' probs float32 [M, 1, n, C], one view each, and the true classes int [n]."""

    probs: np.ndarray
    targets: np.ndarray


class Traits(NamedTuple):
    """What members are, whatever rows are drawn.

    The noise of its own [M] and the sharpness [M] of each; by class the strength of its signal [M, C] and its
    leaning [M, C].
    """

    noise: np.ndarray
    sharpness: np.ndarray
    strength: np.ndarray
    leaning: np.ndarray


def draw_members(rows: int, members: int, seed: int) -> Drawn:
    """Draw rows of the long-tailed truth and what each of the members says of them.

    Other seeds are new rows for the same members; so are other numbers of rows. The first members are the
    best ones.
    """
    shares = class_shares()
    traits, similar = member_traits(members, len(shares)), similarity(len(shares))
    draw = generator(seed, "simulated rows", rows)
    targets = draw.choice(len(shares), rows, p=shares)
    probs = np.empty((members, 1, rows, len(shares)), np.float32)
    for first in range(0, rows, PIECE):
        piece = slice(first, first + PIECE)
        _answer(probs[:, 0, piece], targets[piece], shares, traits, similar, draw)
    return Drawn(probs, targets)


def _answer(
    probs: np.ndarray,
    targets: np.ndarray,
    shares: np.ndarray,
    traits: Traits,
    similar: np.ndarray,
    draw: np.random.Generator,
) -> None:
    """Fill probs [M, n, C] of rows of these classes [n]."""
    shape = (len(targets), len(shares))
    ease = SIGNAL * np.exp(EASE * draw.standard_normal((shape[0], 1), np.float32))
    signal = ease * similar[targets]
    shared = np.float32(SHARED) * draw.standard_normal(shape, np.float32)
    families = [
        shared + np.float32(FAMILY) * draw.standard_normal(shape, np.float32) for _ in range(FAMILIES)
    ]
    log_shares = np.log(shares)
    for m, own in enumerate(traits.noise):
        seen = signal * traits.strength[m][targets][:, None] + families[m % FAMILIES]
        seen += own * draw.standard_normal(shape, np.float32)
        factor = np.float32(TRUST * SIGNAL / (SHARED**2 + FAMILY**2 + own**2))
        logits = (log_shares + traits.leaning[m]).astype(np.float32) + factor * seen
        probs[m] = softmax(traits.sharpness[m] * logits)


def member_traits(members: int, n_classes: int) -> Traits:
    """Draw what the members are: equal for equal numbers."""
    draw, shape = generator(0, "simulated members", members), (members, n_classes)
    return Traits(
        np.linspace(*OWN, members).astype(np.float32),
        np.exp(draw.uniform(np.log(SHARPNESS[0]), np.log(SHARPNESS[1]), members)).astype(np.float32),
        (1.0 + UNEVEN * draw.standard_normal(shape)).astype(np.float32),
        LEANING * draw.standard_normal(shape),
    )


def similarity(n_classes: int) -> np.ndarray:
    """How much of a true class's signal (row) each class gets: float32 [C, C], 1 on the diagonal."""
    group_of = generator(0, "groups of look-alikes").permutation(np.arange(n_classes) % GROUPS)
    same = group_of[:, None] == group_of[None, :]
    return np.where(np.eye(n_classes, dtype=bool), 1.0, LOOKALIKE * same).astype(np.float32)


def class_shares() -> np.ndarray:
    """IP102's shares of the classes, float64 [102]."""
    counts = training_counts().astype(np.float64)
    return counts / counts.sum()
