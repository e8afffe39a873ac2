"""The ensemble's section: how the members become one prediction, and what each step of it is worth."""

from dataclasses import dataclass
from typing import Any

from pipeline.page.agreement import Agreement, agreement
from pipeline.page.alarms import Alarms, alarms
from pipeline.page.blend_score import ScoreLine, score_figure, score_lines
from pipeline.page.choices import Candidates, Choice, candidates, choices, kept_blend, kept_rule
from pipeline.page.data import Content
from pipeline.page.plots import Figure
from pipeline.page.reliability import reliability
from pipeline.page.values import finite
from pipeline.page.views import ViewLine, view_lines


@dataclass(frozen=True)
class Ensemble:
    """What the section shows beside its figures; `steps` are (what, how) pairs, `calibration` a sentence."""

    score_lines: list[ScoreLine]
    steps: list[tuple[str, str]]
    choices: list[Choice]
    candidates: list[Candidates]
    agreement: Agreement
    calibration: str
    views: list[ViewLine]
    alarms: Alarms


def ensemble(content: Content) -> tuple[Ensemble, dict[str, Figure]]:
    """Read scores.json and weights.json of any version: what they don't have isn't shown."""
    scores, weights = content.scores, content.weights
    alike, matrices = agreement(scores.get("agreement"))
    calibration, diagram = reliability(scores.get("reliability"))
    found = Ensemble(
        score_lines=score_lines(scores),
        steps=_steps(content),
        choices=choices(scores.get("choices")),
        candidates=candidates(weights, scores),
        agreement=alike,
        calibration=calibration,
        views=view_lines(scores, weights),
        alarms=alarms(scores),
    )
    return found, {**score_figure(scores), **matrices, **diagram}


def _steps(content: Content) -> list[tuple[str, str]]:
    weights = content.weights
    steps = [
        ("order", _plain(weights.get("order"))),
        ("blend", kept_blend(weights, content.scores)),
        ("weights", _plain(weights.get("weights"))),
        ("pool", _plain(weights.get("pool"))),
        ("temperature of the blend", _plain(weights.get("temperature"))),
        ("decision rule", kept_rule(weights, content.scores)),
    ]
    return [(what, how) for what, how in steps if how]


def _plain(value: Any) -> str:
    """Write a text or a number of a file, "" for anything else."""
    number = finite(value)
    return f"{number:.4g}" if number is not None else value if isinstance(value, str) else ""
