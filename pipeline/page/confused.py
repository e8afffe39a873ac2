"""The pairs of classes that are mistaken for each other most often, with pictures of the mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.page.data import Oof
from pipeline.page.thumbnails import Album, Picture

SHOWN_PAIRS = 12
SHOWN_IMAGES = 4


@dataclass(frozen=True)
class Pair:
    """Images of one class that were taken for another: `share` is of the true class, `back` the reverse."""

    true_class: str
    chosen_class: str
    images: int
    share: float
    back: int
    pictures: list[Picture]


@dataclass(frozen=True)
class Confused:
    """The pairs with most images, how many pairs there are, and how many of all mistakes are shown."""

    pairs: list[Pair] = field(default_factory=list)
    pair_count: int = 0
    shown_mistakes: int = 0
    mistakes: int = 0


def confused(oof: Oof, classes: Sequence[str], counts: np.ndarray, album: Album) -> Confused:
    """Rank the pairs of the confusion matrix int [C, C] (rows truth) by images, equal ones by their share."""
    mistakes = counts - np.diag(np.diagonal(counts))
    true, chosen = np.nonzero(mistakes)
    images = mistakes[true, chosen]
    share = images / counts.sum(1)[true]
    order = np.lexsort((chosen, true, -share, -images))[:SHOWN_PAIRS].tolist()
    return Confused(
        pairs=[
            Pair(
                true_class=classes[true[i]],
                chosen_class=classes[chosen[i]],
                images=int(images[i]),
                share=float(share[i]),
                back=int(mistakes[chosen[i], true[i]]),
                pictures=_surest(oof, int(true[i]), int(chosen[i]), album),
            )
            for i in order
        ],
        pair_count=len(images),
        shown_mistakes=int(images[order].sum()),
        mistakes=int(images.sum()),
    )


def _surest(oof: Oof, true: int, chosen: int, album: Album) -> list[Picture]:
    """Return the mistakes with the highest probability of the chosen class, equal ones by id."""
    rows = np.flatnonzero((oof.targets == true) & (oof.chosen == chosen))
    prob = oof.probs[rows, chosen]
    first = np.lexsort((oof.ids[rows], -prob))[:SHOWN_IMAGES].tolist()
    return [album.picture(int(oof.rows[rows[i]]), f"{prob[i]:.3f}") for i in first]
