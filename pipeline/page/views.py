"""Views of an image: the weight of each, what it adds to the score, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.page.choices import verdict
from pipeline.page.values import NONE, finite, mapping, written


@dataclass(frozen=True)
class ViewLine:
    """One view of one member; `gain` is the gain in log-loss of having it."""

    member: str
    view: str
    weight: str
    gain: str
    verdict: str
    milliseconds: str
    gain_per_millisecond: str


def view_lines(scores: Mapping[str, Any], weights: Mapping[str, Any]) -> list[ViewLine]:
    """Return a line for each view from scores.json; where that has none, the weights from weights.json."""
    measured = {name: mapping(entry) for name, entry in mapping(scores.get("views")).items()}
    if not any(measured.values()):
        measured = {
            name: {view: {"weight": weight} for view, weight in mapping(mapping(entry).get("views")).items()}
            for name, entry in mapping(weights.get("members")).items()
        }
    return [
        _line(member, view, mapping(entry))
        for member, entry_of in measured.items()
        for view, entry in entry_of.items()
    ]


def per_millisecond(gain: Any, milliseconds: Any) -> float | None:
    """Return the gain for each millisecond that a view adds, None where either isn't known.

    >>> per_millisecond(0.012, 4), per_millisecond(0.012, 0), per_millisecond(None, 4)
    (0.003, None, None)
    """
    gain, milliseconds = finite(gain), finite(milliseconds)
    return None if gain is None or not milliseconds or milliseconds < 0 else gain / milliseconds


def _line(member: str, view: str, entry: Mapping[str, Any]) -> ViewLine:
    gain, error, milliseconds = (entry.get(name) for name in ("gain", "standard_error", "milliseconds"))
    spread = written(error, ".4f")
    return ViewLine(
        member=member,
        view=view,
        weight=written(entry.get("weight"), ".3f"),
        gain=written(gain, "+.4f") + ("" if NONE in (spread, written(gain, ".4f")) else f" ± {spread}"),
        verdict=verdict(gain, error),
        milliseconds=written(milliseconds, ".2f"),
        gain_per_millisecond=written(per_millisecond(gain, milliseconds), "+.5f"),
    )
