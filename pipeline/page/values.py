"""Takes numbers, names and tables out of JSON that may hold anything, and writes them for people.

A file may be of an earlier version, or a person may have edited it: what isn't as expected is left out.
"""

import math
from typing import Any

NONE = "–"


def finite(value: Any) -> float | None:
    """Return a number from a file as a float, and None for what isn't one (missing, NaN, a text).

    >>> finite(3), finite(float("nan")), finite("much")
    (3.0, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of more than 308 digits
        return None


def mapping(value: Any) -> dict[str, Any]:
    """Return a JSON object, an empty one for anything else.

    >>> mapping({"a": 1}), mapping([1])
    ({'a': 1}, {})
    """
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a JSON list.

    >>> mappings([{"a": 1}, 2]), mappings("ab")
    ([{'a': 1}], [])
    """
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """Return the entries of a JSON list as texts.

    >>> texts(["a", 2]), texts("ab")
    (['a', '2'], [])
    """
    return [str(item) for item in value] if isinstance(value, list) else []


def written(value: Any, form: str) -> str:
    """Write a number in a format, with a true minus sign; a dash for what is no number.

    >>> written(-0.25, "+.3f"), written(1234, ",.0f"), written("much", ".2f")
    ('−0.250', '1,234', '–')
    """
    number = finite(value)
    return NONE if number is None else format(number, form).replace("-", "−")


def score(value: Any) -> str:
    """Write a score.

    >>> score(0.87654), score(None)
    ('0.8765', '–')
    """
    return written(value, ".4f")


def span(low: Any, high: Any, form: str = ".4f") -> str:
    """Write an interval; a dash unless both ends are numbers.

    >>> span(0.5, 0.75, ".2f"), span(None, 0.75), span(-0.02, 0.01, "+.2f")
    ('0.50 to 0.75', '–', '−0.02 to +0.01')
    """
    ends = written(low, form), written(high, form)
    return NONE if NONE in ends else " to ".join(ends)
