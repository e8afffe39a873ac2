"""Reading the user's CSV files strictly: every value stays text, and a fault is told with its line.

Tolerated: a byte-order mark, Windows line ends, `;` or tabs between the columns, blank lines.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.errors import DataError

SINGLE_LABEL = (
    "Single-label classification only: multi-label, boxes, masks, several images an id are refused."
)


@dataclass(frozen=True)
class CsvFile:
    """The rows of a CSV file as text; `lines` holds the line on which each row ends, counted from 1."""

    path: Path
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]

    def values(self, column: str) -> list[str]:
        """Return one column."""
        place = self.columns.index(column)
        return [row[place] for row in self.rows]

    def row_text(self, number: int) -> str:
        """Show a row with its line, as an error message quotes it."""
        return f"line {self.lines[number]}: {','.join(self.rows[number])}"


def read(path: Path) -> CsvFile:
    """Read a CSV file with a header; raises DataError with the line for what is torn, ragged or doubled."""
    text = _text(path)
    header, _, _ = text.lstrip("\r\n").partition("\n")
    # newline="" keeps a line end inside quotes as it is
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(header), strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no valid CSV ({error}).") from error
    if not rows:
        raise DataError(f"{path} is empty: it needs a header line and rows.")
    columns = [name.strip() for name in rows[0]]
    found = CsvFile(path, columns, rows[1:], lines[1:])
    _check(found, rows[0])
    return found


def check_ids(found: CsvFile, id_column: str, label_column: str | None = None) -> None:
    """Refuse blank and doubled ids; raises DataError with both rows, saying where it looks multi-label."""
    first: dict[str, int] = {}
    labels = found.values(label_column) if label_column else [""] * len(found.rows)
    for number, name in enumerate(found.values(id_column)):
        if not name.strip():
            raise DataError(f"{found.path}, {found.row_text(number)}: the {id_column} is blank.")
        earlier = first.setdefault(name, number)
        if earlier == number:
            continue
        message = (
            f"{found.path}: {id_column} {name!r} has two rows:\n"
            f"  {found.row_text(earlier)}\n  {found.row_text(number)}\n"
        )
        if labels[earlier] != labels[number]:
            raise DataError(f"{message}{SINGLE_LABEL}")
        raise DataError(f"{message}Remove one of them.")


def check_labels(found: CsvFile, label_column: str) -> None:
    """Refuse blank labels, and one label written in two ways (`3` and `3.0`, `ant` and `ant `)."""
    first: dict[str, int] = {}
    labels = found.values(label_column)
    for number, label in enumerate(labels):
        if label.strip() in ("", "nan", "NaN"):
            raise DataError(f"{found.path}, {found.row_text(number)}: the {label_column} is blank.")
        if label in first:
            continue
        first[label] = number
    plain: dict[str, str] = {}
    for label, number in first.items():
        other = plain.setdefault(plain_label(label), label)
        if other != label:
            raise DataError(
                f"{found.path}: {other!r} and {label!r} look like one label written in two ways:\n"
                f"  {found.row_text(first[other])}\n  {found.row_text(number)}\nWrite it in one way."
            )


def plain_label(label: str) -> str:
    """Return the label without what a spreadsheet may add: spaces around it, `.0` behind a whole number.

    >>> plain_label(" 3.0"), plain_label("03"), plain_label("ant "), plain_label("1.5")
    ('3', '3', 'ant', '1.5')
    """
    label = label.strip()
    whole, point, rest = label.partition(".")
    if whole.isdecimal() and whole.isascii() and (not point or (rest and not rest.strip("0"))):
        return whole.lstrip("0") or "0"
    return label


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    r"""Write rows as CSV text with `\n` line ends, quoted where needed: equal rows give equal text.

    >>> csv_text(["id", "label"], [["a,b.jpg", "ant"]])
    'id,label\n"a,b.jpg",ant\n'
    """
    text = io.StringIO(newline="")
    # csv leaves a lone \r unquoted, and then reads it as the end of a row
    odd = any("\r" in str(value) for row in rows for value in row)
    write = partial(csv.writer, quoting=csv.QUOTE_ALL) if odd else csv.writer
    write(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8. Save the file as UTF-8.") from error


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _check(found: CsvFile, header: Sequence[str]) -> None:
    doubled = next((name for name in found.columns if found.columns.count(name) > 1), None)
    if doubled is not None:
        raise DataError(f"{found.path}, line 1: two columns are called {doubled!r}.")
    width = len(found.columns)
    for number, row in enumerate(found.rows):
        if len(row) != width:
            raise DataError(
                f"{found.path}, {found.row_text(number)}: {len(row)} values, the header has {width}"
                f" ({', '.join(found.columns)})."
            )
        if row == header:
            raise DataError(f"{found.path}, line {found.lines[number]}: the header stands there again.")
