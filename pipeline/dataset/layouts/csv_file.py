"""Reading the user's CSV files strictly: every value stays text, and a fault is told with its line.

Tolerated: a byte-order mark, Windows line ends, `;` or tabs between the columns, blank lines.
"""

import codecs
import csv
import io
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.errors import DataError

SINGLE_LABEL = (
    "Single-label classification only: multi-label, boxes, masks, several images an id are refused."
)
BLANK = frozenset(("", "nan", "NaN"))


@dataclass(frozen=True)
class CsvFile:
    """The rows of a CSV file as text; `lines` holds the line on which each row ends, counted from 1."""

    path: Path
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]
    delimiter: str = ","

    def values(self, column: str) -> list[str]:
        """Return one column."""
        place = self.columns.index(column)
        return [row[place] for row in self.rows]

    def row_text(self, number: int) -> str:
        """Show a row with its line, as an error message quotes it."""
        return f"line {self.lines[number]}: {self.delimiter.join(self.rows[number])}"


def read(path: Path) -> CsvFile:
    """Read a CSV file with a header; raises DataError with the line for what is torn, ragged or doubled."""
    text = _text(path)
    delimiter = _delimiter(text)
    # newline="" keeps a line end inside quotes as it is
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
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
    found = CsvFile(path, columns, rows[1:], lines[1:], delimiter)
    _check(found, rows[0])
    return found


def read_columns(path: Path) -> list[str]:
    """Return the names of a CSV file's columns, whatever its rows are; raises DataError for no file."""
    text = read_bytes(path).decode(errors="replace")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        return [name.strip() for name in next((row for row in reader if row), [])]
    except csv.Error:
        return []


def check_ids(found: CsvFile, id_column: str, label_column: str | None = None) -> None:
    """Refuse blank and doubled ids; raises DataError with both rows, saying where it looks multi-label."""
    check_filled(found, id_column)
    names = found.values(id_column)
    if len(set(names)) == len(names):
        return
    first: dict[str, int] = {}
    labels = found.values(label_column) if label_column else [""] * len(found.rows)
    for number, name in enumerate(names):
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


def check_filled(found: CsvFile, column: str) -> None:
    """Refuse blank values; raises DataError with the first such row."""
    for number, value in enumerate(found.values(column)):
        if not value.strip():
            raise DataError(f"{found.path}, {found.row_text(number)}: the {column} is blank.")


def check_labels(label_column: str, *files: CsvFile) -> None:
    """Refuse blank labels, and one label written in two ways (`3` and `3.0`, `ant` and `ant `)."""
    first: dict[str, tuple[CsvFile, int]] = {}
    for found in files:
        for number, label in enumerate(found.values(label_column)):
            if label not in first:
                if label.strip() in BLANK:
                    raise DataError(f"{found.path}, {found.row_text(number)}: the {label_column} is blank.")
                first[label] = (found, number)
    plain: dict[str, str] = {}
    for label, (found, number) in first.items():
        other = plain.setdefault(plain_label(label), label)
        if other != label:
            file, earlier = first[other]
            raise DataError(
                f"{other!r} and {label!r} look like one label written in two ways:\n"
                f"  {file.path}, {file.row_text(earlier)}\n  {found.path}, {found.row_text(number)}\n"
                "Write it in one way."
            )


def check_known(found: CsvFile, label_column: str, known: Collection[str]) -> None:
    """Refuse labels that no training image has; raises DataError with the first such row."""
    for number, label in enumerate(found.values(label_column)):
        if label not in known and label.strip() not in BLANK:
            raise DataError(
                f"{found.path}, {found.row_text(number)}: no training image has the {label_column} {label!r};"
                f" {shown(known)}."
            )


def shown(labels: Collection[str]) -> str:
    """Say which classes there are, the first few of them.

    >>> shown(["ant", "bee"])
    "the 2 classes are 'ant', 'bee'"
    """
    first = ", ".join(map(repr, itertools.islice(labels, 5))) + (" …" if len(labels) > 5 else "")
    return f"the {len(labels):,} classes are {first}"


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


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes without a byte-order mark; raises DataError where it can't be read."""
    try:
        return path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror}.") from error


def decode(path: Path, data: bytes) -> str:
    """Return a file's bytes as text; raises DataError with the line where they are no UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8. Save the file as UTF-8.") from error


def _text(path: Path) -> str:
    return decode(path, read_bytes(path))


def _delimiter(text: str) -> str:
    header, _, _ = text.lstrip("\r\n").partition("\n")
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
