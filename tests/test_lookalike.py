"""The drawn lookalike of IP102: its files in both layouts, its truth, and what is never overwritten."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts import writer
from pipeline.dataset import lookalike, sample
from pipeline.dataset.drawing import collage
from pipeline.dataset.reader import read_image
from pipeline.dataset.twins.duplicates import find_groups, grey32, perceptual_hash
from pipeline.errors import DataError

IMAGES, SEED = 600, 4
FEWEST = 306


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lookalike") / "pests"
    sample.main(["--like", "ip102", "--root", str(folder), "--images", str(IMAGES), "--seed", str(SEED)])
    return folder


@pytest.fixture(scope="module")
def truth(root):
    return read_truth(root)


def read_truth(root: Path) -> list[dict[str, str]]:
    with (root.with_name(f"{root.name}-truth") / "truth.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def files_in(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def pixels(data: bytes) -> np.ndarray:
    return read_image(data, 64_000_000).pixels


def test_lists_name_every_image_once_with_its_label(root, truth):
    listed = {}
    for split in ("train", "val", "test"):
        for line in (root / f"{split}.txt").read_text().splitlines():
            name, label = line.split(" ")
            listed[f"images/{name}"] = (split, label)
    assert listed == {row["file"]: (row["split"], row["class"]) for row in truth}
    assert sorted(listed) == sorted(f"images/{path.name}" for path in (root / "images").iterdir())
    assert set(files_in(root)) == {*listed, "classes.txt", "train.txt", "val.txt", "test.txt"}
    assert min(listed) == "images/00000.jpg"


def test_the_lines_of_classes_count_from_one_and_labels_from_zero(root):
    lines = (root / "classes.txt").read_text().splitlines()
    assert lines[0] == "1 rice leaf roller"
    assert lines[17] == "18 pest 17"
    assert lines[101] == "102 Cicadellidae"
    labels = [line.split()[1] for line in (root / "train.txt").read_text().splitlines()]
    assert sorted(set(map(int, labels))) == list(range(102))


def test_files_have_the_kind_and_size_that_the_truth_tells(root, truth):
    rows = lookalike.planned(IMAGES, SEED)
    for row, plan in zip(truth, rows, strict=True):
        with Image.open(root / row["file"]) as image:
            assert image.format == ("PNG" if row["kind"].startswith("png") else "JPEG")
            assert image.mode == ("RGBA" if row["kind"] == "png-alpha" else "RGB")
            assert image.size == (plan.width, plan.height) or row["kind"] == "near-duplicate"
            assert min(image.size) >= 52


def test_exact_twins_have_equal_bytes_and_all_other_files_differ(root, truth):
    digests = [hashlib.sha256((root / row["file"]).read_bytes()).digest() for row in truth]
    twins = [i for i, row in enumerate(truth) if row["kind"] == "exact-duplicate"]
    assert twins
    assert all(digests[i] == digests[int(truth[i]["picture"])] for i in twins)
    assert len(set(digests)) == len(digests) - len(twins)


def test_grouping_finds_the_planted_twins_and_nothing_else(root, truth):
    data = [(root / row["file"]).read_bytes() for row in truth]
    pictures = [pixels(content) for content in data]
    hashes = np.array([perceptual_hash(picture) for picture in pictures], np.uint64)
    sha256s = [hashlib.sha256(content).hexdigest() for content in data]
    groups = find_groups(sha256s, [""] * len(data), hashes, lambda row: grey32(pictures[row]))
    number = {name: i for i, name in enumerate(dict.fromkeys(row["picture"] for row in truth))}
    assert groups.near > 10
    assert groups.picture_of.tolist() == [number[row["picture"]] for row in truth]


def test_pictures_of_a_class_look_alike_where_the_insect_is_and_differ_elsewhere():
    one, other = (collage.sprite(7, individual, False, 102, 0) for individual in (0, 1))
    strange = collage.sprite(8, 0, False, 102, 0)
    assert one.shape == (collage.SPRITE_SIDE, collage.SPRITE_SIDE, 4)
    covered = one[..., 3] < 128
    assert 0.02 < covered.mean() < 0.6
    assert one[0, 0].tolist() == [0, 0, 0, 255]
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, strange)


@pytest.mark.parametrize("size", [(52, 70), (300, 420), (900, 700), (1_500, 2_000)])
def test_a_picture_has_the_size_that_was_asked_for_and_shows_something(size):
    picture = collage.draw_collage(3, 11, size, 102, 0)
    assert picture.shape == (*size, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 10


def test_a_file_depends_on_its_number_alone():
    names = [f"images/{number:05d}.jpg" for number in (3, 200, 599)]
    first = [lookalike.drawn_file(IMAGES, SEED, name) for name in names]
    for cached in (collage.sprite, collage.texture, collage.grain, collage.species, lookalike.planned):
        cached.cache_clear()
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        assert [lookalike.drawn_file(IMAGES, SEED, name) for name in reversed(names)] == first[::-1]
    finally:
        cv2.setNumThreads(threads)


def test_the_layout_of_the_mirror_has_a_folder_a_split_and_label(tmp_path, monkeypatch):
    root, arguments = tmp_path / "pests", {"layout": "folders", "images": FEWEST, "seed": SEED}

    def kill(name: str, path: Path) -> None:
        if name == "write" and path.name == "00007.jpg":
            raise KeyboardInterrupt

    monkeypatch.setattr(writer, "on_event", kill)
    with pytest.raises(KeyboardInterrupt):
        lookalike.draw_lookalike(root, **arguments)
    assert files_in(root) == {}
    monkeypatch.setattr(writer, "on_event", None)
    lookalike.draw_lookalike(root, **arguments)
    truth = read_truth(root)
    drawn = {row["file"]: f"classification/{row['split']}/{row['class']}" for row in truth}
    found = files_in(root)
    assert set(found) == {*drawn, "classes.txt", "train.txt", "val.txt", "test.txt"}
    assert all(str(Path(name).parent) == folder for name, folder in drawn.items())
    assert set(drawn.values()) == {
        f"classification/{split}/{label}" for split in ("train", "val", "test") for label in range(102)
    }
    assert found[truth[9]["file"]] == lookalike.drawn_file(FEWEST, SEED, "images/00009.jpg")


def test_files_of_others_are_not_overwritten(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("dear diary")
    with pytest.raises(SystemExit) as stop:
        sample.main(["--like", "ip102", "--root", str(tmp_path / "mine"), "--images", str(FEWEST)])
    assert stop.value.code == 3
    assert "that no drawing of ours made" in capsys.readouterr().err
    assert files_in(tmp_path) == {"mine/notes.txt": b"dear diary"}


def test_another_drawing_is_not_mixed_in(root):
    before = files_in(root.parent)
    for other in ({"images": IMAGES + 1}, {"layout": "folders"}, {"seed": SEED + 1}):
        with pytest.raises(DataError, match="holds another drawing"):
            lookalike.draw_lookalike(root, **{"images": IMAGES, "seed": SEED, **other})
    assert files_in(root.parent) == before


def test_a_signal_stops_it_with_nothing_left_among_the_data(tmp_path, monkeypatch, capsys):
    root = tmp_path / "pests"

    def ask(name: str, path: Path) -> None:
        if name == "write" and path.name == "00007.jpg":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(writer, "on_event", ask)
    with pytest.raises(SystemExit) as stop:
        sample.main(["--like", "ip102", "--root", str(root), "--images", str(FEWEST)])
    assert stop.value.code == 143
    assert "draws it all again" in capsys.readouterr().err
    assert files_in(root) == {}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--like", "ip102", "--root", "x", "--images", "5"], "5 images"),
        (["--like", "ip102", "--root", "x", "--classes", "12"], "102 classes"),
        (["--like", "ip102", "--sheet", "x.png"], "--root"),
        (["--like", "ip102", "--root", "x", "--workers", "-2"], "--workers -2"),
        (["--root", "x", "--layout", "lists"], "--like ip102"),
        (["--like", "flowers", "--root", "x"], "ip102"),
    ],
)
def test_a_wrong_command_line_is_refused_and_writes_nothing(arguments, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        sample.main(arguments)
    assert stop.value.code == 2
    assert text in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_several_processes_write_the_bytes_of_one(root, tmp_path):
    command = [sys.executable, "-m", "pipeline.dataset.sample", "--like", "ip102", "--images", str(IMAGES)]
    for workers in "1", "3":
        subprocess.run(
            [*command, "--seed", str(SEED), "--root", str(tmp_path / workers), "--workers", workers],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    assert files_in(tmp_path / "1") == files_in(tmp_path / "3") == files_in(root)
