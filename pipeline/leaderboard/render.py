"""Predictions written in a submission's form: rows follow the sample, joined by id, never by position."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from pipeline.errors import DataError
from pipeline.leaderboard.form import Form, some


def render(form: Form, ids: Sequence[str], predictions: np.ndarray | None, probs: np.ndarray | None) -> bytes:
    """Write a submission: UTF-8, lines ending in \\n, the rows of the sample.

    `predictions` int [n] (class indices) are what a label form needs, `probs` float [n, C] the other kinds;
    both in the order of `ids`. Probabilities have the fewest digits (at most 9) that give back their float32.
    Raises DataError for an id without a prediction or with two.
    """
    order = _positions(form, ids)
    if form.kind == "label":
        if predictions is None:
            raise ValueError("a label form needs predictions")
        columns = [[form.labels[label] for label in np.asarray(predictions)[order].tolist()]]
    else:
        if probs is None:
            raise ValueError(f"a {form.kind} form needs probs")
        columns = _prob_columns(form, np.asarray(probs)[order])
    text = io.StringIO()
    writer = csv.writer(text, delimiter=form.delimiter, lineterminator="\n")
    writer.writerow(form.header)
    writer.writerows(zip(form.ids, *columns, strict=True))
    return text.getvalue().encode()


def _prob_columns(form: Form, probs: np.ndarray) -> list[list[str]]:
    if form.kind == "topk":
        best = np.argsort(-probs, axis=1, kind="stable")[:, : form.k].tolist()
        return [[form.separator.join(form.labels[label] for label in row) for row in best]]
    shown = probs.astype(np.float32).astype(str)
    if form.kind == "binary":
        return [shown[:, form.positive].tolist()]
    return [shown[:, form.column_of.index(column)].tolist() for column in range(len(form.classes))]


def _positions(form: Form, ids: Sequence[str]) -> list[int]:
    position = {name: i for i, name in enumerate(ids)}
    if len(position) < len(ids):
        doubled = sorted(name for name in position if list(ids).count(name) > 1)[:5]
        raise DataError(f"{len(ids) - len(position)} ids have two predictions: {some(doubled)}.")
    missing = [name for name in form.ids if name not in position]
    if missing:
        raise DataError(
            f"{len(missing)} of the sample submission's {len(form.ids)} ids have no prediction: "
            f"{some(missing)}; predicted ids look like {some(ids)}."
        )
    return [position[name] for name in form.ids]
