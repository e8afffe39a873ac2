"""Folds: decide once which images each model is scored on, so that all members are blended on the same split.

folds.kind = "grouped", the default, spreads every class evenly over the folds. Images that show the same
picture (equal bytes, or flipped, cropped by a few per cent, compressed again) and images with an equal
data.group_column stay in one fold: else the score flatters itself, as it does with "stratified", which goes
by class alone. "time", the default with a data.time_column, cuts the images in the order of time: each fold
is scored by a model of what came before it, and the first block is never scored. folds.file = "my.csv", with
columns id and fold, perhaps group and label, is your own assignment: folds count from 0, -1 is never scored,
and neither are images of data.extra. An image with a twin in the fold that is scored doesn't train its model.

Writes folds/NAME.csv (id, label, group, fold) and folds/NAME.json (balance, rare classes, duplicates), once.
When the bytes or groups of images change later, the folds are kept if they still hold. Else, and with other
images or settings, it refuses to overwrite them; --force starts a new lineage, on which every member is
trained again."""

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import terminal
from pipeline.artifacts import lock, manifest, paths
from pipeline.artifacts.state import State, waiting
from pipeline.config import Config
from pipeline.errors import DataError

if TYPE_CHECKING:
    from pipeline.dataset.folds.folds_file import Folds

STAGE = "folds"
VERSION = 1
LISTED = 5
HOW = {"grouped": "", "stratified": ", groups ignored", "time": ", in the order of time"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's own flags."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace folds made otherwise; every member is then trained again",
    )


def states(config: Config) -> list[State]:
    """Say whether the folds are there and those of the configuration and the images."""
    if manifest.read(paths.cache_manifest(config)) is None:
        return [waiting(STAGE)]
    from pipeline.dataset.folds import folds_file

    why, _ = folds_file.look(config)
    if lock.is_held(_lock(config)):
        return [State(STAGE, "running", why)]
    if not why:
        return [State(STAGE, "done")]
    return [State(STAGE, "stale" if paths.folds_record(config).exists() else "to do", why)]


def run(config: Config, options: argparse.Namespace) -> None:
    """Write the folds where there are none, keep those that still hold, replace others with --force.

    Raises DataError where the folds are others, LockedError while another process writes them.
    """
    from pipeline.dataset.folds import folds_file

    manifest.facts(paths.cache_manifest(config))
    why, _ = folds_file.look(config)
    if why:
        with lock.hold(_lock(config), "the fold assignment"):
            why, kept = folds_file.look(config)  # another process may have written them since
            if why and kept is not None and not options.force:
                _keep(config, kept, why)
                return
            if why:
                _write(config, why, options.force)
                return
    terminal.stage(STAGE, "up to date")


def _lock(config: Config) -> Path:
    return paths.competition(config) / "folds.lock"


def _keep(config: Config, kept: "Folds", why: str) -> None:
    """Record that the folds hold for the images as they are now; raises DataError where they don't."""
    from pipeline.dataset.folds import fold_facts, fold_making, folds_file

    rows = fold_making.fold_rows(config)
    if wrong := fold_making.misfit(config, kept, rows):
        raise DataError(f"{paths.folds_table(config)}: {why}, and now {wrong}. {folds_file.WAY_OUT}")
    record = paths.folds_record(config)
    folds_file.write_record(record, kept, fold_facts.record_facts(config, kept, rows))
    terminal.stage(STAGE, f"kept, since {fold_making.KEPT[kept.kind]} ({why}); {record} renewed")


def _write(config: Config, why: str, force: bool) -> None:
    from pipeline.dataset.folds import fold_facts, fold_making, folds_file

    table, record = paths.folds_table(config), paths.folds_record(config)
    if table.exists() and record.exists() and not force:
        raise DataError(f"{why} {folds_file.WAY_OUT}")
    rows = fold_making.fold_rows(config)
    folds = fold_making.make_folds(config, rows)
    facts = fold_facts.record_facts(config, folds, rows)
    promised = None if force else folds_file.promised_digest(table, record, folds.kind)
    # one of the two files alone is what a kill between them leaves: then the same folds come out again
    if promised not in (None, folds.digest):
        raise DataError(f"{why}, and these settings and images give other folds. {folds_file.WAY_OUT}")
    folds_file.write_folds(table, record, folds, facts)
    _tell(folds.kind, facts, rows.loc[rows["split"] == "train", "label"])


def _tell(kind: str, facts: dict[str, Any], labels: Iterable[str]) -> None:
    """Say what was made of training images with these labels."""
    counts = facts["duplicates"]
    sizes = dict.fromkeys(facts["balance"], 0) | Counter(labels)
    smallest = min(sizes, key=lambda name: sizes[name])
    own = f" from {facts['file']}" if facts["file"] else ""
    unscored = f"; {facts['unscored']:,} images are never scored" if facts["unscored"] else ""
    left_out = sum(facts["left_out"])
    if left_out:
        unscored += f"; {left_out:,} times an image doesn't train a fold that scores a twin of it"
    terminal.stage(
        STAGE,
        f"{facts['count']} folds{own} of {facts['rows']:,} images in {facts['groups']:,} groups"
        f"{HOW[kind]} ({counts['exact']:,} exact copies, {counts['near']:,} near-duplicates),"
        f" {len(sizes):,} classes; smallest class {smallest}: {sizes[smallest]}{unscored}",
    )
    for count, said, shown in _findings(facts, sizes):
        if count:
            more = "; …" if count > LISTED else ""
            terminal.warn(f"{said}: {count:,} ({'; '.join(shown[:LISTED])}{more})")


def _findings(facts: dict[str, Any], sizes: dict[str, int]) -> list[tuple[int, str, list[str]]]:
    """Return (how many, of what, the first of them) for all that a person should look at."""
    counts = facts["duplicates"]
    rare = [f"{name}, {sizes[name]}" for name in facts["rare_classes"]]
    conflicts = [" and ".join(f"{name} {label}" for name, label in rows[:2]) for rows in facts["conflicts"]]
    twins = [f"{test} is {train}" for test, train in facts["test_twins"]]
    large = [f"{', '.join(ids[:2])} …" for ids in facts["too_large"]]
    twin_text = f"test images with a twin in train, {counts['exact_test_twins']} of them exact"
    return [
        (
            len(rare),
            f"classes with fewer images than the {facts['count']} folds, which some folds lack",
            rare,
        ),
        (counts["label_conflicts"], "pictures with two labels", conflicts),
        (counts["test_twins"], twin_text, twins),
        (
            counts["groups_too_large"],
            "sets of images alike, too large to be one picture and so not merged",
            large,
        ),
        (facts["problem_count"], "problems of the folds", facts["problems"]),
    ]


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
