"""Suspected wrong labels on the page: planted ones are shown; what cleanlab says, where it is installed."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import paths
from pipeline.config import Config
from pipeline.page.build import build
from pipeline.page.suspects import cleanlab_flags
from tests import fake_competition as fake
from tests.html_page import Page
from tests.test_suspects import planted

CLASSES = ["ant", "b<i>ee", "cicada"]


def write(folder: Path, wrong: dict[str, int]) -> Config:
    """Write a competition whose ensemble is sure of every label but those of `wrong`: the class by id."""
    config = fake.configure(folder)
    train = fake.write_prepared(config, CLASSES)
    fake.write_ensemble(config, train)
    seen = np.array(
        [wrong.get(name, target) for name, target in zip(train["id"], train["target"], strict=True)]
    )
    probs = np.full((len(train), len(CLASSES)), 0.02, np.float32)
    probs[np.arange(len(train)), seen] = 0.96
    ids = train["id"].to_numpy(str)[::-1]
    fake.save_oof(paths.ensemble(config) / "oof.npz", ids, CLASSES, probs[::-1])
    return config


def test_a_planted_wrong_label_is_shown_and_nothing_else(tmp_path: Path) -> None:
    page = Page(build(write(tmp_path, {"img010.png": 2, "img030.png": 0})))
    assert sorted(page.images_of("labels")) == ["img010.png", "img030.png"]
    text = page.text_of("labels")
    assert "2 of 59 images look more like another class" in text
    assert "Confident learning counts 2 labels as wrong" in text
    assert "ant 0.020 rather cicada 0.960" in text
    assert "b<i>ee 0.020 rather ant 0.960" in text


def test_where_nothing_is_suspicious_that_is_said(tmp_path: Path) -> None:
    text = Page(build(write(tmp_path, {}))).text_of("labels")
    assert "No image looks more like another class than like its label." in text


def test_cleanlab_flags_are_its_own() -> None:
    find_label_issues = pytest.importorskip("cleanlab.filter").find_label_issues
    probs, labels, wrong = planted(0)
    flags, said = cleanlab_flags(probs.astype(np.float32), labels)
    assert flags is not None
    expected = find_label_issues(labels, probs.astype(np.float32).astype(float), n_jobs=1)
    assert flags.tolist() == expected.tolist()
    assert said == f", cleanlab {flags.sum()}"
    assert wrong[flags].sum() / wrong.sum() > 0.6


def test_cleanlab_gets_along_with_a_class_without_rows() -> None:
    pytest.importorskip("cleanlab.filter")
    probs = np.tile([[0.9, 0.05, 0.05]], (20, 1))
    flags, said = cleanlab_flags(probs, np.array([0] * 19 + [1]))
    assert flags is not None or "can't look" in said


def test_page_says_which_images_cleanlab_counts(tmp_path: Path) -> None:
    pytest.importorskip("cleanlab.filter")
    text = Page(build(write(tmp_path, {"img010.png": 2}))).text_of("labels")
    assert ", cleanlab 1;" in text
    assert "counted by confident learning, cleanlab" in text
