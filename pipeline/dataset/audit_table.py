"""The audit table: a row an image, what is wrong with it, and what the other stages go by."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest
from pipeline.config import Config
from pipeline.dataset.cache import LONGEST, Record, Shard
from pipeline.dataset.layouts.image_files import LABELLED
from pipeline.dataset.official import predicted_rows
from pipeline.dataset.survey import Survey

SPLITS = ("train", "extra", "val", "test")
LISTED = 20
TINY = 16  # pixels of a short side that hardly shows anything
COLUMNS = (
    *("sha256", "width", "height", "phash", "problem", "note"),
    *("shard", "offset", "length", "cached_height", "cached_width"),
)


def audit_table(now: Survey, shards: list[Shard]) -> pd.DataFrame:
    """Join the survey's rows with what the shards know of them: the table that is images.parquet."""
    records = [record for shard in shards for record in shard.records]
    found: dict[str, Any] = dict(zip(Record._fields, zip(*records, strict=True), strict=True))
    number = np.repeat(np.arange(len(shards)), [len(shard.records) for shard in shards])
    found["shard"] = np.where(np.array(found["problem"]) == "", number, -1)
    audit = now.rows.drop(columns="expected")
    for name in COLUMNS:
        audit[name] = np.array(found[name], np.uint64) if name == "phash" else found[name]
    return _with_size_notes(audit)


def _with_size_notes(audit: pd.DataFrame) -> pd.DataFrame:
    """Note the pictures whose size alone is odd; not in the shards, which hold what the files are."""
    short, long = audit[["width", "height"]].min(axis=1), audit[["width", "height"]].max(axis=1)
    usable = audit["shard"] >= 0
    for text, odd in (
        (f"smaller than {TINY} pixels", short < TINY),
        (f"longer than {LONGEST}:1, ends cut off", long > LONGEST * short),
    ):
        rows = usable & odd
        audit.loc[rows, "note"] = [f"{note}; {text}" if note else text for note in audit.loc[rows, "note"]]
    return audit


def facts_of(now: Survey, audit: pd.DataFrame, shards: list[Shard]) -> dict[str, Any]:
    """Return what prepare's manifest says of the images, by which other stages go.

    rows and problems count the images of each split: of train and extra those that can be used, of val and
    test all, since each gets a prediction. The digests say what training, predictions and the official score
    depend on; neither the order of the rows nor the cache's size changes them.
    """
    usable = audit["shard"] >= 0
    trained, predicted = audit["split"].isin(LABELLED) & usable, ~audit["split"].isin(LABELLED)
    made_with = {
        name: now.parameters[name] for name in now.parameters if name not in ("max_pixels", "short_side")
    }
    # The labels of val and test rows are known to the official score alone.
    content = audit.assign(usable=usable, label=audit["label"].where(~predicted, ""))
    columns = ["id", "label", "sha256", "usable"]
    official = _listed(predicted_rows(audit[audit["label"] != ""]), ["id", "label", "twin"])
    counted = trained | predicted
    return {
        "layout": now.table.layout,
        "found": now.table.found,
        "classes": now.table.classes,
        "class_codes": now.table.codes,
        "classes_digest": manifest.digest(now.table.classes),
        "rows": {split: int((counted & (audit["split"] == split)).sum()) for split in SPLITS},
        "problems": {split: int((~usable & (audit["split"] == split)).sum()) for split in SPLITS},
        "train_digest": manifest.digest([made_with, _listed(content[trained], columns)]),
        "test_digest": manifest.digest([made_with, _listed(content[predicted], columns)]),
        "official_digest": manifest.digest(official) if official else "",
        "short_side": now.parameters["short_side"],
        "codec": now.parameters["codec"],
        "shards": [shard.digest for shard in shards],
        "sample_submission": str(now.table.sample_submission or ""),
    }


def _listed(rows: pd.DataFrame, columns: list[str]) -> list[list[Any]]:
    return rows.sort_values("id")[columns].to_numpy().tolist()


def refusal(config: Config, audit: pd.DataFrame, table: str) -> str:
    """Name the images that can't be used and say why that ends the run; "" where it doesn't.

    data.unreadable=skip leaves images out, but neither all of a split nor all of a class. `table` is the file
    with those that aren't named.
    """
    bad = audit["shard"] < 0
    if config.data.unreadable == "error":
        mend = (
            "Mend, add or remove them, or leave them out with data.unreadable=skip (test images then get the"
            " class priors)."
        )
        return _listing(audit[bad], audit, table, mend) if bad.any() else ""
    for split in ("train", "test", "val"):
        rows = audit[audit["split"] == split]
        if len(rows) and bad[rows.index].all():
            return _listing(rows, rows, table, f"No {split} image is left: mend some of them.")
    labelled = audit[audit["split"].isin(LABELLED)]
    lost = set(labelled["label"]) - set(labelled.loc[~bad[labelled.index], "label"])
    if lost:
        rows = labelled[labelled["label"].isin(lost)]
        names = ", ".join(map(repr, sorted(lost)[:LISTED]))
        return _listing(rows, rows, table, f"No image of these classes is left: {names}: mend some of them.")
    return ""


def _listing(problems: pd.DataFrame, among: pd.DataFrame, table: str, what_to_do: str) -> str:
    shown = problems[["path", "id", "problem"]].head(LISTED).to_numpy().tolist()
    lines = [f"  {path or 'id ' + name}: {problem}" for path, name, problem in shown]
    if len(problems) > LISTED:
        lines.append(f"  … and {len(problems) - LISTED:,} more, all of them in {table}")
    head = f"{len(problems):,} of {len(among):,} images can't be used:"
    return "\n".join([head, *lines, what_to_do])
