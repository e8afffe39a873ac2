"""The page's plots and its worst images: what they show is what the predictions and logs say."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts import paths
from pipeline.config import Config
from pipeline.page.build import build
from tests import fake_competition as fake
from tests.html_page import Page

CLASSES = ["ant", "bee", "cicada", "dragonfly"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = fake.configure(tmp_path_factory.mktemp("whole"))
    fake.write_ensemble(config, fake.write_prepared(config, CLASSES))
    return config


@pytest.fixture(scope="module")
def page(whole: Config) -> Page:
    return Page(build(whole))


def test_confusion_counts_the_rule_and_not_the_most_probable_class(tmp_path: Path) -> None:
    config = fake.configure(tmp_path)
    train = fake.write_prepared(config, ["ant", "bee", "cicada"])
    fake.write_ensemble(config, train)
    path = paths.ensemble(config) / "oof.npz"
    with np.load(path) as arrays:
        content = {**arrays, "predictions": np.zeros(len(train), np.int64)}
    with path.open("wb") as stream:
        np.savez(stream, **content)
    trace = Page(build(config)).figures()["confusion"]["data"][0]
    counts = np.array([[cell[0] for cell in row] for row in trace["customdata"]])
    assert counts.sum() == len(train)
    assert counts[:, 0].tolist() == train["target"].value_counts().sort_index().tolist()
    assert np.array(trace["z"])[:, 0].tolist() == [1.0, 1.0, 1.0]


def test_worst_images_come_first_joined_by_id(whole: Config, page: Page) -> None:
    with np.load(paths.ensemble(whole) / "oof.npz") as arrays:
        ids, probs = arrays["ids"], arrays["probs"][0]
    images = pd.read_parquet(paths.cache(whole) / "images.parquet").set_index("id")
    true_prob = probs[np.arange(len(ids)), images.loc[ids, "target"].to_numpy()]
    expected = ids[np.argsort(true_prob)][:24].tolist()
    assert page.images_of("worst") == expected


def test_f1_stands_against_images_of_the_class(page: Page) -> None:
    figure = page.figures()["f1-by-images"]
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert sum(figure["data"][0]["x"]) == 59
    assert all(0 <= f1 <= 1 for f1 in figure["data"][0]["y"])


def test_curves_have_a_line_a_fold_and_forget_repeated_epochs(tmp_path: Path) -> None:
    config = fake.configure(tmp_path)
    fake.write_prepared(config, CLASSES)
    fake.write_runs(config)
    log = paths.fold(paths.run(config, config.members[0], fake.DIGEST), 0) / "log.jsonl"
    again = {"event": "epoch", "epoch": 3, "loss": 0.25, "valid_log_loss": float("nan"), "valid_score": 0.5}
    log.write_text(log.read_text() + json.dumps(again) + '\n{"event": "epo')
    figures = Page(build(config)).figures()
    assert [len(figures[name]["data"]) for name in ("curve-loss", "curve-log-loss", "curve-score")] == [4] * 3
    assert figures["curve-loss"]["data"][0]["y"][-1] == 0.25
    assert figures["curve-log-loss"]["data"][0]["x"] == [1, 2]
