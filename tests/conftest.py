"""What several test modules share: one tiny competition, run through the chain once."""

import shutil
from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tiny competition after the whole chain; nobody may change it."""
    folder = tmp_path_factory.mktemp("finished")
    config = tiny.configure(folder)
    for stage in tiny.CHAIN:
        tiny.run(stage, config)
    return folder


@pytest.fixture
def competition(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of it to change."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    return folder
