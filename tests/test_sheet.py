"""The contact sheet: what training sees to the byte, all classes, a size that can be looked at."""

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts import manifest, paths
from pipeline.config import Train
from pipeline.dataset import sheet
from pipeline.dataset.cache import Cache, open_cache
from pipeline.dataset.loader import TrainImages, frame_image
from pipeline.errors import DataError, PipelineError, UsageError
from tests import tiny

TRAIN = Train(size=72, augment="insects", seed=3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    with contextlib.chdir(folder):
        for stage in ("download", "prepare"):
            tiny.run(stage, tiny.configure(folder))
    return folder


@pytest.fixture
def here(prepared, monkeypatch):
    monkeypatch.chdir(prepared)
    return prepared


@pytest.fixture
def cache(here) -> Cache:
    return open_cache(paths.cache(tiny.configure(here)))


def classes(folder: Path) -> list[str]:
    return manifest.facts(paths.cache_manifest(tiny.configure(folder)))["classes"]


def draw(folder: Path, *arguments: str, changes=None) -> None:
    sheet.draw(tiny.configure(folder, changes), tiny.options("dataset.sheet", *arguments))


def tile(drawn: np.ndarray, row: int, column: int, side: int) -> np.ndarray:
    top, left = 18 + row * (18 + side + 4) + 18, 4 + column * (side + 4)
    return drawn[top : top + side, left : left + side]


def test_tiles_are_what_prediction_and_fold_0_see(here, cache):
    drawn = sheet.contact_sheet(cache, classes(here), TRAIN, images=5, draws=3)
    targets = cache.table["target"].to_numpy()
    rows = sheet.spread_rows(np.flatnonzero(cache.table["split"] == "train"), targets, 5)
    seen = TrainImages(cache, targets, TRAIN, 0)
    assert drawn.shape == (18 + 5 * 94, 4 + 4 * 76, 3)
    for i, row in enumerate(rows.tolist()):
        assert np.array_equal(tile(drawn, i, 0, 72), frame_image(cache.pixels(row), 72, 1.0))
        for epoch in range(3):
            assert np.array_equal(tile(drawn, i, 1 + epoch, 72), seen[epoch, row, 0][0])


def test_images_of_all_classes_are_shown_and_of_the_training_rows_alone(cache):
    targets, trained = cache.table["target"].to_numpy(), np.flatnonzero(cache.table["split"] == "train")
    rows = sheet.spread_rows(trained, targets, 7)
    assert targets[rows].tolist() == sorted(targets[rows].tolist())
    assert np.bincount(targets[rows]).tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])
    assert len(set(rows.tolist())) == 7
    assert set(rows.tolist()) <= set(trained.tolist())


def test_all_rows_are_shown_where_there_are_no_more():
    rows, targets = np.array([1, 2, 3]), np.array([-1, 0, 1, 0])
    assert sorted(sheet.spread_rows(rows, targets, 80).tolist()) == [1, 2, 3]


def test_the_file_is_a_png_and_a_second_one_has_the_same_bytes(here, tmp_path, capsys):
    for name in ("a.png", "b.PNG"):
        draw(here, "--sheet", str(tmp_path / name), "--images", "4", "--draws", "2", "--member", "b")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.PNG").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (4 + 3 * 68, 18 + 4 * 54))
    assert "a.png: b, augment: light, 32 px; a row is an image" in capsys.readouterr().out


def test_the_configuration_decides_what_is_drawn(here, tmp_path):
    draw(here, "--sheet", str(tmp_path / "light.png"))
    own = [{"name": "OneOf", "p": 1.0, "transforms": [{"name": "VerticalFlip"}, {"name": "InvertImg"}]}]
    draw(here, "--sheet", str(tmp_path / "own.png"), changes={"train": {"augment": own}})
    light, changed = ((tmp_path / name).read_bytes() for name in ("light.png", "own.png"))
    assert light != changed


def test_another_size_at_prediction_is_shown_at_the_size_of_training(here, cache):
    train = Train(size=64, test_size=96, test_crop=0.8, augment="none")
    drawn = sheet.contact_sheet(cache, classes(here), train, images=1, draws=1)
    assert drawn.shape == (18 + 86, 4 + 2 * 68, 3)
    assert tile(drawn, 0, 0, 64).std() > 5


