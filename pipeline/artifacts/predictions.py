"""Prediction files (oof.npz, test.npz): saved whole, checked on load, joined by id, never by position."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import writer
from pipeline.errors import DataError


@dataclass(frozen=True)
class Predictions:
    """Probabilities of rows: `ids` [n], `classes` [C] and `views` [V] str, `probs` float32 [V, n, C].

    `fold` is the fold k as an int array of shape () in a model's file (a refit's is −1), or [n] in the
    ensemble's.
    """

    ids: np.ndarray
    classes: np.ndarray
    views: np.ndarray
    probs: np.ndarray
    fold: np.ndarray
    folds_digest: str


def save(path: Path, found: Predictions, **more: Any) -> None:
    """Publish predictions and further arrays as an .npz without pickles; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        ids=found.ids.astype(np.str_),
        classes=found.classes.astype(np.str_),
        views=found.views.astype(np.str_),
        probs=found.probs.astype(np.float32),
        fold=found.fold.astype(np.int64),
        folds_digest=np.array(found.folds_digest, dtype=np.str_),
        **more,
    )
    writer.publish_bytes(path, buffer.getvalue())


def load(path: Path, classes: Sequence[str], folds_digest: str) -> Predictions:
    """Read and check a file; raises DataError naming it for other folds or classes, or bad rows."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            found = Predictions(
                arrays["ids"],
                arrays["classes"],
                arrays["views"],
                arrays["probs"],
                arrays["fold"],
                str(arrays["folds_digest"]),
            )
    except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} can't be read ({error}): remove it and run python -m pipeline.") from error
    if found.folds_digest != folds_digest:
        raise DataError(
            f"{path} was made with folds {found.folds_digest}, not {folds_digest}: train it again."
        )
    if found.classes.tolist() != list(classes):
        raise DataError(
            f"{path} has other classes ({len(found.classes)} of them, not {len(classes)}): train again."
        )
    check_rows(path, found)
    return found


def join(path: Path, predictions: Predictions, ids: Sequence[str]) -> np.ndarray:
    """Return probs [V, n, C] in the order of `ids`; raises DataError where ids and rows don't match."""
    position = {name: i for i, name in enumerate(predictions.ids.tolist())}
    missing = [name for name in ids if name not in position]
    extra = position.keys() - set(ids)
    if missing or extra:
        shown = ", ".join(map(repr, [*missing, *sorted(extra)][:5]))
        raise DataError(
            f"{path}: {len(missing)} ids have no row and {len(extra)} rows no id ({shown}): train again."
        )
    return predictions.probs[:, [position[name] for name in ids]]


def check_rows(path: Path, found: Predictions) -> None:
    """Raise DataError, naming file, view and id, for a doubled id or probabilities that aren't any."""
    shape = (len(found.views), len(found.ids), len(found.classes))
    if found.probs.shape != shape or found.probs.dtype != np.float32:
        raise DataError(
            f"{path}: probs are {found.probs.dtype} {found.probs.shape}, expected float32 {shape}."
        )
    names, counts = np.unique(found.ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{path}: id {str(names[counts > 1][0])!r} has {counts.max()} rows.")
    sums = found.probs.sum(axis=2, dtype=np.float64)
    bad = ~(np.isfinite(sums) & (np.abs(sums - 1) < 1e-3) & (found.probs.min(axis=2, initial=0) >= 0))
    if bad.any():
        view, row = np.argwhere(bad)[0]
        raise DataError(
            f"{path}: the probabilities of id {str(found.ids[row])!r} (view {found.views[view]}) "
            f"sum to {sums[view, row]:.4f}, not 1."
        )
