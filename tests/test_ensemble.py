"""The ensemble stage: OOF rows joined by id, what doesn't fit refused, the submission in form."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import ensemble
from pipeline.artifacts import manifest, paths, predictions
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.errors import DataError
from pipeline.score.metrics import find_metric
from tests import tiny

ISSUED = {"metric", "cross_fitted", "in_sample", "optimism", "interval", "standard_error", "n", "groups",
          "folds", "classes_without_support", "members", "rule", "folds_digest", "all_metrics"}  # fmt: skip
RESULTS = ("oof.npz", "test.npz", "weights.json", "scores.json")


def scores_of(config):
    return json.loads((paths.ensemble(config) / "scores.json").read_bytes())


def results(config):
    """Return the bytes of all that the ensemble made."""
    files = [paths.ensemble(config) / name for name in RESULTS]
    return [file.read_bytes() for file in (*files, Path(scores_of(config)["submission"]))]


def test_scores_have_what_others_read(finished):
    config = tiny.configure(finished)
    scores, folds = scores_of(config), load_folds(config)
    assert scores.keys() >= ISSUED
    assert scores["metric"] == "macro-f1"
    assert scores["n"] == 40
    assert scores["groups"] == len(np.unique(folds.groups))
    assert scores["interval"][0] <= scores["cross_fitted"] <= scores["interval"][1]
    assert scores["optimism"] == pytest.approx(scores["in_sample"] - scores["cross_fitted"])
    assert scores["folds_digest"] == folds.digest
    assert scores["members"].keys() == {"a", "b"}
    assert sum(item["weight"] for item in scores["members"].values()) == pytest.approx(1)
    assert scores["all_metrics"].keys() >= {"accuracy", "macro-f1"}
    assert f"{scores['cross_fitted']:.4f}" in scores["sentence"]


def test_the_score_is_that_of_the_published_predictions(finished):
    config = tiny.configure(finished)
    folds = load_folds(config)
    with np.load(paths.ensemble(config) / "oof.npz") as oof:
        classes, place = oof["classes"].tolist(), [folds.ids.index(name) for name in oof["ids"]]
        targets = np.array([classes.index(folds.labels[i]) for i in place])
        score = find_metric("macro-f1").function(targets, oof["predictions"], 3)
        assert sorted(place) == list(range(40))
        assert np.array_equal(oof["fold"], folds.fold_of[place])
        assert np.allclose(oof["probs"].sum(-1), 1, atol=1e-5)
    assert scores_of(config)["cross_fitted"] == pytest.approx(score)


def test_members_are_scored_by_their_own_rows(finished):
    config = tiny.configure(finished)
    folds, metric = load_folds(config), find_metric("macro-f1")
    for member in ("a", "b"):
        labels, targets = [], []
        for fold in (0, 1):
            with np.load(tiny.job_of(config, member, fold).file("oof.npz")) as oof:
                labels += oof["probs"].mean(0).argmax(1).tolist()
                own = [folds.labels[folds.ids.index(name)] for name in oof["ids"]]
                targets += [oof["classes"].tolist().index(label) for label in own]
        score = metric.function(np.array(targets), np.array(labels), 3)
        assert scores_of(config)["members"][member]["oof"] == pytest.approx(score)


def test_the_submission_has_the_samples_rows_in_its_order(finished):
    config = tiny.configure(finished)
    scores = scores_of(config)
    header, *rows = csv.reader(Path(scores["submission"]).read_text().splitlines())
    sample = list(csv.reader((paths.data_root(config) / "sample_submission.csv").read_text().splitlines()))
    assert [header[0], *(row[0] for row in rows)] == [row[0] for row in sample]
    assert header == sample[0]
    with np.load(paths.ensemble(config) / "test.npz") as test:
        own = test["classes"][test["predictions"]]
        assert dict(rows) == dict(zip(test["ids"].tolist(), own.tolist(), strict=True))
    assert scores["expected"]["rows"] == 20
    assert scores["expected"]["low"] <= scores["cross_fitted"] <= scores["expected"]["high"]
    assert 0 <= scores["true_score"] <= 1


def test_up_to_date_says_so_and_touches_nothing(finished, capsys):
    config, before = tiny.configure(finished), tiny.snapshot(finished)
    tiny.run("ensemble", config)
    said = capsys.readouterr().out
    assert "up to date" in said
    assert scores_of(config)["sentence"] in said
    assert tiny.snapshot(finished) == before
    assert [state.state for state in ensemble.states(config)] == ["done"]


def test_rows_in_another_order_are_joined_by_id(competition):
    config = tiny.configure(competition)
    before = results(config)
    for member, fold in (("a", 0), ("b", 1)):
        job = tiny.job_of(config, member, fold)
        with np.load(job.file("oof.npz")) as arrays:
            order = np.random.default_rng(0).permutation(len(arrays["ids"]))
            shuffled = {"ids": arrays["ids"][order], "probs": arrays["probs"][:, order]}
        tiny.rewrite_oof(job, **shuffled)
    assert ensemble.states(config)[0].state == "stale"
    tiny.run("ensemble", config)
    assert results(config) == before


def nan(arrays):
    probs = arrays["probs"].copy()
    probs[0, 2, 1] = np.nan
    return {"probs": probs}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nan, r"'\w+' \(view identity\) sum to nan, not 1"),
        (lambda arrays: {"probs": 2 * arrays["probs"]}, "sum to 2.0000, not 1"),
        (lambda arrays: {"classes": arrays["classes"][::-1]}, "has other classes"),
        (lambda arrays: {"folds_digest": np.array("0123")}, "was made with folds 0123, not"),
        (lambda arrays: {"ids": np.array(["x", *arrays["ids"][1:]])}, "1 ids have no row and 1 rows no id"),
        (lambda arrays: {"ids": arrays["ids"][[1, *range(1, len(arrays["ids"]))]]}, "has 2 rows"),
        (lambda arrays: {"ids": arrays["ids"][1:], "probs": arrays["probs"][:, 1:]}, "1 ids have no row"),
    ],
)
def test_what_doesnt_fit_is_refused_by_file(competition, change, words):
    config = tiny.configure(competition)
    before = results(config)
    job = tiny.job_of(config, "b", 0)
    with np.load(job.file("oof.npz")) as arrays:
        changed = change(arrays)
    tiny.rewrite_oof(job, **changed)
    with pytest.raises(DataError, match=rf"{job.run_folder.name}/fold0/oof\.npz.*{words}"):
        tiny.run("ensemble", config)
    assert results(config) == before


def test_a_flipped_bit_is_noticed(competition):
    config = tiny.configure(competition)
    path = tiny.job_of(config, "a", 1).file("oof.npz")
    with np.load(path) as arrays:
        start = path.read_bytes().index(arrays["probs"].tobytes())
    tiny.flip_unseen(path, start + 5)
    (paths.ensemble(config) / "scores.json").unlink()
    with pytest.raises(DataError, match=r"fold1/oof\.npz can't be read"):
        tiny.run("ensemble", config)


def test_a_fold_that_isnt_there_is_named_with_its_command(competition):
    config = tiny.configure(competition)
    tiny.job_of(config, "b", 1).file("oof.npz").unlink()
    with pytest.raises(DataError, match=r"b fold 1 .*python -m pipeline\.train --fold 1 --member b"):
        tiny.run("ensemble", config)
    tiny.job_of(config, "b", 1).trained_manifest.unlink()
    assert [state.state for state in ensemble.states(config)] == ["to do"]


def test_test_rows_that_arent_there_are_named_with_their_command(competition):
    config = tiny.configure(competition)
    tiny.job_of(config, "b", 1).file("test.npz").unlink()
    with pytest.raises(
        DataError, match=r"b-\w+/fold1/test\.npz isn't up to date .*python -m pipeline\.predict"
    ):
        tiny.run("ensemble", config)


def test_one_member_is_an_ensemble(competition):
    config = tiny.configure(competition, None, tiny.MEMBERS[:1])
    tiny.run("ensemble", config)
    scores = scores_of(config)
    assert scores["members"]["a"]["weight"] == 1
    assert scores["submission"]


def test_without_test_images_there_is_no_submission_and_that_is_said(competition, capsys):
    config = tiny.without_test(competition)
    tiny.run("ensemble", config)
    scores = scores_of(config)
    assert scores["submission"] == ""
    assert "expected" not in scores
    assert "no test images: OOF scores in scores.json, no submission" in capsys.readouterr().out
    tiny.run("ensemble", config, "--submit")
    assert "kaggle" not in capsys.readouterr().out


def test_a_lost_submission_is_made_again(competition):
    config = tiny.configure(competition)
    before = results(config)
    Path(scores_of(config)["submission"]).unlink()
    tiny.run("ensemble", config)
    assert results(config) == before
    ledger = paths.ledger(config).read_text().splitlines()
    assert len(ledger) == 1  # the same file isn't scored twice


def test_another_metric_blends_again_with_the_reason(competition, capsys):
    config = tiny.configure(competition, {"data": {"metric": "log-loss"}})
    tiny.run("train", config)
    tiny.run("ensemble", config)
    assert 'again: data.metric changed from "macro-f1" to "log-loss"' in capsys.readouterr().out
    scores = scores_of(config)
    assert (scores["metric"], scores["rule"]) == ("log-loss", "argmax")
    assert scores["cross_fitted"] == pytest.approx(scores["all_metrics"]["log-loss"])


def test_submit_without_a_competition_prints_the_command(finished, capsys):
    config = tiny.configure(finished)
    tiny.run("ensemble", config, "--submit")
    file = scores_of(config)["submission"]
    assert f"kaggle competitions submit SLUG -f {file} -m MESSAGE" in capsys.readouterr().out


def test_its_files_read_as_any_predictions(finished):
    config = tiny.configure(finished)
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    for name in ("oof.npz", "test.npz"):
        found = predictions.load(paths.ensemble(config) / name, classes, load_folds(config).digest)
        assert found.views.tolist() == ["blend"]
