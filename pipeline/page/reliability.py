"""The reliability diagram: whether the blend is right as often as it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.page.plots import Figure
from pipeline.page.values import finite, mapping, mappings, written

SMALLEST_MARKER = 6
LARGEST_MARKER = 14
Z_95 = 1.96
EVEN = 0.0005  # a gap under this is shown as 0.000


@dataclass(frozen=True)
class Bin:
    """Images of about one confidence: how many, their mean confidence, and the share that was right."""

    span: str
    rows: int
    confidence: float
    accuracy: float


def reliability(found: Any) -> tuple[str, dict[str, Figure]]:
    """Put the entry "reliability" of scores.json into words, and draw it; nothing without any images."""
    bins = _bins(mapping(found).get("bins"))
    if not bins:
        return "", {}
    return _sentence(bins, finite(mapping(found).get("ece"))), {"reliability": _figure(bins)}


def _bins(found: Any) -> list[Bin]:
    read = []
    for entry in mappings(found):
        rows, confidence, accuracy = (finite(entry.get(name)) for name in ("rows", "confidence", "accuracy"))
        if rows is None or confidence is None or accuracy is None:
            continue
        if rows >= 1 and 0 <= confidence <= 1 and 0 <= accuracy <= 1:
            low, high = (written(entry.get(name), ".2f") for name in ("low", "high"))
            read.append(Bin(f"{low} to {high}", int(rows), confidence, accuracy))
    return read


def _sentence(bins: Sequence[Bin], ece: float | None) -> str:
    rows = sum(part.rows for part in bins)
    confidence = sum(part.rows * part.confidence for part in bins) / rows
    accuracy = sum(part.rows * part.accuracy for part in bins) / rows
    gap = confidence - accuracy
    verdict = "as it should be" if abs(gap) < EVEN else "too sure" if gap > 0 else "not sure enough"
    said = f"Mean confidence {confidence:.3f}, right {accuracy:.3f}: {verdict}."
    if ece is not None:
        said += f" Expected calibration error {ece:.4f}: the mean distance from the diagonal, by images."
    return said


def wilson(share: float, rows: int) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval of a share of so many rows.

    >>> low, high = wilson(0.5, 16)
    >>> f"{low:.3f} to {high:.3f}"
    '0.280 to 0.720'
    """
    z = Z_95**2 / rows
    half = Z_95 * (share * (1 - share) / rows + z / (4 * rows)) ** 0.5
    return (share + z / 2 - half) / (1 + z), (share + z / 2 + half) / (1 + z)


def _figure(bins: Sequence[Bin]) -> Figure:
    most = max(part.rows for part in bins)
    ends = [wilson(part.accuracy, part.rows) for part in bins]
    grown = LARGEST_MARKER - SMALLEST_MARKER
    diagonal = {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": "--muted", "dash": "dash", "width": 1.5},
        "hoverinfo": "skip",
    }
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [round(part.confidence, 4) for part in bins],
        "y": [round(part.accuracy, 4) for part in bins],
        "customdata": [[part.span, part.rows] for part in bins],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "color": "--series-1",
            "thickness": 1,
            "width": 0,
            "array": [round(high - part.accuracy, 4) for part, (_, high) in zip(bins, ends, strict=True)],
            "arrayminus": [round(part.accuracy - low, 4) for part, (low, _) in zip(bins, ends, strict=True)],
        },
        "marker": {
            "size": [round(SMALLEST_MARKER + grown * (part.rows / most) ** 0.5, 1) for part in bins],
            "color": "--series-1",
            "opacity": 0.85,
            "line": {"width": 1, "color": "--surface"},
        },
        "cliponaxis": False,
        "hovertemplate": "confidence %{customdata[0]}<br>%{customdata[1]:,} images, mean %{x:.3f}"
        "<br>right %{y:.3f}<extra></extra>",
    }
    axis = {"range": [0, 1], "dtick": 0.2, "zeroline": False}
    layout = {
        "height": 380,
        "showlegend": False,
        "xaxis": {**axis, "title": {"text": "confidence"}},
        "yaxis": {**axis, "title": {"text": "share that is right"}},
    }
    return {"data": [diagonal, points], "layout": layout}
