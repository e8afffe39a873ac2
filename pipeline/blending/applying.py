"""Applies a fitted blend to the test rows: checked against out of fold, saved, written as a submission."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline import terminal
from pipeline.artifacts import paths
from pipeline.blending import fitting, sources
from pipeline.blending.fitting import Fitted
from pipeline.blending.sources import Source
from pipeline.config import Config
from pipeline.dataset import official
from pipeline.leaderboard.write import write_submission
from pipeline.score.drift import check_test


def apply_to_test(
    config: Config, blended: Sequence[Source], fitted: Fitted, scores: dict[str, Any]
) -> dict[str, Any]:
    """Blend the test predictions, save them, write and check the submission; return what scores.json adds.

    A row's probabilities are the mean over the folds' models and, as one more of them, the refit, then the
    blend; the labels of official splits are read here, for their scores alone. Raises DataError for rows that
    don't fit.
    """
    rows = official.predicted_rows(pd.read_parquet(paths.cache(config) / "images.parquet"))
    ids = sorted(rows["id"].tolist())
    wanted = fitted.classes, ids, fitted.folds.digest
    models = [sources.load_test(source, *wanted) for source in blended]
    every = [own + sources.load_refit(source, *wanted) for own, source in zip(models, blended, strict=True)]
    probs, labels = fitted.found.chain.apply([np.stack(own).mean(0) for own in every])
    fitting.save_blend(paths.ensemble(config) / "test.npz", ids, fitted, probs, labels, np.full(len(ids), -1))
    added = {
        "refits": [source.name for source in blended if source.refits],
        "test_check": _check(fitted, models, labels),
        "official": official.official_scores(rows, ids, probs, labels, fitted.classes),
    }
    tested = np.isin(ids, rows.loc[rows["split"] == "test", "id"])
    if tested.any():
        names = [name for name, counts in zip(ids, tested, strict=True) if counts]
        added |= write_submission(config, fitted.classes, names, labels[tested], probs[tested], scores)
    return added


def _check(fitted: Fitted, models: Sequence[Sequence[np.ndarray]], labels: np.ndarray) -> dict[str, Any]:
    """Compare how the blend of single folds' models behaves on the test rows and out of fold; warn of alarms.

    What was predicted elsewhere has no folds: its one table stands in for each.
    """
    folds = range(max(len(own) for own in models))
    blends = [fitted.found.chain.apply([own[k if len(own) > 1 else 0] for own in models]) for k in folds]
    found = check_test(
        fitted.found.probs, [probs for probs, _ in blends], [chosen for _, chosen in blends], labels
    )
    for text in found["alarms"]:
        terminal.warn(f"test images: {text}")
    return found
