"""What `prepare` found in the images, counted for people: what can't be used, what was read but is odd."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pipeline.page.thumbnails import Album, Picture

SPLITS = {
    "train": "training images",
    "extra": "training images of data.extra",
    "val": "official validation images",
    "test": "test images",
}
SHOWN_PROBLEMS = 20
SHOWN_IDS = 12
SHOWN_NOTES = 8
SHOWN_EXAMPLES = 4


@dataclass(frozen=True)
class Problem:
    """A reason for which files can't be used, and the ids of the first of them."""

    reason: str
    images: int
    ids: str


@dataclass(frozen=True)
class Note:
    """What is odd about some files that were read, with the first of them."""

    text: str
    images: int
    pictures: list[Picture]


@dataclass(frozen=True)
class Audit:
    """What the page's tables show; `counts` are (what, value) pairs."""

    counts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    notes: list[Note] = field(default_factory=list)
    note_count: int = 0


def audit(images: pd.DataFrame, album: Album) -> Audit:
    """Count what the audit table (images.parquet) says, with pictures of what is odd."""
    bad = images[images["problem"] != ""]
    notes = images.loc[images["note"] != "", "note"].value_counts()
    return Audit(
        counts=_counts(images),
        problems=_problems(bad),
        problem_count=bad["problem"].nunique(),
        notes=_notes(images, notes, album),
        note_count=len(notes),
    )


def _counts(images: pd.DataFrame) -> list[tuple[str, str]]:
    usable = images[images["problem"] == ""]
    counts = usable["split"].value_counts()
    lines = [(what, f"{int(counts[split]):,}") for split, what in SPLITS.items() if split in counts]
    if "test" not in counts:
        lines.append(("test images", "none: no test set"))
    return [*lines, ("images that can't be used", f"{len(images) - len(usable):,}")]


def _problems(bad: pd.DataFrame) -> list[Problem]:
    """Return the reasons, the most frequent first, each with the first ids of each split."""
    largest = bad["problem"].value_counts()
    reasons = sorted(largest.items(), key=lambda item: (-int(item[1]), str(item[0])))[:SHOWN_PROBLEMS]
    found = []
    for reason, count in reasons:
        rows = bad[bad["problem"] == reason]
        shown = rows[["split", "id"]].head(SHOWN_IDS).to_numpy().tolist()
        more = f", … and {int(count) - SHOWN_IDS:,} more" if count > SHOWN_IDS else ""
        ids = ", ".join(f"{split} {name}" for split, name in shown)
        found.append(Problem(str(reason), int(count), f"{ids}{more}"))
    return found


def _notes(images: pd.DataFrame, notes: pd.Series, album: Album) -> list[Note]:
    largest = sorted(notes.items(), key=lambda item: (-int(item[1]), str(item[0])))[:SHOWN_NOTES]
    found = []
    for text, count in largest:
        rows = np.flatnonzero(images["note"] == text)[:SHOWN_EXAMPLES].tolist()
        found.append(Note(str(text), int(count), [album.picture(row) for row in rows]))
    return found
