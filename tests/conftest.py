"""What several test modules share: one tiny competition, run through the chain once."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import no_network, tiny
from tests.kaggle_server import KEY, Kaggle, serve, talk_only_to

no_network.cut_off()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the whole chain in a folder of its own."""
    folder = tmp_path_factory.mktemp("built")
    with contextlib.chdir(folder):
        for stage in tiny.CHAIN:
            tiny.run(stage, tiny.configure(folder))
    return folder


@pytest.fixture
def finished(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to the folder of the tiny competition after the whole chain; nobody may change it."""
    monkeypatch.chdir(built)
    return built


@pytest.fixture
def competition(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a copy of it, to be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(built, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def kaggle_site() -> Iterator[tuple[Kaggle, str]]:
    """Serve a Kaggle on loopback."""
    with serve() as site:
        yield site


@pytest.fixture
def kaggle(
    kaggle_site: tuple[Kaggle, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kaggle]:
    """Talk to that Kaggle only, in an empty folder: no other host is asked, no key is in the ledger."""
    site, address = kaggle_site
    site.reset()
    home = tmp_path / "home"
    home.mkdir()
    talk_only_to(address, str(home), monkeypatch)
    monkeypatch.chdir(tmp_path)
    yield site
    assert site.hosts <= {"localhost"}
    book = tmp_path / "submissions" / "ledger.jsonl"
    assert not book.exists() or KEY not in book.read_text()


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """Put torch's number of threads, which a runtime sets, back after a test."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
