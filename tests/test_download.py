"""Download: drawn or fetched once, resumed after a stop, and nobody's own files are overwritten."""

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline import download
from pipeline.artifacts import manifest, paths
from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.leaderboard.answers import KaggleError
from tests.kaggle_server import Kaggle, serve, talk_only_to

OPTIONS = argparse.Namespace()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Kaggle, str]]:
    with serve() as site:
        yield site


@pytest.fixture(autouse=True)
def kaggle(server: tuple[Kaggle, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    site, address = server
    site.reset()
    (tmp_path / "home").mkdir()
    talk_only_to(address, str(tmp_path / "home"), monkeypatch)
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("train.csv", "id,label\n1,cat\n")
        target.writestr("train/1.jpg", b"pixels")
    site.archive = buffer.getvalue()
    yield site
    assert site.hosts <= {"localhost"}


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

    config = make_config(drawn={"classes": 2, "images": 20})
    whole = sample.draw_competition

    def stopped(root: Path, **arguments: object) -> None:
        (root / "train").mkdir(parents=True)
        (root / "train" / "left over.jpg").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, "draw_competition", stopped)
    with pytest.raises(KeyboardInterrupt):
        download.run(config, OPTIONS)
    monkeypatch.setattr(sample, "draw_competition", whole)
    download.run(config, OPTIONS)
    assert state_of(config) == ("done", "")
    assert not Path("data/pets/train/left over.jpg").exists()


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
