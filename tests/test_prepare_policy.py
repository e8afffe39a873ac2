import pandas as pd
import pytest

from pipeline import prepare
from pipeline.artifacts import paths
from pipeline.dataset import shards
from pipeline.dataset.cache import open_cache
from pipeline.errors import DataError
from tests import moths
from tests.moths import IDS, TEST_IDS, configure, draw, facts_of, run, table_of, write_tables


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_IMAGES", 4)
    return moths.draw_competition(tmp_path)


def spoil(root):
    (root / "train" / "001.png").write_bytes(b"")
    (root / "train" / "004.png").write_bytes((root / "train" / "004.png").read_bytes()[:-2])
    (root / "test" / "NA.png").write_bytes(b"<html>")


def test_all_unreadable_images_are_named_at_once(root):
    spoil(root)
    config = configure(root)
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            run(config)
        assert caught.value.exit_code == 3
        assert str(caught.value).splitlines() == [
            "3 of 13 images can't be used:",
            "  train/001.png: empty file",
            "  train/004.png: truncated PNG",
            "  test/NA.png: no JPEG, PNG, WebP, BMP, GIF or TIFF: begins with b'<html>'",
            "Mend, add or remove them, or leave them out with data.unreadable=skip (test images then get the"
            " class priors).",
        ]
    assert table_of(config)["problem"].ne("").sum() == 3
    assert not paths.cache_manifest(config).exists()


def test_mending_one_costs_one(root, monkeypatch):
    spoil(root)
    config = configure(root)
    with pytest.raises(DataError):
        run(config)
    for split, name in (("train", "001"), ("train", "004"), ("test", "NA")):
        draw(root / split / f"{name}.png", name)
    seen = []
    look = shards.look
    monkeypatch.setattr(shards, "look", lambda *a: seen.append(a[-1]) or look(*a))
    run(config)
    assert seen == ["train/001.png", "train/004.png", "test/NA.png"]


def test_skipped_images_stay_in_the_table(root, capsys):
    spoil(root)
    (root / "train" / "009.png").unlink()
    config = configure(root, unreadable="skip")
    run(config)
    table = table_of(config)
    assert table.loc[table["shard"] < 0, "id"].tolist() == ["001", "004", "009", "NA"]
    assert table.loc[9, "problem"] == "no file: 009 or 009.jpg, .png …"
    assert open_cache(paths.cache(config)).table["id"].tolist() == [
        name for name in IDS + TEST_IDS if name not in ("001", "004", "009", "NA")
    ]
    assert facts_of(config)["rows"] == {"train": 7, "extra": 0, "val": 0, "test": 3}
    assert facts_of(config)["problems"] == {"train": 3, "extra": 0, "val": 0, "test": 1}
    warned = capsys.readouterr().err
    assert "train images that can't be used are left out: 3 (the first is train/001.png: empty" in warned
    assert (
        "test images that can't be used are predicted from the class priors: 1 (the first is test" in warned
    )
    run(config)
    assert capsys.readouterr().out == "prepare   up to date\n"


