"""classes.txt: the names of classes that folders or lists know by number, counted from 0 or from 1."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from pipeline.dataset.layouts import csv_file
from pipeline.dataset.layouts.csv_file import CsvFile
from pipeline.errors import DataError

FILE = "classes.txt"
NUMBERED = re.compile(r"([0-9]{1,9})\s*[\s,:;.)]\s*(\S.*)")


def read_class_names(path: Path) -> list[str]:
    """Read a classes.txt, lines `1 rice leaf roller` counted from 0 or 1 or names alone: names by number.

    A name that stands there twice gets its number: `name (17)`. Raises DataError with the line for numbers
    that aren't consecutive, numbers without names, and a file that isn't text.
    """
    text = csv_file.decode(path, csv_file.read_bytes(path))
    lines = {line: words.strip() for line, words in enumerate(text.split("\n"), 1) if words.strip()}
    if not lines:
        raise DataError(f"{path} is empty: write a class a line, or remove it.")
    if all(words.isdecimal() for words in lines.values()):
        raise DataError(f"{path} holds numbers without names: write lines such as '1 rice leaf roller'.")
    found = {line: NUMBERED.fullmatch(words) for line, words in lines.items()}
    if sum(map(bool, found.values())) * 2 > len(lines):
        numbers, names = _numbered(path, found)
    else:
        numbers, names = list(range(1, len(lines) + 1)), list(lines.values())
    counts = Counter(names)
    names = [
        f"{name} ({number})" if counts[name] > 1 else name
        for name, number in zip(names, numbers, strict=True)
    ]
    doubled = next((name for name, count in Counter(names).items() if count > 1), None)
    if doubled is not None:
        raise DataError(f"{path}: two classes are called {doubled!r}: rename one.")
    return names


def is_number(text: str) -> bool:
    """Tell whether a folder or label is a class's number.

    >>> is_number("7"), is_number("007"), is_number("3.0"), is_number("-1")
    (True, True, False, False)
    """
    return len(text) < 10 and text.isascii() and text.isdecimal()


def by_number(names: list[str], used: Collection[str]) -> dict[str, str] | None:
    """Return the name of each number that is `used`, in their order; None where numbers and names don't fit.

    They fit where the numbers are all of 0 … n−1 or all of 1 … n, for n names.

    >>> by_number(["ant", "bee"], ["1", "0"]), by_number(["ant", "bee"], ["2", "1"])
    ({'0': 'ant', '1': 'bee'}, {'1': 'ant', '2': 'bee'})
    >>> by_number(["ant", "bee"], ["0", "2"]), by_number(["ant", "bee"], ["0", "1", "2"])
    (None, None)
    """
    if not used or not all(map(is_number, used)):
        return None
    ordered = sorted(used, key=int)
    first = int(ordered[0])
    if first > 1 or [int(text) for text in ordered] != list(range(first, first + len(names))):
        return None
    return dict(zip(ordered, names, strict=True))


def by_label(file: Path, label_column: str, *tables: CsvFile) -> dict[str, str]:
    """Return the names in a classes.txt by the labels of all tables: their numbers, or the names themselves.

    Raises DataError, with the line of a label that is neither, where the two don't fit.
    """
    names = read_class_names(file)
    first: dict[str, tuple[CsvFile, int]] = {}
    for table in tables:
        for number, label in enumerate(table.values(label_column)):
            if label not in first:
                first[label] = (table, number)
    found = by_number(names, first)
    if found is not None:
        return found
    named = [name for name in names if name in first]
    if len(named) == len(first):
        return {name: name for name in named}
    low = min((int(label) for label in first if is_number(label)), default=0)
    due = range(min(low, 1), min(low, 1) + len(names))
    for label, (table, number) in first.items():
        if label not in named and (named or not is_number(label) or int(label) not in due):
            raise DataError(
                f"{table.path}, {table.row_text(number)}: the label {label!r} is no name in {file}, and no"
                f" number from {due[0]} to {due[-1]} of its {len(names):,} names."
            )
    unused = next(number for number in due if str(number) not in first)
    raise DataError(
        f"{file} has {len(names):,} names, the lists use {len(first):,} labels: no image has the label"
        f" {unused} ({names[unused - due[0]]}). Without {file.name} the numbers would be the classes' names."
    )


def _numbered(path: Path, found: Mapping[int, re.Match[str] | None]) -> tuple[list[int], list[str]]:
    bare = next((line for line, match in found.items() if match is None), None)
    if bare is not None:
        raise DataError(f"{path}, line {bare}: no number and name, as other lines have.")
    rows = sorted((int(match[1]), line, match[2]) for line, match in found.items() if match)
    first = min(rows[0][0], 1)
    for due, (number, line, _) in enumerate(rows, first):
        if number != due:
            raise DataError(
                f"{path}, line {line}: number {number} where {due} was due: the {len(rows):,} classes must be"
                " numbered in one row, from 0 or from 1."
            )
    return [number for number, _, _ in rows], [name for _, _, name in rows]
