"""Predictions made elsewhere, runs/NAME/external/MEMBER.oof.csv (or .npz) and MEMBER.test.csv (or .npz).

A table has the columns id, fold (out-of-fold rows: the fold that the row's model did not see) and one column
a class; an .npz has the arrays ids, classes, probs [n, C] or [views, n, C] and, out of fold, fold [n]. Rows
and classes may come in any order: they are joined by name.
"""

import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.artifacts.predictions import Predictions, check_rows
from pipeline.errors import DataError

ENDINGS = (".oof.npz", ".oof.csv")


def external_files(folder: Path) -> dict[str, tuple[Path, Path | None]]:
    """Return the out-of-fold file and the test file, where there is one, of each member in the folder.

    Raises DataError for a member that is there twice.
    """
    found: dict[str, tuple[Path, Path | None]] = {}
    for path in sorted(folder.glob("*.oof.*")):
        ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), None)
        if ending is None:
            continue
        name = path.name.removesuffix(ending)
        if name in found:
            raise DataError(f"{found[name][0]} and {path} are predictions of one member: keep one of them.")
        tests = [path.with_name(f"{name}.test{kind}") for kind in (".npz", ".csv")]
        found[name] = path, next((test for test in tests if test.exists()), None)
    return found


def load_external(path: Path, classes: Sequence[str], out_of_fold: bool) -> Predictions:
    """Read and check a file; classes are put in the order of `classes`, `fold` is [n], −1 for test rows.

    Raises DataError naming the file for what can't be read, other classes, no folds, or bad rows.
    """
    try:
        ids, names, views, probs, fold = (_read_npz if path.suffix == ".npz" else _read_csv)(path)
    except (OSError, EOFError, KeyError, TypeError, ValueError, csv.Error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} can't be read: {error}.") from error
    if sorted(names) != sorted(classes):
        missing = [name for name in classes if name not in names][:3]
        strange = [name for name in names if name not in classes][:3]
        raise DataError(
            f"{path} has {len(names)} classes, the competition {len(classes)}: without a column are "
            f"{missing}, no class is {strange}."
        )
    if out_of_fold and fold is None:
        raise DataError(
            f"{path} doesn't say which fold each row was held out in (fold): without that nobody can tell "
            "whether its models saw the rows that they predict. Use the folds of folds/NAME.csv."
        )
    order = [names.index(name) for name in classes]
    fold = np.full(len(ids), -1) if fold is None else fold
    held = np.array(ids, np.str_), np.array(classes, np.str_), np.array(views, np.str_)
    found = Predictions(
        *held, np.ascontiguousarray(probs[:, :, order], np.float32), fold.astype(np.int64), ""
    )
    check_rows(path, found)
    return found


Content = tuple[list[str], list[str], list[str], np.ndarray, np.ndarray | None]


def _read_npz(path: Path) -> Content:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        probs = arrays["probs"]
        probs = probs[None] if probs.ndim == 2 else probs
        views = arrays["views"] if "views" in arrays else [f"view{v}" for v in range(len(probs))]
        fold = arrays.get("fold")
        ids, classes = arrays["ids"].astype(np.str_).tolist(), arrays["classes"].astype(np.str_).tolist()
        return ids, classes, [str(view) for view in views], probs, fold


def _read_csv(path: Path) -> Content:
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    header, body = (rows[0], [row for row in rows[1:] if row]) if rows else ([], [])
    if header[:1] != ["id"] or not body:
        raise ValueError("expected a header that begins with id, and rows")
    ragged = next((i for i, row in enumerate(body, 2) if len(row) != len(header)), None)
    if ragged:
        raise ValueError(f"line {ragged} has another number of cells than the header's {len(header)}")
    first = 2 if header[1:2] == ["fold"] else 1
    fold = np.array([int(row[1]) for row in body]) if first == 2 else None
    probs = np.array([[float(cell) for cell in row[first:]] for row in body])
    return [row[0] for row in body], header[first:], ["elsewhere"], probs[None], fold
