"""The images that the ensemble gets most wrong: where a wrong label, or a lesson, is found first."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import DataError
from pipeline.page.data import Oof
from pipeline.page.thumbnails import data_url

SHOWN_IMAGES = 24


@dataclass(frozen=True)
class WorstImage:
    """One image: its thumbnail as a data URL ("" where the cache has none), what it is and is taken for."""

    id: str
    thumbnail: str
    true_class: str
    chosen_class: str
    true_prob: float
    chosen_prob: float
    fold: int


def worst_images(oof: Oof, classes: list[str], cache_folder: Path) -> tuple[list[WorstImage], str]:
    """Return the images with the lowest out-of-fold probability of their true class, the worst first.

    The text says why there are no thumbnails, if so.
    """
    rows = np.arange(len(oof.ids))
    true_prob = oof.probs[rows, oof.targets]
    order = np.lexsort((oof.ids, true_prob))[:SHOWN_IMAGES].tolist()
    try:
        thumbnails, why = _thumbnails(cache_folder, [str(oof.ids[i]) for i in order]), ""
    except DataError as error:
        thumbnails, why = {}, str(error)
    images = [
        WorstImage(
            id=str(oof.ids[i]),
            thumbnail=thumbnails.get(str(oof.ids[i]), ""),
            true_class=classes[oof.targets[i]],
            chosen_class=classes[oof.chosen[i]],
            true_prob=float(true_prob[i]),
            chosen_prob=float(oof.probs[i, oof.chosen[i]]),
            fold=int(oof.fold[i]),
        )
        for i in order
    ]
    return images, why


def _thumbnails(cache_folder: Path, ids: list[str]) -> dict[str, str]:
    """Return data URLs by id; raises DataError for a cache that is gone or damaged."""
    from pipeline.dataset.cache import open_cache

    cache = open_cache(cache_folder)
    rows = np.flatnonzero((cache.table["split"] == "train") & cache.table["id"].isin(ids)).tolist()
    return {str(cache.table["id"].iat[row]): data_url(cache.pixels(row)) for row in rows}
