"""The images that the ensemble gets most wrong: where a wrong label, or a lesson, is found first."""

from dataclasses import dataclass

import numpy as np

from pipeline.page.data import Oof
from pipeline.page.thumbnails import Album, Picture

SHOWN_IMAGES = 24


@dataclass(frozen=True)
class WorstImage:
    """One image: its picture, what it is and what it is taken for."""

    picture: Picture
    true_class: str
    chosen_class: str
    true_prob: float
    chosen_prob: float
    fold: int


def worst_images(oof: Oof, classes: list[str], album: Album) -> list[WorstImage]:
    """Return the images with the lowest out-of-fold probability of their true class, the worst first."""
    true_prob = oof.probs[np.arange(len(oof.ids)), oof.targets]
    return [
        WorstImage(
            picture=album.picture(int(oof.rows[i])),
            true_class=classes[oof.targets[i]],
            chosen_class=classes[oof.chosen[i]],
            true_prob=float(true_prob[i]),
            chosen_prob=float(oof.probs[i, oof.chosen[i]]),
            fold=int(oof.fold[i]),
        )
        for i in np.lexsort((oof.ids, true_prob))[:SHOWN_IMAGES].tolist()
    ]
