"""Suspected wrong labels with thumbnails; where cleanlab is installed, what it says of the same images."""

import importlib
import warnings
from dataclasses import dataclass, field

import numpy as np

from pipeline.page.data import Oof
from pipeline.page.thumbnails import Album, Picture
from pipeline.score.suspects import rank_suspects

SHOWN = 40


@dataclass(frozen=True)
class Suspect:
    """One image; `counted_by` names what counts its label as wrong: confident learning, cleanlab, or both."""

    picture: Picture
    suggested: str
    label_prob: float
    suggested_prob: float
    margin: float
    fold: int
    counted_by: str


@dataclass(frozen=True)
class SuspectList:
    """The most suspicious images, the first one most so; `cleanlab` says what it found, "" without it."""

    suspects: list[Suspect] = field(default_factory=list)
    against: int = 0  # images with a margin below 0
    counted: int = 0
    images: int = 0
    cleanlab: str = ""


def suspects(oof: Oof, classes: list[str], album: Album) -> SuspectList:
    """Rank the images by their labels' margin, and show those whose margin is below 0."""
    if len(classes) < 2 or not len(oof.ids):
        return SuspectList()
    found = rank_suspects(oof.probs, oof.targets)
    flags, said = cleanlab_flags(oof.probs, oof.targets)
    against = int((found.margin < 0).sum())
    shown = found.rows[: min(SHOWN, against)].tolist()
    return SuspectList(
        suspects=[
            Suspect(
                picture=album.picture(int(oof.rows[i])),
                suggested=classes[found.suggested[i]],
                label_prob=float(oof.probs[i, oof.targets[i]]),
                suggested_prob=float(oof.probs[i, found.suggested[i]]),
                margin=float(found.margin[i]),
                fold=int(oof.fold[i]),
                counted_by=_counted_by(found.counted[i], flags is not None and flags[i]),
            )
            for i in shown
        ],
        against=against,
        counted=int(found.counted.sum()),
        images=len(oof.ids),
        cleanlab=said,
    )


def cleanlab_flags(probs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Return which rows cleanlab's `find_label_issues` flags, bool [n], and what to say; None without it.

    probs is float [n, C], targets int [n].
    """
    try:
        find_label_issues = importlib.import_module("cleanlab.filter").find_label_issues
    except ImportError:
        return None, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes with very few images, which are shown elsewhere
            flags = find_label_issues(targets, probs.astype(np.float64), n_jobs=1)
    except ValueError as error:
        return None, f" (cleanlab can't look at these predictions: {error})"
    return np.asarray(flags, bool), f", cleanlab {int(np.sum(flags)):,}"


def _counted_by(counted: bool, flagged: bool) -> str:
    return ", ".join(name for name, yes in (("confident learning", counted), ("cleanlab", flagged)) if yes)
