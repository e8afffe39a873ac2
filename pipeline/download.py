"""Download: bring the competition's files into the data folder, once; draw them for the sample competition.

data.kaggle names a competition (its rules must be accepted on its page, and credentials be set up),
data.kaggle_dataset a public data set as OWNER/NAME (no credentials needed), data.drawn the sample
competition. Files that are in the data folder already are used and never overwritten; only the images of an
earlier drawing in the same folder are taken away before the next one.
"""

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

from pipeline import terminal
from pipeline.artifacts import lock, manifest, paths, state, writer
from pipeline.artifacts.manifest import Expected
from pipeline.artifacts.state import State
from pipeline.config import Config
from pipeline.errors import DataError

STAGE = "download"
VERSION = 1
TABLES = (".csv", ".txt", ".json", ".tsv")
MOST_TABLES = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Download has no flags of its own."""


def states(config: Config) -> list[State]:
    """Say whether the competition's files are there."""
    source = _source(config)
    if not source:
        return [State(STAGE, "done", f"nothing to download: using {paths.data_root(config)}")]
    if not config.data.drawn and _users_own(config):
        return [State(STAGE, "done", f"already there: {paths.data_root(config)}")]
    found = state.of(paths.download_manifest(config), _expected(config), lock_file=_lock(config))
    kept = found.state == "stale" and _reason(config) is None
    return [dataclasses.replace(found, state="done", why="") if kept else found]


def run(config: Config, options: argparse.Namespace) -> None:
    """Draw or fetch what the configuration names, unless it is there."""
    root = paths.data_root(config)
    if not _source(config):
        terminal.stage(STAGE, f"nothing to download: using {root}")
        return
    reason = _reason(config)
    if reason is None:
        terminal.stage(STAGE, "up to date")
        return
    with lock.hold(_lock(config), f"the download of {config.data.name}"):
        if config.data.drawn:
            _draw(config, root, reason)
        elif _users_own(config):
            terminal.stage(STAGE, f"already there: {root} has files; they are used as they are")
        else:
            _fetch(config, root, reason)


def _draw(config: Config, root: Path, reason: str) -> None:
    from pipeline.dataset.sample import draw_competition
    from pipeline.dataset.sample_plan import plan_competition

    drawn = config.data.drawn
    assert drawn is not None
    if _users_own(config) or any("data.drawn.images" not in item for item in _ours(config)):
        raise DataError(
            f"{root} has files that no drawing of {config.data.name} is known to have made, and they aren't "
            "overwritten: move them away, or set data.root to another folder."
        )
    plan_competition(drawn.classes, drawn.images, drawn.seed)  # refuses numbers before anything is written
    began = time.monotonic()
    terminal.stage(
        STAGE, f"drawing the sample competition, {drawn.images} images into {root}{manifest.because(reason)}"
    )
    earlier = [item for item in _ours(config) if item != _expected(config).config]
    _begin(config)
    _remove_drawn(root, earlier)
    with terminal.progress(STAGE) as line:
        draw_competition(
            root,
            classes=drawn.classes,
            images=drawn.images,
            seed=drawn.seed,
            progress=lambda done, total: line.update(done / total, f"{done} of {total} images"),
        )
    tables = [root / "train.csv", root / "sample_submission.csv", paths.solution(config)]
    seconds = time.monotonic() - began
    _commit(config, tables, seconds, {"images": drawn.images})
    terminal.stage(STAGE, f"{drawn.images} images of {drawn.classes} species in {terminal.duration(seconds)}")


def _remove_drawn(root: Path, earlier: list[dict[str, Any]]) -> None:
    """Remove the images of earlier drawings of other numbers, and nothing else, from among the new ones."""
    from pipeline.dataset.sample_plan import plan_competition

    for item in earlier:
        classes, images, seed = (item[f"data.drawn.{name}"] for name in ("classes", "images", "seed"))
        for row in plan_competition(classes, images, seed):
            image = root / row.split / f"{row.id}.jpg"
            writer.remove(image)
            writer.remove(image.with_name(f"{image.name}.tmp"))


