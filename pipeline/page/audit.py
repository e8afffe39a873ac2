"""What `prepare` found in the images, counted for people: problems, odd files, copies, label conflicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

SHOWN_PROBLEMS = 40
SHOWN_EXAMPLES = 3


@dataclass(frozen=True)
class Audit:
    """Rows for the page's tables; `counts` and `folds` are (what, value) pairs."""

    counts: list[tuple[str, str]] = field(default_factory=list)
    folds: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, ...]] = field(default_factory=list)  # id, split, reason
    problem_count: int = 0
    notes: list[tuple[str, int, str]] = field(default_factory=list)  # note, images, example ids
    conflicts: list[str] = field(default_factory=list)  # images of one picture, each with its label


def audit(images: pd.DataFrame | None, folds: Mapping[str, Any]) -> Audit:
    """Count what the audit table (images.parquet) and the folds' record say; either may be missing."""
    lines, conflicts = fold_lines(folds), _conflicts(folds)
    if images is None:
        return Audit(folds=lines, conflicts=conflicts)
    bad = images[images["problem"] != ""]
    shown = bad.head(SHOWN_PROBLEMS)[["id", "split", "problem"]]
    return Audit(
        counts=_counts(images),
        folds=lines,
        problems=[tuple(map(str, row)) for row in shown.to_numpy().tolist()],
        problem_count=len(bad),
        notes=_notes(images),
        conflicts=conflicts,
    )


def fold_lines(folds: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Turn the record's plain entries into lines; what `duplicates` holds is one line each.

    >>> fold_lines({"count": 5, "seed": 0, "duplicates": {"groups": 3}})
    [('folds', '5'), ('seed', '0'), ('duplicates: groups', '3')]
    """
    names = {"count": "folds", "seed": "seed", "rows": "images", "groups": "groups"}
    lines = [(shown, str(folds[name])) for name, shown in names.items() if _plain(folds.get(name))]
    duplicates = folds.get("duplicates")
    if isinstance(duplicates, dict):
        lines += [
            (f"duplicates: {name.replace('_', ' ')}", str(value))
            for name, value in sorted(duplicates.items())
            if _plain(value)
        ]
    elif _plain(duplicates):
        lines.append(("duplicates", str(duplicates)))
    for name, shown in (("rare_classes", "classes with fewer images than folds"), ("problems", "problems")):
        listed = folds.get(name)
        if isinstance(listed, list) and listed:
            lines.append((shown, ", ".join(map(str, listed[:SHOWN_PROBLEMS]))))
    return lines


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str)


def _counts(images: pd.DataFrame) -> list[tuple[str, str]]:
    usable = images[images["problem"] == ""]
    train, test = (usable[usable["split"] == split] for split in ("train", "test"))
    copies = train["sha256"].value_counts()
    sides = usable[["width", "height"]].min(axis=1)
    counts = [
        ("training images", f"{len(train):,}"),
        ("test images", f"{len(test):,}" if len(test) else "none: no test set"),
        ("images that can't be used", f"{len(images) - len(usable):,}"),
        ("same bytes twice or more in training", _copies(copies[copies > 1])),
        ("test images whose bytes are in training", f"{int(test['sha256'].isin(train['sha256']).sum()):,}"),
    ]
    if len(sides):
        counts.append(
            ("short side, pixels", " to ".join(f"{side:,}" for side in sorted({sides.min(), sides.max()})))
        )
    return counts


def _copies(copies: pd.Series) -> str:
    groups = "1 group" if len(copies) == 1 else f"{len(copies):,} groups"
    return f"{int(copies.sum()):,} images in {groups}" if len(copies) else "0"


def _notes(images: pd.DataFrame) -> list[tuple[str, int, str]]:
    noted = images[images["note"] != ""]
    groups = ((str(note), rows["id"].astype(str).tolist()) for note, rows in noted.groupby("note", sort=True))
    notes = [(note, len(ids), ", ".join(ids[:SHOWN_EXAMPLES])) for note, ids in groups]
    return sorted(notes, key=lambda line: (-line[1], line[0]))[:SHOWN_PROBLEMS]


def _conflicts(folds: Mapping[str, Any]) -> list[str]:
    found = folds.get("conflicts")
    groups = found if isinstance(found, list) else []
    return [" and ".join(f"{name} {label}" for name, label in group) for group in groups[:SHOWN_PROBLEMS]]
