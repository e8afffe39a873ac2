"""Whether the test predictions look like the out-of-fold ones, checked before anything is submitted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.page.values import NONE, mapping, texts, written

LINES = {
    "rows": ("test images", ",.0f"),
    "oof_entropy": ("mean entropy, out of fold", ".4f"),
    "test_entropy": ("mean entropy, test", ".4f"),
    "standard_errors": ("difference of the two, in its standard errors", "+.1f"),
    "fold_disagreement": ("labels by one fold's models that differ", ".1%"),
}


@dataclass(frozen=True)
class Alarms:
    """What was compared, as (what, value) pairs, and what is alarming about it."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)


def alarms(scores: Mapping[str, Any]) -> Alarms:
    """Read the entry "test_check" of scores.json.

    >>> alarms({"test_check": {"rows": 1200, "fold_disagreement": 0.125}}).lines
    [('test images', '1,200'), ("labels by one fold's models that differ", '12.5%')]
    """
    found = mapping(scores.get("test_check"))
    lines = [(title, written(found.get(name), form)) for name, (title, form) in LINES.items()]
    return Alarms([line for line in lines if line[1] != NONE], texts(found.get("alarms")))
