"""The page's figures as plain values for plotly.js: `{"data": [...], "layout": {...}}`.

A colour that starts with two dashes is a variable of report.css: the page's script puts in its light or dark
value. Every text from data goes through `plotly_text`. No WebGL traces: they need `unsafe-eval`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.page.classes import ClassResult
from pipeline.page.escape import plotly_text
from pipeline.page.runs import MemberRun
from pipeline.page.values import span

COLORS = 8  # --series-1 … --series-8 in report.css
DASHES = ("solid", "dash", "dot")
MOST_CLASSES_DRAWN = 150
MOST_CLASSES_WITH_COUNTS = 16
LABELLED_CLASSES = 5
LABEL_LENGTH = 22

Figure = dict[str, Any]


def learning_curve(runs: Sequence[MemberRun], name: str, title: str) -> Figure | None:
    """Draw the log's value `name` by epoch: one line a fold, in its member's colour; None without a value."""
    lines = [_curve(run, i, name) for i, run in enumerate(runs)]
    data = [line for group in lines for line in group]
    if not data:
        return None
    epochs = max(max(line["x"]) for line in data)
    layout = {
        "title": {"text": title},
        "height": 300,
        "xaxis": {"title": {"text": "epoch"}, "dtick": max(1, round(epochs / 8)), "tick0": 0},
        "yaxis": {"automargin": True},
    }
    return {"data": data, "layout": layout}


def confusion(counts: np.ndarray, classes: Sequence[str]) -> tuple[Figure, int]:
    """Draw the confusion matrix int [C, C] as shares of each true class; also tells how many are drawn.

    With more than MOST_CLASSES_DRAWN classes those with the most mistakes, as truth or prediction, are drawn.
    """
    drawn = _most_confused(counts)
    names = [plotly_text(classes[k]) for k in drawn]
    rows = counts.sum(1, keepdims=True)
    shares = (counts / np.maximum(rows, 1))[np.ix_(drawn, drawn)]
    shown = counts[np.ix_(drawn, drawn)]
    trace = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": shares.round(4).tolist(),
        "customdata": [
            [[count, true, predicted] for count, predicted in zip(row, names, strict=True)]
            for row, true in zip(shown.tolist(), names, strict=True)
        ],
        "zmin": 0,
        "zmax": 1,
        "xgap": 1 if len(drawn) <= 60 else 0,
        "ygap": 1 if len(drawn) <= 60 else 0,
        "hovertemplate": "true %{customdata[1]}<br>predicted %{customdata[2]}"
        "<br>%{customdata[0]} images, %{z:.1%}<extra></extra>",
        "colorbar": {"title": {"text": "share of the true class", "side": "right"}, "thickness": 10},
    }
    if len(drawn) <= MOST_CLASSES_WITH_COUNTS:
        trace["text"] = [[str(n) if n else "" for n in row] for row in shown.tolist()]
        trace["texttemplate"] = "%{text}"
    aliases = {name: plotly_text(short(classes[k])) for name, k in zip(names, drawn, strict=True)}
    axis = {"type": "category", "automargin": True, "labelalias": aliases, "showgrid": False, "ticks": ""}
    layout = {
        "height": min(900, 230 + max(240, 26 * len(drawn))),
        "xaxis": {**axis, "title": {"text": "predicted"}, "tickangle": -45 if len(drawn) > 3 else 0},
        "yaxis": {**axis, "title": {"text": "true"}, "autorange": "reversed"},
    }
    return {"data": [trace], "layout": layout}, len(drawn)


def f1_by_images(results: Sequence[ClassResult]) -> Figure:
    """Draw F1 of each class against its images on a logarithmic axis; the worst few carry their name."""
    shown = [result for result in results if result.images > 0]
    names = [plotly_text(result.name) for result in shown]
    labels = _labels(shown)
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [result.images for result in shown],
        "y": [round(result.f1, 4) for result in shown],
        "text": [plotly_text(short(shown[i].name)) if i in labels else "" for i in range(len(shown))],
        "textposition": [labels.get(i, "top center") for i in range(len(shown))],
        "textfont": {"color": "--muted", "size": 11},
        "cliponaxis": False,
        "customdata": [
            [name, round(result.recall, 4), round(result.precision, 4), _f1_interval(result)]
            for name, result in zip(names, shown, strict=True)
        ],
        "hovertemplate": "%{customdata[0]}<br>%{x} images<br>F1 %{y:.3f}%{customdata[3]}"
        "<br>recall %{customdata[1]:.3f}, precision %{customdata[2]:.3f}<extra></extra>",
        "marker": {
            "size": 9,
            "color": "--series-1",
            "opacity": 0.85,
            "line": {"width": 1, "color": "--surface"},
        },
    }
    images = [result.images for result in shown] or [1]
    layout = {
        "height": 420,
        "xaxis": {"title": {"text": "images of the class"}, **log_axis(min(images), max(images))},
        "yaxis": {"title": {"text": "F1"}, "range": [-0.05, 1.05], "zeroline": False},
    }
    return {"data": [trace], "layout": layout}


def line_style(index: int) -> dict[str, Any]:
    """Return the colour and dash of a member's lines; with more members than colours the dash changes."""
    return {
        "color": f"--series-{index % COLORS + 1}",
        "dash": DASHES[index // COLORS % len(DASHES)],
        "width": 1.8,
    }


def _curve(run: MemberRun, index: int, name: str) -> list[Figure]:
    member = plotly_text(run.title)
    traces = []
    for fold in run.folds:
        points = [
            (int(line["epoch"]), value)
            for line, value in zip(fold.epochs, fold.curve(name), strict=True)
            if value is not None
        ]
        if points:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if len(points) < 3 else "lines",
                    "x": [epoch for epoch, _ in points],
                    "y": [round(value, 6) for _, value in points],
                    "meta": {"member": index},
                    "line": line_style(index),
                    "opacity": 0.85,
                    "showlegend": False,
                    "hovertemplate": f"{member}, fold {fold.fold}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
                }
            )
    return traces


