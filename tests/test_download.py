"""Download: drawn or fetched once, resumed after a stop, and nobody's own files are overwritten."""

import argparse
import io
import zipfile
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline import download
from pipeline.artifacts import manifest, paths
from pipeline.config import Config
from pipeline.dataset.sample_plan import plan_competition
from pipeline.errors import DataError, UsageError
from pipeline.leaderboard.answers import KaggleError
from tests.kaggle_server import Kaggle

OPTIONS = argparse.Namespace()


@pytest.fixture(autouse=True)
def archive(kaggle: Kaggle) -> None:
    """Let the site have a competition of one image."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("train.csv", "id,label\n1,cat\n")
        target.writestr("train/1.jpg", b"pixels")
    kaggle.archive = buffer.getvalue()


def make_config(**data: object) -> Config:
    raw = {"data": {"name": "pets", **data}, "members": [{"name": "m", "model": "resnet18"}]}
    return configuration.resolve(raw, {}, "test")


def files_of(folder: str) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in Path(folder).rglob("*") if p.is_file()}


def state_of(config: Config) -> tuple[str, str]:
    [state] = download.states(config)
    return state.state, state.why


def test_drawn_once_and_again_with_other_numbers(capsys):
    config = make_config(drawn={"classes": 2, "images": 24, "seed": 1})
    assert state_of(config) == ("to do", "not done yet")
    download.run(config, OPTIONS)
    found = manifest.read(paths.download_manifest(config))
    assert found is not None
    assert found["config"] == {"data.drawn.classes": 2, "data.drawn.images": 24, "data.drawn.seed": 1}
    outputs = {Path(name).name for name in found["outputs"]}
    assert outputs == {"train.csv", "sample_submission.csv", "solution.csv"}
    before = files_of("data")
    download.run(config, OPTIONS)
    assert capsys.readouterr().out.splitlines()[-1] == "download  up to date"
    assert files_of("data") == before

    smaller = make_config(drawn={"classes": 2, "images": 20, "seed": 1})
    assert state_of(smaller) == ("stale", "data.drawn.images changed from 24 to 20")
    download.run(smaller, OPTIONS)
    assert len(list(Path("data/pets").rglob("*.jpg"))) == 20


def test_a_drawing_that_was_stopped_goes_on(monkeypatch):
    from pipeline.dataset import sample

    config = make_config(drawn={"classes": 2, "images": 24})
    whole = sample.draw_competition

    def stopped(root: Path, **arguments: object) -> None:
        for split in ("train", "test"):
            (root / split).mkdir(parents=True)
            for number in range(24):  # in both folders: whichever the plan says is there
                (root / split / f"{number:04d}.jpg").write_bytes(b"half")
        (root / "train" / "mine.jpg").write_bytes(b"nobody drew it")
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, "draw_competition", stopped)
    with pytest.raises(KeyboardInterrupt):
        download.run(config, OPTIONS)
    monkeypatch.setattr(sample, "draw_competition", whole)
    smaller = make_config(drawn={"classes": 2, "images": 20})
    download.run(smaller, OPTIONS)
    assert state_of(smaller) == ("done", "")
    rows = plan_competition(2, 24, 0)
    drawn_then = {f"data/pets/{row.split}/{row.id}.jpg" for row in rows}
    drawn_now = {f"data/pets/{row.split}/{row.id}.jpg" for row in plan_competition(2, 20, 0)}
    assert not [name for name in drawn_then - drawn_now if Path(name).exists()]
    assert all(Path(name).stat().st_size > 100 for name in drawn_now)
    assert Path("data/pets/train/mine.jpg").read_bytes() == b"nobody drew it"


def test_another_data_folder_is_another_download(capsys):
    drawn = {"classes": 2, "images": 20}
    download.run(make_config(drawn=drawn), OPTIONS)
    Path("own/train").mkdir(parents=True)
    Path("own/train/0001.jpg").write_bytes(b"mine")
    Path("own/train.csv").write_text("mine")
    before = files_of("own")
    for seed in (0, 1):
        with pytest.raises(DataError, match="aren't overwritten"):
            download.run(make_config(drawn={**drawn, "seed": seed}, root="own"), OPTIONS)
    assert files_of("own") == before

    config = make_config(drawn=drawn, root="nowhere")
    assert state_of(config) == ("stale", 'data.root changed from nothing to "../../nowhere"')
    download.run(config, OPTIONS)
    assert len(list(Path("nowhere").rglob("*.jpg"))) == 20
    assert state_of(config) == ("done", "")


def test_a_moved_project_is_as_it_was(tmp_path, monkeypatch):
    Path("project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    config = make_config(drawn={"classes": 2, "images": 20}, root="own")
    download.run(config, OPTIONS)
    monkeypatch.chdir(tmp_path)
    Path("project").rename("moved")
    monkeypatch.chdir(tmp_path / "moved")
    assert state_of(config) == ("done", "")
    absolute = make_config(drawn={"classes": 2, "images": 20}, root=str(tmp_path / "moved" / "own"))
    assert state_of(absolute) == ("done", "")


def test_a_fetched_competition_is_not_drawn_over(kaggle):
    download.run(make_config(kaggle="loopback"), OPTIONS)
    before = files_of("data")
    with pytest.raises(DataError, match="aren't overwritten"):
        download.run(make_config(drawn={"classes": 2, "images": 20}), OPTIONS)
    assert {
        name: text for name, text in files_of("data").items() if "lock" not in name
    }.items() <= before.items()


def test_numbers_that_cant_be_drawn_leave_nothing_behind():
    with pytest.raises(UsageError, match="3 images a class"):
        download.run(make_config(drawn={"classes": 9, "images": 20}), OPTIONS)
    assert not list(Path("data").rglob("download.begun"))
    download.run(make_config(drawn={"classes": 2, "images": 20}), OPTIONS)


def test_a_competition_is_fetched_into_each_folder(kaggle):
    download.run(make_config(kaggle="loopback"), OPTIONS)
    Path("own").mkdir()
    config = make_config(kaggle="loopback", root="own")
    assert state_of(config)[0] == "stale"
    download.run(config, OPTIONS)
    assert Path("own/train.csv").exists()
    Path("theirs").mkdir()
    Path("theirs/train.csv").write_text("mine")
    theirs = make_config(kaggle="loopback", root="theirs")
    download.run(theirs, OPTIONS)
    assert files_of("theirs").keys() == {"theirs/train.csv"}
    assert Path("theirs/train.csv").read_text() == "mine"


def test_nobodys_own_files_are_drawn_over():
    config = make_config(drawn={"classes": 2, "images": 20})
    Path("data/pets").mkdir(parents=True)
    Path("data/pets/train.csv").write_text("mine")
    with pytest.raises(DataError, match=r"data\.root"):
        download.run(config, OPTIONS)
    assert Path("data/pets/train.csv").read_text() == "mine"


def test_nothing_to_download(capsys):
    config = make_config(root="/somewhere")
    download.run(config, OPTIONS)
    assert capsys.readouterr().out == "download  nothing to download: using /somewhere\n"
    assert state_of(config)[0] == "done"


def test_a_competition_is_fetched_once_and_edits_are_kept(kaggle, capsys):
    config = make_config(kaggle="loopback")
    download.run(config, OPTIONS)
    assert Path("data/pets/train.csv").read_text() == "id,label\n1,cat\n"
    assert Path("data/pets/train/1.jpg").read_bytes() == b"pixels"
    assert not list(Path("data").rglob("*.zip"))
    Path("data/pets/train.csv").write_text("id,label\n1,dog\n")
    calls = len(kaggle.calls)
    download.run(config, OPTIONS)
    assert capsys.readouterr().out.splitlines()[-1] == "download  up to date"
    assert (len(kaggle.calls), state_of(config)) == (calls, ("done", ""))
    with pytest.raises(DataError, match=r"data\.name"):
        download.run(make_config(kaggle="another"), OPTIONS)
    assert Path("data/pets/train.csv").read_text() == "id,label\n1,dog\n"


def test_a_public_data_set_needs_no_credentials(monkeypatch):
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    download.run(make_config(kaggle_dataset="somebody/pictures"), OPTIONS)
    assert Path("data/pets/train/1.jpg").read_bytes() == b"pixels"


def test_files_that_are_there_are_used(kaggle, capsys):
    Path("data/pets").mkdir(parents=True)
    Path("data/pets/train.csv").write_text("mine")
    config = make_config(kaggle="loopback")
    before = files_of("data")
    download.run(config, OPTIONS)
    assert "already there" in capsys.readouterr().out
    assert state_of(config)[0] == "done"
    assert files_of("data").items() >= before.items()
    assert kaggle.calls == []


def test_no_credentials_says_what_to_do_by_hand(kaggle, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(
        KaggleError, match=r"by hand: download https://www\.kaggle\.com/competitions/loopback"
    ) as caught:
        download.run(make_config(kaggle="loopback"), OPTIONS)
    assert (caught.value.exit_code, kaggle.calls) == (13, [])


def test_rules_not_accepted_names_their_page(kaggle):
    kaggle.fail["DownloadDataFiles"] = 403
    kaggle.message = "You must accept this competition's rules before you can continue"
    with pytest.raises(KaggleError, match="competitions/loopback/rules") as caught:
        download.run(make_config(kaggle="loopback"), OPTIONS)
    assert caught.value.exit_code == 14


def test_a_bad_archive_leaves_the_data_folder_alone(kaggle):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("train.csv", "id,label\n")
        target.writestr("../evil", "x")
    kaggle.archive = buffer.getvalue()
    with pytest.raises(DataError, match="leads out"):
        download.run(make_config(kaggle="loopback"), OPTIONS)
    assert not Path("data/pets/train.csv").exists()
    assert not list(Path().rglob("evil"))
