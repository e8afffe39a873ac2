"""What `prepare` leaves of an invented competition, for tests of the folds: a table, and no pictures."""

import argparse
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import folds
from pipeline.artifacts import manifest, paths, writer
from pipeline.config import Config, resolve
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.dataset.twins.duplicates import components

Row = tuple[str, str, str, int]  # split, id, label, picture: equal pictures from 0 on are equal bytes


def configure(folder: Path, data: Mapping[str, Any] | None = None, **fold_fields: Any) -> Config:
    names = ("data", "runs", "folds", "submissions")
    return resolve(
        {
            "data": {"name": "moths", **(data or {})},
            "folds": fold_fields,
            "members": [{"model": "resnet18"}],
            "paths": {name: str(folder / name) for name in names},
        },
        {},
        "test",
    )


def rows_of(count: int = 40, classes: int = 4) -> list[Row]:
    return [("train", f"{i:03d}", f"class {i % classes}", -1) for i in range(count)]


def prepare(
    config: Config,
    rows: Sequence[Row],
    groups: Mapping[str, str] | None = None,
    times: Mapping[str, str] | None = None,
    unusable: Sequence[str] = (),
) -> None:
    """Leave the columns of the audit table that folds go by, and the manifest; groups and times by id."""
    table = pd.DataFrame(rows, columns=["split", "id", "label", "picture"])
    table["sha256"] = [f"{row[3] if row[3] >= 0 else 1000 + number:064x}" for number, row in enumerate(rows)]
    table["group"] = [(groups or {}).get(row[1], "") for row in rows]
    table["time"] = [(times or {}).get(row[1], "") for row in rows]
    table["shard"] = np.where(table["id"].isin(list(unusable)), -1, 0)
    numbers = np.arange(len(table))
    same_bytes, same_group = (
        np.stack([numbers, pd.Series(numbers).groupby(keys).transform("first")], axis=1)
        for keys in (table["sha256"], table["group"].where(table["group"] != "", table["id"] + " alone"))
    )
    table["picture"] = components(len(table), same_bytes)
    table["in_group"] = components(len(table), np.concatenate([same_bytes, same_group]))
    table["crowd"] = -1
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    writer.publish_bytes(paths.cache(config) / "images.parquet", buffer.getvalue())
    expected = manifest.Expected("prepare", 1, {})
    classes = sorted({row[2] for row in rows if row[0] == "train"})
    facts = {"classes": classes, "classes_digest": "0" * 16, "train_digest": "1" * 16}
    manifest.publish(paths.cache_manifest(config), expected, [], 0.0, {**facts, "shards": []})


def run(config: Config, force: bool = False) -> None:
    folds.run(config, argparse.Namespace(force=force))


def content(config: Config) -> tuple[bytes, bytes]:
    return paths.folds_table(config).read_bytes(), paths.folds_record(config).read_bytes()


def fold_by_id(config: Config) -> dict[str, int]:
    found = load_folds(config)
    return dict(zip(found.ids, found.fold_of.tolist(), strict=True))


def with_picture(names: Sequence[str], picture: int) -> list[Row]:
    """Give these ids of `rows_of` one picture."""
    return [(*row[:3], picture if row[1] in names else -1) for row in rows_of()]


def in_two_folds(config: Config) -> tuple[list[str], list[str]]:
    """Return the ids of fold 0 and those of fold 1."""
    fold_of = fold_by_id(config)
    zero, one = ([name for name, fold in fold_of.items() if fold == k] for k in (0, 1))
    return zero, one
