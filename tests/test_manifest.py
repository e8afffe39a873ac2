"""Manifests: fresh, stale with its reason for each kind of change, copies, and bits that flipped."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import lock, manifest, state, writer
from pipeline.artifacts.manifest import Expected
from pipeline.errors import DataError


@pytest.fixture
def work(tmp_path):
    """Return a committed stage: (its manifest, what it expects)."""
    folder = tmp_path / "run"
    writer.publish_folder(folder, {"in.csv": b"id,label\n", "out.bin": b"weights", "deep/out.npz": b"probs"})
    expected = Expected("train", 1, {"train.epochs": 3, "model": "resnet50"}, {"table": folder / "in.csv"})
    outputs = [folder / "out.bin", folder / "deep" / "out.npz"]
    manifest.publish(folder / "manifest.json", expected, outputs, 12.3456, {"score": 0.8})
    return folder / "manifest.json", expected


def rewrite(path: Path, data: bytes) -> None:
    """Put another file of equal size and time in its place: only the inode tells."""
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(data)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def test_what_was_just_published_is_fresh(work):
    assert manifest.stale(*work) is None
    assert manifest.facts(work[0]) == {"score": 0.8}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "made by version 1 of train, now 2"),
        ({"stage": "predict"}, "version 1 of train"),
        ({"config": {"train.epochs": 5, "model": "resnet50"}}, "train.epochs changed from 3 to 5"),
        ({"config": {"train.epochs": 3}}, 'model changed from "resnet50" to nothing'),
        (
            {"config": {"train.epochs": 3, "model": "resnet50", "train.lr": 0.1}},
            "train.lr changed from nothing to 0.1",
        ),
        ({"inputs": {}}, "inputs are others"),
    ],
)
def test_each_change_of_what_is_expected_says_itself(work, change, reason):
    path, expected = work
    assert reason in str(manifest.stale(path, replace(expected, **change)))


@pytest.mark.parametrize("name", ["in.csv", "out.bin", "deep/out.npz"])
def test_changed_or_missing_files_are_named(work, name):
    path, expected = work
    file = path.parent / name
    rewrite(file, bytes(len(file.read_bytes())))
    assert manifest.stale(path, expected) == f"{file} changed"
    file.write_bytes(b"longer than it was")
    assert manifest.stale(path, expected) == f"{file} changed"
    file.unlink()
    assert manifest.stale(path, expected) == f"{file} is missing"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 99}', b"\xff"])
def test_unreadable_manifest_means_not_done(work, content):
    path, expected = work
    path.write_bytes(content)
    assert manifest.stale(path, expected) == "not done yet"
    with pytest.raises(DataError, match=r"manifest\.json"):
        manifest.facts(path)


def test_copied_tree_stays_fresh_by_its_hashes(work, tmp_path):
    path, expected = work
    copy = tmp_path / "elsewhere"
    shutil.copytree(path.parent, copy)
    for file in copy.rglob("*"):
        os.utime(file, ns=(1, 1))
    moved = replace(expected, inputs={"table": copy / "in.csv"})
    assert manifest.stale(copy / "manifest.json", moved) is None


def test_flipped_bit_is_found_on_load(work):
    path, _ = work
    weights = path.parent / "out.bin"
    assert manifest.verified_bytes(weights, path) == b"weights"
    weights.write_bytes(b"weighty")
    with pytest.raises(DataError, match=r"out\.bin changed after it was written"):
        manifest.verified_bytes(weights, path)
    with pytest.raises(DataError, match=r"other\.bin isn't listed"):
        manifest.verified_bytes(path.parent / "other.bin", path)


def test_manifest_is_plain_json_with_libraries_and_sorted_names(work):
    content = json.loads(work[0].read_bytes())
    assert list(content) == sorted(content)
    assert set(content["outputs"]) == {"out.bin", "deep/out.npz"}
    assert content["seconds"] == 12.346
    assert content["libraries"]["numpy"] != "not installed"
    with pytest.raises(ValueError, match="not JSON compliant"):
        manifest.publish(work[0], Expected("train", 1, {"score": float("nan")}), [], 0)


def test_digest_tells_values_and_types_apart_and_not_the_order_of_keys():
    assert manifest.digest({"a": 1, "b": 2}) == manifest.digest({"b": 2, "a": 1})
    values = [1, "1", 1.5, None, True, [1], {"1": 1}, "é", [[1], 2], [1, [2]]]
    assert len({manifest.digest(value) for value in values}) == len(values)
    assert manifest.digest({"é": [1, None, 0.1]}) == "7869d388369f5bfa"


def test_state_of_a_piece_of_work(work, tmp_path):
    path, expected = work
    done = state.of(path, expected, "rn50", 2)
    assert (done.state, done.why, done.score, done.seconds, done.fold) == ("done", "", 0.8, 12.346, 2)
    stale = state.of(path, replace(expected, version=2))
    assert (stale.state, stale.why) == ("stale", "made by version 1 of train, now 2")
    assert state.of(tmp_path / "none.json", expected).state == "to do"
    with lock.hold(tmp_path / "lock", "fold 2"):
        assert state.of(path, expected, lock_file=tmp_path / "lock").state == "running"
    assert state.of(path, expected, lock_file=tmp_path / "lock").state == "done"
    assert state.waiting("train", "rn50", 1).state == "to do"
