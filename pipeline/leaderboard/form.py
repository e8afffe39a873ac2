"""A submission's form, read off the sample submission."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from pipeline.errors import DataError
from pipeline.leaderboard.csv_rows import Rows, delimiter, parse

Kind = Literal["label", "probs", "binary", "topk"]
Needs = Literal["labels", "probs"]
SEPARATORS = (" ", ",", "|", ";")
FOLDER = "folder's name"
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


def read_form(
    sample: Path, classes: Sequence[str], needs: Needs | None = None, codes: Sequence[str] = ()
) -> Form:
    """Find out the form from a sample submission.

    `needs` is what the metric scores: it settles a two-class sample whose cells are all 0 or 1, which could
    be labels or probabilities. `codes` [C] are what the competition's own files write for each class, such as
    the numbers of folders, where that isn't its name. Raises DataError saying what was found where the form
    can't be told.
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
    names, codes = tuple(classes), tuple(codes) or tuple(classes)
    blank = Form(tuple(header), ids, "label", names, delimiter=delimiter(data.decode("utf-8-sig")))
    if len(header) > 2:
        return _form_of_columns(sample, blank, codes)
    cells = [row[1].strip() for row in body]
    values = set(cells)
    if len(names) == 2 and _is_binary(sample, header[1], values, names, needs):
        place = {name: i for i, name in [*enumerate(codes), *enumerate(names)]}
        return replace(blank, kind="binary", positive=place.get(header[1].strip(), 1))
    found = _label_form(sample, header[1], values, names, codes)
    if found is not None:
        return replace(blank, labels=found[0], written=found[1])
    return _form_of_lists(sample, blank, cells, codes)


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


def _form_of_columns(sample: Path, blank: Form, codes: Sequence[str]) -> Form:
    classes, columns = blank.classes, [name.strip() for name in blank.header[1:]]
    if len(columns) != len(classes):
        raise DataError(
            f"{sample} has {len(columns)} columns beside the ids ({some(columns)}), there are "
            f"{len(classes)} classes ({some(classes)}): one column, or one a class, is understood."
        )
    for names, written in ((classes, "class name"), (codes, FOLDER)):
        if set(columns) == set(names):
            place = tuple(columns.index(name) for name in names)
            return replace(blank, kind="probs", written=written, column_of=place)
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
        f"{sample}: {len(strange)} of its columns are no classes ({some(strange)}); "
        f"the classes are {some(classes)}."
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
            f"{sample}: column {column!r} holds only {some(sorted(values))}: labels or probabilities? "
            f"Write 0.5 in one of its rows for probabilities of {classes[1]!r}."
        )
    return True


def _label_form(
    sample: Path, column: str, values: set[str], classes: tuple[str, ...], codes: tuple[str, ...]
) -> tuple[tuple[str, ...], str] | None:
    """Return how each class is written and the words for it; None where the cells are no labels."""
    if values <= set(classes):
        return classes, "class name"
    if values <= set(codes):
        numbers = {_counted(first, len(codes)): f"{first}-based number" for first in (0, 1)}
        return codes, numbers.get(codes, FOLDER)
    if all(value.isdecimal() for value in values):
        return _numbered(sample, column, values, classes)
    return None


def _form_of_lists(sample: Path, blank: Form, cells: list[str], codes: tuple[str, ...]) -> Form:
    column, classes = blank.header[1], blank.classes
    for separator in SEPARATORS:
        lists = [cell.split(separator) for cell in cells]
        values = {value for row in lists for value in row}
        k = min(max(map(len, lists)), len(classes))
        found = _label_form(sample, column, values, classes, codes) if k > 1 else None
        if found is not None:
            labels, written = found
            return replace(blank, kind="topk", labels=labels, written=written, separator=separator, k=k)
    strange = sorted(set(cells) - set(classes))
    raise DataError(
        f"{sample}: column {column!r} holds {some(strange)}: no class, number of a class, probability "
        f"or list of labels; the {len(classes)} classes are {some(classes)}."
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
        return _counted(0, count), "0-based number"
    if high == count:
        return _counted(1, count), "1-based number"
    raise DataError(
        f"{found}: do they start at 0 or at 1? Write a 0 into one of its rows where they start at 0, "
        f"or {count} where they start at 1."
    )


def _counted(first: int, count: int) -> tuple[str, ...]:
    return tuple(map(str, range(first, first + count)))


def _numbers(values: set[str]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        return []


def some(names: Sequence[str]) -> str:
    """Quote the first five names for a message.

    >>> some(["a", "b"]), some("abcdef")
    ("'a', 'b'", "'a', 'b', 'c', 'd', 'e' …")
    """
    shown = ", ".join(repr(name) for name in islice(names, 5))
    return shown + (" …" if len(names) > 5 else "")
