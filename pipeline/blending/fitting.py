"""Fits the blend on the sources' out-of-fold rows; what it is worth, as the content of its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import manifest, paths, predictions
from pipeline.blending import sources
from pipeline.blending.sources import Source
from pipeline.config import Config
from pipeline.dataset.folds.folds_file import Folds, load_folds
from pipeline.score import statement
from pipeline.score.chain import plan_for
from pipeline.score.crossfit import CrossFitted, cross_fitted
from pipeline.score.metrics import find_metric
from pipeline.score.naive import naive_probs
from pipeline.score.oof import OofRows, scored_rows


@dataclass(frozen=True)
class Fitted:
    """A blend with what it was fitted on; `views` are the names of each source's views, by its name.

    `naive` is what answering with the commonest class of the training rows scores.
    """

    found: CrossFitted
    rows: OofRows
    folds: Folds
    classes: list[str]
    views: Mapping[str, list[str]]
    naive: float


def fit(config: Config, blended: Sequence[Source]) -> Fitted:
    """Read the sources' out-of-fold rows and cross-fit the chain on them.

    Raises DataError naming the file for rows, classes or folds that don't fit.
    """
    folds = load_folds(config)
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    index = {name: i for i, name in enumerate(classes)}
    targets = np.array([index[label] for label in folds.labels])
    groups = np.unique(np.array(folds.groups), return_inverse=True)[1]
    read = [sources.load_oof(source, classes, folds.ids, folds.fold_of, folds.digest) for source in blended]
    rows = scored_rows([probs for probs, _ in read], targets, folds.fold_of, groups)
    how, metric = config.ensemble, find_metric(config.data.metric)
    plan = plan_for(
        metric,
        how.blends,
        how.rules,
        pull=how.pull,
        powers=tuple(0.0 if source.name in how.balanced else source.power for source in blended),
        transductive=how.transductive,
    )
    found = cross_fitted(rows, metric, plan=plan, seed=config.folds.seed)
    views = {source.name: names for source, (_, names) in zip(blended, read, strict=True)}
    commonest = naive_probs(targets, folds.fold_of, folds.groups, folds.kind, len(classes))
    naive = metric.of_probs(rows.targets, commonest[folds.fold_of >= 0])
    return Fitted(found, rows, folds, classes, views, naive)


def scores(fitted: Fitted, blended: Sequence[Source]) -> dict[str, Any]:
    """Return the content of scores.json but for what the test rows and the submission add."""
    kinds = {source.name: source.kind for source in blended}
    content = statement.scores(fitted.found, fitted.rows, kinds, fitted.classes, fitted.folds.digest)
    content["naive"] = fitted.naive
    tables = zip(blended, fitted.found.chain.blend.views, strict=True)
    content["chosen_on_their_rows"] = [source.name for source in blended if source.chosen_on_its_rows]
    content["refits"] = []
    content["views"] = {
        source.name: statement.view_table(found, fitted.views[source.name], _view_milliseconds(source))
        for source, found in tables
    }
    return content


def weights(fitted: Fitted, blended: Sequence[Source]) -> dict[str, Any]:
    """Return the content of weights.json."""
    return statement.weights(fitted.found, [source.name for source in blended], fitted.views)


def save_oof(path: Path, fitted: Fitted) -> None:
    """Publish the cross-fitted probabilities and labels of the scored rows."""
    folds, found = fitted.folds, fitted.found
    ids = [name for name, fold in zip(folds.ids, folds.fold_of, strict=True) if fold >= 0]
    save_blend(path, ids, fitted, found.probs, found.predictions, fitted.rows.fold_of)


def save_blend(
    path: Path,
    ids: Sequence[str],
    fitted: Fitted,
    probs: np.ndarray,
    labels: np.ndarray,
    fold_of: np.ndarray,
) -> None:
    """Publish blended probs [n, C], labels and fold_of int [n] of ids [n] as predictions of one view."""
    names = np.array(ids, dtype=np.str_), np.array(fitted.classes, dtype=np.str_), np.array(["blend"])
    found = predictions.Predictions(*names, probs[None].astype(np.float32), fold_of, fitted.folds.digest)
    predictions.save(path, found, predictions=labels)


def _view_milliseconds(source: Source) -> Mapping[str, float]:
    """Return how long a view of an image took, the mean over the folds' models; {} where nobody measured."""
    measured = [(manifest.read(job.test_manifest) or {}).get("facts", {}) for job in source.jobs]
    tables = [facts["view_milliseconds"] for facts in measured if "view_milliseconds" in facts]
    names = tables[0] if tables else {}
    return {name: sum(table.get(name, 0.0) for table in tables) / len(tables) for name in names}
