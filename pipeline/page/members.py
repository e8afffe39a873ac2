"""The members' table: every member of the configuration, and what else the blend was offered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import terminal
from pipeline.config import Member, sides_of
from pipeline.page.data import Content
from pipeline.page.runs import FoldResult, MemberRun
from pipeline.page.values import NONE, finite, mapping, score, written

KINDS = {
    "member": "no longer in the configuration",
    "run": "another run",
    "external": "predictions made elsewhere",
}


@dataclass(frozen=True)
class MemberRow:
    """One line of the members' table; `cells` are (score, note) a fold; `share` is the weight in [0, 1]."""

    name: str
    about: str
    cells: list[tuple[str, str]]
    oof: str
    weights_source: str
    time: str
    speed: str
    weight: str
    share: float
    temperature: str


def member_rows(content: Content, fold_count: int) -> list[MemberRow]:
    """Return a line for each training of the configuration, then for other names that scores.json has.

    Of several seeds each has a line, and their mean, which is what is blended, one more. Work that isn't
    done, and what isn't known of predictions made elsewhere, shows as a dash.
    """
    own = [run.title for run in content.runs]
    seeds = {run.member.name: run.member.train.seeds for run in content.runs}
    known = [*mapping(content.scores.get("members")), *mapping(content.weights.get("members"))]
    others = [name for name in dict.fromkeys(known) if name not in own]
    rows = [_own_row(content, run, fold_count) for run in content.runs]
    return rows + [_other_row(content, name, fold_count, seeds.get(name, 0)) for name in others]


def _own_row(content: Content, run: MemberRun, fold_count: int) -> MemberRow:
    results = {fold.fold: fold for fold in run.folds}
    return MemberRow(
        name=run.title,
        about=_about(run.member),
        cells=[_cell(results.get(k)) for k in range(fold_count)],
        weights_source=run.weights_source() or NONE,
        time=terminal.duration(run.seconds()) if run.done() else NONE,
        speed=written(run.images_per_second(), ",.0f"),
        **_in_the_blend(content, run.title),
    )


def _about(member: Member) -> str:
    taught = f", taught by {member.train.teacher}" if member.train.teacher else ""
    return f"{member.model}, {sides_of(member.train)} px, {member.train.epochs} epochs{taught}"


def _other_row(content: Content, name: str, fold_count: int, seeds: int) -> MemberRow:
    kind = str(_entry(content.scores, name).get("kind", ""))
    return MemberRow(
        name=name,
        about=f"mean of {seeds} seeds" if seeds else KINDS.get(kind, "not in the configuration"),
        cells=[(NONE, "")] * fold_count,
        weights_source=NONE,
        time=NONE,
        speed=NONE,
        **_in_the_blend(content, name),
    )


def _in_the_blend(content: Content, name: str) -> dict[str, Any]:
    kept, found = _entry(content.weights, name), _entry(content.scores, name)
    weight = kept.get("weight", found.get("weight"))
    return {
        "oof": score(found.get("oof")),
        "weight": written(weight, ".3f"),
        "share": min(1.0, max(0.0, finite(weight) or 0.0)),
        "temperature": written(kept.get("temperature"), ".3f"),
    }


def _cell(fold: FoldResult | None) -> tuple[str, str]:
    if fold is None:
        return NONE, ""
    if not fold.metrics:
        return NONE, f"{len(fold.epochs)} epochs so far"
    seconds, speed = fold.number("seconds"), fold.number("images_per_second")
    notes = [terminal.duration(seconds)] if seconds is not None else []
    notes += [f"{speed:,.0f}/s"] if speed is not None else []
    notes += [f"epoch {fold.metrics['scored_epoch']}"] if fold.metrics.get("scored_epoch") else []
    return score(fold.number("score")), ", ".join(notes)


def _entry(source: Mapping[str, Any], name: str) -> dict[str, Any]:
    return mapping(mapping(source.get("members")).get(name))
