"""What the data folder holds now, and how that differs from what was audited: a stat an image, no more."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest, paths
from pipeline.config import Config, largest_side, predict_side
from pipeline.dataset import cache
from pipeline.dataset.layouts.image_files import LABELLED, Roots
from pipeline.dataset.layouts.table import Table, read_table
from pipeline.dataset.twins import grouping

STATUS = ("size", "mtime_ns", "inode")
ROW = ("id", "path", "split", "label", "target", "group", "time")
SHOWN = 3
INT64 = 2**63 - 1  # some file systems number beyond it


@dataclass(frozen=True)
class Survey:
    """The rows of the layout, each with its file's size, mtime_ns and inode, all −1 where there is no file.

    `rows` has the columns ROW, STATUS and `expected`; `parameters` are what the cached pixels depend on: the
    codec is "auto" until `shards.decide_codec` has decided.
    """

    folder: Path
    table: Table
    rows: pd.DataFrame
    parameters: dict[str, Any]


def survey(config: Config) -> Survey:
    """Read the layout and the status of every image file; raises DataError as `read_table` does."""
    root = paths.data_root(config)
    table = read_table(config.data, root)
    rows = table.frame.reset_index(drop=True)
    number = {name: i for i, name in enumerate(table.classes)}
    targets = rows["label"].where(rows["split"].isin(LABELLED), "").map(number).fillna(-1)
    rows["target"] = targets.astype(np.int64)
    status = np.array([_status(table.roots, path) for path in rows["path"]], dtype=np.int64)
    rows[list(STATUS)] = status
    parameters = {
        "version": cache.VERSION,
        "codec": _codec(config, paths.cache(config)),
        "short_side": short_side(config),
        "max_pixels": config.data.max_pixels,
    }
    return Survey(paths.cache(config), table, rows, parameters)


def short_side(config: Config) -> int:
    """Return the cached images' short side in pixels: what is configured, else what the members need.

    A member needs its training size, and its test size divided by its crop's share of the image.
    """
    if config.cache.short_side:
        return config.cache.short_side
    return max(
        max(largest_side(member.train), math.ceil(predict_side(member.train) / member.train.test_crop))
        for member in config.members
    )


def expected(config: Config, now: Survey, stage: str, version: int) -> manifest.Expected:
    """Return what the audit's manifest must say beside the rows, which `images.parquet` holds."""
    sample = now.table.sample_submission
    fields = {
        "groups": grouping.VERSION,
        **{f"cache.{name}": value for name, value in now.parameters.items()},
        "data.layout": now.table.layout,
        "data.unreadable": config.data.unreadable,
        "classes": manifest.digest([now.table.classes, now.table.codes]),
        "sample_submission": str(sample or ""),
    }
    return manifest.Expected(stage, version, fields)


def stale(now: Survey, wanted: manifest.Expected) -> str | None:
    """Say why the audit and the cache must be made (again), for people; None when they are up to date."""
    path = now.folder / "manifest.json"
    found, audited = manifest.read(path), read_audit(now.folder)
    if found is None or audited is None:
        return "not done yet"
    why = difference(audited, now.rows) or manifest.stale(path, wanted)
    if why is not None:
        return why
    for number, digest in enumerate(found["facts"]["shards"]):
        shard = cache.shard_path(now.folder, number)
        if cache.shard_digest(shard) != digest:
            return f"{shard} is missing or damaged"
    return None


def read_audit(folder: Path) -> pd.DataFrame | None:
    """Return the audit table as it was published, or None where there is none."""
    try:
        return pd.read_parquet(folder / "images.parquet")
    except (OSError, ValueError):
        return None


def difference(old: pd.DataFrame, new: pd.DataFrame) -> str | None:
    """Say how the rows differ, naming the first of them; None when they are equal, in order too."""
    columns = [*ROW, *STATUS]
    if len(old) == len(new) and all((old[name].to_numpy() == new[name].to_numpy()).all() for name in columns):
        return None
    both = old[columns].merge(new[columns], how="outer", on=["split", "id"], indicator=True)
    there = both[both["_merge"] == "both"]
    moved = (
        _differ(there, "path") | _differ(there, "size") | _differ(there, "mtime_ns") | _differ(there, "inode")
    )
    relabelled = (
        _differ(there, "label") | _differ(there, "group") | _differ(there, "time") | _differ(there, "target")
    )
    parts = {
        "new": both.loc[both["_merge"] == "right_only", "id"],
        "gone": both.loc[both["_merge"] == "left_only", "id"],
        "changed": there.loc[moved, "id"],
        "with another label or group": there.loc[relabelled, "id"],
    }
    told = [
        f"{len(ids):,} image{'s' if len(ids) > 1 else ''} {what} ({_names(ids)})"
        for what, ids in parts.items()
        if len(ids)
    ]
    return ", ".join(told) or "the images are in another order"


def known_hashes(now: Survey) -> list[str]:
    """Return the sha256 of each row's file that is as it was when it was audited, and "" for the others."""
    audited = read_audit(now.folder)
    if audited is None:
        return [""] * len(now.rows)
    keys = ["path", *STATUS]
    before = audited.loc[audited["path"] != "", [*keys, "sha256"]].drop_duplicates(keys)
    return now.rows[keys].merge(before, how="left", on=keys)["sha256"].fillna("").tolist()


def changed_unseen(before: pd.DataFrame, audit: pd.DataFrame) -> list[str]:
    """Return the ids of images whose content isn't what it was, though size, time and inode are.

    >>> before = pd.DataFrame({"id": ["a"], "path": ["a.jpg"], "size": 7, "mtime_ns": 1, "inode": 2})
    >>> before, after = before.assign(sha256="0"), before.assign(sha256="1")
    >>> changed_unseen(before, after), changed_unseen(before, after.assign(size=8))
    (['a'], [])
    """
    keys = ["path", *STATUS]
    known = before.loc[before["sha256"] != "", [*keys, "sha256"]].drop_duplicates(keys)
    both = audit[["id", *keys, "sha256"]].merge(known, on=keys, suffixes=("", "_before"))
    return both.loc[both["sha256"] != both["sha256_before"], "id"].tolist()


def _codec(config: Config, folder: Path) -> str:
    """Return the codec: what is configured, what was once decided here, or "auto", to be decided."""
    if config.cache.codec != "auto":
        return config.cache.codec
    known = manifest.read(folder / "manifest.json")
    if known is not None:
        return str(known["config"].get("cache.codec", "auto"))
    # No manifest, but shards: a run was stopped, or found images that can't be used.
    for path in sorted(folder.glob("shard-?????.u8")):
        shard = cache.read_shard(path)
        if shard is not None:
            return str(shard.parameters["codec"])
    return "auto"


def _status(roots: Roots, path: str) -> tuple[int, int, int]:
    if not path:
        return (-1, -1, -1)
    root, name = roots.place(path)
    try:
        found = os.stat(f"{root}/{name}")  # noqa: PTH116  (half of a Path's time)
    except OSError:
        return (-1, -1, -1)
    return (found.st_size, found.st_mtime_ns, found.st_ino & INT64)


def _differ(both: pd.DataFrame, name: str) -> pd.Series:
    return both[f"{name}_x"] != both[f"{name}_y"]


def _names(ids: pd.Series) -> str:
    return ", ".join(ids.iloc[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
