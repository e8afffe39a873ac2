"""kill -9 in trainings that wait for each other: a common epoch, a refit, shared features, a teacher."""

import shutil
from pathlib import Path

import pytest

from tests import warm
from tests.test_end_to_end import promised
from tests.warm import KillAt

COMPETITION = """
[data]
name = "tiny"
[data.drawn]
classes = 3
images = 60
[folds]
count = 2
[predict]
batch = 16
[train]
epochs = 2
batch = 8
size = 32
threads = 1
device = "cpu"
dtype = "float32"
memory_format = "channels_last"
checkpoint_minutes = 1e-9
[[members]]
name = "a"
model = "test_resnet"
weights = "random"
train.select = "common"
train.refit = true
train.head_epochs = 2
[[members]]
name = "b"
model = "test_efficientnet"
weights = "random"
train.teacher = "c"
train.pseudo = true
[[members]]
name = "c"
model = "test_resnet"
weights = "random"
"""
KILLS = [
    KillAt("write", "epochs.manifest.json", 2),
    KillAt("replace", "epoch.json"),
    KillAt("write", "features.manifest.json"),
    KillAt("replace", "teacher.npz", 2),
]
MORE_KILLS = [
    *(KillAt(event, "1.safetensors", count) for event in ("write", "replace") for count in (1, 2)),
    KillAt("replace", "2.safetensors", 2),
    *(KillAt(event, "epochs.json", count) for event in ("write", "replace") for count in (1, 2)),
    KillAt("replace", "epochs.manifest.json", 1),
    KillAt("write", "epoch.json"),
    *(KillAt(event, "model.safetensors", count) for event in ("write", "replace") for count in (2, 4, 7)),
    *(KillAt(event, "model.manifest.json", count) for event in ("write", "replace") for count in (1, 4, 7)),
    *(KillAt("remove", "epochs", count) for count in (1, 2)),
    *(KillAt("remove", "a.ckpt", count) for count in (1, 3, 5)),
    *(KillAt(event, "features.npy") for event in ("write", "replace")),
    *(KillAt(event, "teacher_test.npz", count) for event in ("write", "replace") for count in (1, 2)),
    *(KillAt(event, "teacher.manifest.json", 1) for event in ("write", "replace", "remove")),
    *(KillAt("write", "oof.npz", count) for count in (1, 2, 5)),
    *(KillAt("replace", "manifest.json", count) for count in (8, 13, 18)),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run what comes before the training."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "competition.toml").write_text(COMPETITION)
    for stage in ("download", "prepare", "folds"):
        assert warm.run(f"pipeline.{stage}", [], folder).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Train with nothing in the way; return the digests of what is promised."""
    folder = tmp_path_factory.mktemp("undisturbed") / "competition"
    shutil.copytree(prepared, folder)
    result = warm.run("pipeline.train", [], folder)
    assert result.exit_code == 0, result.output
    return promised(folder)


@pytest.mark.parametrize(
    "kill",
    [*KILLS, *(pytest.param(kill, marks=pytest.mark.slow) for kill in MORE_KILLS)],
    ids=lambda kill: f"{kill.event}-{kill.name}-{kill.count}",
)
def test_killed_and_run_again_gives_the_same_bytes(
    kill: KillAt, prepared: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "competition"
    shutil.copytree(prepared, folder)
    assert warm.run("pipeline.train", [], folder, kill).exit_code == -9
    result = warm.run("pipeline.train", [], folder)
    assert result.exit_code == 0, result.output
    assert promised(folder) == undisturbed
    left = ("epochs", "teacher.npz", "teacher_test.npz", "teacher.manifest.json")
    assert not [path for path in folder.rglob("*") if path.name in left or path.suffix in (".ckpt", ".tmp")]
