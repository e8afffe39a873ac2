"""The figures at the top of the page and the members' table, as texts."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline import terminal
from pipeline.page.data import Content
from pipeline.page.escape import finite
from pipeline.page.runs import FoldResult, MemberRun
from pipeline.score.metrics import find_metric


@dataclass(frozen=True)
class Tile:
    """One figure: what it is, its value, and what to know about it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class MemberRow:
    """One line of the members' table; `cells` are (score, note) a fold; `share` is the weight in [0, 1]."""

    name: str
    model: str
    cells: list[tuple[str, str]]
    oof: str
    weights_source: str
    time: str
    speed: str
    weight: str
    share: float
    temperature: str


def tiles(content: Content) -> list[Tile]:
    """Return the figures that scores.json has."""
    scores, metric = content.scores, content.metric
    candidates = (
        _tile(
            scores, "cross_fitted", f"{metric}, cross-fitted", _interval(scores, "interval", "95 % interval")
        ),
        _tile(scores, "true_score", f"{metric}, true", _true_note(scores)),
        _tile(scores, "in_sample", f"{metric}, in-sample", _optimism(scores)),
        _expected(scores),
        _best_member(scores),
        _images(scores),
    )
    return [tile for tile in candidates if tile is not None]


def scored(found: Any, shown_elsewhere: str = "") -> list[tuple[str, str]]:
    """Return a mapping of scores, of metrics or of candidates, as (name, score)."""
    values = found.items() if isinstance(found, dict) else ()
    return [
        (str(name), score(value))
        for name, value in values
        if finite(value) is not None and name != shown_elsewhere
    ]


def member_rows(content: Content, fold_count: int) -> list[MemberRow]:
    """Return one line a member, in the configuration's order; work that isn't done shows as "–"."""
    return [_member_row(content, run, fold_count) for run in content.runs]


def decisions(content: Content) -> list[tuple[str, str]]:
    """Return how the members become one prediction, from weights.json."""
    names = ("weights", "pool", "temperature", "rule")
    found = {**{"rule": content.scores.get("rule")}, **content.weights}
    return [(name, _plain(found[name])) for name in names if found.get(name) not in (None, "")]


def submission_link(content: Content, report: Path) -> str:
    """Return the submission's address as seen from the page, "" without one."""
    if not content.submission:
        return ""
    relative = os.path.relpath(content.submission, report.parent)
    return "/".join(quote(part, safe="") for part in Path(relative).parts)


def score(value: Any) -> str:
    """Write a score, "–" for what is none.

    >>> score(0.87654), score(None)
    ('0.8765', '–')
    """
    number = finite(value)
    return "–" if number is None else f"{number:.4f}"


def _member_row(content: Content, run: MemberRun, fold_count: int) -> MemberRow:
    results = {fold.fold: fold for fold in run.folds}
    name = run.member.name
    kept = _entry(content.weights, name)
    found = _entry(content.scores, name)
    weight = finite(kept.get("weight", found.get("weight")))
    speed = run.images_per_second()
    return MemberRow(
        name=name,
        model=f"{run.member.model}, {run.member.train.size} px, {run.member.train.epochs} epochs",
        cells=[_cell(results.get(k)) for k in range(fold_count)],
        oof=score(found.get("oof")),
        weights_source=run.weights_source() or "–",
        time=terminal.duration(run.seconds()) if run.done() else "–",
        speed="–" if speed is None else f"{speed:,.0f}",
        weight="–" if weight is None else f"{weight:.3f}",
        share=min(1.0, max(0.0, weight or 0.0)),
        temperature=_optional(kept.get("temperature"), "{:.3f}".format),
    )


def _cell(fold: FoldResult | None) -> tuple[str, str]:
    if fold is None:
        return "–", ""
    if not fold.metrics:
        return "–", f"{len(fold.epochs)} epochs so far"
    seconds, speed = fold.number("seconds"), fold.number("images_per_second")
    notes = [terminal.duration(seconds)] if seconds is not None else []
    notes += [f"{speed:,.0f}/s"] if speed is not None else []
    return score(fold.number("score")), ", ".join(notes)


def _entry(source: Mapping[str, Any], name: str) -> dict[str, Any]:
    members = source.get("members")
    found = members.get(name) if isinstance(members, dict) else None
    return found if isinstance(found, dict) else {}


def _tile(scores: Mapping[str, Any], name: str, label: str, note: str) -> Tile | None:
    return None if finite(scores.get(name)) is None else Tile(label, score(scores[name]), note)


def _interval(scores: Mapping[str, Any], name: str, label: str) -> str:
    found = scores.get(name)
    if not isinstance(found, list) or len(found) != 2:
        return ""
    return f"{label} {score(found[0])} to {score(found[1])}"


def _true_note(scores: Mapping[str, Any]) -> str:
    clean = finite(scores.get("true_score_clean"))
    return "on the hidden solution" + ("" if clean is None else f"; {clean:.4f} on right labels")


def _optimism(scores: Mapping[str, Any]) -> str:
    optimism = finite(scores.get("optimism"))
    return "" if optimism is None else f"flatters by {optimism:+.4f}"


def _expected(scores: Mapping[str, Any]) -> Tile | None:
    found = scores.get("expected")
    if not isinstance(found, dict) or finite(found.get("low")) is None or not finite(found.get("rows")):
        return None
    value = f"{float(found['low']):.3f}–{_optional(found.get('high'), '{:.3f}'.format)}"
    return Tile("Expected on the test set", value, f"on {found['rows']:,} rows")


def _best_member(scores: Mapping[str, Any]) -> Tile | None:
    members = scores.get("members")
    found = (
        {name: finite(_entry(scores, name).get("oof")) for name in members}
        if isinstance(members, dict)
        else {}
    )
    ranked = sorted((value, name) for name, value in found.items() if value is not None)
    if len(ranked) < 2:
        return None
    value, name = ranked[-1] if _greater_is_better(str(scores.get("metric"))) else ranked[0]
    return Tile("Best member", score(value), name)


def _images(scores: Mapping[str, Any]) -> Tile | None:
    if finite(scores.get("n")) is None:
        return None
    groups, empty = scores.get("groups"), scores.get("classes_without_support")
    notes = [f"in {groups:,} groups"] if isinstance(groups, int) else []
    count = len(empty) if isinstance(empty, list) else empty
    notes += [f"{count} classes without support"] if isinstance(count, int) and count else []
    return Tile("Images scored", f"{scores['n']:,}", "; ".join(notes))


def _greater_is_better(metric: str) -> bool:
    try:
        return find_metric(metric).greater_is_better
    except ValueError:
        return True


def _optional(value: Any, write: Callable[[float], str]) -> str:
    number = finite(value)
    return "–" if number is None else write(number)


def _plain(value: Any) -> str:
    if isinstance(value, dict):  # a rule with all that was fitted for it: its name says enough
        return str(value.get("name", ""))
    number = finite(value)
    return str(value) if number is None else f"{number:.4g}"
