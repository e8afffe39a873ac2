"""Submissions as the ensemble writes them: their form, known early, and the drawn sample's true score."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from pipeline import config as configuration
from pipeline.artifacts import manifest, paths
from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.leaderboard import ledger
from pipeline.leaderboard.csv_rows import parse
from pipeline.leaderboard.write import check_form, write_submission

PETS = ["cat", "dog", "eel"]
IDS = ["01", "02", "03"]
PROBS = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.1, 0.4]])
SCORES = {
    "oof_shares": [0.4, 0.3, 0.3],
    "cross_fitted": 0.8,
    "standard_error": 0.05,
    "n": 30,
    "folds": 5,
    "members": {"m": {"weight": 1.0}},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def prepared(metric: str, sample: str = "", **data: object) -> Config:
    """A competition as prepare leaves it, with the given sample submission or none."""
    raw = {
        "data": {"name": "pets", "metric": metric, **data},
        "members": [{"name": "m", "model": "resnet18"}],
    }
    config = configuration.resolve(raw, {}, "test")
    path = Path("sample_submission.csv")
    path.write_text(sample)
    facts = {"classes": PETS, "sample_submission": str(path) if sample else ""}
    manifest.publish(paths.cache_manifest(config), manifest.Expected("prepare", 1, {}), [], 0.0, facts)
    return config


def write(config: Config) -> dict:
    return write_submission(config, PETS, IDS, PROBS.argmax(axis=1), PROBS, SCORES)


@pytest.mark.parametrize(
    ("metric", "header", "first"),
    [("macro-f1", "id,label", ["01", "cat"]), ("log-loss", "id,cat,dog,eel", ["01", "0.7", "0.2", "0.1"])],
)
def test_without_a_sample_the_metric_chooses_the_form(metric, header, first):
    config = prepared(metric)
    check_form(config)
    rows = parse(Path(write(config)["submission"]).read_bytes())
    assert (rows[0], rows[1], len(rows)) == (header.split(","), first, 4)


def test_an_unclear_sample_is_refused_early():
    check_form(prepared("macro-f1", "id,label\n01,0\n02,0\n03,0\n"))
    with pytest.raises(DataError, match="start at 0 or at 1"):
        check_form(prepared("macro-f1", "id,label\n01,1\n02,1\n03,1\n"))


def test_predictions_equal_to_the_sample_are_kept(capsys):
    added = write(prepared("macro-f1", "id;label\n03;cat\n02;dog\n01;cat\n"))
    assert Path(added["submission"]).read_bytes() == b"id;label\n03;cat\n02;dog\n01;cat\n"
    assert "those of the sample submission" in capsys.readouterr().err


@pytest.mark.parametrize("metric", ["macro-f1", "log-loss"])
def test_the_true_score_is_of_what_the_metric_needs(metric):
    sample = "id,label\n03,cat\n02,cat\n01,cat\n"
    config = prepared(metric, sample, drawn={"classes": 3, "images": 20})
    solution = paths.solution(config)
    solution.parent.mkdir(parents=True)
    solution.write_text("id,label,clean_label\n01,cat,cat\n02,dog,dog\n03,eel,cat\n")
    added = write(config)
    noisy, clean = [0, 1, 2], [0, 1, 0]
    if metric == "log-loss":
        expected = [log_loss(truth, PROBS, labels=[0, 1, 2]) for truth in (noisy, clean)]
    else:
        predicted = [0, 1, 0]
        expected = [f1_score(noisy, predicted, average="macro"), f1_score(clean, predicted, average="macro")]
    assert added["true_score"] == pytest.approx(expected[0], abs=1e-6)
    [entry] = ledger.read(paths.ledger(config))
    assert entry["public"] == added["true_score"]
    assert parse(Path(added["submission"]).read_bytes())[0] == ["id", "label"]
    if metric == "log-loss":
        assert added["true_score_clean"] == pytest.approx(expected[1], abs=1e-6)
