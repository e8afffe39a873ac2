"""Folds: decide once which images each model is scored on, so that all members are blended on the same split.

Every class is spread evenly over the folds. Images that show the same picture (equal bytes, or flipped,
cropped by a few per cent, compressed again) and images with an equal data.group_column stay in one fold: else
the score flatters itself. Writes folds/NAME.csv (id, label, group, fold) and folds/NAME.json (balance, rare
classes, duplicates), once. When the bytes or groups of images change later, the folds are kept if no group
lies in two of them. Else, and with other images, another folds.seed or folds.count, it refuses to overwrite
them; --force starts a new lineage, on which every member is trained again."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import terminal
from pipeline.artifacts import lock, manifest, paths
from pipeline.artifacts.state import State, waiting
from pipeline.config import Config
from pipeline.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.dataset.folds_file import Folds

STAGE = "folds"
VERSION = 1
LISTED = 5
RECORDED = 100  # of each kind of finding, in NAME.json


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
    from pipeline.dataset import folds_file

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
    from pipeline.dataset import folds_file

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
    """Record that the folds hold for the images as they are now; raises DataError where a group is split."""
    from pipeline.dataset import folds_file

    table = _prepared_images(config)
    train = table[table["split"] == "train"]
    fold_of = dict(zip(kept.ids, kept.fold_of.tolist(), strict=True))
    torn = folds_file.straddling(train.assign(fold=train["id"].map(fold_of)))
    if torn:
        raise DataError(f"{paths.folds_table(config)}: {why}, and now {torn}. {folds_file.WAY_OUT}")
    record = paths.folds_record(config)
    made_with = folds_file.read_record(record)
    folds_file.write_record(record, kept, {**made_with, **_images(config, table, train)})
    terminal.stage(STAGE, f"kept, since no group lies in two folds ({why}); {record} renewed")


def _write(config: Config, why: str, force: bool) -> None:
    from pipeline.dataset import folds_file

    table, record = paths.folds_table(config), paths.folds_record(config)
    if table.exists() and record.exists() and not force:
        raise DataError(f"{why} {folds_file.WAY_OUT}")
    promised = None if force else folds_file.promised_digest(table, record)
    folds, facts = _make_folds(config)
    # one of the two files alone is what a kill between them leaves: then the same folds come out again
    if promised not in (None, folds.digest):
        raise DataError(f"{why}, and these settings and images give other folds. {folds_file.WAY_OUT}")
    folds_file.write_folds(table, record, folds, facts)
    _tell(folds, facts)


def _make_folds(config: Config) -> "tuple[Folds, dict[str, Any]]":
    """Split the training images, check the split: the folds, and what NAME.json says of them."""
    from pipeline.dataset import folds_file
    from pipeline.score import splits

    table = _prepared_images(config)
    train = table[table["split"] == "train"]
    groups = train["in_group"].factorize()[0]
    labels = train["label"].to_numpy(dtype=object)
    try:
        fold_of = splits.make_folds(labels, groups, config.folds.count, config.folds.seed)
    except ValueError as error:
        raise DataError(f"{paths.data_root(config)}: {error}. Set folds.count.") from error
    problems = splits.check_folds(fold_of, labels, groups, config.folds.count)
    split_up = [problem for problem in problems if not problem.startswith("class ")]
    if split_up:
        raise DataError(f"the folds came out wrong: {'; '.join(split_up[:LISTED])}. Set another folds.seed.")
    folds = folds_file.build_folds(train["id"].tolist(), labels.tolist(), groups, fold_of)
    balance = splits.fold_balance(fold_of, labels).tolist()
    return folds, {
        "seed": config.folds.seed,
        "count": config.folds.count,
        "rows": len(folds.ids),
        "groups": int(groups.max()) + 1,
        "balance": dict(zip(sorted(set(folds.labels)), balance, strict=True)),
        "rare_classes": splits.rare_classes(labels, config.folds.count),
        "problems": problems,
        **_images(config, table, train),
    }


def _images(config: Config, table: "pd.DataFrame", train: "pd.DataFrame") -> dict[str, Any]:
    """Return what NAME.json says of the images, which is renewed when they change and the folds are kept."""
    from pipeline.dataset import folds_file

    known = manifest.facts(paths.cache_manifest(config))
    return {
        "group_column": config.data.group_column,
        "images_digest": folds_file.images_digest(train),
        "classes_digest": known["classes_digest"],
        "train_digest": known["train_digest"],
        **_duplicates(table, train),
    }


def _prepared_images(config: Config) -> "pd.DataFrame":
    """Return the images that can be used by split and id, so that the order of train.csv changes nothing."""
    from pipeline.dataset import cache

    return cache.open_cache(paths.cache(config)).table.sort_values(["split", "id"])


def _duplicates(table: "pd.DataFrame", train: "pd.DataFrame") -> dict[str, Any]:
    """Return what is known of pictures that occur twice: counts, and the first of each kind by id."""
    test = table[table["split"] == "test"]
    labels_of = train.groupby("picture")["label"].nunique()
    torn = train[train["picture"].isin(labels_of.index[labels_of > 1])]
    torn = torn.drop_duplicates(["picture", "label"])
    conflicts = [part[["id", "label"]].to_numpy().tolist() for _, part in torn.groupby("picture", sort=False)]
    twins = test[test["picture"].isin(train["picture"])]
    unique = train.drop_duplicates("picture")
    first_of = dict(zip(unique["picture"], unique["id"], strict=True))
    seen = twins[["id", "picture"]].head(RECORDED).to_numpy().tolist()
    files = train["sha256"].nunique()
    crowds = [part["id"].tolist() for _, part in table[table["crowd"] >= 0].groupby("crowd")]
    return {
        "duplicates": {
            "exact": len(train) - files,
            "near": files - train["picture"].nunique(),
            "groups_too_large": len(crowds),
            "label_conflicts": len(conflicts),
            "test_twins": len(twins),
            "exact_test_twins": int(twins["sha256"].isin(train["sha256"]).sum()),
        },
        "conflicts": conflicts[:RECORDED],
        "test_twins": [[name, first_of[picture]] for name, picture in seen],
        "too_large": [ids[:RECORDED] for ids in crowds[:RECORDED]],
    }


def _tell(folds: "Folds", facts: dict[str, Any]) -> None:
    counts = facts["duplicates"]
    sizes = {name: sum(row) for name, row in facts["balance"].items()}
    smallest = min(sizes, key=lambda name: sizes[name])
    terminal.stage(
        STAGE,
        f"{facts['count']} folds of {facts['rows']:,} images in {facts['groups']:,} groups"
        f" ({counts['exact']:,} exact copies, {counts['near']:,} near-duplicates), {len(sizes):,} classes;"
        f" smallest class {smallest} has {sizes[smallest]} images",
    )
    rare = [f"{name}, {sizes[name]}" for name in facts["rare_classes"]]
    conflicts = [" and ".join(f"{name} {label}" for name, label in rows[:2]) for rows in facts["conflicts"]]
    twins = [f"{test} is {train}" for test, train in facts["test_twins"]]
    large = [f"{', '.join(ids[:2])} …" for ids in facts["too_large"]]
    for count, said, shown in (
        (
            len(rare),
            f"classes with fewer images than the {facts['count']} folds, which some folds lack",
            rare,
        ),
        (counts["label_conflicts"], "pictures with two labels", conflicts),
        (
            counts["test_twins"],
            f"test images with a twin in train, {counts['exact_test_twins']} of them exact",
            twins,
        ),
        (
            counts["groups_too_large"],
            "sets of images alike, too large to be one picture and so not merged",
            large,
        ),
        (len(facts["problems"]), "gaps in the folds", facts["problems"]),
    ):
        if count:
            more = "; …" if count > LISTED else ""
            terminal.warn(f"{said}: {count:,} ({'; '.join(shown[:LISTED])}{more})")


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
