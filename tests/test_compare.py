"""The compare command: predictions by name, every printed number in a file, wrong names end well."""

import json
import re
import shutil

import numpy as np
import pytest

from pipeline import command, compare
from pipeline.artifacts import manifest, paths
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.errors import DataError, UsageError
from pipeline.score.intervals import paired_difference
from pipeline.score.metrics import METRICS
from tests import tiny


def compared(config, a, b):
    """Run the command and return what it wrote."""
    tiny.run("compare", config, a, b)
    return json.loads((paths.competition(config) / "comparisons" / f"{a}--{b}.json").read_bytes())


def labels_of(config, member):
    """Return targets and labels of a member, read from its folds' files, in the folds' order."""
    folds = load_folds(config)
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    labels = np.full(len(folds.ids), -1)
    for fold in (0, 1):
        with np.load(tiny.job_of(config, member, fold).file("oof.npz")) as oof:
            labels[[folds.ids.index(name) for name in oof["ids"]]] = oof["probs"].mean(0).argmax(1)
    return np.array([classes.index(label) for label in folds.labels]), labels, folds


def numbers_in(value):
    """Yield all numbers of a JSON value."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(item)
    elif isinstance(value, int | float):
        yield value


def test_two_members_are_compared_on_all_rows(competition):
    config = tiny.configure(competition)
    found = compared(config, "a", "b")
    targets, a, folds = labels_of(config, "a")
    _, b, _ = labels_of(config, "b")
    metric = METRICS["macro-f1"]
    expected = paired_difference(targets, a, b, metric, 3, groups=folds.groups, seed=config.folds.seed)
    assert (found["a"], found["b"], found["images"]) == ("a", "b", 40)
    assert found["paired"]["metric"] == "macro-f1"
    assert found["paired"]["a"] == pytest.approx(metric.function(targets, a, 3))
    assert [found["paired"][name] for name in ("gain", "low", "high", "standard_error")] == pytest.approx(
        [expected.gain, expected.low, expected.high, expected.standard_error]
    )
    assert found["disagreement"]["images"] == (a != b).sum()
    assert found["log_loss"]["metric"] == "log-loss"
    assert [fold["images"] for fold in found["folds"]] == np.bincount(folds.fold_of).tolist()
    assert sorted(item["images"] for item in found["classes"]) == sorted(np.bincount(targets).tolist())
    assert found["folds_digest"] == folds.digest


def test_every_number_that_is_printed_is_in_the_file(competition, capsys):
    found = compared(tiny.configure(competition), "a", "b")
    said = capsys.readouterr().out
    numbers = [*numbers_in(found), 100 * found["disagreement"]["share"]]
    known = {f"{number:{form}}" for number in numbers for form in (".4f", "+.4f", ".3f", ".1f")}
    printed = re.findall(r"[+-]?\d+\.\d+", said)
    assert len(printed) > 20
    assert set(printed) <= known
    assert f"a {found['paired']['a']:.4f}, b {found['paired']['b']:.4f}" in said
    assert f"{found['disagreement']['only_a']} only a has right" in said
    assert said.rstrip().endswith("runs/tiny/comparisons/a--b.json")


def test_the_ensemble_is_compared_by_the_labels_of_its_rule(competition):
    config = tiny.configure(competition)
    path = paths.ensemble(config) / "oof.npz"
    with np.load(path) as arrays:
        content = {**arrays, "predictions": np.zeros_like(arrays["predictions"])}
    np.savez(path, **content)
    found = compared(config, "ensemble", "a")
    targets, labels, _ = labels_of(config, "a")
    zeros = np.zeros_like(labels)
    assert found["paired"]["a"] == pytest.approx(METRICS["macro-f1"].function(targets, zeros, 3))
    assert found["disagreement"]["images"] == (labels != 0).sum()


def test_the_ensembles_score_is_the_one_that_it_printed(competition, capsys):
    config = tiny.configure(competition)
    scores = json.loads((paths.ensemble(config) / "scores.json").read_bytes())
    found = compared(config, "b", "ensemble")
    assert found["paired"]["b"] == pytest.approx(scores["cross_fitted"])
    assert found["paired"]["a"] == pytest.approx(scores["members"]["b"]["oof"])
    assert "warning" not in capsys.readouterr().err


def test_a_run_of_another_recipe_is_compared_by_its_folder(competition):
    config = tiny.configure(competition)
    other = tiny.configure(competition, {"train": {"epochs": 1}}, tiny.MEMBERS[:1])
    tiny.run("train", other)
    folder = tiny.job_of(other, "a", 0).run_folder
    found = compared(config, "a", folder.name)
    targets, labels, _ = labels_of(other, "a")
    assert found["paired"]["b"] == pytest.approx(METRICS["macro-f1"].function(targets, labels, 3))


def test_predictions_made_elsewhere_are_compared_by_name(competition):
    config = tiny.configure(competition)
    targets, _, folds = labels_of(config, "a")
    right = np.eye(3)[targets]
    lines = [
        ",".join(map(str, [name, fold, *row]))
        for name, fold, row in zip(folds.ids, folds.fold_of, right, strict=True)
    ]
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    paths.external(config).mkdir()
    table = "\n".join([",".join(["id", "fold", *classes]), *lines])
    (paths.external(config) / "oracle.oof.csv").write_text(table)
    found = compared(config, "oracle", "b")
    assert (found["paired"]["a"], found["disagreement"]["only_b"]) == (1, 0)
    assert all(fold["a"] == 1 for fold in found["folds"])
    with pytest.raises(UsageError, match=r"did you mean oracle\? There are: a, b, oracle, ensemble\."):
        tiny.run("compare", config, "oracel", "b")


def test_an_ensemble_that_isnt_up_to_date_is_compared_with_a_warning(competition, capsys):
    config = tiny.configure(competition, None, tiny.MEMBERS[:1])
    compared(config, "ensemble", "a")
    assert "the ensemble isn't up to date" in capsys.readouterr().err


def test_an_ensemble_that_isnt_there_is_told_with_its_command(competition):
    config = tiny.configure(competition)
    shutil.rmtree(paths.ensemble(config))
    with pytest.raises(DataError, match=r"ensemble/oof\.npz isn't there: python -m pipeline\.ensemble"):
        tiny.run("compare", config, "a", "ensemble")


def test_a_member_that_isnt_trained_is_told_with_its_command(competition):
    config = tiny.configure(competition)
    tiny.job_of(config, "b", 1).file("oof.npz").unlink()
    with pytest.raises(DataError, match=r"b fold 1 .*python -m pipeline\.train --fold 1 --member b"):
        tiny.run("compare", config, "a", "b")
    assert not (paths.competition(config) / "comparisons").exists()


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("a", "a", "a is both A and B"),
        ("a", "ensembel", r"'ensembel': did you mean ensemble\? There are: a, b, ensemble\."),
        ("zzz", "b", r"'zzz': There are: a, b, ensemble\."),
    ],
)
def test_wrong_names_end_with_the_right_ones(competition, a, b, words):
    config = tiny.configure(competition)
    with pytest.raises(UsageError, match=words):
        tiny.run("compare", config, a, b)


def test_an_unknown_metric_is_refused_with_the_nearest(competition):
    config = tiny.configure(competition, {"data": {"metric": "macro-f2"}})
    with pytest.raises(UsageError, match=r"data\.metric: .*macro-f1"):
        tiny.run("compare", config, "a", "b")


def test_equal_predictions_are_no_difference(competition, capsys):
    config = tiny.configure(competition)
    for fold in (0, 1):
        with np.load(tiny.job_of(config, "a", fold).file("oof.npz")) as arrays:
            content = {name: arrays[name] for name in ("ids", "probs")}
        tiny.rewrite_oof(tiny.job_of(config, "b", fold), **content)
    found = compared(config, "a", "b")
    said = capsys.readouterr().out
    assert found["paired"]["is_noise"]
    assert "standard error 0.0000): no difference." in said
    assert "No class has another F1." in said


def test_verdicts():
    found = {"metric": "accuracy", "a": 0.5, "b": 0.25, "gain": 0.25, "low": 0.1, "high": 0.4,
             "standard_error": 0.08, "is_noise": False}  # fmt: skip
    said = compare._sentence("x", "y", found)
    assert said == (
        "accuracy: x 0.5000, y 0.2500, gain of x +0.2500 (95 % interval +0.1000 to +0.4000, "
        "standard error 0.0800): x is better than y."
    )
    assert compare._sentence("x", "y", found | {"gain": -0.25}).endswith("y is better than x.")
    assert compare._sentence("x", "y", found | {"is_noise": True}).endswith(
        "noise, under two standard errors."
    )


@pytest.mark.parametrize(
    "words",
    [
        ["x", "y", "--config", "my.toml", "folds.seed=1", "data.metric=auc"],
        ["--config", "my.toml", "x", "y", "folds.seed=1", "data.metric=auc"],
        ["x", "--config=my.toml", "y", "folds.seed=1", "data.metric=auc"],
    ],
)
def test_its_own_words_come_before_overrides(words):
    parser = command.build_parser("compare", "", compare.add_arguments)
    options = parser.parse_intermixed_args(words)
    assert (options.a, options.b, options.config) == ("x", "y", "my.toml")
    assert options.overrides == ["folds.seed=1", "data.metric=auc"]


def test_one_name_is_a_usage_error(capsys):
    parser = command.build_parser("compare", "", compare.add_arguments)
    with pytest.raises(SystemExit) as ended:
        parser.parse_intermixed_args(["x"])
    assert ended.value.code == 2
    assert "required: B" in capsys.readouterr().err
