"""The ensemble's section: what scores.json and weights.json say of the blend, in words and figures."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import paths
from pipeline.config import Config
from pipeline.page.agreement import agreement
from pipeline.page.alarms import alarms
from pipeline.page.blend_score import score_figure, score_lines
from pipeline.page.build import build
from pipeline.page.choices import candidates, choices
from pipeline.page.views import view_lines
from tests import fake_competition as fake
from tests.html_page import Page

HOSTILE = "<img src=x onerror=alert(1)>"
SCORES: dict[str, Any] = {
    "standard_error": 0.0154,
    "blend": "geometric",
    "rule": "expected-f1",
    "members": {
        "lite0": {"oof": 0.7, "weight": 0.5, "kind": "member"},
        "resnet50": {"oof": 0.75, "weight": 0.3, "kind": "member"},
        "lite0-1a2b3c4d": {"oof": 0.72, "weight": 0.0, "kind": "run"},
        HOSTILE: {"oof": 0.78, "weight": 0.2, "kind": "external"},
    },
    "choices": [
        {
            "choice": "weights", "kept": "geometric", "instead": "uniform",
            "gains": {
                "macro-f1": {"gain": 0.012, "low": -0.004, "high": 0.028, "standard_error": 0.008},
                "log-loss": {"gain": 0.05, "low": 0.03, "high": 0.07, "standard_error": 0.01},
            },
        },
        {
            "choice": "rule", "kept": "expected-f1", "instead": "argmax",
            "gains": {"macro-f1": {"gain": -0.02, "low": -0.03, "high": -0.01, "standard_error": 0.005}},
        },
    ],
    "views": {
        "lite0": {
            "identity": {"weight": 0.75, "gain": None, "standard_error": None, "milliseconds": 4.0},
            "hflip": {"weight": 0.25, "gain": 0.012, "standard_error": 0.004, "milliseconds": 4.0},
        }
    },
    "agreement": {
        "members": ["lite0", "resnet50", HOSTILE],
        "correlation": [[1, 0.91, 0.62], [0.91, 1, 0.74], [0.62, 0.74, 1]],
        "disagreement": [[0, 0.08, 0.31], [0.08, 0, 0.22], [0.31, 0.22, 0]],
    },
    "reliability": {
        "bins": [
            {"low": 0.4, "high": 0.5, "rows": 0, "confidence": None, "accuracy": None},
            {"low": 0.5, "high": 0.6, "rows": 25, "confidence": 0.55, "accuracy": 0.6},
            {"low": 0.6, "high": 0.9, "rows": 9, "confidence": 0.7, "accuracy": 1.5},
            {"low": 0.9, "high": 1.0, "rows": 100, "confidence": 0.95, "accuracy": 0.85},
        ],
        "ece": 0.09,
    },
    "test_check": {
        "rows": 1200, "oof_entropy": 0.5, "test_entropy": 0.625, "standard_errors": -4.2,
        "fold_disagreement": 0.125, "alarms": [f"class {HOSTILE} is predicted 3 times as often"],
    },
}  # fmt: skip
WEIGHTS: dict[str, Any] = {
    "members": {"lite0": {"weight": 0.5, "temperature": 1.25, "views": {"identity": 0.75, "hflip": 0.25}}},
    "order": "views first",
    "blend": "geometric",
    "weights": "log-loss, pulled to uniform",
    "pool": "log",
    "temperature": 0.9,
    "rule": {"name": "expected-f1", "f1": [0.5, 0.5]},
    "candidates": {
        "blends": {
            "uniform": {"macro-f1": 0.8, "log-loss": 0.6},
            "geometric": {"macro-f1": 0.8123, "log-loss": 0.55},
        },
        "rules": {"argmax": 0.8001, "expected-f1": 0.8123},
    },
}


def write(folder: Path, scores: dict[str, Any], weights: dict[str, Any], members: int = 2) -> Config:
    config = fake.configure(folder, members)
    fake.write_ensemble(config, fake.write_prepared(config, ["ant", "bee", "cicada"]), **scores)
    fake.write_json(paths.ensemble(config) / "weights.json", weights)
    return config


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(build(write(tmp_path_factory.mktemp("ensemble"), SCORES, WEIGHTS)))


def test_cross_fitted_stands_beside_in_sample(page: Page) -> None:
    text = page.text_of("ensemble")
    assert "what new images should get 0.8123 0.7800 to 0.8400" in text
    assert "it flatters 0.8200" in text
    assert "optimism in-sample minus cross-fitted: 0.5 standard errors of the score +0.0077" in text


def test_the_best_stands_on_top_whichever_way_the_metric_points() -> None:
    members = {"a": {"oof": 0.5}, "b": {"oof": 0.75}, "c": {"oof": None}}
    scores = {"metric": "macro-f1", "cross_fitted": 0.8, "interval": [0.7, 0.85], "members": members}
    figure = score_figure(scores)["blend-and-members"]
    assert figure["layout"]["yaxis"]["ticktext"] == ["a", "b", "blend"]
    blend = figure["data"][1]
    assert (blend["x"], blend["y"]) == ([0.8], [2])
    assert (blend["error_x"]["array"], blend["error_x"]["arrayminus"]) == ([0.05], [0.1])
    turned = score_figure({**scores, "metric": "log-loss"})["blend-and-members"]
    assert turned["layout"]["yaxis"]["ticktext"] == ["b", "a", "blend"]


def test_each_choice_says_its_gain_and_what_is_noise(page: Page) -> None:
    text = page.text_of("ensemble")
    first = "weights of the members geometric instead of uniform macro-f1 +0.0120 −0.0040 to +0.0280 noise"
    assert first in text
    assert "log-loss +0.0500 +0.0300 to +0.0700 better" in text
    assert "decision rule expected-f1 instead of argmax macro-f1 −0.0200 −0.0300 to −0.0100 worse" in text


def test_candidates_are_tables_with_the_kept_one_marked(page: Page) -> None:
    text = page.text_of("ensemble")
    assert "uniform 0.8000 0.6000 geometric kept 0.8123 0.5500" in text
    assert "argmax 0.8001 expected-f1 kept 0.8123" in text
    assert (
        "How the members become one prediction order views first blend geometric weights log-loss, pulled"
        in text
    )


def test_candidates_of_an_earlier_version_are_one_table() -> None:
    found = candidates({"candidates": {"log + argmax": 0.8, "mean + argmax": 0.75}}, {"metric": "accuracy"})
    assert [(table.metrics, table.lines) for table in found] == [
        (["accuracy"], [("log + argmax", ["0.8000"], False), ("mean + argmax", ["0.7500"], False)])
    ]


def test_members_are_compared_pair_by_pair(page: Page) -> None:
    figures, text = page.figures(), page.text_of("ensemble")
    assert "Most alike: lite0 and resnet50 (correlation 0.910, other labels for 8.0% of the images)" in text
    assert f"least alike: lite0 and {HOSTILE} (correlation 0.620, other labels for 31.0%" in text
    correlation, disagreement = (figures[name]["data"][0] for name in ("correlation", "disagreement"))
    assert correlation["z"] == [[None, 0.91, 0.62], [0.91, None, 0.74], [0.62, 0.74, None]]
    assert (correlation["zmin"], correlation["zmax"]) == (0.6, 1)
    assert (disagreement["zmin"], disagreement["zmax"]) == (0, 0.4)
    assert disagreement["text"][0] == ["", "8%", "31%"]


def test_one_member_is_compared_with_nobody(tmp_path: Path) -> None:
    alone = {"members": ["lite0"], "correlation": [[1]], "disagreement": [[0]]}
    page = Page(build(write(tmp_path, {"agreement": alone}, WEIGHTS, members=1)))
    assert not {"correlation", "disagreement"} & set(page.figures())
    assert "How alike" not in page.text_of("ensemble")


def test_two_members_are_one_pair() -> None:
    pair = {
        "members": ["a", "b"],
        "correlation": [[1, 0.5], [0.5, 1]],
        "disagreement": [[0, 0.25], [0.25, 0]],
    }
    found, _ = agreement(pair)
    assert found.sentence == "a and b (correlation 0.500, other labels for 25.0% of the images)."


def test_twenty_members_get_the_width_of_the_page(tmp_path: Path) -> None:
    names = [f"member {i}" for i in range(20)]
    matrix = [[1 - abs(i - j) / 100 for j in range(20)] for i in range(20)]
    alike = {"members": names, "correlation": matrix, "disagreement": "lost"}
    page = Page(build(write(tmp_path, {"agreement": alike}, WEIGHTS)))
    assert [attributes for attributes in page.attributes("figure") if attributes.get("class") == "wide"]
    assert len(page.figures()["correlation"]["data"][0]["z"]) == 20
    assert "disagreement" not in page.figures()
    assert "least alike: member 0 and member 19 (correlation 0.810)." in page.text_of("ensemble")


def test_reliability_says_how_sure_and_how_right(page: Page) -> None:
    # confidence (25 · 0.55 + 100 · 0.95) / 125 = 0.87, right (25 · 0.6 + 100 · 0.85) / 125 = 0.8
    text = page.text_of("ensemble")
    assert "Mean confidence 0.870, right 0.800: too sure. Expected calibration error 0.0900" in text
    diagonal, points = page.figures()["reliability"]["data"]
    assert diagonal["x"] == diagonal["y"] == [0, 1]
    assert (points["x"], points["y"]) == ([0.55, 0.95], [0.6, 0.85])
    # Wilson's interval of 15 of 25 is 0.407 to 0.766, of 85 of 100 is 0.767 to 0.907
    assert points["error_y"]["arrayminus"] == pytest.approx([0.6 - 0.407, 0.85 - 0.767], abs=5e-4)
    assert points["error_y"]["array"] == pytest.approx([0.766 - 0.6, 0.907 - 0.85], abs=5e-4)
    assert points["customdata"] == [["0.50 to 0.60", 25], ["0.90 to 1.00", 100]]
    assert points["marker"]["size"] == [10, 14]  # a quarter of the images: half of the growth


def test_views_say_their_gain_for_a_millisecond(page: Page) -> None:
    text = page.text_of("ensemble")
    assert "lite0 identity 0.750 – – 4.00 –" in text
    assert "lite0 hflip 0.250 +0.0120 ± 0.0040 better 4.00 +0.00300" in text


def test_views_that_were_not_measured_show_their_weights() -> None:
    lines = view_lines({"views": {"lite0": None}}, WEIGHTS)
    assert [(line.view, line.weight, line.gain) for line in lines] == [
        ("identity", "0.750", "–"),
        ("hflip", "0.250", "–"),
    ]


def test_alarms_are_seen_at_once_and_explained_in_place(page: Page) -> None:
    assert "The test predictions don't look like the out-of-fold ones: 1 alarm" in page.text
    text = page.text_of("ensemble")
    assert f"class {HOSTILE} is predicted 3 times as often" in text
    assert "test images 1,200 mean entropy, out of fold 0.5000 mean entropy, test 0.6250" in text
    assert "in its standard errors −4.2 labels by one fold's models that differ 12.5%" in text
    warnings = [attributes for attributes in page.attributes("p") if attributes.get("class") == "warning"]
    assert len(warnings) == 2


def test_a_check_without_alarms_says_so(tmp_path: Path) -> None:
    check = {**SCORES["test_check"], "alarms": []}
    page = Page(build(write(tmp_path, {"test_check": check}, WEIGHTS)))
    assert "Nothing alarming." in page.text_of("ensemble")
    assert not [attributes for attributes in page.attributes("p") if attributes.get("class") == "warning"]


def test_members_table_shows_what_the_configuration_does_not_have(page: Page) -> None:
    text = page.text_of("members")
    assert "lite0 lite0, 224 px" in text
    assert "lite0-1a2b3c4d another run 0.000 0.7200 – –" in text
    assert f"{HOSTILE} predictions made elsewhere 0.200 0.7800 – –" in text
    assert "blend 0.8123" in text


def test_names_from_files_stay_text(page: Page) -> None:
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert len(page.scripts) == 3
    drawn = page.figures()["blend-and-members"]
    assert "&lt;img src=x onerror=al…" in drawn["layout"]["yaxis"]["ticktext"]
    assert "<img" not in str(page.figures())


def test_scores_of_an_earlier_version_show_what_they_have(tmp_path: Path) -> None:
    config = fake.configure(tmp_path)
    fake.write_ensemble(config, fake.write_prepared(config, ["ant", "bee", "cicada"]))
    page = Page(build(config))
    text = page.text_of("ensemble")
    assert "should get 0.8123" in text
    assert "decision rule argmax" in text
    for absent in ("What each choice", "All candidates", "How alike", "Views", "Do test predictions"):
        assert absent not in text
    assert set(page.figures()) >= {"blend-and-members"}
    assert not {"reliability", "correlation", "disagreement"} & set(page.figures())


@pytest.mark.parametrize("junk", [None, 3, "text", [], {}, [1, None], {"a": 1}, {"a": [1]}, 10**400, [[{}]]])
def test_a_file_with_anything_in_it_is_no_error(tmp_path: Path, junk: object) -> None:
    names = (*SCORES, "interval", "optimism", "all_metrics", "classes", "expected", "n", "groups", "official")
    config = write(tmp_path, dict.fromkeys(names, junk), dict.fromkeys(WEIGHTS, junk))
    assert "Ensemble" in Page(build(config)).text
    inner = {name: dict.fromkeys(value, junk) for name, value in SCORES.items() if isinstance(value, dict)}
    fake.write_ensemble(config, fake.write_prepared(config, ["ant", "bee", "cicada"]), **inner)
    assert "Ensemble" in Page(build(config)).text


def test_gains_that_are_no_numbers_are_left_out() -> None:
    gains = {"macro-f1": {"gain": "much"}, "log-loss": {"gain": 0.5}, "accuracy": 7}
    found = choices([{"choice": "weights", "gains": gains}, {"choice": "rule", "gains": {"x": {}}}, 3])
    assert [(choice.what, choice.kept) for choice in found] == [("weights of the members", "–")]
    only = found[0].gains
    assert [(gain.metric, gain.gain, gain.interval, gain.verdict) for gain in only] == [
        ("log-loss", "+0.5000", "–", "–")
    ]


def test_scores_without_an_optimism_show_the_rest() -> None:
    assert [line.name for line in score_lines({"in_sample": 0.5, "cross_fitted": float("nan")})] == [
        "in-sample"
    ]
    assert alarms({"test_check": [1]}).lines == []
