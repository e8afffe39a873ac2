"""How many predictions two submissions differ in, counted by id in their files."""

import functools
import hashlib
from pathlib import Path

import numpy as np

from pipeline.leaderboard.csv_rows import Rows, parse
from pipeline.leaderboard.ledger import Entry


def between(entry: Entry, other: Entry) -> float | None:
    """Count the predictions that two ledger entries' files differ in, see `changed_predictions`.

    None where a file is gone or has other bytes than were sent; equal predictions need no files.
    """
    if entry["predictions"] is not None and entry["predictions"] == other["predictions"]:
        return 0.0
    rows, others = rows_sent(entry), rows_sent(other)
    return None if rows is None or others is None else changed_predictions(rows, others)


def rows_sent(entry: Entry) -> Rows | None:
    """Return the rows of an entry's file, None where it is gone or isn't the one that was sent any more."""
    if not entry["file"] or not entry["sha256"]:
        return None
    return _rows(Path(entry["file"]), entry["sha256"])


def changed_predictions(rows: Rows, others: Rows) -> float:
    """Count the ids whose predictions differ; an id that only one of the two has counts as one.

    A row of probabilities counts as the mass that moved, ½ Σ |p − q|: 1 for another sure label, little for a
    little change. Header rows come first; columns are joined by name, rows by id.

    >>> changed_predictions([["id", "label"], ["1", "cat"], ["2", "dog"]],
    ...                     [["id", "label"], ["2", "dog"], ["1", "eel"]])
    1.0
    >>> changed_predictions([["id", "a", "b"], ["1", "0.7", "0.3"]], [["id", "b", "a"], ["1", "0.4", "0.6"]])
    0.1
    """
    header, columns = rows[0][1:], others[0][1:]
    by_id = {row[0]: row[1:] for row in others[1:]}
    shared = [row for row in rows[1:] if row[0] in by_id]
    alone = len(rows) - 1 + len(others) - 1 - 2 * len(shared)
    if sorted(header) != sorted(columns):
        return float(alone + len(shared))
    order = [columns.index(name) for name in header]
    ours = [row[1:] for row in shared]
    theirs = [[by_id[row[0]][i] for i in order] for row in shared]
    probs, other_probs = _probs(ours), _probs(theirs)
    if probs is None or other_probs is None:
        return float(alone + sum(a != b for a, b in zip(ours, theirs, strict=True)))
    moved = np.abs(probs - other_probs).sum(axis=1) / (1 if len(header) == 1 else 2)
    return alone + round(float(np.minimum(moved, 1.0).sum()), 6)


def _probs(cells: Rows) -> np.ndarray | None:
    """Return float [n, columns]; None where a cell is no number in [0, 1]: a label, or a list of labels."""
    try:
        values = np.array(cells, np.float64)
    except ValueError:
        return None
    return values if len(cells) and ((values >= 0) & (values <= 1)).all() else None


@functools.lru_cache(maxsize=2)
def _rows(path: Path, sha256: str) -> Rows | None:
    try:
        data = path.read_bytes()
        return parse(data) if hashlib.sha256(data).hexdigest() == sha256 else None
    except (OSError, ValueError):
        return None
