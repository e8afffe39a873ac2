"""The class section: results with intervals, head, middle and tail, the most confused pairs in pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts import paths
from pipeline.config import Config
from pipeline.page.build import build
from pipeline.page.classes import ClassResult, class_results, thirds
from pipeline.page.confused import confused
from pipeline.page.data import Oof
from pipeline.page.thumbnails import Album
from pipeline.score.metrics import all_metrics, confusion_matrix
from tests import fake_competition as fake
from tests.html_page import Page

HOSTILE = "wasp <img src=x onerror=alert(1)>"
CLASSES = ["ant", "bee", HOSTILE]


def predicted(targets: list[int], chosen: list[int], sure: list[float] | None = None) -> tuple[Oof, Album]:
    """Return predictions of images a, b, c … with the chosen class's probability, and their album."""
    n = len(targets)
    ids = np.array([chr(ord("a") + i) for i in range(n)])
    probs = np.zeros((n, 3), np.float32)
    probs[np.arange(n), chosen] = sure or 0.9
    images = pd.DataFrame({"id": ids, "split": "train", "label": [CLASSES[k] for k in targets]})
    rows = np.arange(n)
    oof = Oof(ids, rows, probs, np.array(chosen), np.array(targets), rows % 2)
    return oof, Album(images, None, np.full(n, -1))


def test_pairs_stand_by_images_then_by_share() -> None:
    targets = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2]
    chosen = [0, 1, 1, 2, 0, 0, 0, 1, 1, 2]
    oof, album = predicted(targets, chosen)
    found = confused(oof, CLASSES, confusion_matrix(oof.targets, oof.chosen, 3), album)
    pairs = [(p.true_class, p.chosen_class, p.images, round(p.share, 3), p.back) for p in found.pairs]
    assert pairs == [
        ("bee", "ant", 2, 0.667, 2),
        ("ant", "bee", 2, 0.4, 2),
        (HOSTILE, "bee", 1, 0.5, 0),
        ("ant", HOSTILE, 1, 0.2, 0),
    ]
    assert (found.pair_count, found.shown_mistakes, found.mistakes) == (4, 6, 6)


def test_the_surest_mistakes_are_shown_first() -> None:
    oof, album = predicted([0] * 6, [1] * 6, [0.5, 0.75, 0.625, 0.75, 0.4, 0.3])
    found = confused(oof, CLASSES, confusion_matrix(oof.targets, oof.chosen, 3), album)
    shown = [(picture.id, picture.note) for picture in found.pairs[0].pictures]
    assert shown == [("b", "0.750"), ("d", "0.750"), ("c", "0.625"), ("a", "0.500")]


def test_what_is_shown_is_bounded() -> None:
    targets = np.repeat(np.arange(20), 20)
    chosen = np.tile(np.arange(20), 20)
    ids = np.array([f"{i:03}" for i in range(400)])
    probs = np.full((400, 20), 0.05, np.float32)
    images = pd.DataFrame({"id": ids, "split": "train", "label": ""})
    oof = Oof(ids, np.arange(400), probs, chosen, targets, targets % 2)
    album = Album(images, None, np.full(400, -1))
    found = confused(oof, [str(k) for k in range(20)], confusion_matrix(targets, chosen, 20), album)
    assert (len(found.pairs), found.pair_count) == (12, 380)
    assert [(pair.true_class, pair.chosen_class) for pair in found.pairs[:2]] == [("0", "1"), ("0", "2")]


def test_intervals_come_by_the_name_of_the_class() -> None:
    oof, _ = predicted([0, 0, 1], [0, 1, 1])
    stated = [
        {"name": "bee", "low": 0.25, "high": 0.75},
        {"name": "ant", "low": None, "high": 0.9},
        {"name": "wasp", "low": 0.1, "high": 0.2},
        7,
    ]
    _, results = class_results(oof, CLASSES, {"classes": stated})
    assert [result.f1_interval for result in results] == [None, (0.25, 0.75), None]
    ant = results[0]
    assert (ant.images, ant.predicted, ant.recall, ant.precision) == (2, 1, 0.5, 1.0)
    assert ant.f1 == pytest.approx(2 / 3)  # 2 · 1 hit / (2 images + 1 prediction)
    assert ant.mistaken_for == "bee (1)"


