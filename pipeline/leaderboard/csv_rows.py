"""Rows of text of a submission, its sample or its solution: separated by commas, semicolons or tabs."""

import codecs
import csv
import io

Rows = list[list[str]]


def parse(data: bytes) -> Rows:
    """Split a CSV file into rows of text, blank lines left out, a BOM forgiven.

    Raises ValueError where it isn't UTF-8, has no rows, or a row has another number of cells than the header.

    >>> parse(b"id;label\\r\\n007;cat\\r\\n")
    [['id', 'label'], ['007', 'cat']]
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8 ({error.reason})") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter(text), strict=True)
    rows: Rows = []
    try:
        for row in reader:
            if not "".join(row).strip() and len(row) < 2:
                continue
            if len(row) != len(rows[0] if rows else row):
                raise ValueError(f"line {reader.line_num} has {len(row)} cells, the header {len(rows[0])}")
            rows.append(row)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    if len(rows) < 2:
        raise ValueError("it is empty" if not rows else "it has a header and no rows")
    return rows


def read_loosely(data: bytes) -> tuple[Rows, list[str]]:
    """Split a CSV file into what rows there are, and say what is wrong with its bytes."""
    faults = []
    if data.startswith(codecs.BOM_UTF8):
        faults.append("it begins with a byte order mark (BOM): save it as plain UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [f"byte {error.start} is no UTF-8 ({error.reason}): save it as plain UTF-8"]
    if "\0" in text:
        return [], ["it holds NUL bytes: is it a text file?"]
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter(text))
        return [row for row in reader if row], faults
    except csv.Error as error:
        return [], [*faults, f"it is no CSV file: {error}"]


def delimiter(text: str) -> str:
    """Tell what stands between the columns: what the header has most of.

    >>> delimiter("id;label\\n1,5;ant\\n"), delimiter("id")
    (';', ',')
    """
    header, _, _ = text.lstrip("\r\n").partition("\n")
    return max(",;\t", key=header.count)