def _f1_interval(result: ClassResult) -> str:
    return f" ({span(*result.f1_interval, '.3f')})" if result.f1_interval else ""


def _most_confused(counts: np.ndarray) -> list[int]:
    if len(counts) <= MOST_CLASSES_DRAWN:
        return list(range(len(counts)))
    mistakes = counts.sum(0) + counts.sum(1) - 2 * np.diagonal(counts)
    return sorted(np.argsort(-mistakes, kind="stable")[:MOST_CLASSES_DRAWN].tolist())


def short(name: str) -> str:
    """Cut a name to what fits beside a plot."""
    return name if len(name) <= LABEL_LENGTH else name[: LABEL_LENGTH - 1] + "…"


def _labels(shown: Sequence[ClassResult]) -> dict[int, str]:
    """Choose where the weakest classes' names stand: position by point, none where it would cover another.

    Coordinates are in letters and lines of a plot that is about 70 letters wide and 24 lines high.
    """
    logs = np.log10([result.images for result in shown]) if shown else np.zeros(0)
    x = 70 * (logs - logs.min(initial=0)) / max(float(np.ptp(logs)) if len(logs) else 0.0, 0.3)
    y = 24 * np.array([result.f1 for result in shown])
    taken = [(x[i] - 1.0, x[i] + 1.0, y[i] - 0.5, y[i] + 0.5) for i in range(len(shown))]
    labels: dict[int, str] = {}
    for i in sorted(range(len(shown)), key=lambda i: (shown[i].f1, i))[:LABELLED_CLASSES]:
        half = len(short(shown[i].name)) / 2
        for position, right, up in (
            ("bottom center", 0, -1.2),
            ("top center", 0, 1.2),
            ("middle right", 1, 0),
        ):
            middle, line = x[i] + right * (half + 1.5), y[i] + up
            box = (middle - half, middle + half, line - 0.5, line + 0.5)
            others = taken[:i] + taken[i + 1 :]
            if not any(
                box[0] < r and left < box[1] and box[2] < t and b < box[3] for left, r, b, t in others
            ):
                labels[i] = position
                taken.append(box)
                break
    return labels


def log_axis(low: int, high: int) -> dict[str, Any]:
    """Return the settings of a logarithmic axis from a little below `low` (at least 1) to above `high`."""
    ticks = [step * 10**decade for decade in range(len(str(high)) + 1) for step in range(1, 10)]
    within = [tick for tick in ticks if low / 1.5 <= tick <= high * 1.5]
    round_ones = [tick for tick in within if str(tick)[0] in "125"]
    shown = round_ones if len(round_ones) > 3 else within
    limits = [float(np.log10(low / 1.5)), float(np.log10(high * 1.5))]
    return {"type": "log", "tickvals": shown, "range": limits}
