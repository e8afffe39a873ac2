"""The figures at the top of the page, as texts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.page.blend_score import ends, greater_is_better, member_scores
from pipeline.page.data import Content
from pipeline.page.values import finite, mapping, score, span, written


@dataclass(frozen=True)
class Tile:
    """One figure: what it is, its value, and what to know about it."""

    label: str
    value: str
    note: str = ""


def tiles(content: Content) -> list[Tile]:
    """Return the figures that scores.json has."""
    scores, metric = content.scores, content.metric
    candidates = (
        _tile(scores, "cross_fitted", f"{metric}, cross-fitted", _interval(scores)),
        _tile(scores, "true_score", f"{metric}, true", _true_note(scores)),
        _tile(scores, "in_sample", f"{metric}, in-sample", _optimism(scores)),
        _expected(scores),
        _best_member(scores),
        _images(scores),
    )
    return [tile for tile in candidates if tile is not None]


def other_metrics(content: Content) -> list[tuple[str, str]]:
    """Return the metrics beside the competition's own, as (name, score)."""
    found = mapping(content.scores.get("all_metrics"))
    return [
        (name, score(value))
        for name, value in found.items()
        if finite(value) is not None and name != content.metric
    ]


def submission_link(content: Content, report: Path) -> str:
    """Return the submission's address as seen from the page, "" without one."""
    if not content.submission:
        return ""
    relative = os.path.relpath(content.submission, report.parent)
    return "/".join(quote(part, safe="") for part in Path(relative).parts)


def _tile(scores: Mapping[str, Any], name: str, label: str, note: str) -> Tile | None:
    return None if finite(scores.get(name)) is None else Tile(label, score(scores[name]), note)


def _interval(scores: Mapping[str, Any]) -> str:
    low, high = ends(scores.get("interval"))
    return "" if low is None or high is None else f"95 % interval {span(low, high)}"


def _true_note(scores: Mapping[str, Any]) -> str:
    clean = finite(scores.get("true_score_clean"))
    return "on the hidden solution" + ("" if clean is None else f"; {clean:.4f} on right labels")


def _optimism(scores: Mapping[str, Any]) -> str:
    optimism = finite(scores.get("optimism"))
    if optimism is None:
        return ""
    flattery = optimism if greater_is_better(str(scores.get("metric"))) else -optimism
    return f"flatters by {written(flattery, '+.4f')}"


def _expected(scores: Mapping[str, Any]) -> Tile | None:
    found = mapping(scores.get("expected"))
    low, rows = finite(found.get("low")), finite(found.get("rows"))
    if low is None or not rows:
        return None
    value = f"{low:.3f}–{written(found.get('high'), '.3f')}"
    return Tile("Expected on the test set", value, f"on {rows:,.0f} rows")


def _best_member(scores: Mapping[str, Any]) -> Tile | None:
    ranked = sorted((value, name) for name, value in member_scores(scores).items())
    if len(ranked) < 2:
        return None
    value, name = ranked[-1] if greater_is_better(str(scores.get("metric"))) else ranked[0]
    return Tile("Best member", score(value), name)


def _images(scores: Mapping[str, Any]) -> Tile | None:
    images = finite(scores.get("n"))
    if images is None:
        return None
    groups, empty = finite(scores.get("groups")), scores.get("classes_without_support")
    notes = [f"in {groups:,.0f} groups"] if groups is not None else []
    count = len(empty) if isinstance(empty, list) else finite(empty)
    notes += [f"{count:.0f} classes without support"] if count else []
    return Tile("Images scored", f"{images:,.0f}", "; ".join(notes))
