"""A competition of 10 training and 3 test pictures that `prepare` works on: drawn, changed, looked at."""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from pipeline import prepare
from pipeline.artifacts import manifest, paths, writer
from pipeline.config import Config, resolve
from pipeline.randomness import generator

IDS = [f"{i:03d}" for i in range(10)]
TEST_IDS = ["1e5", "NA", "007x"]


class Killed(BaseException):
    """As SIGKILL: nothing that handles errors sees it coming."""


def draw_competition(folder: Path) -> Path:
    """Draw the pictures, the id of each its seed, and a train.csv; return the data folder."""
    root = folder / "data" / "moths"
    for split, ids in (("train", IDS), ("test", TEST_IDS)):
        (root / split).mkdir(parents=True)
        for name in ids:
            draw(root / split / f"{name}.png", name)
    write_tables(root)
    return root


def write_tables(root: Path, ids: Sequence[str] = IDS) -> None:
    lines = [f"{name},{'ab'[i % 2]}" for i, name in enumerate(ids)]
    (root / "train.csv").write_text("\n".join(["id,label", *lines]) + "\n")
    (root / "sample_submission.csv").write_text("\n".join(["id,label", *(f"{name},a" for name in TEST_IDS)]))


def draw(path: Path, name: str, seed: int = 0) -> None:
    pixels = generator(seed, "picture", name).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def configure(root: Path, cache: dict[str, Any] | None = None, **data: Any) -> Config:
    folder = root.parent.parent
    return resolve(
        {
            "data": {"name": "moths", "root": str(root), **data},
            "cache": {"short_side": 16, "workers": 1, **(cache or {})},
            "paths": {name: str(folder / "out" / name) for name in ("data", "runs", "folds", "submissions")},
            "members": [{"name": "m", "model": "m"}],
        },
        {},
        "test",
    )


def run(config: Config, verify: bool = False) -> None:
    prepare.run(config, argparse.Namespace(verify=verify))


def replaced(config: Config, monkeypatch: pytest.MonkeyPatch, verify: bool = False) -> list[str]:
    """Run, and return the names of the files that were published."""
    events: list[tuple[str, str]] = []
    with monkeypatch.context() as patch:
        patch.setattr(writer, "on_event", lambda event, path: events.append((event, path.name)))
        run(config, verify)
    return [name for event, name in events if event == "replace"]


def table_of(config: Config) -> pd.DataFrame:
    return pd.read_parquet(paths.cache(config) / "images.parquet")


def facts_of(config: Config) -> dict[str, Any]:
    return manifest.facts(paths.cache_manifest(config))


def bytes_of(config: Config) -> dict[str, bytes]:
    files = paths.cache(config).iterdir()
    return {path.name: path.read_bytes() for path in files if path.name != "manifest.json"}
