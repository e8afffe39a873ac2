"""Pictures that occur more than once, side by side: copies, two labels, a twin in the test set, crowds.

Everything comes from the audit table's columns `picture` (equal number: same picture) and `crowd` (images
alike, too many to be one picture, and so not merged).
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pipeline.dataset.layouts.image_files import LABELLED
from pipeline.page.thumbnails import Album, Picture

SHOWN_GROUPS = 20
SHOWN_CONFLICTS = SHOWN_TWINS = 10
SHOWN_CROWDS = 3
SHOWN_IMAGES = 5
NO_COLUMNS = "The images were audited before groups were kept in the audit table: python -m pipeline.prepare"


@dataclass(frozen=True)
class Group:
    """Images to be looked at side by side; `more` of them aren't shown."""

    title: str
    pictures: list[Picture]
    more: int = 0


@dataclass(frozen=True)
class Duplicates:
    """The first of each kind, and how many there are; `missing` says why nothing is known."""

    counts: list[tuple[str, str]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    group_count: int = 0
    conflicts: list[Group] = field(default_factory=list)
    conflict_count: int = 0
    twins: list[Group] = field(default_factory=list)
    twin_count: int = 0
    crowds: list[Group] = field(default_factory=list)
    crowd_count: int = 0
    missing: str = ""


def duplicates(images: pd.DataFrame, album: Album) -> Duplicates:
    """Find pictures with several images in the audit table, and show the largest of each kind."""
    if not {"picture", "crowd"} <= set(images.columns):
        return Duplicates(missing=NO_COLUMNS)
    usable = images.assign(row=np.arange(len(images)))[images["picture"].to_numpy() >= 0]
    usable = usable.assign(trained=usable["split"].isin(LABELLED))
    several = usable[usable.duplicated("picture", keep=False)].sort_values(["picture", "id", "split"])
    conflicts, twins = _conflicts(several), _twins(several)
    crowds = usable[usable["crowd"] >= 0].sort_values(["crowd", "id"])
    return Duplicates(
        counts=_counts(usable, several, conflicts, twins, crowds),
        groups=_groups(several, album),
        group_count=several["picture"].nunique(),
        conflicts=[
            _side_by_side(_kind(part), part.drop_duplicates("label"), album, notes=False)
            for part in _largest(conflicts, "picture", SHOWN_CONFLICTS)
        ],
        conflict_count=conflicts["picture"].nunique(),
        twins=[_twin(part, album) for part in _largest(twins, "picture", SHOWN_TWINS)],
        twin_count=twins["picture"].nunique(),
        crowds=[_crowd(part, album) for part in _largest(crowds, "crowd", SHOWN_CROWDS)],
        crowd_count=crowds["crowd"].nunique(),
    )


def _conflicts(several: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are trained on of pictures that have two labels there."""
    trained = several[several["trained"] & (several["label"] != "")]
    return trained[trained.groupby("picture")["label"].transform("nunique") > 1]


def _twins(several: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of pictures that are both trained on and predicted."""
    trained = several.groupby("picture")["trained"]
    return several[trained.transform("any") & ~trained.transform("all")]


def _counts(
    usable: pd.DataFrame,
    several: pd.DataFrame,
    conflicts: pd.DataFrame,
    twins: pd.DataFrame,
    crowds: pd.DataFrame,
) -> list[tuple[str, str]]:
    trained = several[several["trained"]]
    again = trained.duplicated("picture")
    copies = trained.duplicated(["picture", "sha256"])
    held = twins[~twins["trained"]]
    exact = int(held["sha256"].isin(twins.loc[twins["trained"], "sha256"]).sum())
    counts = [
        ("training images", f"{int(usable['trained'].sum()):,}"),
        ("of these, exact copies of another", f"{int(copies.sum()):,}"),
        ("of these, near-duplicates of another", f"{int(again.sum() - copies.sum()):,}"),
        ("training pictures with two labels", f"{conflicts['picture'].nunique():,}"),
        (
            "test or validation images with a twin in training",
            f"{len(held):,}{f' ({exact:,} of the same bytes)' if exact else ''}",
        ),
        ("crowds: sets of images alike, too large to be one picture", _crowded(crowds)),
    ]
    return counts


def _crowded(crowds: pd.DataFrame) -> str:
    count = crowds["crowd"].nunique()
    return f"{count:,} with {len(crowds):,} images, not merged" if count else "0"


def _largest(rows: pd.DataFrame, key: str, most: int) -> list[pd.DataFrame]:
    """Return the rows of each of the `most` largest groups of `key`, equal ones by their first id."""
    parts = rows.groupby(key)["id"].agg(["size", "min"]).reset_index()
    parts = parts.sort_values(["size", "min"], ascending=[False, True]).head(most)
    return [rows[rows[key] == number] for number in parts[key]]


def _groups(several: pd.DataFrame, album: Album) -> list[Group]:
    groups = []
    for part in _largest(several, "picture", SHOWN_GROUPS):
        copies = int(part["sha256"].duplicated().sum())
        kinds = [f"{copies} exact"] if copies else []
        kinds += [f"{len(part) - 1 - copies} near"] if len(part) - 1 > copies else []
        groups.append(_side_by_side(f"{len(part)} images: {', '.join(kinds)}", part, album))
    return groups


def _twin(part: pd.DataFrame, album: Album) -> Group:
    held, trained = part[~part["trained"]], part[part["trained"]]
    shown = pd.concat([held.head(2), trained.head(2)])
    group = _side_by_side(_kind(part), shown, album, notes=False)
    return Group(group.title, group.pictures, len(part) - len(shown))


def _kind(part: pd.DataFrame) -> str:
    return "same bytes" if part["sha256"].nunique() == 1 else "near-duplicates"


def _crowd(part: pd.DataFrame, album: Album) -> Group:
    return _side_by_side(f"{len(part):,} images alike", part, album, notes=False)


def _side_by_side(title: str, rows: pd.DataFrame, album: Album, notes: bool = True) -> Group:
    shown = rows.head(SHOWN_IMAGES)
    copies = shown["sha256"].duplicated().tolist()
    pictures = [
        album.picture(row, ("exact" if copies[i] else "near") if notes and i else "")
        for i, row in enumerate(shown["row"].tolist())
    ]
    return Group(title, pictures, len(rows) - len(shown))
