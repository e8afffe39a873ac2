"""What would be sent: a submission's file, its verdict, its message, and the command to type."""

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import terminal
from pipeline.artifacts import manifest, paths
from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.leaderboard import changes, ledger
from pipeline.leaderboard.check import Verdict, check_submission, prediction_digest
from pipeline.leaderboard.csv_rows import parse
from pipeline.leaderboard.form import read_form
from pipeline.score.metrics import find_metric

SHOWN_CLASSES = 12


@dataclass(frozen=True)
class Outgoing:
    """A submission that was looked at: `predictions` is the digest of what it says, in any row order.

    `scores` is the ensemble's scores.json if it wrote this file, else {}.
    """

    path: Path
    sha256: str
    predictions: str
    rows: int
    message: str
    verdict: Verdict
    scores: dict[str, Any]

    @property
    def tag(self) -> str:
        """The mark in the message by which the site's list is searched."""
        return f"sha:{self.sha256[:8]}"


def look_at(config: Config, path: Path) -> Outgoing:
    """Read a submission and check it against the sample's form; raises DataError if it can't be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"can't read the submission {path}: {error.strerror}.") from error
    scores = newest_scores(config)
    if not scores or Path(scores.get("submission") or "").resolve() != path.resolve():
        scores = {}
    verdict = _verdict(config, data, scores)
    sha256 = hashlib.sha256(data).hexdigest()
    message = _message(config, scores, path, sha256)
    return Outgoing(path, sha256, prediction_digest(data), _rows(data), message, verdict, scores)


def newest_scores(config: Config) -> dict[str, Any]:
    """Return the ensemble's scores.json, {} where there is none."""
    try:
        found = json.loads((paths.ensemble(config) / "scores.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def command(slug: str, outgoing: Outgoing) -> str:
    """Return the exact command that sends the file by hand."""
    parts = ["kaggle", "competitions", "submit", slug, "-f", str(outgoing.path), "-m", outgoing.message]
    return shlex.join(parts)


def show(config: Config, outgoing: Outgoing) -> None:
    """Print what would be sent: rows, sha256, class counts, agreement with the last one, score, warnings."""
    lines = [f"{outgoing.path}: {outgoing.rows} rows, sha256 {outgoing.sha256[:16]}"]
    lines += [f"CV {score_text(outgoing.scores)}"] if outgoing.scores else []
    lines += _class_lines(config, outgoing.verdict.class_counts) + _agreement(config, outgoing)
    for line in lines:
        terminal.say(f"          {line}")
    for warning in outgoing.verdict.warnings:
        terminal.warn(f"{outgoing.path}: {warning}")


def fault_message(outgoing: Outgoing) -> str:
    """Return all faults of the file, a line each."""
    faults = "\n".join(f"  {fault}" for fault in outgoing.verdict.faults)
    return f"{outgoing.path} isn't a valid submission, nothing was sent:\n{faults}"


def score_text(scores: dict[str, Any]) -> str:
    """Write the cross-fitted score with its standard error.

    >>> score_text({"cross_fitted": 0.817, "standard_error": 0.004})
    '0.8170 ± 0.0040'
    """
    return f"{scores['cross_fitted']:.4f} ± {scores['standard_error']:.4f}"


def _verdict(config: Config, data: bytes, scores: dict[str, Any]) -> Verdict:
    facts = manifest.facts(paths.cache_manifest(config))
    if not facts["sample_submission"]:
        return Verdict(
            (), (f"{paths.data_root(config)} has no sample submission: its form is unchecked",), {}
        )
    sample = Path(facts["sample_submission"])
    needs = find_metric(config.data.metric).needs
    form = read_form(sample, facts["classes"], needs, facts.get("class_codes", ()))
    shares = scores.get("oof_shares")
    return check_submission(data, form, shares, sample.read_bytes(), computed=bool(scores))


def _message(config: Config, scores: dict[str, Any], path: Path, sha256: str) -> str:
    parts = [path.name]
    if scores:
        members = "+".join(name for name, member in scores["members"].items() if member["weight"] > 0)
        parts = [f"{config.data.metric} {score_text(scores)} CV", members]
    return "; ".join([*parts, f"sha:{sha256[:8]}"])


def _rows(data: bytes) -> int:
    try:
        return len(parse(data)) - 1
    except ValueError:
        return max(0, len(data.splitlines()) - 1)


def _class_lines(config: Config, counts: dict[str, int]) -> list[str]:
    """Say the biggest classes' predicted rows beside their share of the training rows."""
    total = sum(counts.values())
    if not total:
        return []
    shares = _train_shares(config)
    biggest = sorted(counts, key=lambda name: -counts[name])[:SHOWN_CLASSES]
    shown = ", ".join(
        f"{name} {counts[name]} ({counts[name] / total:.1%}"
        + (f", train {shares.get(name, 0.0):.1%})" if shares else ")")
        for name in biggest
    )
    more = f" and {len(counts) - len(biggest)} more" if len(counts) > len(biggest) else ""
    return [f"classes: {shown}{more}"]


def _train_shares(config: Config) -> dict[str, float]:
    try:
        rows = parse(paths.folds_table(config).read_bytes())
    except (OSError, ValueError):
        return {}
    column = rows[0].index("label")
    counts = Counter(row[column] for row in rows[1:])
    return {label: count / counts.total() for label, count in counts.items()}


def _agreement(config: Config, outgoing: Outgoing) -> list[str]:
    """Say how many rows are as in the last submission whose file is still there."""
    entries = ledger.latest(ledger.read(paths.ledger(config)), config.data.kaggle)
    sent = [entry for entry in entries if entry["ref"] and entry["file"] != str(outgoing.path)]
    for entry in reversed(sent):
        try:
            last, now = changes.rows_sent(entry), parse(outgoing.path.read_bytes())
        except (OSError, ValueError):
            return []
        if last is None:
            continue
        return [f"{_same_share(now, last):.1%} of the rows are as in {entry['file']}"]
    return []


def _same_share(rows: Sequence[list[str]], others: Sequence[list[str]]) -> float:
    by_id = {row[0]: row[1:] for row in others[1:]}
    return sum(by_id.get(row[0]) == row[1:] for row in rows[1:]) / max(1, len(rows) - 1)
