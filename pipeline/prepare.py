"""Prepare: look at every image once, list what is wrong with it, and keep its pixels ready for training.

Finds the layout of the data folder by itself, reads each file whole, and writes data/NAME/.cache:
images.parquet, a table with a row for each image, and shards of decoded pixels, as large as the members need
them. Run again, it looks only at files whose size, time or inode changed. Files that can't be used are named
with their reasons, all at once, and stop it, unless data.unreadable=skip leaves them out.
"""

import argparse
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import interrupt, terminal
from pipeline.artifacts import lock, manifest, paths, writer
from pipeline.artifacts.state import State, waiting
from pipeline.config import Config
from pipeline.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.dataset.cache import Shard
    from pipeline.dataset.survey import Survey

STAGE = "prepare"
VERSION = 1
LISTED = 20


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
    if config.data.unreadable == "error":
        survey.refuse_missing(now)
    writer.require_space(now.folder, 0, "the cache of decoded images")
    with lock.hold(now.folder / "prepare.lock", "the image cache"), interrupt.caught():
        _publish(config, now, expected, options.verify, started)


def _publish(
    config: Config, now: "Survey", expected: manifest.Expected, verify: bool, started: float
) -> None:
    from pipeline.dataset.shards import fill_shards

    shards = fill_shards(now, config.cache.workers, verify)
    audit = _grouped(config, now, audit_table(now, shards), shards)
    table_path = now.folder / "images.parquet"
    _publish_if_new(table_path, _parquet(audit))
    problems = audit[audit["problem"] != ""]
    if len(problems) and (config.data.unreadable == "error" or not (audit["shard"] >= 0).any()):
        raise DataError(_listing(problems, len(audit), str(table_path)))
    facts = _facts(now, audit, shards)
    known = manifest.read(paths.cache_manifest(config))
    if known is None or known["facts"] != facts or manifest.stale(paths.cache_manifest(config), expected):
        seconds = time.monotonic() - started
        manifest.publish(paths.cache_manifest(config), expected, [table_path], seconds, facts)
    _tell(now, audit, facts, time.monotonic() - started)


def _grouped(config: Config, now: "Survey", audit: "pd.DataFrame", shards: "list[Shard]") -> "pd.DataFrame":
    """Add the columns of groups, found again only where images or the user's groups changed."""
    from pipeline.dataset import cache, grouping, survey

    known = manifest.read(paths.cache_manifest(config))
    same = known is not None and known["config"].get("groups") == grouping.VERSION
    images = cache.cache_of(now.folder, audit, [shard.digest for shard in shards])
    return grouping.with_groups(audit, images, survey.read_audit(now.folder) if same else None)


def audit_table(now: "Survey", shards: "list[Shard]") -> "pd.DataFrame":
    """Join the survey's rows with what the shards know of them: the table that is images.parquet."""
    import numpy as np
    import pandas as pd

    records = pd.DataFrame(
        [record for shard in shards for record in shard.records], columns=list(shards[0].records[0]._fields)
    )
    records["phash"] = records["phash"].astype(np.uint64)
    number = np.repeat(np.arange(len(shards)), [len(shard.records) for shard in shards])
    records["shard"] = np.where(records["problem"] == "", number, -1)
    rows = now.rows.drop(columns="expected")
    audit = pd.concat([rows, records.drop(columns="path")], axis=1)
    order = ["sha256", "width", "height", "phash", "problem", "note", "shard", "offset"]
    return audit[[*rows.columns, *order, "cached_height", "cached_width"]]


def _facts(now: "Survey", audit: "pd.DataFrame", shards: "list[Shard]") -> dict[str, object]:
    usable = audit["shard"] >= 0
    train, test = audit["split"] == "train", audit["split"] == "test"
    # Not the cache's size: a larger member that is added later makes no trained fold stale.
    made_with = {
        name: now.parameters[name] for name in now.parameters if name not in ("max_pixels", "short_side")
    }
    content = audit.assign(usable=usable)[["id", "label", "sha256", "usable"]]
    digests = {
        # Every test id counts, since each gets a prediction; the order of the rows changes nothing.
        f"{name}_digest": manifest.digest([made_with, content[part].sort_values("id").to_numpy().tolist()])
        for name, part in (("train", train & usable), ("test", test))
    }
    sample = now.table.sample_submission
    return {
        "layout": now.table.layout,
        "found": now.table.found,
        "classes": now.table.classes,
        "classes_digest": manifest.digest(now.table.classes),
        "rows": {"train": int((train & usable).sum()), "test": int(test.sum())},
        "problems": {"train": int((train & ~usable).sum()), "test": int((test & ~usable).sum())},
        **digests,
        "short_side": now.parameters["short_side"],
        "codec": now.parameters["codec"],
        "shards": [shard.digest for shard in shards],
        "sample_submission": str(sample or ""),
    }


def _listing(problems: "pd.DataFrame", total: int, table: str) -> str:
    shown = problems[["path", "id", "problem"]].head(LISTED).to_numpy().tolist()
    lines = [f"  {path or 'id ' + name}: {problem}" for path, name, problem in shown]
    if len(problems) > LISTED:
        lines.append(f"  … and {len(problems) - LISTED:,} more, all of them in {table}")
    return "\n".join(
        [
            f"{len(problems):,} of {total:,} images can't be used:",
            *lines,
            "Mend or remove them, or leave them out with data.unreadable=skip (a test image then gets the"
            " class priors).",
        ]
    )


def _tell(now: "Survey", audit: "pd.DataFrame", facts: dict[str, object], seconds: float) -> None:
    usable = audit[audit["shard"] >= 0]
    megabytes = (usable["cached_height"] * usable["cached_width"]).sum() * 3 / 1e6
    text = f"{len(usable):,} images cached at {facts['short_side']} px, {megabytes:,.0f} MB (raw)"
    notes = usable.loc[usable["note"] != "", "note"].value_counts().sort_index()
    if len(notes):
        told = ", ".join(f"{count} {note}" for note, count in notes.items())
        text += f"; read, but odd: {told}"
    terminal.stage(STAGE, f"{text}; {terminal.duration(seconds)}")
    unused = audit[audit["shard"] < 0]
    for split, what in (("train", "left out"), ("test", "predicted from the class priors")):
        rows = unused[unused["split"] == split]
        if len(rows):
            first = rows.iloc[0]
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
