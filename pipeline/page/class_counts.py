"""How many images each class has, by split, the largest first: bars, a table, and head, middle and tail."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pipeline.page.classes import ClassResult
from pipeline.page.escape import plotly_text
from pipeline.page.plots import Figure, log_axis, short

SPLITS = {"train": "train", "extra": "extra", "val": "official validation", "test": "official test"}
PARTS = ("head", "middle", "tail")
HEAD_SHARE = 0.5
TAIL_SHARE = 0.1
EVEN = 3.0  # largest / smallest class up to which there is no head and no tail to speak of
NAMED_TICKS = 26


@dataclass(frozen=True)
class Part:
    """Head, middle or tail: its classes and images, and their mean F1 (None without predictions)."""

    name: str
    classes: int
    images: int
    sizes: str
    f1: float | None


@dataclass(frozen=True)
class ClassCounts:
    """The classes, the one with most training images first; `counts` int [C, S] has a column a split."""

    names: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    counts: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    sentence: str = ""
    parts: list[Part] = field(default_factory=list)


def class_counts(
    images: pd.DataFrame, classes: Sequence[str], results: Sequence[ClassResult]
) -> tuple[ClassCounts, dict[str, Figure]]:
    """Count the usable images of each class whose label is known, and draw them.

    `results` are those of the classes in their order, or none; without a labelled image there is no figure.
    """
    names = list(classes) or _names(images)
    counts = _count(images, names)
    sizes = counts[:, 0] + counts[:, 1]
    if not sizes.any():
        return ClassCounts(), {}
    order = np.argsort(-sizes, kind="stable")
    names, counts, sizes = [names[k] for k in order], counts[order], sizes[order]
    f1 = np.array([results[k].f1 for k in order]) if len(results) == len(order) else None
    part_of = split_up(sizes)
    used = [i for i in range(len(SPLITS)) if i == 0 or counts[:, i].any()]
    found = ClassCounts(
        names=names,
        splits=[list(SPLITS.values())[i] for i in used],
        counts=counts[:, used],
        sentence=_sentence(sizes),
        parts=[_part(k, part_of, sizes, f1) for k in range(3) if (part_of == k).any()]
        if part_of.any()
        else [],
    )
    return found, {"class-counts": _figure(names, counts, part_of)}


def split_up(sizes: np.ndarray) -> np.ndarray:
    """Return each class's part (0 head, 1 middle, 2 tail), int [C], from sizes int [C] in falling order.

    The head's classes together have the first half of the images, the tail's the last tenth. Classes of about
    equal size are all head.

    >>> split_up(np.array([100, 60, 20, 10, 5, 4, 3])).tolist()
    [0, 0, 1, 1, 2, 2, 2]
    >>> split_up(np.array([10, 9, 8])).tolist()
    [0, 0, 0]
    """
    if sizes[0] <= EVEN * sizes[-1]:
        return np.zeros(len(sizes), np.int64)
    total = sizes.sum()
    before = np.cumsum(sizes) - sizes
    from_here = total - before
    return np.where(before < HEAD_SHARE * total, 0, np.where(from_here <= TAIL_SHARE * total, 2, 1))


def _names(images: pd.DataFrame) -> list[str]:
    """Return the classes in the order of their numbers, for a table whose preparation wasn't committed."""
    known = images[images["target"] >= 0].drop_duplicates("target").sort_values("target")
    return [str(label) for label in known["label"]]


def _count(images: pd.DataFrame, names: list[str]) -> np.ndarray:
    usable = images[images["problem"] == ""]
    number = pd.Index(names).get_indexer(pd.Index(usable["label"]))
    split = pd.Index(list(SPLITS)).get_indexer(pd.Index(usable["split"]))
    known = (number >= 0) & (split >= 0)
    cells = np.bincount(number[known] * len(SPLITS) + split[known], minlength=len(names) * len(SPLITS))
    return cells.reshape(len(names), len(SPLITS))


def _sentence(sizes: np.ndarray) -> str:
    smallest = int(sizes.min())
    ratio = f": the largest has {sizes.max() / smallest:.1f} times those of the smallest" if smallest else ""
    return (
        f"{len(sizes):,} classes with {smallest:,} to {sizes.max():,} training images, "
        f"median {np.median(sizes):,.0f}{ratio}. Always predicting the largest class would be right for "
        f"{sizes.max() / sizes.sum():.1%} of them."
    )


def _part(k: int, part_of: np.ndarray, sizes: np.ndarray, f1: np.ndarray | None) -> Part:
    there = part_of == k
    low, high = int(sizes[there].min()), int(sizes[there].max())
    return Part(
        name=PARTS[k],
        classes=int(there.sum()),
        images=int(sizes[there].sum()),
        sizes=f"{low:,} to {high:,}" if low < high else f"{low:,}",
        f1=None if f1 is None else float(f1[there].mean()),
    )


def _figure(names: list[str], counts: np.ndarray, part_of: np.ndarray) -> Figure:
    """Draw training images as bars in the colour of their part, labelled images of other splits as dashes."""
    shown = [plotly_text(name) for name in names]
    keys = [str(i) for i in range(len(names))]  # two names may be written alike: the axis has the numbers
    sizes = counts[:, 0] + counts[:, 1]
    several = bool(part_of.any())
    data = [
        {
            "type": "bar",
            "name": PARTS[k] if several else "train",
            "x": [keys[i] for i in np.flatnonzero(part_of == k)],
            "y": sizes[part_of == k].tolist(),
            "customdata": [shown[i] for i in np.flatnonzero(part_of == k)],
            "marker": {"color": f"--series-{(1, 3, 2)[k]}"},
            "hovertemplate": "%{customdata}<br>%{y:,} training images<extra></extra>",
        }
        for k in range(3)
        if (part_of == k).any()
    ]
    data += [
        _dashes(title, counts[:, i], shown, color)
        for i, title, color in ((2, SPLITS["val"], 4), (3, SPLITS["test"], 6))
        if counts[:, i].any()
    ]
    positive = counts[:, 2:][counts[:, 2:] > 0].tolist() + sizes[sizes > 0].tolist()
    layout = {
        "height": 400,
        "bargap": 0.15,
        "showlegend": len(data) > 1,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {**class_ticks(names), "showgrid": False, "range": [-0.6, len(names) - 0.4]},
        "yaxis": {"title": {"text": "images"}, **log_axis(min(positive), max(positive))},
    }
    return {"data": data, "layout": layout}


def _dashes(title: str, counts: np.ndarray, shown: list[str], color: int) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": title,
        "x": [str(i) for i in range(len(shown))],
        "y": [count or None for count in counts.tolist()],
        "customdata": shown,
        "marker": {"symbol": "line-ew", "size": 7, "line": {"width": 2, "color": f"--series-{color}"}},
        "hovertemplate": f"%{{customdata}}<br>%{{y:,}} in the {title}<extra></extra>",
    }


def class_ticks(names: Sequence[str]) -> dict[str, object]:
    """Return the settings of a category axis "0" … "n−1" that names every class, or some of very many."""
    step = -(-len(names) // NAMED_TICKS)
    return {
        "type": "category",
        "tickmode": "array",
        "tickvals": [str(i) for i in range(0, len(names), step)],
        "ticktext": [plotly_text(short(name)) for name in names[::step]],
        "tickangle": -45 if len(names) < 10 else -90,
        "automargin": True,
        "ticks": "",
    }
