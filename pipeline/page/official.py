"""The scores on an official test or validation split whose labels are known, with and without its twins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.page.values import mapping, score, written

SPLITS = {"test": "official test", "val": "official validation"}


@dataclass(frozen=True)
class Official:
    """A table: `lines` are (what, images, a score for each of `metrics`); empty where nothing was scored."""

    metrics: list[str] = field(default_factory=list)
    lines: list[tuple[str, str, list[str]]] = field(default_factory=list)
    without_twins: bool = False


def official(scores: Mapping[str, Any]) -> Official:
    """Read the entry "official" of scores.json; what is no score there is left out.

    >>> official({"official": {"test": {"rows": 1200, "scores": {"accuracy": 0.5}}}}).lines
    [('official test', '1,200', ['0.5000'])]
    """
    found = mapping(scores.get("official"))
    parts: list[tuple[str, Mapping[str, Any]]] = []
    without_twins = False
    for split, title in SPLITS.items():
        part = mapping(found.get(split))
        if isinstance(part.get("scores"), dict):
            parts.append((title, part))
            rest = mapping(part.get("without_twins"))
            if isinstance(rest.get("scores"), dict):
                parts.append((f"{title}, without twins", rest))
                without_twins = True
    metrics = list(dict.fromkeys(str(name) for _, part in parts for name in part["scores"]))
    lines = [
        (title, written(part.get("rows"), ",.0f"), [score(part["scores"].get(name)) for name in metrics])
        for title, part in parts
    ]
    return Official(metrics, lines, without_twins)
