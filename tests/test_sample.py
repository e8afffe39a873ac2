"""The drawn competition: its files, its truth, and that equal arguments draw equal bytes."""

import csv
import hashlib
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.dataset import sample
from pipeline.dataset.drawing.species import PLAN_NAMES, PROPORTIONS, Traits, draw_species, species_names
from pipeline.errors import UsageError

CLASSES, IMAGES, SEED = 6, 150, 3


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "insects"
    sample.draw_competition(folder, classes=CLASSES, images=IMAGES, seed=SEED)
    return folder


@pytest.fixture(scope="module")
def truth(root):
    return read(root.with_name("insects-solution") / "truth.csv")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def digests(*folders: Path) -> dict[str, str]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.name): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def image_of(root: Path, row: dict[str, str]) -> bytes:
    return (root / row["split"] / f"{row['id']}.jpg").read_bytes()


def of_kind(truth: list[dict[str, str]], kind: str) -> list[dict[str, str]]:
    found = [row for row in truth if row["kind"] == kind]
    assert found
    return found


def thumbnail(data: bytes) -> np.ndarray:
    grey = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("L").resize((32, 32))
    pixels = np.asarray(grey, float)
    return (pixels - pixels.mean()) / pixels.std()


def test_a_second_call_writes_the_same_bytes(root):
    folders = root, root.with_name("insects-solution")
    first = digests(*folders)
    (root / "train.csv").unlink()
    sample.draw_competition(root, classes=CLASSES, images=IMAGES, seed=SEED)
    assert len(first) == IMAGES + 4
    assert digests(*folders) == first


def test_another_seed_draws_other_pictures(tmp_path):
    for seed in (0, 1):
        sample.draw_competition(tmp_path / str(seed), classes=3, images=24, seed=seed)
    zero, one = (digests(tmp_path / seed) for seed in "01")
    assert not set(zero.values()) & set(one.values())


def test_tables_and_files_agree(root):
    train = read(root / "train.csv")
    submission = read(root / "sample_submission.csv")
    solution = read(root.with_name("insects-solution") / "solution.csv")
    assert list(train[0]) == list(submission[0]) == ["id", "label"]
    assert list(solution[0]) == ["id", "label", "clean_label"]
    for rows, split in ((train, "train"), (submission, "test"), (solution, "test")):
        assert sorted(row["id"] for row in rows) == sorted(path.stem for path in (root / split).iterdir())
    assert len(train) == 100
    assert len(submission) == 50


def test_ids_lose_their_form_as_numbers_and_the_submission_is_not_sorted(root):
    ids = [row["id"] for row in read(root / "sample_submission.csv")]
    assert ids != sorted(ids)
    assert all(len(name) == 4 and name.isdigit() for name in ids)
    assert any(str(int(name)) != name for name in ids)


def test_the_submission_names_the_first_species(root, truth):
    labels = {row["label"] for row in read(root / "sample_submission.csv")}
    assert labels == {min(row["species"] for row in truth)}


def test_wrong_labels_are_those_that_differ_from_the_truth(root, truth):
    true = {row["id"]: row["species"] for row in truth}
    wrong = {row["id"] for row in truth if row["kind"] == "wrong-label"}
    solution = read(root.with_name("insects-solution") / "solution.csv")
    assert wrong
    assert {
        row["id"] for row in read(root / "train.csv") + solution if row["label"] != true[row["id"]]
    } == wrong
    assert all(row["clean_label"] == true[row["id"]] for row in solution)


def test_every_class_keeps_its_label_in_both_splits(root, truth):
    solution = read(root.with_name("insects-solution") / "solution.csv")
    names = {row["species"] for row in truth}
    assert len(names) == CLASSES
    assert {row["label"] for row in read(root / "train.csv")} == {row["label"] for row in solution} == names


def test_exact_duplicates_share_bytes_and_group(root, truth):
    for row in of_kind(truth, "exact-duplicate"):
        twins = [other for other in truth if other["group"] == row["group"] and other["kind"] == "plain"]
        assert [image_of(root, twin) for twin in twins] == [image_of(root, row)]


def test_near_duplicates_look_like_their_original(root, truth):
    for row in of_kind(truth, "near-duplicate"):
        (twin,) = (other for other in truth if other["group"] == row["group"] and other["kind"] == "plain")
        assert image_of(root, twin) != image_of(root, row)
        one, other = thumbnail(image_of(root, row)), thumbnail(image_of(root, twin))
        assert max(float((one * view).mean()) for view in (other, other[:, ::-1])) > 0.9


