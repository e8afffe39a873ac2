"""The whole chain as a user runs it: killed anywhere and run again, it ends with the same bytes."""

import hashlib
import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from tests import warm
from tests.warm import KillAt

COMPETITION = """\
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
epochs = 3
batch = 8
size = 32
threads = 1
dtype = "float32"
memory_format = "channels_last"
checkpoint_minutes = 1e-9
[[members]]
name = "a"
model = "test_resnet"
weights = "random"
[[members]]
name = "b"
model = "test_efficientnet"
weights = "random"
"""
# "Same bytes" is promised of these; manifests and logs hold seconds.
PROMISED = (".npz", ".safetensors", ".csv", "folds/tiny.json")
KILLS = [
    KillAt("replace", "b.ckpt", 4),
    KillAt("replace", "oof.npz", 1),
    KillAt("fsync", "test.npz", 2),
]
MORE_KILLS = [
    KillAt("write", "shard-00000.u8"),
    KillAt("replace", "images.parquet"),
    KillAt("replace", "tiny.csv"),
    KillAt("write", "tiny.json"),
    KillAt("write", "environment.json", 2),
    KillAt("write", "a.ckpt", 3),
    KillAt("fsync", "a.ckpt", 5),
    KillAt("write", "log.jsonl", 9),
    KillAt("replace", "model.safetensors", 2),
    KillAt("write", "model.manifest.json", 1),
    KillAt("write", "manifest.json", 4),
    KillAt("replace", "weights.json"),
    KillAt("write", ".csv", 2),
    KillAt("replace", "scores.json", 1),
    KillAt("write", "report.html"),
]