def _fetch(config: Config, root: Path, reason: str) -> None:
    from pipeline.dataset import archive
    from pipeline.leaderboard import client

    slug = config.data.kaggle
    _check_same_source(config, root)
    began = time.monotonic()
    terminal.stage(STAGE, f"{_source(config)} into {root}{manifest.because(reason)}")
    writer.require_space(root, 0, "the competition's files")
    folder = paths.download_manifest(config).parent / "archive"
    with terminal.progress(STAGE) as line:
        fetch = client.download_competition if slug else client.download_dataset
        packed = fetch(
            slug or config.data.kaggle_dataset,
            folder,
            progress=lambda done: line.update(0.0, f"{done / 1e6:,.1f} MB fetched"),
        )
        files = archive.members(packed)
        _begin(config)
        archive.extract(
            packed,
            root,
            files,
            progress=lambda done, total: line.update(
                done / max(total, 1), f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB unpacked"
            ),
        )
    total = sum(file.size for file in files)
    tables = sorted(root / file.name for file in files if Path(file.name).suffix.lower() in TABLES)
    seconds = time.monotonic() - began
    _commit(config, tables[:MOST_TABLES], seconds, {"files": len(files), "bytes": total})
    writer.remove(folder)
    terminal.stage(STAGE, f"{len(files)} files, {total / 1e6:,.1f} MB in {terminal.duration(seconds)}")


def _source(config: Config) -> str:
    data = config.data
    if data.drawn:
        return "the drawn sample competition"
    if data.kaggle:
        return f"competition {data.kaggle}"
    return f"data set {data.kaggle_dataset}" if data.kaggle_dataset else ""


def _expected(config: Config) -> Expected:
    fields: dict[str, Any]
    if config.data.drawn:
        drawn = dataclasses.asdict(config.data.drawn)
        fields = {f"data.drawn.{name}": value for name, value in drawn.items()}
    elif config.data.kaggle:
        fields = {"data.kaggle": config.data.kaggle}
    else:
        fields = {"data.kaggle_dataset": config.data.kaggle_dataset}
    root = _root_name(config)
    return Expected(STAGE, VERSION, fields | ({"data.root": root} if root else {}))


def _root_name(config: Config) -> str:
    """Name the data folder as the manifest does: "" by default, else so that a moved project fits."""
    known = next((item["data.root"] for item in _ours(config) if "data.root" in item), None)
    if known is not None:
        return known
    root, home, here = paths.data_root(config).resolve(), _home(config), Path.cwd()
    if root == home:
        return ""
    both = root.is_relative_to(here) and home.is_relative_to(here)
    return os.path.relpath(root, home) if both else str(root)


def _ours(config: Config) -> list[dict[str, Any]]:
    """Return what downloads of ours wrote, or began to write, into this very data folder."""
    found = manifest.read(paths.download_manifest(config))
    begun = manifest.read_json(_marker(config)) or {}
    root, home = paths.data_root(config).resolve(), _home(config)
    items = [*begun.get("begun", []), *([found["config"]] if found else [])]
    return [item for item in items if (home / item.get("data.root", "")).resolve() == root]


def _home(config: Config) -> Path:
    return paths.download_manifest(config).parent.parent.resolve()


def _reason(config: Config) -> str | None:
    """Say why the files must be drawn or fetched; a fetched table that was edited since is left alone."""
    path, expected = paths.download_manifest(config), _expected(config)
    reason, found = manifest.stale(path, expected), manifest.read(path)
    if reason is None or found is None or config.data.drawn or found["config"] != expected.config:
        return reason
    return None if all((path.parent / name).exists() for name in found["outputs"]) else reason


def _users_own(config: Config) -> bool:
    """Tell whether the data folder has files that no download of ours began to write."""
    root = paths.data_root(config)
    return not _ours(config) and root.is_dir() and any(item.name != ".cache" for item in root.iterdir())


def _check_same_source(config: Config, root: Path) -> None:
    other = next((item for item in _ours(config) if item != _expected(config).config), None)
    if other is not None:
        raise DataError(
            f"{root} holds {other}, the configuration names {_source(config)}: give it another "
            "data.name, or remove the folder."
        )


def _begin(config: Config) -> None:
    # What lies in the data folder from here on is ours, even if the work is killed half-way.
    begun = [*_ours(config), dict(_expected(config).config)]
    writer.publish_bytes(_marker(config), json.dumps({"begun": begun}).encode())
    if config.data.drawn:
        writer.remove(paths.download_manifest(config))


def _commit(config: Config, tables: list[Path], seconds: float, facts: dict[str, int]) -> None:
    manifest.publish(paths.download_manifest(config), _expected(config), tables, seconds, facts)
    writer.remove(_marker(config))


def _marker(config: Config) -> Path:
    return paths.download_manifest(config).with_name("download.begun")


def _lock(config: Config) -> Path:
    return paths.download_manifest(config).with_name("download.lock")


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
