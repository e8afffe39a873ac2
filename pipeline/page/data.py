"""Gathers what the page shows from the competition's files; what is missing is said, never an error."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest, paths, predictions
from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.page.runs import MemberRun, read_runs


@dataclass(frozen=True)
class Oof:
    """The ensemble's cross-fitted predictions: `ids` [n], `probs` [n, C], and, int [n], the
    `chosen` class, the true class (`targets`) and the `fold`.
    """

    ids: np.ndarray
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
    images: pd.DataFrame | None
    oof: Oof | None
    cache: Path
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
        images=images,
        oof=_read_oof(ensemble / "oof.npz", classes, str(folds.get("digest", "")), images, missing),
        cache=paths.cache(config),
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
    train = images[(images["split"] == "train") & (images["target"] >= 0)]
    target_of = dict(zip(train["id"], train["target"], strict=True))
    unknown = [name for name in found.ids.tolist() if name not in target_of]
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} ids aren't among the training images ({unknown[0]!r}): "
            "python -m pipeline.ensemble"
        )
    targets = np.array([target_of[name] for name in found.ids.tolist()], dtype=np.int64)
    fold = np.broadcast_to(found.fold, len(found.ids))
    scored = fold >= 0  # rows of fold −1 are in every training set: nothing predicted them out of fold
    probs = found.probs[0][scored]
    return Oof(found.ids[scored], probs, _chosen(path, scored, probs), targets[scored], fold[scored])


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
