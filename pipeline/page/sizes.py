"""How large the images are, against what the members train on: width and height, and the short sides."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pipeline.config import Member, predict_side, sides_of
from pipeline.page.escape import plotly_text
from pipeline.page.plots import Figure, log_axis

SHOWN_POINTS = 2000
BARS = 40
NUMBERS_A_BIN = 4


@dataclass(frozen=True)
class Sizes:
    """`sentence` sums the sizes up; `members` are (member, trained at, predicted at, share enlarged)."""

    sentence: str = ""
    members: list[tuple[str, str, str, str]] = field(default_factory=list)
    points: int = 0
    images: int = 0


def sizes(images: pd.DataFrame, members: Sequence[Member]) -> tuple[Sizes, dict[str, Figure]]:
    """Describe and draw the sizes of the usable images; without one there is nothing to draw."""
    usable = images.loc[images["problem"] == "", ["width", "height"]].to_numpy(np.int64)
    usable = usable[(usable > 0).all(1)]
    if not len(usable):
        return Sizes(), {}
    short_sides = usable.min(1)
    shown = thinned(usable, SHOWN_POINTS)
    found = Sizes(
        sentence=_sentence(usable, short_sides),
        members=[_member(member, short_sides) for member in members],
        points=len(shown),
        images=len(usable),
    )
    return found, {"sizes": _scatter(shown), "short-sides": _histogram(short_sides, members)}


def thinned(pairs: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` rows of int [n, 2], evenly by area, the smallest and the largest among them.

    >>> thinned(np.array([[3, 3], [1, 1], [2, 2], [4, 4], [5, 5]]), 3).tolist()
    [[1, 1], [3, 3], [5, 5]]
    """
    order = np.lexsort((pairs[:, 0], pairs[:, 0] * pairs[:, 1]))
    if len(order) > most:
        order = order[np.linspace(0, len(order) - 1, most).round().astype(np.int64)]
    return pairs[order]


def log_bins(values: np.ndarray, most: int) -> np.ndarray:
    """Return the edges of bins of equal ratio over whole numbers, int [≤ most + 1].

    There are so few bins that they hold about four numbers each at least: else rounding makes a comb of them.

    >>> log_bins(np.array([100, 400]), 2).tolist()
    [100, 200, 401]
    """
    low, high = int(values.min()), int(values.max()) + 1
    bins = max(1, min(most, (high - low) // NUMBERS_A_BIN))
    edges = np.geomspace(low, high, bins + 1).round().astype(np.int64)
    return np.unique(edges)


def _sentence(usable: np.ndarray, short_sides: np.ndarray) -> str:
    width, height = np.median(usable, axis=0)
    low, high = short_sides.min(), short_sides.max()
    area = usable.prod(1)
    largest = usable[area.argmax()]
    return (
        f"Median size {width:,.0f} × {height:,.0f} pixels; short sides from {low:,} to {high:,}; "
        f"the largest image has {largest[0]:,} × {largest[1]:,}."
    )


def _member(member: Member, short_sides: np.ndarray) -> tuple[str, str, str, str]:
    tested = predict_side(member.train)
    share = (short_sides < tested).mean()
    return member.name, f"{sides_of(member.train)} px", f"{tested} px", f"{share:.0%}"


def _scatter(shown: np.ndarray) -> Figure:
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": shown[:, 0].tolist(),
        "y": shown[:, 1].tolist(),
        "marker": {"size": 5, "color": "--series-1", "opacity": 0.35},
        "hovertemplate": "%{x} × %{y} pixels<extra></extra>",
    }
    layout = {
        "height": 360,
        "xaxis": {
            "title": {"text": "width, pixels"},
            **log_axis(int(shown[:, 0].min()), int(shown[:, 0].max())),
        },
        "yaxis": {
            "title": {"text": "height, pixels"},
            **log_axis(int(shown[:, 1].min()), int(shown[:, 1].max())),
        },
    }
    return {"data": [trace], "layout": layout}


def _histogram(short_sides: np.ndarray, members: Sequence[Member]) -> Figure:
    """Draw short sides as bars, with a line where a member's test size is: images left of it are enlarged."""
    edges = log_bins(short_sides, BARS)
    counts = np.histogram(short_sides, edges)[0]
    middles = np.log10(
        np.sqrt(edges[:-1] * edges[1:])
    )  # bars on a linear axis of logarithms keep their widths
    names: dict[int, list[str]] = {}
    for member in members:
        names.setdefault(predict_side(member.train), []).append(member.name)
    at = sorted(names)
    bars = {
        "type": "bar",
        "x": middles.round(5).tolist(),
        "y": counts.tolist(),
        "width": np.diff(np.log10(edges)).round(5).tolist(),
        "customdata": [_span(low, high) for low, high in zip(edges[:-1], edges[1:] - 1, strict=True)],
        "marker": {"color": "--series-1", "line": {"width": 0.5, "color": "--surface"}},
        "hovertemplate": "short side %{customdata} pixels<br>%{y:,} images<extra></extra>",
    }
    axis = log_axis(int(min(edges[0], at[0])), int(max(edges[-1], at[-1])))
    layout = {
        "height": 360,
        "showlegend": False,
        "shapes": [_line(side) for side in at],
        "xaxis": {
            "title": {"text": "short side, pixels"},
            "range": axis["range"],
            "tickvals": np.log10(axis["tickvals"]).round(5).tolist(),
            "ticktext": [f"{tick:,}" for tick in axis["tickvals"]],
        },
        "yaxis": {"title": {"text": "images"}, "rangemode": "tozero"},
    }
    return {"data": [bars, _triangles(names)], "layout": layout}


def _triangles(names: dict[int, list[str]]) -> Figure:
    """Return a mark at the foot of each line, for its name: a line itself has no hover."""
    at = sorted(names)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": np.log10(at).round(5).tolist(),
        "y": [0] * len(at),
        "customdata": [plotly_text(f"{', '.join(names[side])}: {side} px") for side in at],
        "marker": {"symbol": "triangle-up", "size": 11, "color": "--series-2"},
        "cliponaxis": False,
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _line(side: int) -> dict[str, object]:
    return {
        "type": "line",
        "x0": round(float(np.log10(side)), 5),
        "x1": round(float(np.log10(side)), 5),
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": "--series-2", "width": 1.5, "dash": "dot"},
    }
