"""Prediction files: joined by id, refused with their name for whatever is wrong in them."""

import dataclasses
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import predictions
from pipeline.artifacts.predictions import Predictions
from pipeline.errors import DataError

CLASSES = ["ant", "moth", "fly"]
IDS = ["007", "1e5", "NA", "é"]


def example(ids=IDS, views=("identity", "hflip")) -> Predictions:
    raw = np.random.default_rng(0).random((len(views), len(ids), len(CLASSES)))
    probs = (raw / raw.sum(axis=2, keepdims=True)).astype(np.float32)
    return Predictions(np.array(ids), np.array(CLASSES), np.array(views), probs, np.array(3), "abcd")


def arrays_of(found: Predictions) -> dict:
    return {field.name: np.asarray(getattr(found, field.name)) for field in dataclasses.fields(found)}


def write(path: Path, **changes) -> Path:
    """Write a file that this code would not write."""
    buffer = io.BytesIO()
    np.savez(buffer, **{**arrays_of(example()), **changes}, allow_pickle=True)
    path.write_bytes(buffer.getvalue())
    return path


def test_saved_and_loaded_are_equal_and_bytes_repeat(tmp_path):
    path = tmp_path / "oof.npz"
    predictions.save(path, example())
    first = path.read_bytes()
    loaded = predictions.load(path, CLASSES, "abcd")
    assert all(np.array_equal(array, arrays_of(loaded)[name]) for name, array in arrays_of(example()).items())
    predictions.save(path, example())
    assert path.read_bytes() == first


@settings(derandomize=True, max_examples=25, deadline=None)
@given(order=st.permutations(range(len(IDS))))
def test_shuffled_rows_are_joined_by_id(order):
    found = example()
    shuffled = dataclasses.replace(found, ids=found.ids[list(order)], probs=found.probs[:, list(order)])
    assert np.array_equal(predictions.join(Path("oof.npz"), shuffled, IDS), found.probs)


def test_missing_and_extra_ids_are_refused_by_name():
    with pytest.raises(DataError, match=r"oof\.npz: 1 ids have no row and 0 rows no id \('008'\)"):
        predictions.join(Path("oof.npz"), example(), [*IDS, "008"])
    with pytest.raises(DataError, match=r"0 ids have no row and 1 rows no id \('é'\)"):
        predictions.join(Path("oof.npz"), example(), IDS[:3])


def bad_row(value) -> np.ndarray:
    probs = example().probs.copy()
    probs[1, 2] = value
    return probs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds_digest": np.array("other")}, "folds other, not abcd"),
        ({"classes": np.array(CLASSES[::-1])}, "other classes"),
        ({"classes": np.array(CLASSES[:2])}, r"other classes \(2 of them, not 3\)"),
        ({"ids": np.array(["007", "1e5", "007", "é"])}, "id '007' has 2 rows"),
        ({"probs": bad_row([0.2, np.nan, 0.3])}, r"id 'NA' \(view hflip\) sum to nan"),
        ({"probs": bad_row([0.2, 0.2, 0.2])}, r"id 'NA' \(view hflip\) sum to 0\.6000"),
        ({"probs": bad_row([1.5, -0.5, 0.0])}, "id 'NA'"),
        ({"probs": example().probs[:, :3]}, "expected float32"),
        ({"probs": example().probs.astype(np.float64)}, "float64"),
        ({"views": np.array(["identity"])}, "expected float32"),
    ],
)
def test_wrong_content_is_refused_with_the_files_name(tmp_path, changes, message):
    path = write(tmp_path / "oof.npz", **changes)
    with pytest.raises(DataError, match=message) as raised:
        predictions.load(path, CLASSES, "abcd")
    assert str(path) in str(raised.value)


def test_file_without_an_array_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, ids=np.array(IDS))
    (tmp_path / "oof.npz").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match=r"oof\.npz can't be read"):
        predictions.load(tmp_path / "oof.npz", CLASSES, "abcd")


@pytest.mark.parametrize("kept", [0, 1, 100, -200, -1])
def test_truncated_file_is_refused(tmp_path, kept):
    path = write(tmp_path / "oof.npz")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"oof\.npz can't be read"):
        predictions.load(path, CLASSES, "abcd")


def test_flipped_bit_in_the_numbers_is_refused(tmp_path):
    path = write(tmp_path / "oof.npz")
    data = bytearray(path.read_bytes())
    start = data.index(example().probs.tobytes())
    data[start] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"oof\.npz can't be read"):
        predictions.load(path, CLASSES, "abcd")


def test_single_array_or_text_under_the_name_is_refused(tmp_path):
    path = tmp_path / "oof.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(DataError, match=r"oof\.npz can't be read"):
        predictions.load(path, CLASSES, "abcd")
    path.write_text("<html>")
    with pytest.raises(DataError, match=r"oof\.npz can't be read"):
        predictions.load(path, CLASSES, "abcd")


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["ids", "classes", "views", "probs", "fold", "folds_digest"])
def test_pickle_in_a_file_never_runs(tmp_path, name):
    payload = np.array([Payload(tmp_path / "ran")], dtype=object)
    path = write(tmp_path / "oof.npz", **{name: payload})
    with pytest.raises(DataError, match=r"oof\.npz can't be read"):
        predictions.load(path, CLASSES, "abcd")
    assert not (tmp_path / "ran").exists()
