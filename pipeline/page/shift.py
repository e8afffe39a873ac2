"""Adversarial validation in words and pictures: can a model tell test images from training images?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.page.thumbnails import Album, Picture
from pipeline.page.values import finite

SHOWN = 12
CLEAR = 0.7
NOT_YET = "This wasn't measured yet: python -m pipeline.predict"
NO_TEST = "There are no test images."


@dataclass(frozen=True)
class Shift:
    """`sentence` says what the AUC means, `missing` why there is none; the pictures give the shift away."""

    sentence: str = ""
    how: str = ""
    missing: str = ""
    test: list[Picture] = field(default_factory=list)
    train: list[Picture] = field(default_factory=list)


def shift(found: Mapping[str, Any], album: Album | None) -> Shift:
    """Put the content of shift.json into words, and find the thumbnails of the images that it names."""
    if album is not None and not (album.images["split"] == "test").any():
        return Shift(missing=NO_TEST)
    auc, low, high = (finite(found.get(name)) for name in ("auc", "low", "high"))
    if auc is None:
        why = found.get("why")
        return Shift(missing=f"Not compared: {why}." if isinstance(why, str) and why else NOT_YET)
    interval = "" if low is None or high is None else f" (95 % interval {low:.3f} to {high:.3f})"
    return Shift(
        sentence=f"AUC {auc:.3f}{interval}: {meaning(auc, low)}",
        how=_how(found),
        test=_pictures(found.get("test"), album, labelled=False),
        train=_pictures(found.get("train"), album, labelled=True),
    )


def meaning(auc: float, low: float | None) -> str:
    """Say what an AUC with its interval's lower end means.

    >>> meaning(0.52, 0.47)
    'test and training images look alike, a model can only guess which is which.'
    """
    if low is not None and low <= 0.5:
        return "test and training images look alike, a model can only guess which is which."
    if auc <= CLEAR:
        return "test and training images differ a little."
    return (
        "test and training images clearly differ: what the folds promise may not hold on the test set. "
        "Look for what the images below have in common: a source, a camera, a size, a border."
    )


def _how(found: Mapping[str, Any]) -> str:
    rows = found.get("rows")
    counts = [finite(rows.get(name)) for name in ("train", "test")] if isinstance(rows, dict) else []
    said = [
        f"{int(n):,} {name} images"
        for n, name in zip(counts, ("train", "test"), strict=False)
        if n is not None
    ]
    features = found.get("features")
    said += [f"features of {features}"] if isinstance(features, str) and features else []
    return ", ".join(said)


def _pictures(named: Any, album: Album | None, labelled: bool) -> list[Picture]:
    pairs = [
        (pair[0], prob)
        for pair in (named if isinstance(named, list) else [])
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
        if (prob := finite(pair[1])) is not None
    ][:SHOWN]
    if album is None or not pairs:
        return []
    rows = album.rows_of([name for name, _ in pairs], labelled).tolist()
    shown = zip(rows, pairs, strict=True)
    return [album.picture(row, f"{prob:.2f}") for row, (_, prob) in shown if row >= 0]
