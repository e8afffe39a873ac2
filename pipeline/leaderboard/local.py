"""The sample competition's leaderboard: a submission scored against the hidden solution."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import paths
from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.leaderboard import ledger
from pipeline.leaderboard.check import prediction_digest
from pipeline.leaderboard.csv_rows import parse
from pipeline.score.metrics import find_metric


def score_solution(
    submission: bytes, solution: Path, metric: str, classes: Sequence[str]
) -> dict[str, float | int]:
    """Score a submission as the leaderboard would: true_score, true_score_clean (wrong labels mended), rows.

    The solution has the columns id, label, clean_label; rows are joined by id. A metric of probabilities
    needs a column a class: a label would count as certain. Raises DataError for other ids, labels or columns.
    """
    truth = _table(solution.read_bytes(), str(solution), ("id", "label", "clean_label"))
    rows = parse(submission)
    given = {row[0]: row[1:] for row in rows[1:]}
    if len(given) != len(rows) - 1 or set(given) != set(truth):
        raise DataError(
            f"the submission has {len(given)} ids, {solution} {len(truth)}, "
            f"{len(set(given) & set(truth))} of them the same: they must be the same, each once."
        )
    cells = [given[name] for name in truth]
    chosen = find_metric(metric)
    if chosen.needs == "probs" and len(rows[0]) == 2:
        raise DataError(f"{chosen.name} scores probabilities: the submission needs a column a class.")
    answer = _probs(rows[0][1:], cells, classes)
    wanted = answer if chosen.needs == "probs" else answer.argmax(axis=1)
    scores = []
    for column in (0, 1):
        targets = _indices([row[column] for row in truth.values()], classes, str(solution))
        scores.append(float(chosen.function(targets, wanted, len(classes))))
    return {"true_score": scores[0], "true_score_clean": scores[1], "rows": len(truth)}


def record(config: Config, submission: Path, score: float, facts: Mapping[str, Any]) -> None:
    """Add the locally scored submission to the sample's ledger, once for each file and score.

    `facts` may hold cv, se, cv_rows and members (weights by name), as in scores.json.
    """
    data = submission.read_bytes()
    line = {
        "slug": config.data.name,
        "file": str(submission),
        "sha256": hashlib.sha256(data).hexdigest(),
        "public": score,
        "metric": config.data.metric,
        **facts,
    }
    known = ledger.read(paths.ledger(config))
    if known and all(known[-1][name] == value for name, value in line.items()):
        return
    ledger.append(
        paths.ledger(config),
        "scored locally",
        predictions=prediction_digest(data),
        rows=len(parse(data)) - 1,
        commit=ledger.commit(),
        config=ledger.config_digest(config),
        **line,
    )


def _probs(columns: list[str], cells: list[list[str]], classes: Sequence[str]) -> np.ndarray:
    """Return float [n, C]: the submitted probabilities, or 1 for the submitted label."""
    if len(columns) > 1:
        if sorted(columns) != sorted(classes):
            raise DataError(f"the submission's columns {columns[:5]} are not the classes.")
        order = [columns.index(name) for name in classes]
        return np.array([[float(row[i]) for i in order] for row in cells])
    return np.eye(len(classes))[_indices([row[0] for row in cells], classes, "the submission")]


def _indices(labels: Sequence[str], classes: Sequence[str], where: str) -> np.ndarray:
    index = {name: i for i, name in enumerate(classes)}
    strange = sorted({label for label in labels if label not in index})
    if strange:
        raise DataError(f"{where} has labels that are no class: {', '.join(map(repr, strange[:5]))}.")
    return np.array([index[label] for label in labels])


def _table(data: bytes, where: str, columns: Sequence[str]) -> dict[str, list[str]]:
    try:
        rows = parse(data)
    except ValueError as error:
        raise DataError(f"{where} can't be used: {error}.") from error
    if rows[0] != list(columns):
        raise DataError(f"{where} has the columns {rows[0]}, expected {list(columns)}.")
    return {row[0]: row[1:] for row in rows[1:]}
