"""A submission's form, read off the sample submission, and predictions written in that form.

Ids stay text, rows follow the sample and are joined by id, never by position.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.errors import DataError
from pipeline.leaderboard.csv_rows import Rows, delimiter, parse

Kind = Literal["label", "probs", "binary", "topk"]
SEPARATORS = (" ", ",", "|", ";")
NUMBERED = re.compile(r"(.*?)(\d+)")


@dataclass(frozen=True)
class Form:
    """How a competition wants its predictions.

    `header` are the columns, the first holds the ids; `ids` in the sample's order; `classes` [C] in the order
    of probs. `labels` [C] is how each class is written in a cell (label, topk), `written` says it in words.
    `column_of` [C] is each class's place among the columns behind the ids (probs), `positive` the class whose
    probability is asked (binary), `separator` and `k` describe the labels of one cell (topk), `delimiter`
    stands between the columns.
    """

    header: tuple[str, ...]
    ids: tuple[str, ...]
    kind: Kind
    classes: tuple[str, ...]
    labels: tuple[str, ...] = ()
    written: str = "class name"
    column_of: tuple[int, ...] = ()
    positive: int = 1
    separator: str = " "
    k: int = 1
    delimiter: str = ","


def read_form(sample: Path, classes: Sequence[str], needs: Literal["labels", "probs"] | None = None) -> Form:
    """Find out the form from a sample submission.

    `needs` is what the metric scores: it settles a two-class sample whose cells are all 0 or 1, which could
    be labels or probabilities. Raises DataError saying what was found where the form can't be told.
    """
    try:
        data = sample.read_bytes()
        rows = parse(data)
    except OSError as error:
        raise DataError(f"can't read {sample}: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{sample} can't be used: {error}.") from error
    header, body = rows[0], rows[1:]
    if len(header) < 2:
        raise DataError(f"{sample} has one column ({header[0]!r}): ids and predictions need two or more.")
    _check_ids(sample, header, body)
    ids = tuple(row[0] for row in body)
    names = tuple(classes)
    blank = Form(tuple(header), ids, "label", names, delimiter=delimiter(data.decode("utf-8-sig")))
    if len(header) > 2:
        return _form_of_columns(sample, blank)
    cells = [row[1].strip() for row in body]
    values = set(cells)
    if len(names) == 2 and _is_binary(sample, header[1], values, names, needs):
        return replace(blank, kind="binary", positive=names.index(header[1]) if header[1] in names else 1)
    if values <= set(names):
        return replace(blank, labels=names)
    if all(value.isdecimal() for value in values):
        labels, written = _numbered(sample, header[1], values, names)
        return replace(blank, labels=labels, written=written)
    return _form_of_lists(sample, blank, cells)


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
        raise DataError(f"{len(ids) - len(position)} ids have two predictions: {_some(doubled)}.")
    missing = [name for name in form.ids if name not in position]
    if missing:
        raise DataError(
            f"{len(missing)} of the sample submission's {len(form.ids)} ids have no prediction: "
            f"{_some(missing)}; predicted ids look like {_some(ids)}."
        )
    return [position[name] for name in form.ids]


def _check_ids(sample: Path, header: list[str], body: Rows) -> None:
    lines: dict[str, int] = {}
    for line, row in enumerate(body, 2):
        if not row[0].strip():
            raise DataError(f"{sample}: row {line} has no id in column {header[0]!r}.")
        if row[0] in lines:
            raise DataError(
                f"{sample}: id {row[0]!r} is in rows {lines[row[0]]} and {line}: one row an image is needed "
                "(several labels in one cell are fine)."
            )
        lines[row[0]] = line


def _form_of_columns(sample: Path, blank: Form) -> Form:
    classes, columns = blank.classes, [name.strip() for name in blank.header[1:]]
    if len(columns) != len(classes):
        raise DataError(
            f"{sample} has {len(columns)} columns beside the ids ({_some(columns)}), there are "
            f"{len(classes)} classes ({_some(classes)}): one column, or one a class, is understood."
        )
    if set(columns) == set(classes):
        place = tuple(columns.index(name) for name in classes)
        return replace(blank, kind="probs", column_of=place)
    matches = [NUMBERED.fullmatch(name) for name in columns]
    prefixes = {match[1] for match in matches if match}
    numbers = [int(match[2]) for match in matches if match]
    first = min(numbers, default=-1)
    whole = sorted(numbers) == list(range(first, first + len(classes)))
    if len(prefixes) == 1 and first in (0, 1) and whole:
        place = tuple(numbers.index(first + i) for i in range(len(classes)))
        return replace(blank, kind="probs", written=f"{first}-based number", column_of=place)
    strange = [name for name in columns if name not in classes]
    raise DataError(
        f"{sample}: {len(strange)} of its columns are no classes ({_some(strange)}); "
        f"the classes are {_some(classes)}."
    )


def _is_binary(
    sample: Path, column: str, values: set[str], classes: Sequence[str], needs: str | None
) -> bool:
    """Tell whether a two-class sample's cells are probabilities; DataError where they may be labels too."""
    numbers = _numbers(values)
    if not numbers or min(numbers) < 0 or max(numbers) > 1:
        return False
    if needs == "labels" or not values <= {"0", "1"}:
        return needs != "labels"
    if needs is None:
        raise DataError(
            f"{sample}: column {column!r} holds only {_some(sorted(values))}: labels or probabilities? "
            f"Write 0.5 in one of its rows for probabilities of {classes[1]!r}."
        )
    return True


def _form_of_lists(sample: Path, blank: Form, cells: list[str]) -> Form:
    column, classes = blank.header[1], blank.classes
    for separator in SEPARATORS:
        lists = [cell.split(separator) for cell in cells]
        values = {value for row in lists for value in row}
        k = min(max(map(len, lists)), len(classes))
        form = replace(blank, kind="topk", labels=classes, separator=separator, k=k)
        if k > 1 and values <= set(classes):
            return form
        if k > 1 and all(value.isdecimal() for value in values):
            labels, written = _numbered(sample, column, values, classes)
            return replace(form, labels=labels, written=written)
    strange = sorted(set(cells) - set(classes))
    raise DataError(
        f"{sample}: column {column!r} holds {_some(strange)}: no class, number of a class, probability "
        f"or list of labels; the {len(classes)} classes are {_some(classes)}."
    )


def _numbered(
    sample: Path, column: str, values: set[str], classes: Sequence[str]
) -> tuple[tuple[str, ...], str]:
    """Tell 0-based from 1-based class numbers: labels as written, and the words for it."""
    if len(values) == 1 and all(name.isdecimal() for name in classes):
        return tuple(classes), "class name"  # one number everywhere tells no numbering: names are numbers
    numbers, count = [int(value) for value in values], len(classes)
    low, high = min(numbers), max(numbers)
    found = f"{sample}: column {column!r} holds the numbers {low} to {high}, there are {count} classes"
    if high > count or (low == 0 and high == count):
        raise DataError(f"{found}: neither 0 to {count - 1} nor 1 to {count}.")
    if low == 0:
        return tuple(str(i) for i in range(count)), "0-based number"
    if high == count:
        return tuple(str(i + 1) for i in range(count)), "1-based number"
    raise DataError(
        f"{found}: do they start at 0 or at 1? Write a 0 into one of its rows where they start at 0, "
        f"or {count} where they start at 1."
    )


def _numbers(values: set[str]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        return []


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in islice(names, 5))
    return shown + (" …" if len(names) > 5 else "")
