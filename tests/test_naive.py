"""What never looks at a picture: the shares of each fold's training rows, against scikit-learn's."""

import json
import re

import numpy as np
from sklearn.dummy import DummyClassifier

from pipeline.artifacts import paths
from pipeline.score.naive import naive_probs
from tests import tiny


def test_each_row_gets_the_shares_of_the_rows_that_train_its_fold():
    draw = np.random.default_rng(0)
    targets, fold_of = draw.choice(4, 200, p=[0.4, 0.3, 0.2, 0.1]), draw.integers(-1, 3, 200)
    groups = np.arange(200)
    groups[50:100] = np.arange(100, 150)  # these 50 are twins of others, perhaps of another fold
    found = naive_probs(targets, fold_of, groups, "grouped", 4)
    assert np.isnan(found[fold_of < 0]).all()
    for k in range(3):
        held_out = fold_of == k
        trains = ~held_out & ~np.isin(groups, groups[held_out])
        assert trains.sum() < (~held_out).sum()
        dummy = DummyClassifier(strategy="prior").fit(np.zeros((trains.sum(), 1)), targets[trains])
        np.testing.assert_allclose(found[held_out], dummy.predict_proba(np.zeros((held_out.sum(), 1))))


def test_in_time_nothing_comes_from_later_folds():
    targets, fold_of = np.array([0, 1, 1, 2, 2, 2]), np.array([-1, 0, 0, 1, 1, 1])
    found = naive_probs(targets, fold_of, np.arange(6), "time", 3)
    np.testing.assert_allclose(found[1:3], [[1, 0, 0]] * 2)
    np.testing.assert_allclose(found[3:], [[1 / 3, 2 / 3, 0]] * 3)


def test_the_floor_stands_in_the_table_the_scores_and_the_page(competition, capsys):
    config = tiny.configure(competition, {"train": {"lr": 0.01}})
    for stage in ("train", "predict", "ensemble", "report"):
        tiny.run(stage, config)
    [row] = re.findall(r"commonest class +(.*)", capsys.readouterr().out)[-1:]
    naive = json.loads((paths.ensemble(config) / "scores.json").read_bytes())["naive"]
    assert row.split()[2] == f"{naive:.4f}"
    assert "commonest class<small>" in paths.report(config).read_text()
