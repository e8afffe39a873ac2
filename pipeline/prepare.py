"""Prepare: look at every image once, list what is wrong with it, and keep its pixels ready for training.

Finds the layout of the data folder by itself, reads each file whole, and writes data/NAME/.cache:
images.parquet, a table with a row for each image, shards of decoded pixels, as large as the members need
them, and, of many images, pictures.npz, by which duplicates are found sooner the next time. Run again, it
looks only at files whose size, time or inode changed. Files that can't be used are named with their reasons,
all at once, and stop it, unless data.unreadable=skip leaves them out.
"""

import argparse
import contextlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import interrupt, terminal
from pipeline.artifacts import lock, manifest, paths, writer
from pipeline.artifacts.state import State, waiting
from pipeline.config import Config
from pipeline.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.dataset.survey import Survey

STAGE = "prepare"
VERSION = 2  # 2: images.parquet has the column length
SHOWN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's own flags."""
    parser.add_argument(
        "--verify", action="store_true", help="hash all images and shards again, whatever their times say"
    )


def states(config: Config) -> list[State]:
    """Say whether the audit and the cache are those of the files that are there now."""
    fetched = bool(config.data.drawn or config.data.kaggle or config.data.kaggle_dataset)
    if fetched and not paths.download_manifest(config).exists():
        return [waiting(STAGE)]
    from pipeline.dataset import survey

    try:
        now = survey.survey(config)
    except DataError as error:
        return [State(STAGE, "to do", str(error))]
    found = manifest.read(paths.cache_manifest(config))
    why = survey.stale(now, survey.expected(config, now, STAGE, VERSION))
    if lock.is_held(now.folder / "prepare.lock"):
        return [State(STAGE, "running", why or "")]
    if found is None:
        return [State(STAGE, "to do", why or "")]
    return [State(STAGE, "stale" if why else "done", why or "", seconds=found["seconds"])]


def run(config: Config, options: argparse.Namespace) -> None:
    """Audit and cache what is new or changed; raises DataError listing the images that can't be used."""
    from pipeline.dataset import survey

    started = time.monotonic()
    now = survey.survey(config)
    expected = survey.expected(config, now, STAGE, VERSION)
    why = survey.stale(now, expected)
    if why is None and not options.verify:
        terminal.stage(STAGE, "up to date")
        return
    terminal.stage(STAGE, f"{now.table.found}{manifest.because(why or 'verifying')}")
    _warn_of_missing(now)
    writer.require_space(now.folder, 0, "the cache of decoded images")
    with lock.hold(now.folder / "prepare.lock", "the image cache"), interrupt.caught():
        _publish(config, now, options.verify, started)


def _warn_of_missing(now: "Survey") -> None:
    # Said before the others are read, which may take minutes; the list of all problems comes after.
    missing = now.rows[now.rows["path"] == ""]
    if len(missing):
        first = f"id {missing['id'].iloc[0]}: no {missing['expected'].iloc[0]}"
        terminal.warn(
            f"{len(missing):,} of {len(now.rows):,} images are missing in {now.table.roots.data} ({first})."
        )


def _publish(config: Config, now: "Survey", verify: bool, started: float) -> None:
    from pipeline.dataset import audit_table, cache, shards, survey
    from pipeline.dataset.twins import album, grouping

    now = shards.decide_codec(now)
    before, known = survey.read_audit(now.folder), manifest.read(paths.cache_manifest(config))
    pictures = album.open_album(now.folder / "pictures.npz", {**now.parameters, "groups": grouping.VERSION})
    filled = shards.fill_shards(now, config.cache.workers, verify, pictures)
    audit = audit_table.audit_table(now, filled)
    if verify and before is not None:
        _warn_of_changed(survey.changed_unseen(before, audit))
    table_path = now.folder / "images.parquet"
    if refused := audit_table.refusal(config, audit, str(table_path)):
        _publish_if_new(table_path, _parquet(audit))
        raise DataError(refused)
    same = known is not None and known["config"].get("groups") == grouping.VERSION
    images = cache.cache_of(now.folder, audit, [shard.digest for shard in filled])
    with _progress() as show:
        audit = grouping.with_groups(
            audit, images, before if same else None, config.cache.workers, show, pictures
        )
    pictures.keep()
    _publish_if_new(table_path, _parquet(audit))
    facts = audit_table.facts_of(now, audit, filled)
    expected = survey.expected(config, now, STAGE, VERSION)
    if known is None or known["facts"] != facts or manifest.stale(paths.cache_manifest(config), expected):
        seconds = time.monotonic() - started
        manifest.publish(paths.cache_manifest(config), expected, [table_path], seconds, facts)
    _tell(audit, facts, time.monotonic() - started)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    started = time.monotonic()
    with terminal.progress(STAGE) as line:

        def show(share: float, text: str) -> None:
            left = terminal.duration((time.monotonic() - started) * (1 - share) / max(share, 1e-3))
            line.update(share, f"{text}, {left} left")

        yield show


def _warn_of_changed(ids: list[str]) -> None:
    if ids:
        named = ", ".join(ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
        counted = f"{len(ids):,} image{'s' if len(ids) > 1 else ''}"
        terminal.warn(f"content changed behind unchanged times: {counted} ({named}).")


def _tell(audit: "pd.DataFrame", facts: dict[str, Any], seconds: float) -> None:
    usable = audit[audit["shard"] >= 0]
    raw_bytes = (usable["cached_height"] * usable["cached_width"]).sum() * 3
    megabytes = (raw_bytes if facts["codec"] == "raw" else usable["length"].sum()) / 1e6
    text = (
        f"{len(usable):,} images cached at {facts['short_side']} px, {megabytes:,.0f} MB ({facts['codec']})"
    )
    notes = usable.loc[usable["note"] != "", "note"].value_counts().sort_index()
    if len(notes):
        told = ", ".join(f"{count} {note}" for note, count in notes.items())
        text += f"; read, but odd: {told}"
    terminal.stage(STAGE, f"{text}; {terminal.duration(seconds)}")
    unused = audit[audit["shard"] < 0]
    for split, rows in unused.groupby("split", sort=False):
        first = rows.iloc[0]
        what = "predicted from the class priors" if split in ("val", "test") else "left out"
        named = f"the first is {first['path'] or first['id']}: {first['problem']}"
        terminal.warn(f"{split} images that can't be used are {what}: {len(rows):,} ({named}).")


def _parquet(table: "pd.DataFrame") -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _publish_if_new(path: Path, data: bytes) -> None:
    if not path.exists() or path.read_bytes() != data:
        writer.publish_bytes(path, data)


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
