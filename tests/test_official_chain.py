"""The chain on class folders with official splits: what is trained on, predicted, scored and submitted."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from pipeline.artifacts import paths
from pipeline.config import Config, resolve
from tests import tiny

MEMBER = [{"name": "a", "model": "test_resnet", "weights": "random"}]


@pytest.fixture
def folders(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay the drawn competition out as {train,val,test}/CLASS/ID.jpg; each fourth training one is of val."""
    data = paths.data_root(tiny.configure(finished))
    root = tmp_path / "given"
    train = pd.read_csv(data / "train.csv", dtype=str)
    solution = pd.read_csv(data.with_name(data.name + "-solution") / "solution.csv", dtype=str)
    rows = [("val" if i % 4 == 3 else "train", "train", *row) for i, row in enumerate(train.to_numpy())]
    rows += [("test", "test", *row) for row in solution[["id", "label"]].to_numpy()]
    for split, source, name, label in rows:
        target = root / split / label / f"{name}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data.absolute() / source / f"{name}.jpg", target)
    monkeypatch.chdir(tmp_path)
    return root


def configure(root: Path, use_val: str) -> Config:
    names = ("data", "runs", "folds", "submissions")
    raw = {
        "data": {"name": "given", "root": str(root), "use_val": use_val, "unreadable": "skip"},
        "cache": {"workers": 1},
        "folds": {"count": 2},
        "paths": {name: f"{use_val}/{name}" for name in names},
        "train": {**tiny.RECIPE, "epochs": 1},
        "members": MEMBER,
    }
    return resolve(raw, {}, "test")


def run_chain(config: Config) -> dict:
    for stage in tiny.CHAIN:
        tiny.run(stage, config)
    return json.loads((paths.ensemble(config) / "scores.json").read_bytes())


def images_of(root: Path, split: str) -> dict[str, str]:
    """Return the class of each image of a split by its id, as the folders say it."""
    return {str(file.relative_to(root)): file.parent.name for file in (root / split).rglob("*.jpg")}


def test_a_split_held_out_and_the_official_test_are_predicted_and_scored_apart(folders, capsys):
    config = configure(folders, "holdout")
    scores = run_chain(config)
    val, test = images_of(folders, "val"), images_of(folders, "test")
    assert scores["n"] == len(images_of(folders, "train"))
    assert scores["official"].keys() == {"val", "test"}
    with np.load(paths.ensemble(config) / "test.npz") as found:
        said = dict(zip(found["ids"].tolist(), found["classes"][found["predictions"]].tolist(), strict=True))
    assert said.keys() == {**val, **test}.keys()
    for split, labels in (("val", val), ("test", test)):
        mine = accuracy_score([labels[name] for name in labels], [said[name] for name in labels])
        assert scores["official"][split]["rows"] == len(labels)
        assert scores["official"][split]["scores"]["accuracy"] == pytest.approx(mine)
    with Path(scores["submission"]).open(newline="") as stream:
        assert {row["id"] for row in csv.DictReader(stream)} == test.keys()
    told = capsys.readouterr().out
    assert f"Official val split, {len(val)} images: accuracy" in told
    assert "val is held out" in told


def test_val_joins_the_folds_by_default_and_test_labels_train_nothing(folders):
    config = configure(folders, "train")
    scores = run_chain(config)
    assert scores["n"] == len(images_of(folders, "train")) + len(images_of(folders, "val"))
    assert scores["official"].keys() == {"test"}
    oof = np.load(paths.ensemble(config) / "oof.npz")["probs"].copy()
    # Another label of a test image changes the official score, and nothing else.
    moved = next((folders / "test").rglob("*.jpg"))
    other = next(folder for folder in (folders / "test").iterdir() if folder != moved.parent)
    moved.rename(other / moved.name)
    again = run_chain(config)
    assert again["official"]["test"]["rows"] == scores["official"]["test"]["rows"]
    assert np.array_equal(np.load(paths.ensemble(config) / "oof.npz")["probs"], oof)
    assert {name: again[name] for name in ("cross_fitted", "interval", "members")} == {
        name: scores[name] for name in ("cross_fitted", "interval", "members")
    }
