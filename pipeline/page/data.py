"""Gathers what the page shows from the competition's files; what is missing is said, never an error."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest, paths, predictions
from pipeline.config import Config
from pipeline.dataset.layouts.image_files import LABELLED
from pipeline.errors import DataError
from pipeline.page.runs import MemberRun, read_runs
from pipeline.page.thumbnails import Album, open_album


@dataclass(frozen=True)
class Oof:
    """The ensemble's cross-fitted predictions: `ids` [n], `probs` [n, C], and, int [n], the row of the
    audit table (`rows`), the `chosen` class, the true class (`targets`) and the `fold`.
    """

    ids: np.ndarray
    rows: np.ndarray
    probs: np.ndarray
    chosen: np.ndarray
    targets: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True)
class Content:
    """All that the page is made of; `missing` says for people what isn't there yet, by its section."""

    name: str
    metric: str
    classes: list[str]
    scores: dict[str, Any]
    weights: dict[str, Any]
    folds: dict[str, Any]
    runs: list[MemberRun]
    shift: dict[str, Any]
    images: pd.DataFrame | None
    album: Album | None
    oof: Oof | None
    submission: str
    missing: dict[str, str]


def gather(config: Config) -> Content:
    """Read every file of the competition that the page needs and that exists."""
    missing: dict[str, str] = {}
    folds = manifest.read_json(paths.folds_record(config)) or {}
    ensemble = paths.ensemble(config)
    scores = manifest.read_json(ensemble / "scores.json") or {}
    if not scores:
        missing["scores"] = "There is no ensemble yet: python -m pipeline.ensemble"
    record = manifest.read(paths.cache_manifest(config)) or {}
    classes = [str(name) for name in record.get("facts", {}).get("classes", [])]
    images = _read_images(paths.cache(config) / "images.parquet", missing)
    return Content(
        name=config.data.name,
        metric=str(scores.get("metric", config.data.metric)),
        classes=classes,
        scores=scores,
        weights=manifest.read_json(ensemble / "weights.json") or {},
        folds=folds,
        runs=read_runs(config, str(folds.get("digest", ""))),
        shift=manifest.read_json(paths.shift(config)) or {},
        images=images,
        album=None if images is None else open_album(images, paths.cache(config)),
        oof=_read_oof(ensemble / "oof.npz", classes, str(folds.get("digest", "")), images, missing),
        submission=str(scores.get("submission") or ""),
        missing=missing,
    )


def _read_images(path: Path, missing: dict[str, str]) -> pd.DataFrame | None:
    if not path.exists():
        missing["images"] = "The images aren't prepared yet: python -m pipeline.prepare"
        return None
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        missing["images"] = f"{path} can't be read ({error}): remove it and run python -m pipeline.prepare"
        return None


def _read_oof(
    path: Path, classes: list[str], digest: str, images: pd.DataFrame | None, missing: dict[str, str]
) -> Oof | None:
    """Read the cross-fitted predictions and join the true labels by id."""
    if not path.exists():
        missing["oof"] = "There are no cross-fitted predictions yet: python -m pipeline.ensemble"
    elif images is None or not classes:
        missing["oof"] = "The labels aren't there: python -m pipeline.prepare"
    else:
        try:
            return _join_targets(path, predictions.load(path, classes, digest), images)
        except DataError as error:
            missing["oof"] = str(error)
    return None


def _join_targets(path: Path, found: predictions.Predictions, images: pd.DataFrame) -> Oof:
    labelled = images["split"].isin(LABELLED) & (images["target"] >= 0)
    trained = np.flatnonzero(labelled)
    place = pd.Index(images["id"].to_numpy()[trained]).get_indexer(found.ids)
    unknown = found.ids[place < 0]
    if len(unknown):
        raise DataError(
            f"{path}: {len(unknown)} ids aren't among the training images ({str(unknown[0])!r}): "
            "python -m pipeline.ensemble"
        )
    fold = np.broadcast_to(found.fold, len(found.ids))
    scored = fold >= 0  # rows of fold −1 are in every training set: nothing predicted them out of fold
    probs, rows = found.probs[0][scored], trained[place[scored]]
    targets = images["target"].to_numpy(np.int64)[rows]
    return Oof(found.ids[scored], rows, probs, _chosen(path, scored, probs), targets, fold[scored])


def _chosen(path: Path, scored: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Return the class int [n] that the cross-fitted rule chose; the most probable one without a rule."""
    with np.load(path, allow_pickle=False) as arrays:
        chosen = arrays.get("predictions")
    if chosen is None:
        return probs.argmax(1)
    classes = np.arange(probs.shape[1])
    if chosen.shape != scored.shape or not np.isin(chosen[scored], classes).all():
        raise DataError(
            f"{path}: its predictions don't fit its rows and classes: python -m pipeline.ensemble"
        )
    return chosen[scored].astype(np.int64)