def test_epochs_of_other_sizes_have_tiles_of_the_largest(here, cache):
    train = Train(sizes=(32, 64), epochs=2, augment="none")
    drawn = sheet.contact_sheet(cache, classes(here), train, images=1, draws=3)
    predicted, small, large, beyond = (tile(drawn, 0, column, 64) for column in range(4))
    assert np.array_equal(large, predicted)
    assert np.array_equal(beyond, predicted)
    assert np.array_equal(small, small[::2, ::2].repeat(2, 0).repeat(2, 1))
    assert np.abs(small.astype(float) - large).mean() < 20


@pytest.mark.parametrize(("size", "images", "draws"), [(512, 4, 10), (400, 12, 2), (16, 1, 1)])
def test_a_sheet_is_never_too_large_to_look_at(here, cache, size, images, draws):
    train = Train(size=size, augment="none")
    drawn = sheet.contact_sheet(cache, classes(here), train, images, draws)
    assert max(drawn.shape) <= sheet.MOST_SIDE
    assert max(drawn.shape) > 3600 or size == 16


@pytest.mark.parametrize("size", [16, 224, 1024])
def test_the_most_images_and_draws_still_have_tiles(size):
    side = sheet.tile_side(size, sheet.MOST_IMAGES, sheet.MOST_DRAWS)
    assert side >= min(size, sheet.LEAST_TILE)
    tiles = [np.zeros((side, side, 3), np.uint8)] * (1 + sheet.MOST_DRAWS)
    drawn = sheet.lay_out(["epoch"] * len(tiles), [("ant", tiles)] * sheet.MOST_IMAGES, side)
    assert max(drawn.shape) <= sheet.MOST_SIDE


def test_a_name_of_any_length_stays_in_its_row():
    tiles = [np.full((24, 24, 3), 128, np.uint8)] * 2
    short, long = (
        sheet.lay_out(["predicted", "epoch 0"], [(name, tiles)], 24) for name in ("", "wörm\n" * 99)
    )
    assert short.shape == long.shape
    assert np.array_equal(tile(short, 0, 0, 24), tile(long, 0, 0, 24))
    assert (short[18:36] == 255).all()
    assert (long[18:36] != 255).any()
    assert np.array_equal(short[36:], long[36:])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--member", "c"], "--member c: no such member; there are a, b"),
        (["--images", "0"], "--images 0 --draws 6: a sheet has 1 to 86 images, 1 to 57 draws"),
        (["--draws", "900"], "--draws 900: a sheet has"),
    ],
)
def test_flags_that_make_no_sheet_are_refused(here, tmp_path, arguments, words):
    with pytest.raises(UsageError, match=words):
        draw(here, "--sheet", str(tmp_path / "a.png"), *arguments)
    with pytest.raises(UsageError, match=r"let its name end in \.png"):
        draw(here, "--sheet", str(tmp_path / "a.jpg"))
    assert not list(tmp_path.iterdir())


def test_without_prepared_data_it_says_what_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"manifest.json isn't there.*python -m pipeline.prepare"):
        draw(tmp_path, "--sheet", "a.png")
    assert not list(tmp_path.iterdir())


def test_a_wrong_recipe_is_told_with_its_place(here, tmp_path):
    own = [{"name": "OneOf", "transforms": [{"name": "Blur", "blur_limt": 3}]}]
    with pytest.raises(
        PipelineError, match=r"train.augment\[0\].transforms\[0\]: Blur: no argument 'blur_limt'"
    ):
        draw(here, "--sheet", str(tmp_path / "a.png"), changes={"train": {"augment": own}})


def test_the_command_explains_itself_without_loading_what_draws():
    code = """
import runpy, sys
sys.argv = ["augment", "--help"]
try:
    runpy.run_module("pipeline.dataset.augment", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert end.code == 0, end.code
print({"albumentations", "cv2", "torch", "numpy", "pandas", "PIL"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--sheet FILE.png" in done.stdout
    assert done.stdout.endswith("set()\n")