def test_missing_images_are_told_at_once_and_listed_with_the_unreadable_ones(root, capsys):
    write_tables(root, ["001", "002", *(f"m{i}" for i in range(25))])
    (root / "test" / "NA.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        run(configure(root))
    warned = capsys.readouterr().err
    assert warned == (f"warning: 25 of 30 images are missing in {root} (id m0: no m0 or m0.jpg, .png …).\n")
    lines = str(caught.value).splitlines()
    assert lines[0] == "26 of 30 images can't be used:"
    assert lines[1] == "  id m0: no file: m0 or m0.jpg, .png …"
    assert lines[20] == "  id m19: no file: m19 or m19.jpg, .png …"
    table = paths.cache(configure(root)) / "images.parquet"
    assert lines[21] == f"  … and 6 more, all of them in {table}"
    assert pd.read_parquet(table).query("problem != ''")["id"].tolist()[-2:] == ["m24", "NA"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_skipping_can_t_leave_out_a_whole_split(root, split):
    for path in (root / split).iterdir():
        path.write_bytes(b"no picture")
    config = configure(root, unreadable="skip")
    count = len(IDS if split == "train" else TEST_IDS)
    with pytest.raises(DataError, match=f"^{count} of {count} images can't be used:") as caught:
        run(config)
    assert str(caught.value).endswith(f"No {split} image is left: mend some of them.")
    assert not paths.cache_manifest(config).exists()
    assert prepare.states(config)[0].state == "to do"


def test_skipping_can_t_leave_out_a_whole_class(root):
    for name in IDS[1::2]:
        (root / "train" / f"{name}.png").unlink()
    with pytest.raises(DataError, match=r"^5 of 5 images can't be used:") as caught:
        run(configure(root, unreadable="skip"))
    assert "  id 001: no file: 001 or 001.jpg, .png …\n" in str(caught.value)
    assert str(caught.value).endswith("No image of these classes is left: 'b': mend some of them.")


@pytest.fixture
def folders(tmp_path):
    """Draw class folders with an official test and val split, and more images in a folder beside them."""
    root, more = tmp_path / "data" / "moths", tmp_path / "more"
    for place in (root / "train", root / "val", root / "test", more):
        for label in ("a", "b"):
            (place / label).mkdir(parents=True)
            for i in range(2):
                draw(place / label / f"{i}.png", f"{place.name}{label}{i}")
    return root, more


def test_every_split_has_its_rows_and_its_problems(folders, capsys):
    root, more = folders
    for place in (more / "a", root / "val" / "a"):
        (place / "1.png").write_bytes(b"")
    (root / "test" / "b" / "0.png").write_bytes(b"")
    config = configure(root, unreadable="skip", use_val="holdout", extra=[str(more)])
    run(config)
    facts = facts_of(config)
    assert facts["rows"] == {"train": 4, "extra": 3, "val": 4, "test": 4}
    assert facts["problems"] == {"train": 0, "extra": 1, "val": 1, "test": 1}
    warned = capsys.readouterr().err
    assert "extra images that can't be used are left out: 1 (the first is 1//a/1.png: empty" in warned
    assert "val images that can't be used are predicted from the class priors: 1 (the first is val" in warned
    for place in (root / "val").rglob("*.png"):
        place.write_bytes(b"")
    with pytest.raises(DataError, match="No val image is left"):
        run(config)


def test_labels_of_val_and_test_are_in_the_official_digest_alone(tmp_path):
    root = tmp_path / "data" / "moths"
    (root / "images").mkdir(parents=True)
    for split in ("train", "val", "test"):
        names = [f"{split}{i}.png" for i in range(4)]
        for name in names:
            draw(root / "images" / name, name)
        (root / f"{split}.txt").write_text("".join(f"{name} {i % 2}\n" for i, name in enumerate(names)))
    config = configure(root, use_val="holdout")
    run(config)
    before = facts_of(config)
    assert before["official_digest"] != ""
    for split in ("val", "test"):
        (root / f"{split}.txt").write_text((root / f"{split}.txt").read_text().replace("1.png 1", "1.png 0"))
        run(config)
        after = facts_of(config)
        changed = [name for name in after if after[name] != before[name]]
        assert changed == ["official_digest"]
        before = after
    draw(root / "images" / "val0.png", "another")
    run(config)
    after = facts_of(config)
    assert {name for name in after if after[name] != before[name]} == {"test_digest", "shards"}


def test_extra_images_are_trained_on(folders):
    root, more = folders
    config = configure(root, extra=[str(more)])
    run(config)
    before = facts_of(config)
    draw(more / "b" / "0.png", "another")
    run(config)
    assert facts_of(config)["train_digest"] != before["train_digest"]
    assert facts_of(config)["test_digest"] == before["test_digest"]
