"""Class counts and image sizes on the page: the table's numbers, at 102 classes and 75,000 images too."""

import numpy as np
import pandas as pd
import pytest

from pipeline.config import resolve
from pipeline.page.class_counts import class_counts, split_up
from pipeline.page.classes import ClassResult
from pipeline.page.sizes import log_bins, sizes, thinned

MEMBERS = resolve(
    {
        "data": {"name": "moths"},
        "members": [{"name": "a", "model": "m", "train": {"size": 100, "test_size": 150}}, {"model": "b"}],
    },
    {},
    "test",
).members


def table(counts: dict[tuple[str, str], int]) -> pd.DataFrame:
    """Return an audit table with that many images of each (split, label)."""
    rows = [key for key, n in counts.items() for _ in range(n)]
    images = pd.DataFrame(rows, columns=["split", "label"])
    return images.assign(problem="", target=0, width=200, height=100)


def result(name: str, f1: float) -> ClassResult:
    return ClassResult(name, images=1, predicted=1, f1=f1, recall=f1, precision=f1, mistaken_for="")


def test_classes_stand_largest_first_with_a_column_a_split() -> None:
    images = table(
        {("train", "ant"): 3, ("train", "bee"): 9, ("extra", "ant"): 1, ("test", "bee"): 4, ("test", ""): 5}
    )
    found, figures = class_counts(images, ["ant", "bee", "cicada"], [])
    assert found.names == ["bee", "ant", "cicada"]
    assert found.splits == ["train", "extra", "official test"]
    assert found.counts.tolist() == [[9, 0, 4], [3, 1, 0], [0, 0, 0]]
    dashes = figures["class-counts"]["data"][-1]
    assert (dashes["name"], dashes["y"]) == ("official test", [4, None, None])
    assert "3 classes with 0 to 9 training images, median 4." in found.sentence


def test_unusable_images_count_nowhere() -> None:
    images = table({("train", "ant"): 4}).assign(problem=["", "torn", "", "torn"])
    assert class_counts(images, ["ant"], [])[0].counts.tolist() == [[2]]
    assert class_counts(images.assign(problem="torn"), ["ant"], [])[1] == {}


def test_head_and_tail_carry_their_mean_f1() -> None:
    images = table({("train", "a"): 60, ("train", "b"): 30, ("train", "c"): 8, ("train", "d"): 2})
    found, figures = class_counts(
        images, list("dcba"), [result(n, f) for n, f in zip("dcba", (0.1, 0.3, 0.5, 0.9), strict=True)]
    )
    parts = [(part.name, part.classes, part.images, part.sizes) for part in found.parts]
    assert parts == [("head", 1, 60, "60"), ("middle", 1, 30, "30"), ("tail", 2, 10, "2 to 8")]
    assert [part.f1 for part in found.parts] == pytest.approx([0.9, 0.5, 0.2])
    assert [trace["name"] for trace in figures["class-counts"]["data"]] == ["head", "middle", "tail"]


def test_parts_follow_their_shares_on_a_long_tail() -> None:
    counts = np.sort(np.geomspace(42, 3444, 102).astype(int))[::-1]
    part_of = split_up(counts)
    assert (np.diff(part_of) >= 0).all()
    head, tail = counts[part_of == 0].sum() / counts.sum(), counts[part_of == 2].sum() / counts.sum()
    assert 0.5 <= head < 0.55
    assert 0.05 < tail <= 0.1


def test_two_names_that_look_alike_keep_their_bars() -> None:
    names = ["x" * 40 + "1", "x" * 40 + "2"]
    _, figures = class_counts(table({("train", names[0]): 3, ("train", names[1]): 2}), names, [])
    assert figures["class-counts"]["data"][0]["x"] == ["0", "1"]


def test_sizes_say_which_images_a_member_enlarges() -> None:
    images = table({("train", "ant"): 4}).assign(width=[100, 300, 400, 500], height=[200, 149, 150, 600])
    found, figures = sizes(images, MEMBERS)
    assert found.members[0] == ("a", "100 px", "150 px", "50%")
    assert "the largest image has 500 × 600" in found.sentence
    bars, marks = figures["short-sides"]["data"]
    assert sum(bars["y"]) == 4
    assert marks["customdata"] == ["a: 150 px", "b: 224 px"]


def test_many_sizes_are_thinned_but_keep_their_ends() -> None:
    draw = np.random.default_rng(0)
    images = table({("train", "ant"): 75222})
    images = images.assign(width=draw.integers(52, 4000, 75222), height=draw.integers(52, 4000, 75222))
    images.loc[7, ["width", "height"]] = [5184, 3456]
    images.loc[8, ["width", "height"]] = [40, 30]
    found, figures = sizes(images, MEMBERS)
    points = figures["sizes"]["data"][0]
    assert len(points["x"]) == found.points == 2000
    assert (points["x"][0], points["y"][0]) == (40, 30)
    assert (points["x"][-1], points["y"][-1]) == (5184, 3456)
    assert sum(figures["short-sides"]["data"][0]["y"]) == 75222


def test_one_size_alone_can_be_drawn() -> None:
    found, figures = sizes(table({("train", "ant"): 3}), MEMBERS)
    assert figures["short-sides"]["data"][0]["customdata"] == ["100"]
    assert found.points == 3
    assert log_bins(np.array([100, 100]), 40).tolist() == [100, 101]
    assert thinned(np.array([[1, 1]]), 5).tolist() == [[1, 1]]
    assert sizes(table({("train", "ant"): 1}).assign(problem="torn"), MEMBERS)[1] == {}
