"""Whether the folds can be believed: how evenly classes are spread, and whether copies lie in two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.dataset.folds.folds_file import read_folds
from pipeline.dataset.layouts.image_files import LABELLED
from pipeline.errors import DataError
from pipeline.page.class_counts import class_ticks
from pipeline.page.escape import plotly_text
from pipeline.page.plots import Figure
from pipeline.page.values import texts

SHOWN = 40
MOST_CLASSES_WITH_COUNTS = 16
KINDS = {
    "grouped": "Folds are grouped: classes spread evenly, copies of a picture and groups in one fold.",
    "stratified": "Folds are stratified: classes spread evenly, groups ignored.",
    "time": "Folds are blocks in the order of time: each is scored by models of earlier blocks alone.",
}
LINES = {
    "count": "folds",
    "seed": "seed",
    "file": "made from folds.file",
    "rows": "images",
    "extra": "of these from data.extra, never scored",
    "unscored": "of these never scored",
    "groups": "groups",
    "group_column": "group column",
    "time_column": "time column",
}


@dataclass(frozen=True)
class FoldBalance:
    """`counts` int [C, K] are the images of each class in each fold; `torn` is what `torn_sentence` says.

    `lines` are (what, value) pairs.
    """

    kind: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    counts: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    torn: str = ""
    flatters: bool = False
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    rare: list[str] = field(default_factory=list)


def fold_balance(
    folds: Mapping[str, Any], classes: Sequence[str], torn: int | None
) -> tuple[FoldBalance, dict[str, Figure]]:
    """Read the balance from the folds' record, in the order of `classes`, and draw it.

    `torn` is what `torn_images` counts, None where it isn't known.
    """
    names, counts = _balance(folds.get("balance"), classes)
    kind = str(folds.get("kind", "grouped")) if folds else ""
    problems, problem_count = texts(folds.get("problems")), folds.get("problem_count")
    sentence, flatters = torn_sentence(kind, torn)
    found = FoldBalance(
        kind=KINDS.get(kind, kind),
        lines=fold_lines(folds),
        names=names,
        counts=counts,
        torn=sentence,
        flatters=flatters,
        problems=problems[:SHOWN],
        problem_count=problem_count if type(problem_count) is int else len(problems),
        rare=texts(folds.get("rare_classes")),
    )
    return found, {"fold-balance": _figure(names, counts)} if names else {}


def fold_lines(folds: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Turn the record's plain entries into lines.

    >>> fold_lines({"count": 5, "seed": 2024, "rows": 4700, "extra": 0, "file": ""})
    [('folds', '5'), ('seed', '2024'), ('images', '4,700')]
    """
    return [
        (shown, f"{value:,}" if isinstance(value, int) and name != "seed" else str(value))
        for name, shown in LINES.items()
        if isinstance(value := folds.get(name), int | str) and (value or name == "seed")
    ]


def torn_images(images: pd.DataFrame | None, folds_table: Path) -> int | None:
    """Count the scored images of which a copy or near-duplicate lies in another fold.

    Returns None where the folds or the audit table's pictures aren't there.
    """
    if images is None or "picture" not in images:
        return None
    try:
        folds = read_folds(folds_table)
    except DataError:
        return None
    train = images[images["split"].isin(LABELLED) & (images["picture"] >= 0)]
    fold = pd.Series(folds.fold_of, index=folds.ids).reindex(train["id"]).fillna(-1).to_numpy(np.int64)
    spread = pd.DataFrame({"picture": train["picture"].to_numpy(), "fold": fold})
    several = spread.groupby("picture")["fold"].transform("nunique") > 1
    return int((several & (fold >= 0)).sum())


def torn_sentence(kind: str, torn: int | None) -> tuple[str, bool]:
    """Say what images with a copy in another fold mean for the score, and whether that is a warning.

    Only folds of the kind "stratified" train on such copies; for the others they are left out.

    >>> torn_sentence("stratified", 12)[1], torn_sentence("grouped", 0)
    (True, ('', False))
    """
    copies = (
        f"{torn or 0:,} image{' has' if torn == 1 else 's have'} a copy or near-duplicate in another fold"
    )
    if kind == "stratified":
        told = {None: "", 0: "; no picture lies in two of them, but images of one group may"}
        why = told.get(torn, f"; {copies}, where its model learned the answer")
        what = f"The score flatters: the folds ignore groups (folds.kind=stratified){why}."
        return f"{what} folds.kind=auto keeps groups together.", True
    return (f"{copies}, which is left out of the training there." if torn else ""), False


def _balance(found: Any, classes: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return names and counts of a record's `balance`, checked, since a person may have changed the file."""
    rows = found if isinstance(found, dict) else {}
    width = max((len(row) for row in rows.values() if isinstance(row, list)), default=0)
    whole = {
        name: row
        for name, row in rows.items()
        if isinstance(row, list) and len(row) == width and all(type(n) is int and n >= 0 for n in row)
    }
    place = {name: k for k, name in enumerate(classes)}
    names = sorted(whole, key=lambda name: (-sum(whole[name]), place.get(name, len(place)), name))
    return names, np.array([whole[name] for name in names], np.int64).reshape(len(names), width)


def _figure(names: list[str], counts: np.ndarray) -> Figure:
    shown = [plotly_text(name) for name in names]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    folds = counts.shape[1]
    keys = [str(i) for i in range(len(names))]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": keys,
        "y": [f"fold {k}" for k in range(folds)],
        "z": shares.T.round(4).tolist(),
        "customdata": [
            [[name, row[k]] for name, row in zip(shown, counts.tolist(), strict=True)] for k in range(folds)
        ],
        "zmin": 0,
        "zmax": 2 / folds,
        "xgap": 1 if len(names) <= 60 else 0,
        "ygap": 1,
        "hovertemplate": "%{customdata[0]}, %{y}<br>"
        "%{customdata[1]} images, %{z:.1%} of the class<extra></extra>",
        "colorbar": {
            "title": {"text": "share of the class", "side": "right"},
            "thickness": 10,
            "tickformat": ".0%",
        },
    }
    if len(names) <= MOST_CLASSES_WITH_COUNTS:
        trace["text"] = [[str(n) for n in row] for row in counts.T.tolist()]
        trace["texttemplate"] = "%{text}"
    layout = {
        "height": 190 + 26 * folds,
        "xaxis": {**class_ticks(names), "showgrid": False},
        "yaxis": {
            "type": "category",
            "autorange": "reversed",
            "automargin": True,
            "showgrid": False,
            "ticks": "",
        },
    }
    return {"data": [trace], "layout": layout}
