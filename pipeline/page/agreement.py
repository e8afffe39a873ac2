"""How alike the members are: the more their mistakes differ, the more there is to gain from blending them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.page.class_counts import class_ticks
from pipeline.page.escape import plotly_text
from pipeline.page.plots import Figure
from pipeline.page.values import finite, mapping, texts, written

MOST_BESIDE_EACH_OTHER = 8  # members up to which both matrices fit in one row of the page
MOST_WITH_NUMBERS = 20


@dataclass(frozen=True)
class Agreement:
    """`wide`: the matrices need the page's whole width. `sentence` names the most and the least alike."""

    wide: bool = False
    sentence: str = ""


def agreement(found: Any) -> tuple[Agreement, dict[str, Figure]]:
    """Read and draw the entry "agreement" of scores.json; of one member there is nothing to draw."""
    names = texts(mapping(found).get("members"))
    if len(names) < 2:
        return Agreement(), {}
    correlation, disagreement = (
        _matrix(mapping(found).get(name), len(names)) for name in ("correlation", "disagreement")
    )
    figures = {}
    if correlation is not None:
        lowest = min(np.floor(10 * np.nanmin(correlation)) / 10, 0.9)
        figures["correlation"] = _heatmap(names, correlation, "correlation", ".2f", (lowest, 1.0))
    if disagreement is not None:
        highest = max(np.ceil(10 * np.nanmax(disagreement)) / 10, 0.1)
        figures["disagreement"] = _heatmap(names, disagreement, "other label", ".0%", (0.0, highest))
    wide = len(names) > MOST_BESIDE_EACH_OTHER
    return Agreement(wide, _sentence(names, correlation, disagreement)), figures


def _matrix(found: Any, size: int) -> np.ndarray | None:
    """Return float [size, size] without its diagonal, NaN where there is no number; None for other shapes."""
    rows = found if isinstance(found, list) else []
    if len(rows) != size or any(not isinstance(row, list) or len(row) != size for row in rows):
        return None
    matrix = np.array([[finite(value) for value in row] for row in rows], np.float64)
    np.fill_diagonal(matrix, np.nan)
    return matrix if np.isfinite(matrix).any() else None


def _sentence(names: Sequence[str], correlation: np.ndarray | None, disagreement: np.ndarray | None) -> str:
    """Name the pair that is most alike and the one that is least, by correlation, else by disagreement."""
    if correlation is not None:
        alike = correlation
    elif disagreement is not None:
        alike = -disagreement
    else:
        return ""
    pairs = [("Most alike: ", int(np.nanargmax(alike))), ("least alike: ", int(np.nanargmin(alike)))]
    if len(names) == 2:
        pairs = [("", pairs[0][1])]
    said = []
    for what, cell in pairs:
        i, j = divmod(cell, len(names))
        said.append(f"{what}{names[i]} and {names[j]}{_numbers(i, j, correlation, disagreement)}")
    return "; ".join(said) + "."


def _numbers(i: int, j: int, correlation: np.ndarray | None, disagreement: np.ndarray | None) -> str:
    said = []
    if correlation is not None and np.isfinite(correlation[i, j]):
        said.append(f"correlation {written(float(correlation[i, j]), '.3f')}")
    if disagreement is not None and np.isfinite(disagreement[i, j]):
        said.append(f"other labels for {disagreement[i, j]:.1%} of the images")
    return f" ({', '.join(said)})" if said else ""


def _heatmap(
    names: Sequence[str], matrix: np.ndarray, what: str, form: str, ends: tuple[float, float]
) -> Figure:
    keys = [str(i) for i in range(len(names))]  # two members may be written alike: the axes have the numbers
    shown = [plotly_text(name) for name in names]
    cells = [[finite(value) for value in row] for row in matrix.tolist()]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": keys,
        "y": keys,
        "z": [[None if value is None else round(value, 4) for value in row] for row in cells],
        "customdata": [[[one, other] for other in shown] for one in shown],
        "zmin": round(float(ends[0]), 4),
        "zmax": round(float(ends[1]), 4),
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<br>"
        f"{what} %{{z:{'.1%' if form == '.0%' else '.3f'}}}<extra></extra>",
        "colorbar": {"thickness": 10, "tickformat": form},
    }
    if len(names) <= MOST_WITH_NUMBERS:
        trace["text"] = [["" if value is None else written(value, form) for value in row] for row in cells]
        trace["texttemplate"] = "%{text}"
    axis = {**class_ticks(names), "showgrid": False}
    layout = {
        "height": 200 + max(140, 26 * len(names)),
        "xaxis": axis,
        "yaxis": {**axis, "tickangle": 0, "autorange": "reversed"},
    }
    return {"data": [trace], "layout": layout}