def test_files_of_one_kind_are_all_jpeg_but_the_odd_ones(root, truth):
    for row in truth:
        data = image_of(root, row)
        image = Image.open(io.BytesIO(data))
        image.load()
        assert data.startswith(b"\x89PNG") == (row["kind"] == "png")
        assert image.format == ("PNG" if row["kind"] == "png" else "JPEG")
        assert image.mode == ("CMYK" if row["kind"] == "cmyk" else "RGB")
        assert image.getexif().get(0x0112) == (6 if row["kind"] == "exif" else None)


def test_odd_files_show_their_insect_upright_in_rgb(root, truth):
    for kind in ("png", "exif", "cmyk"):
        for row in of_kind(truth, kind):
            number = species_names(CLASSES, SEED).index(row["species"])
            look, individual = draw_species(CLASSES, SEED)[number], int(row["individual"].split()[-1])
            drawn = sample.draw_individual(look, number, individual, SEED)
            shown = ImageOps.exif_transpose(Image.open(io.BytesIO(image_of(root, row)))).convert("RGB")
            difference = np.abs(np.asarray(shown, float) - drawn)
            assert difference.mean() < 6


def test_sizes_are_what_is_promised(root, truth):
    plain = [Image.open(io.BytesIO(image_of(root, row))).size for row in truth if row["kind"] == "plain"]
    assert all(160 <= min(size) <= 224 for size in plain)
    assert len({round(max(size) / min(size), 1) for size in plain}) >= 3


def test_a_picture_depends_on_its_key_alone():
    species = draw_species(4, seed=5)
    alone = sample.draw_individual(species[2], 2, 7, seed=5)
    sample.draw_individual(species[0], 0, 0, seed=5)
    np.random.default_rng(0).random(9)
    assert np.array_equal(alone, sample.draw_individual(species[2], 2, 7, seed=5))
    assert not np.array_equal(alone, sample.draw_individual(species[2], 2, 8, seed=5))


@pytest.mark.parametrize("plan", PLAN_NAMES)
def test_every_body_plan_is_drawn_in_every_marking(plan):
    pictures = [
        sample.draw_individual(Traits(plan, marking), 0, individual, seed=1)
        for marking in ("spots", "bands", "stripes")
        for individual in range(4)
    ]
    assert all(picture.dtype == np.uint8 and picture.ndim == 3 and picture.std() > 5 for picture in pictures)


def test_species_of_one_plan_differ_in_every_proportion():
    species = draw_species(12, seed=0)
    plans = Counter(look.plan for look in species)
    assert max(plans.values()) >= 2
    for plan in plans:
        looks = [look for look in species if look.plan == plan]
        for name in PROPORTIONS:
            assert len({getattr(look, name) for look in looks}) == len(looks)


def test_hues_are_shared_between_species():
    assert len({look.hsv for look in draw_species(12, seed=0)}) < 12


@pytest.mark.parametrize(("classes", "images"), [(3, 24), (30, 120)])
def test_other_sizes(tmp_path, classes, images):
    seen = []
    sample.draw_competition(
        tmp_path / "a",
        classes=classes,
        images=images,
        progress=lambda done, total: seen.append((done, total)),
    )
    rows = read(tmp_path / "a" / "train.csv")
    assert seen == [(done, images) for done in range(1, images + 1)]
    assert len({row["label"] for row in rows}) == classes
    assert len(list((tmp_path / "a").rglob("*.jpg"))) == images


@pytest.mark.parametrize(("classes", "images"), [(1, 50), (10, 29)])
def test_too_few_images_are_refused_with_the_numbers(tmp_path, classes, images):
    with pytest.raises(UsageError, match=f"{classes} classes with {images} images"):
        sample.draw_competition(tmp_path / "a", classes=classes, images=images)
    assert list(tmp_path.iterdir()) == []


def test_command_line_writes_a_sheet_with_a_row_a_species(tmp_path):
    sample.main(["--sheet", str(tmp_path / "sheet.png"), "--classes", "3"])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (190 + 8 * 132, 4 + 3 * 132)
        assert np.asarray(sheet).std() > 20


def test_command_line_writes_the_competition_or_says_what_is_missing(tmp_path, capsys):
    sample.main(["--root", str(tmp_path / "c"), "--classes", "3", "--images", "24", "--seed", "2"])
    assert len(read(tmp_path / "c" / "train.csv")) == 16
    with pytest.raises(SystemExit) as stop:
        sample.main([])
    assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        sample.main(["--root", str(tmp_path / "d"), "--images", "5"])
    assert stop.value.code == 2
    assert "5 images" in capsys.readouterr().err
