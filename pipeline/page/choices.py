"""What each choice in the blend was worth, with its interval, and all candidates that were looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.page.values import NONE, finite, mapping, mappings, score, span, written

TITLES = {
    "blend": "blend of the members",
    "weights": "weights of the members",
    "temperatures": "temperatures",
    "prior power": "prior power",
    "views": "views of an image",
    "rule": "decision rule",
}
NOISE_ERRORS = 2.0  # a gain under so many standard errors is called noise


@dataclass(frozen=True)
class Gain:
    """How much better the kept one scores in one metric: positive for better, whichever way it points."""

    metric: str
    gain: str
    interval: str
    verdict: str


@dataclass(frozen=True)
class Choice:
    """One choice: what is chosen, what was kept instead of what, and the gains, a metric each."""

    what: str
    kept: str
    instead: str
    gains: list[Gain]


@dataclass(frozen=True)
class Candidates:
    """A table of candidates: each line is a name, a score for each of `metrics`, and whether it was kept."""

    title: str
    metrics: list[str]
    lines: list[tuple[str, list[str], bool]]


def choices(found: Any) -> list[Choice]:
    """Read the entry "choices" of scores.json; a choice without a gain in any metric is left out."""
    read = [
        Choice(
            what=TITLES.get(str(entry.get("choice")), str(entry.get("choice", NONE))),
            kept=str(entry.get("kept", NONE)),
            instead=str(entry.get("instead", NONE)),
            gains=_gains(entry.get("gains")),
        )
        for entry in mappings(found)
    ]
    return [choice for choice in read if choice.gains]


def verdict(gain: Any, standard_error: Any) -> str:
    """Say in words what a gain with its standard error means.

    >>> verdict(0.01, 0.004), verdict(-0.01, 0.004), verdict(0.01, 0.006), verdict(0.01, None)
    ('better', 'worse', 'noise', '–')
    >>> verdict(0.0, 0.0)
    'no difference'
    """
    gain, standard_error = finite(gain), finite(standard_error)
    if gain is None or standard_error is None:
        return NONE
    if gain == 0 and standard_error == 0:
        return "no difference"
    if abs(gain) < NOISE_ERRORS * standard_error:
        return "noise"
    return "better" if gain > 0 else "worse"


def candidates(weights: Mapping[str, Any], scores: Mapping[str, Any]) -> list[Candidates]:
    """Read the entry "candidates" of weights.json: tables of blends and of rules, with the one that was kept.

    >>> found = {"candidates": {"rules": {"argmax": 0.5, "expected": 0.75}}, "rule": {"name": "expected"}}
    >>> candidates(found, {"metric": "macro-f1"})[0].lines
    [('argmax', ['0.5000'], False), ('expected', ['0.7500'], True)]
    """
    found = mapping(weights.get("candidates"))
    flat = {name: value for name, value in found.items() if not isinstance(value, dict)}
    metric = str(scores.get("metric", "score"))
    tables = [
        _table("Blends", mapping(found.get("blends")), metric, kept_blend(weights, scores)),
        _table("Decision rules", mapping(found.get("rules")), metric, kept_rule(weights, scores)),
        _table("Pool and rule", flat, metric, ""),  # as weights.json was before blends were compared
    ]
    return [table for table in tables if table.lines]


def kept_blend(weights: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    """Return the name of the blend that was kept, "" where no file says."""
    return str(weights.get("blend") or scores.get("blend") or "")


def kept_rule(weights: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    """Return the name of the rule that was kept, "" where no file says.

    >>> kept_rule({"rule": {"name": "expected-f1", "f1": [0.5]}}, {}), kept_rule({}, {"rule": "argmax"})
    ('expected-f1', 'argmax')
    """
    rule = weights.get("rule")
    if isinstance(rule, dict):  # a rule with all that was fitted for it: its name says enough
        rule = rule.get("name")
    return str(rule or scores.get("rule") or "")


def _gains(found: Any) -> list[Gain]:
    entries = {name: mapping(entry) for name, entry in mapping(found).items()}
    return [
        Gain(
            metric=name,
            gain=written(entry.get("gain"), "+.4f"),
            interval=span(entry.get("low"), entry.get("high"), "+.4f"),
            verdict=verdict(entry.get("gain"), entry.get("standard_error")),
        )
        for name, entry in entries.items()
        if finite(entry.get("gain")) is not None
    ]


def _table(title: str, found: Mapping[str, Any], metric: str, kept: str) -> Candidates:
    """Make a table of candidates whose value is a score of `metric`, or a score for each metric's name."""
    named = {name: value if isinstance(value, dict) else {metric: value} for name, value in found.items()}
    scored = {
        name: {m: value for m, value in entry.items() if finite(value) is not None}
        for name, entry in named.items()
    }
    metrics = list(dict.fromkeys(m for entry in scored.values() for m in entry))
    lines = [
        (name, [score(entry.get(m)) for m in metrics], name == kept)
        for name, entry in scored.items()
        if entry
    ]
    return Candidates(title, metrics, lines)
