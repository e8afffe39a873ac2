"""Where the blend stands: cross-fitted beside in-sample, and beside each member alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.page.escape import plotly_text
from pipeline.page.plots import Figure, short
from pipeline.page.values import finite, mapping, score, span, written
from pipeline.score.metrics import find_metric

CROSS_FITTED = "each image by what was fitted on the other folds: what new images should get"
IN_SAMPLE = "everything fitted on the very images that are scored: it flatters"


@dataclass(frozen=True)
class ScoreLine:
    """One score of the blend: what it is called, its value and interval, and what it means."""

    name: str
    score: str
    interval: str
    meaning: str


def score_lines(scores: Mapping[str, Any]) -> list[ScoreLine]:
    """Return the lines cross-fitted, in-sample and optimism, as far as scores.json has them.

    >>> [line.score for line in score_lines({"cross_fitted": 0.8, "in_sample": 0.81, "optimism": 0.01})]
    ['0.8000', '0.8100', '+0.0100']
    """
    interval = ends(scores.get("interval"))
    error = finite(scores.get("standard_error"))
    lines = [
        ScoreLine("cross-fitted", score(scores.get("cross_fitted")), span(*interval), CROSS_FITTED),
        ScoreLine("in-sample", score(scores.get("in_sample")), "", IN_SAMPLE),
        ScoreLine("optimism", written(scores.get("optimism"), "+.4f"), "", _optimism(scores, error)),
    ]
    return [line for line in lines if finite(scores.get(line.name.replace("-", "_"))) is not None]


def member_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the out-of-fold score of every member that has one, in the file's order."""
    found = {
        name: finite(mapping(entry).get("oof")) for name, entry in mapping(scores.get("members")).items()
    }
    return {name: value for name, value in found.items() if value is not None}


def greater_is_better(metric: str) -> bool:
    """Tell which way a metric points; a metric from a user's file is taken to be better when greater.

    >>> greater_is_better("log-loss"), greater_is_better("metric.py:mine")
    (False, True)
    """
    try:
        return find_metric(metric).greater_is_better
    except ValueError:
        return True


def ends(found: Any) -> tuple[float | None, float | None]:
    """Return both ends of an interval from a JSON list, None for what isn't there.

    >>> ends([0.5, 0.75]), ends("no")
    ((0.5, 0.75), (None, None))
    """
    if not isinstance(found, list) or len(found) != 2:
        return None, None
    return finite(found[0]), finite(found[1])


def score_figure(scores: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw the blend's scores and those of its members, the best on top; nothing without any of them."""
    blend, members = finite(scores.get("cross_fitted")), member_scores(scores)
    if blend is None or not members:
        return {}
    sign = 1 if greater_is_better(str(scores.get("metric"))) else -1
    ranked = sorted(members, key=lambda name: (sign * members[name], name))
    data = [
        _points("members", ranked, 0, [members[name] for name in ranked], "--series-2"),
        _points("blend, cross-fitted", ["blend, cross-fitted"], len(ranked), [blend], "--series-1"),
    ]
    low, high = ends(scores.get("interval"))
    if low is not None and high is not None:
        data[1]["error_x"] = {
            "type": "data", "symmetric": False, "color": "--series-1", "thickness": 2, "width": 5,
            "array": [round(high - blend, 6)], "arrayminus": [round(blend - low, 6)],
        }  # fmt: skip
    in_sample = finite(scores.get("in_sample"))
    if in_sample is not None:
        title = "blend, in-sample"
        data.append(_points(title, [title], len(ranked), [in_sample], "--series-1", "circle-open"))
    layout = _layout([*ranked, "blend"], str(scores.get("metric", "score")))
    return {"blend-and-members": {"data": data, "layout": layout}}


def _points(
    title: str, names: list[str], first: int, values: list[float], color: str, symbol: str = "circle"
) -> Figure:
    """Draw one point a name, the first of them in line `first` counted from below."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": title,
        "x": [round(value, 6) for value in values],
        "y": list(range(first, first + len(values))),
        "customdata": [plotly_text(name) for name in names],
        "marker": {"size": 9, "color": color, "symbol": symbol},
        "cliponaxis": False,
        "hovertemplate": "%{customdata}<br>%{x:.4f}<extra></extra>",
    }


def _layout(names: list[str], metric: str) -> dict[str, Any]:
    return {
        "height": 190 + 24 * len(names),
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {"title": {"text": plotly_text(metric)}, "nticks": 6},
        "yaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": [plotly_text(short(name)) for name in names],
            "range": [-0.6, len(names) - 0.4],
            "automargin": True,
            "zeroline": False,
        },
    }


def _optimism(scores: Mapping[str, Any], error: float | None) -> str:
    optimism = finite(scores.get("optimism"))
    if optimism is None or not error:
        return "in-sample minus cross-fitted"
    return f"in-sample minus cross-fitted: {abs(optimism) / error:.1f} standard errors of the score"
