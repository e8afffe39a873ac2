"""What can be searched, and what is refused before anything is trained."""

import json

import pytest

from pipeline.artifacts import paths
from pipeline.errors import DataError, UsageError
from pipeline.learn.search_space import read_space
from tests import tiny
from tests.searches import configured, on_paper


@pytest.fixture
def bare(tmp_path, monkeypatch):
    on_paper(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"rl": [1e-3]}, r"tune\.space\.rl: \[train\] has no field 'rl'"),
        ({"optimiser": ["sgd"]}, "did you mean 'optimizer'"),
        ({"seed": [0, 1]}, r"tune\.space\.seed: train\.seed makes no recipe better"),
        ({"workers": [0, 1]}, r"train\.workers makes no recipe better"),
        ({"lr": []}, r"tune\.space\.lr = \[\]: a list of choices, or a table"),
        ({"lr": 0.1}, r"tune\.space\.lr = 0\.1: a list of choices, or a table"),
        ({"lr": {"low": 0.1}}, r"tune\.space\.lr = .*a table of low and high"),
        ({"lr": {"low": 0.1, "high": 0.2, "logs": True}}, r"tune\.space\.lr = .*a table of low and high"),
        ({"lr": {"low": 0.1, "high": 0.01}}, r"tune\.space\.lr: .*`low"),
        ({"lr": {"low": 0.1, "high": 0.2, "log": 1}}, r"tune\.space\.lr: log is true or false"),
        ({"lr": {"low": 0.1, "high": 0.2, "step": "a"}}, r"tune\.space\.lr: step is a number"),
        ({"mixup": {"low": 0.0, "high": 0.2, "log": True}}, r"tune\.space\.mixup: .*`low"),
        (
            {"mixup": {"low": 0.0, "high": 0.25, "step": 0.1}},
            r"tune\.space\.mixup: .*not divisible by .*step",
        ),
        ({"lr": {"low": -0.1, "high": 0.2}}, r"tune\.space\.lr: lr = -0\.1: .*greater than 0"),
        ({"dropout": {"low": 0.0, "high": 1.0}}, r"tune\.space\.dropout: dropout = 1\.0: .*less than 1"),
        ({"epochs": {"low": 2.5, "high": 8}}, r"tune\.space\.epochs: epochs = 2\.5: .*integer"),
        ({"augment": {"low": 0, "high": 1}}, r"tune\.space\.augment: train\.augment is no number"),
        ({"augment": ["light", "strong"]}, r"tune\.space\.augment: augment = .strong"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(bare, space, words):
    with pytest.raises(UsageError, match=words):
        tiny.run("tune", configured(space))
    assert not paths.tune(configured()).exists()


def test_choices_may_be_lists_and_tables():
    recipe = [{"name": "HorizontalFlip", "p": 0.5}]
    space = read_space({"augment": ["light", recipe], "sizes": [[], [32, 64]]})
    assert space["augment"].choices == ('"light"', json.dumps(recipe))
    assert space["sizes"].choices == ("[]", "[32, 64]")


def test_larger_images_than_the_cache_has_are_refused(bare):
    with pytest.raises(DataError, match=r"images of 48 px, 32 px are cached: set cache\.short_side = 48"):
        tiny.run("tune", configured({"size": [16, 48]}))
