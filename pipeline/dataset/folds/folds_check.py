"""What makes folds others than those on disk: settings, rows, groups; each difference is a sentence."""

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest
from pipeline.config import Config
from pipeline.score.splits import training_rows

# What a record that doesn't name them was made with.
EARLIER = {"kind": "grouped", "file": "", "file_digest": "", "time_column": ""}


def kind_of(config: Config) -> str:
    """Return folds.kind, with "auto" resolved: "grouped", "stratified" or "time"."""
    if config.folds.kind == "auto":
        return "time" if config.data.time_column else "grouped"
    return config.folds.kind


def settings(config: Config) -> dict[str, Any]:
    """Return what NAME.json says of the configuration; the digest of folds.file comes to it."""
    kind = kind_of(config)
    return {
        "kind": kind,
        "count": config.folds.count,
        "seed": config.folds.seed,
        "file": config.folds.file,
        "time_column": config.data.time_column if kind == "time" else "",
    }


def other_settings(made_with: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say which of the `settings` the folds were made with is another one now; "" where none is.

    The seed counts only where something is drawn; folds.file may have moved, its content is compared apart.

    >>> now = {"kind": "time", "count": 5, "seed": 1, "file": "", "time_column": "day"}
    >>> other_settings({**now, "seed": 0}, now), other_settings({**now, "time_column": "hour"}, now)
    ('', 'was made with data.time_column="hour", not "day"')
    """
    was = {**EARLIER, **made_with}
    if bool(was["file"]) != bool(wanted["file"]):
        return (
            f"was made from folds.file={was['file']}, which isn't set now"
            if was["file"]
            else f"was made without folds.file={wanted['file']}"
        )
    drawn = not wanted["file"] and wanted["kind"] != "time"
    for key in ("kind", "count", *(["seed"] if drawn else []), "time_column"):
        old, new = was.get(key), wanted[key]
        if old != new:
            if key == "time_column":
                return f'was made with data.time_column="{old}", not "{new}"'
            return f"was made with folds.{key}={old}, not {new}"
    return ""


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Say how folds' rows differ from the images there are, both as label by id; "" where they don't.

    >>> differences({"a": "ant", "b": "bee"}, {"b": "bee", "a": "ant"})
    ''
    >>> differences({"a": "ant", "b": "bee"}, {"b": "ant", "c": "ant"})
    "1 image has no fold ('c'), 1 row has no image ('a'), 1 label is another ('b': was bee, is ant)"
    """
    added = [name for name in new if name not in old]
    gone = [name for name in old if name not in new]
    other = [name for name, label in old.items() if name in new and new[name] != label]
    said = []
    if added:
        said.append(f"{_count(added, 'image has', 'images have')} no fold ({added[0]!r})")
    if gone:
        said.append(f"{_count(gone, 'row has', 'rows have')} no image ({gone[0]!r})")
    if other:
        name = other[0]
        counted = _count(other, "label is another", "labels are others")
        said.append(f"{counted} ({name!r}: was {old[name]}, is {new[name]})")
    return ", ".join(said)


def misplaced(ids: Sequence[str], fold_of: np.ndarray, splits: np.ndarray, from_file: bool, kind: str) -> str:
    """Say which images changed between training and extra ones after they got their folds; "" where none did.

    >>> misplaced(["a", "b"], np.array([0, 1]), np.array(["train", "extra"]), False, "grouped")
    "1 image of data.extra with a fold ('b')"
    """
    extra, scored = splits == "extra", fold_of >= 0
    found = np.flatnonzero(extra & scored)
    if len(found):
        return f"{_count(found, 'image', 'images')} of data.extra with a fold ({ids[found[0]]!r})"
    found = np.flatnonzero(~extra & ~scored)
    if len(found) and not from_file and kind != "time":
        return f"{_count(found, 'training image has', 'training images have')} no fold ({ids[found[0]]!r})"
    return ""


def images_digest(rows: pd.DataFrame, kind: str = "grouped") -> str:
    """Digest what groups and times come from: id, sha256 and the user's group (time) of each labelled row.

    Neither the cache's size nor test images count, which hold no fold: at most, one links two pictures that
    aren't alike enough themselves. The order of the rows changes nothing.
    """
    columns = ["id", "sha256", "group", *(["time"] if kind == "time" else [])]
    return manifest.digest(rows.sort_values("id")[columns].to_numpy().tolist())


def regrouped(made_with: Mapping[str, Any], group_column: str, rows: pd.DataFrame) -> str:
    """Say why groups, or times, may be others than when the folds were made; "" where they can't be."""
    if "images_digest" not in made_with or "group_column" not in made_with:
        return "its record doesn't say which images its groups hold for"
    was = made_with["group_column"]
    if was != group_column:
        return f'data.group_column changed from "{was}" to "{group_column}"'
    kind = made_with.get("kind", EARLIER["kind"])
    if made_with["images_digest"] != images_digest(rows, kind):
        what = "bytes, groups or times" if kind == "time" else "bytes or groups"
        return f"the {what} of images changed after the folds were made"
    return ""


def straddling(rows: pd.DataFrame) -> str:
    """Say which images of one group lie in several folds, the first by row; "" where none do.

    rows: id, fold (fold −1 is never scored, and may share a group with any), the user's group and the
    own_group of folds.file ("" is none), and picture and in_group as `duplicates.find_groups` numbers them.

    >>> rows = pd.DataFrame({"id": ["a", "b", "c"], "fold": [0, 1, 1], "group": "", "own_group": ""})
    >>> straddling(rows.assign(picture=[0, 1, 0], in_group=[0, 1, 0]))
    "1 group lies in several folds: 'a' (fold 0) and 'c' (fold 1) show the same picture"
    >>> straddling(rows.assign(picture=[0, 1, 1], in_group=[0, 1, 1]))
    ''
    """
    scored = rows[rows["fold"] >= 0]
    torn = scored[scored.groupby("in_group")["fold"].transform("nunique") > 1]
    if torn.empty:
        return ""
    groups = torn["in_group"].drop_duplicates().astype(str).tolist()
    counted = _count(groups, "group lies", "groups lie") + " in several folds"
    for column, how in (
        ("picture", "show the same picture"),
        ("group", "have the same value of data.group_column, {!r}"),
        ("own_group", "have the same group in folds.file, {!r}"),
        ("in_group", "belong together through other images"),
    ):
        named = torn[torn[column].astype(str) != ""]
        named = named[named.groupby(column)["fold"].transform("nunique") > 1]
        if not named.empty:
            one = named.iloc[0]
            other = named[(named[column] == one[column]) & (named["fold"] != one["fold"])].iloc[0]
            pair = " and ".join(f"{row['id']!r} (fold {row['fold']})" for row in (one, other))
            return f"{counted}: {pair} {how.format(one[column])}"
    return counted


def other_training(
    ids: Sequence[str], fold_of: np.ndarray, groups: np.ndarray, now: np.ndarray, kind: str
) -> str:
    """Say which image other groups add to or take from a fold's training rows, the first; "" where none.

    >>> fold_of = np.array([-1, 0, 1])
    >>> other_training(["a", "b", "c"], fold_of, np.array([0, 1, 2]), np.array([0, 0, 2]), "grouped")
    "fold 0 would be trained without 'a', which belongs to an image scored there"
    """
    for k in range(int(fold_of.max(initial=-1)) + 1):
        before, after = (training_rows(fold_of, of, k, kind) for of in (groups, now))
        for row in np.flatnonzero(before != after)[:1]:
            name = repr(ids[row])
            if before[row]:
                return f"fold {k} would be trained without {name}, which belongs to an image scored there"
            return f"fold {k} would be trained with {name} too, which belongs to no image scored there"
    return ""


def _count(names: Sized, one: str, many: str) -> str:
    return f"{len(names):,} {one if len(names) == 1 else many}"