def promised(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file whose bytes are promised."""
    roots = [folder / name for name in ("runs", "folds", "submissions")]
    files = [file for root in roots for file in root.rglob("*") if str(file).endswith(PROMISED)]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of all files, the output of this test's children apart."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "output.log"]
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the whole chain once, from an empty folder, with nothing in its way."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "competition.toml").write_text(COMPETITION)
    result = warm.run("pipeline", [], folder)
    assert result.exit_code == 0, result.output
    return folder


def test_the_chain_ends_with_scores_a_submission_and_a_report(undisturbed: Path) -> None:
    output = (undisturbed / "output.log").read_text()
    assert "cross-fitted (95 % interval" in output
    assert "True score on the hidden solution" in output
    assert list((undisturbed / "submissions").glob("tiny-*.csv"))
    assert (undisturbed / "runs/tiny/report.html").stat().st_size > 100_000
    assert len((undisturbed / "runs/tiny/ledger.jsonl").read_text().splitlines()) == 1


def test_the_network_is_cut_off() -> None:
    with socket.socket() as away, pytest.raises(AssertionError, match="need no network"):
        away.connect(("192.0.2.1", 80))


def test_a_second_run_changes_no_file(undisturbed: Path) -> None:
    before = everything(undisturbed)
    result = warm.run("pipeline", [], undisturbed)
    assert result.exit_code == 0
    assert result.output.count("up to date") >= 6
    assert everything(undisturbed) == before


@pytest.mark.parametrize(
    "kill",
    [*KILLS, *(pytest.param(kill, marks=pytest.mark.slow) for kill in MORE_KILLS)],
    ids=lambda kill: f"{kill.event}-{kill.name}-{kill.count}",
)
def test_killed_and_run_again_gives_the_same_bytes(kill: KillAt, undisturbed: Path, tmp_path: Path) -> None:
    shutil.copy(undisturbed / "competition.toml", tmp_path)
    assert warm.run("pipeline", [], tmp_path, kill).exit_code == -9
    result = warm.run("pipeline", [], tmp_path)
    assert result.exit_code == 0, result.output
    assert promised(tmp_path) == promised(undisturbed)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_killed_twice_in_a_row(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copy(undisturbed / "competition.toml", tmp_path)
    assert warm.run("pipeline", [], tmp_path, KillAt("write", "b.ckpt", 2)).exit_code == -9
    assert warm.run("pipeline", [], tmp_path, KillAt("write", "b.ckpt", 2)).exit_code == -9
    assert warm.run("pipeline", [], tmp_path).exit_code == 0
    assert promised(tmp_path) == promised(undisturbed)


def test_workers_change_nothing(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copy(undisturbed / "competition.toml", tmp_path)
    result = warm.run("pipeline.ensemble", ["train.workers=2"], tmp_path)
    assert result.exit_code == 0, result.output
    assert promised(tmp_path) == promised(undisturbed)


def test_only_the_deleted_fold_is_trained_again(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(undisturbed, folder)
    wanted = promised(folder)
    for fold in folder.glob("runs/tiny/*/fold1"):
        shutil.rmtree(fold)
    kept = {name: value for name, value in everything(folder).items() if "/fold0/" in name}
    result = warm.run("pipeline.train", ["--fold", "1"], folder)
    assert result.exit_code == 0, result.output
    assert {name: value for name, value in everything(folder).items() if "/fold0/" in name} == kept
    remade = promised(folder)
    assert {name for name in wanted if name not in remade} == {
        n for n in wanted if n.endswith("fold1/test.npz")
    }
    assert all(remade[name] == wanted[name] for name in remade)


def test_a_file_with_shuffled_rows_is_joined_by_id(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(undisturbed, folder)
    wanted = promised(folder)
    for path in folder.glob("runs/tiny/a-*/fold*/*.npz"):
        with np.load(path) as arrays:
            content = dict(arrays)
        order = np.random.default_rng(0).permutation(len(content["ids"]))
        content |= {"ids": content["ids"][order], "probs": content["probs"][:, order]}
        np.savez(path, **content)
        recorded = path.with_name("manifest.json" if path.name == "oof.npz" else "test.manifest.json")
        recorded.write_text(_with_hash_of(recorded, path))
    shutil.rmtree(folder / "runs/tiny/ensemble")
    result = warm.run("pipeline.ensemble", [], folder)
    assert result.exit_code == 0, result.output
    made = promised(folder)
    same = [name for name in wanted if "ensemble" in name or "submissions" in name]
    assert [made[name] for name in same] == [wanted[name] for name in same]


def test_a_missing_image_is_named(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(undisturbed, folder)
    victim = sorted((folder / "data/tiny/train").iterdir())[3]
    victim.unlink()
    result = warm.run("pipeline.prepare", [], folder)
    assert result.exit_code == 3
    assert victim.stem in result.output
    assert "Traceback" not in result.output


def test_a_truncated_image_is_named(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(undisturbed, folder)
    victim = sorted((folder / "data/tiny/train").iterdir())[4]
    victim.write_bytes(victim.read_bytes()[:-100])
    result = warm.run("pipeline", [], folder)
    assert result.exit_code == 3
    assert victim.name in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("module", "arguments", "exit_code", "words"),
    [
        ("pipeline.train", ["--fold", "9"], 2, "folds 0 to 1"),
        ("pipeline.train", ["--member", "c"], 2, "there are a, b"),
        ("pipeline", ["train.epohcs=3"], 2, "did you mean 'epochs'"),
        ("pipeline", ["data.metric=macro_f1"], 2, "did you mean 'macro-f1'"),
        ("pipeline.compare", ["a", "b", "data.metric=macro_f1"], 2, "did you mean 'macro-f1'"),
        ("pipeline.tune", ["data.metric=macro_f1"], 2, "did you mean 'macro-f1'"),
        ("pipeline", ["--config", "nothing.toml"], 2, "no such file"),
    ],
)
def test_a_mistake_gets_one_message(
    module: str, arguments: list[str], exit_code: int, words: str, undisturbed: Path
) -> None:
    result = warm.run(module, arguments, undisturbed)
    assert result.exit_code == exit_code
    assert words in result.output
    assert "Traceback" not in result.output


def _with_hash_of(manifest: Path, path: Path) -> str:
    content = json.loads(manifest.read_text())
    status = path.stat()
    content["outputs"][path.name] = {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "inode": status.st_ino,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return json.dumps(content)
