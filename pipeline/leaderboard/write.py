"""A submission from the ensemble's predictions: in the sample's form, checked; the drawn one scored."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline import terminal
from pipeline.artifacts import manifest, paths, writer
from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.leaderboard import local
from pipeline.leaderboard.check import check_submission
from pipeline.leaderboard.form import Form, read_form
from pipeline.leaderboard.render import render
from pipeline.score.intervals import expected_on
from pipeline.score.metrics import find_metric


def write_submission(
    config: Config,
    classes: Sequence[str],
    ids: Sequence[str],
    labels: np.ndarray,
    probs: np.ndarray,
    scores: dict[str, Any],
) -> dict[str, Any]:
    """Publish submissions/NAME-DIGEST8.csv and return what scores.json adds: its path, rows, expected range.

    labels int [n] and probs float [n, C] are in the order of `ids`, `scores` is the content of scores.json
    so far. The drawn sample is scored against its hidden solution and gets its ledger line. Raises DataError,
    with all faults, for a file that isn't valid.
    """
    form, sample = submission_form(config, classes, ids)
    data = render(form, ids, labels, probs)
    sample_bytes = sample.read_bytes() if sample else None
    verdict = check_submission(data, form, scores["oof_shares"], sample_bytes, computed=True)
    if verdict.faults:
        raise DataError("the submission isn't valid:\n" + "\n".join(verdict.faults))
    for text in verdict.warnings:
        terminal.warn(f"submission: {text}")
    path = paths.submission(config, manifest.bytes_digest(data))
    writer.publish_bytes(path, data)
    metric = find_metric(config.data.metric)
    crossed = (scores["cross_fitted"], scores["standard_error"], scores["n"], scores["folds"])
    expected = expected_on(len(form.ids), *crossed, bounds=metric.bounds)
    added: dict[str, Any] = {
        "submission": str(path),
        "expected": {"rows": len(form.ids), "low": expected.low, "high": expected.high},
    }
    if config.data.drawn:
        if metric.needs == "probs":  # the sample's form has labels, which would count as certain
            data = render(_plain_form(classes, form.ids, "probs"), ids, None, probs)
        added |= _score_locally(config, path, data, classes, scores)
    return added


def submission_form(config: Config, classes: Sequence[str], ids: Sequence[str]) -> tuple[Form, Path | None]:
    """Return the form and the sample submission that it was read off.

    Without one: id and label, or id and a column a class where the metric needs probabilities.
    """
    facts = manifest.facts(paths.cache_manifest(config))
    sample = facts["sample_submission"]
    needs = find_metric(config.data.metric).needs
    if sample:
        return read_form(Path(sample), classes, needs, facts.get("class_codes", ())), Path(sample)
    return _plain_form(classes, ids, needs), None


def check_form(config: Config) -> None:
    """Raise the DataError of a sample submission that can't be followed, before the time of training.

    Reads what prepare found; a competition without a sample submission always has a form.
    """
    submission_form(config, manifest.facts(paths.cache_manifest(config))["classes"], ids=[])


def _plain_form(classes: Sequence[str], ids: Sequence[str], needs: Literal["labels", "probs"]) -> Form:
    names = tuple(classes)
    if needs == "labels":
        return Form(("id", "label"), tuple(ids), "label", names, labels=names)
    return Form(("id", *names), tuple(ids), "probs", names, column_of=tuple(range(len(names))))


def _score_locally(
    config: Config, path: Path, data: bytes, classes: Sequence[str], scores: dict[str, Any]
) -> dict[str, Any]:
    truth = local.score_solution(data, paths.solution(config), config.data.metric, classes)
    members = {name: item["weight"] for name, item in scores["members"].items()}
    cv = {"cv": scores["cross_fitted"], "se": scores["standard_error"], "cv_rows": scores["n"]}
    local.record(config, path, truth["true_score"], {**cv, "members": members})
    return {"true_score": truth["true_score"], "true_score_clean": truth["true_score_clean"]}
