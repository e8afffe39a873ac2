"""Adversarial validation and official scores on the page, from files that may hold anything."""

from pathlib import Path

import pytest

from pipeline.artifacts import paths
from pipeline.config import Config
from pipeline.page.build import build
from pipeline.page.official import official
from pipeline.page.shift import NO_TEST, NOT_YET, shift
from tests import fake_competition as fake
from tests import odd_competition as odd
from tests.html_page import Page

FOUND = {
    "auc": 0.8123, "low": 0.79, "high": 0.83, "rows": {"train": 19, "test": 3}, "features": "lite0 <weights>",
    "test": [["t2.jpg", 0.97], ["t0.jpg", 0.9], ["gone.jpg", 0.8]], "train": [["a3.jpg", 0.71]],
}  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = odd.configure(tmp_path_factory.mktemp("odd"))
    odd.write(config)
    return config


def test_images_that_give_a_shift_away_are_shown_on_both_sides(config: Config) -> None:
    fake.write_json(paths.shift(config), FOUND)
    page = Page(build(config))
    text = page.text_of("shift")
    assert "AUC 0.812 (95 % interval 0.790 to 0.830): test and training images clearly differ" in text
    assert "19 train images, 3 test images, features of lite0 <weights>" in text
    assert page.images_of("shift") == ["t2.jpg", "t0.jpg", "a3.jpg"]
    assert "0.71 ant a3.jpg" in text


def test_a_test_image_is_not_taken_for_a_training_image_of_its_name(config: Config) -> None:
    fake.write_json(paths.shift(config), {**FOUND, "test": [["a3.jpg", 0.9]], "train": []})
    assert Page(build(config)).images_of("shift") == []


def test_where_nothing_was_compared_the_page_says_why(config: Config) -> None:
    fake.write_json(paths.shift(config), {"why": "no member began with <b>pretrained</b> weights"})
    assert "Not compared: no member began with <b>pretrained</b> weights." in Page(build(config)).text_of(
        "shift"
    )


def test_a_file_with_anything_in_it_is_no_error(config: Config) -> None:
    changes = {
        "rows": 3,
        "low": None,
        "features": ["x"],
        "test": [["t2.jpg"], 7, [1, 2], ["t0.jpg", None]],
        "train": "a",
    }
    fake.write_json(paths.shift(config), {**FOUND, **changes})
    page = Page(build(config))
    assert page.images_of("shift") == []
    assert "AUC 0.812: test" in page.text_of("shift")
    fake.write_json(paths.shift(config), {"auc": float("nan")})
    assert NOT_YET in Page(build(config)).text_of("shift")


def test_without_a_test_set_there_is_nothing_to_measure(tmp_path: Path) -> None:
    config = fake.configure(tmp_path)
    fake.write_prepared(config, ["ant", "bee"], rows=20)
    assert NO_TEST in Page(build(config)).text_of("shift")


@pytest.mark.parametrize(
    ("auc", "low", "said"),
    [
        (0.53, 0.49, "look alike"),
        (0.62, 0.58, "differ a little"),
        (0.71, 0.66, "clearly differ"),
        (0.62, None, "little"),
    ],
)
def test_an_auc_is_put_into_words(auc: float, low: float | None, said: str) -> None:
    assert said in shift({"auc": auc, "low": low, "high": 0.8}, None).sentence


def test_official_scores_stand_with_and_without_twins(tmp_path: Path) -> None:
    config = fake.configure(tmp_path)
    scores = {"rows": 22619, "scores": {"accuracy": 0.71, "macro-f1": 0.6}}
    without = {"rows": 20110, "scores": {"accuracy": 0.69, "macro-f1": 0.58}}
    found = {"test": {**scores, "without_twins": without}, "val": {"rows": 7508, "scores": {"accuracy": 0.7}}}
    fake.write_ensemble(config, fake.write_prepared(config, ["ant", "bee"], rows=20), official=found)
    text = Page(build(config)).text
    assert "official test 22,619 0.7100 0.6000" in text
    assert "official test, without twins 20,110 0.6900 0.5800" in text
    assert "official validation 7,508 0.7000 –" in text
    assert "A twin is answered from memory" in text


@pytest.mark.parametrize(
    "found", [None, {}, [], {"test": 3}, {"test": {"scores": []}}, {"other": {"scores": {}}}]
)
def test_scores_without_an_official_split_show_no_table(found: object) -> None:
    assert official({"official": found}).lines == []