def counted(*images: int) -> list[ClassResult]:
    return [ClassResult(str(n), n, n, f1=1.0, recall=1.0, precision=1.0, mistaken_for="") for n in images]


def test_thirds_have_the_classes_that_their_recall_is_of() -> None:
    recalls = {"head-recall": 0.9, "middle-recall": 0.5, "tail-recall": 0.25}
    found = thirds(counted(3, 100, 0, 8, 1200), {"all_metrics": recalls})
    assert [(third.name, third.classes, third.images, third.recall) for third in found] == [
        ("head", 1, "1,200", "0.9000"),
        ("middle", 2, "8 to 100", "0.5000"),
        ("tail", 1, "3", "0.2500"),
    ]


def test_thirds_split_as_the_metrics_do() -> None:
    # class k has k + 1 images; of the last image of each, class k's, all are missed but those of the head
    targets = np.repeat(np.arange(7), np.arange(1, 8))
    chosen = np.where(targets >= 5, targets, (targets + 1) % 7)
    found = all_metrics(targets, np.full((len(targets), 7), 1 / 7), chosen)
    parts = thirds(counted(1, 2, 3, 4, 5, 6, 7), {"all_metrics": found})
    assert [(third.classes, third.recall) for third in parts] == [(2, "1.0000"), (3, "0.0000"), (2, "0.0000")]


@pytest.mark.parametrize("recalls", [{}, {"head-recall": 0.9, "tail-recall": 0.1}, {"head-recall": "much"}])
def test_without_recalls_or_classes_there_are_no_thirds(recalls: dict[str, Any]) -> None:
    assert thirds(counted(3, 2, 1), {"all_metrics": recalls}) == []
    whole = {f"{name}-recall": 0.5 for name in ("head", "middle", "tail")}
    assert thirds(counted(3, 2, 0), {"all_metrics": whole}) == []


def write(folder: Path, wrong: dict[str, int]) -> Config:
    """Write a competition in which every image is sure of its class but those of `wrong`: the class by id."""
    config = fake.configure(folder)
    train = fake.write_prepared(config, CLASSES)
    stated = [{"name": HOSTILE, "images": 1, "predicted": 1, "f1": 0.5, "low": 0.125, "high": 0.875}]
    recalls = {"head-recall": 0.9, "middle-recall": 0.5, "tail-recall": 0.25}
    fake.write_ensemble(config, train, classes=stated, all_metrics=recalls)
    names = train["id"].tolist()
    seen = [wrong.get(name, target) for name, target in zip(names, train["target"], strict=True)]
    probs = np.full((len(train), len(CLASSES)), 0.02, np.float32)
    probs[np.arange(len(train)), seen] = 0.96
    fake.save_oof(paths.ensemble(config) / "oof.npz", train["id"].to_numpy(str)[::-1], CLASSES, probs[::-1])
    return config


def test_page_shows_the_pairs_with_their_pictures(tmp_path: Path) -> None:
    page = Page(build(write(tmp_path, {"img010.png": 2, "img011.png": 2, "img030.png": 0})))
    assert page.images_of("classes") == ["img010.png", "img011.png", "img030.png"]
    text = page.text_of("classes")
    assert "out of fold: 3 of 3 mistakes" in text
    assert f"ant taken for {HOSTILE} 2 images" in text
    assert "bee taken for ant 1 image," in text
    assert "0.125 to 0.875" in text
    assert "tail 1" in text
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_page_without_a_mistake_says_so(tmp_path: Path) -> None:
    page = Page(build(write(tmp_path, {})))
    assert "No image was labelled as another class." in page.text_of("classes")
    assert page.images_of("classes") == []


def test_the_class_tables_can_be_sorted(tmp_path: Path) -> None:
    page = Page(build(write(tmp_path, {})))
    tables = [attributes for attributes in page.attributes("table") if attributes.get("class") == "sortable"]
    assert len(tables) == 2
