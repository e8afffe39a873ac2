"""Which rows train a fold, in training itself: twins in data.extra, blocks of time."""

import numpy as np
import pandas as pd

from pipeline.artifacts import paths
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.learn.work import fold_data, open_work
from tests import tiny


def rearranged(config, column, value_of):
    """Give a column of the audit table other values, by id, and make new folds of it."""
    path = paths.cache(config) / "images.parquet"
    audit = pd.read_parquet(path)
    audit[column] = [value_of(row) for row in audit.to_dict("records")]
    audit.to_parquet(path)
    tiny.run("folds", config, "--force")
    return load_folds(config)


def test_an_extra_image_trains_every_fold_but_that_of_its_twin(competition):
    config = tiny.configure(competition)
    before = load_folds(config)
    twin, *_ = (i for i, group in enumerate(before.groups) if (before.groups == group).sum() > 1)
    alone, *_ = (i for i, group in enumerate(before.groups) if (before.groups == group).sum() == 1)
    extra = [before.ids[twin], before.ids[alone]]
    folds = rearranged(config, "split", lambda row: "extra" if row["id"] in extra else row["split"])
    place = {name: folds.ids.index(name) for name in extra}
    scored = next(
        i for i in np.flatnonzero(folds.groups == folds.groups[place[extra[0]]]) if i not in place.values()
    )
    work = open_work(config, [])
    for k in (0, 1):
        trained = set(work.cache.table["id"].to_numpy()[fold_data(work, k).train_rows])
        assert extra[1] in trained
        assert (extra[0] in trained) == (folds.fold_of[scored] != k)
        assert trained == {folds.ids[i] for i in np.flatnonzero(folds.fold_of != k)} - (
            {extra[0]} if folds.fold_of[scored] == k else set()
        )


def test_folds_by_time_are_trained_on_the_past_and_blended(competition, capsys):
    config = tiny.configure(competition, {"data": {"time_column": "day"}})
    folds = rearranged(config, "time", lambda row: row["id"] if row["split"] == "train" else "")
    blocks = [sorted(np.array(folds.ids)[folds.fold_of == k]) for k in (-1, 0, 1)]
    assert [name for block in blocks for name in block] == folds.ids
    work = open_work(config, [])
    for k in (0, 1):
        trained = work.cache.table["id"].to_numpy()[fold_data(work, k).train_rows]
        assert set(trained) <= {name for block in blocks[: k + 1] for name in block}
    for stage in ("train", "predict", "ensemble"):
        tiny.run(stage, config)
    scored = np.load(paths.ensemble(config) / "oof.npz")
    assert sorted(scored["ids"].tolist()) == sorted(blocks[1] + blocks[2])
    assert "Submission" in capsys.readouterr().out
