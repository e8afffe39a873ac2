"""The prediction stage: every test id once, whatever can be read; only by the models that were trained."""

import contextlib
import shutil

import numpy as np
import pandas as pd
import pytest
import safetensors.torch

from pipeline import predict
from pipeline.artifacts import manifest, paths, predictions
from pipeline.artifacts.jobs import find_jobs
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.errors import DataError, LockedError
from pipeline.learn import shift
from pipeline.learn.models import build_model
from pipeline.learn.weights import RANDOM
from tests import tiny


def submitted_ids(config):
    return pd.read_csv(paths.data_root(config) / "sample_submission.csv", dtype=str)["id"].tolist()


def loaded(config, job):
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    return predictions.load(job.file("test.npz"), classes, load_folds(config).digest)


def test_every_test_image_by_every_model_in_every_view(finished):
    config = tiny.configure(finished)
    probs = []
    for job in find_jobs(config):
        found = loaded(config, job)
        assert sorted(found.ids.tolist()) == sorted(submitted_ids(config))
        assert found.views.tolist() == ["identity", "hflip"]
        probs.append(found.probs.tobytes())
    assert len(set(probs)) == 4


def test_up_to_date_says_so_and_touches_nothing(finished, capsys):
    before = tiny.snapshot(finished)
    tiny.run("predict", tiny.configure(finished))
    assert "up to date (4 models)" in capsys.readouterr().out
    assert tiny.snapshot(finished) == before


def test_one_model_alone_predicts_what_it_did_among_others(competition, capsys):
    config = tiny.configure(competition)
    jobs = find_jobs(config)
    before = [job.file("test.npz").read_bytes() for job in jobs]
    others = [job.file("test.npz").stat().st_mtime_ns for job in jobs[1:]]
    jobs[0].file("test.npz").unlink()
    assert [state.state for state in predict.states(config)] == ["stale", "done", "done", "done"]
    tiny.run("predict", config)
    assert "20 test images × 1 models × 2 views" in capsys.readouterr().out
    assert [job.file("test.npz").read_bytes() for job in jobs] == before
    assert [job.file("test.npz").stat().st_mtime_ns for job in jobs[1:]] == others


def test_images_that_cant_be_read_get_the_classes_shares(competition, capsys):
    config = tiny.configure(competition)
    names = submitted_ids(config)[:2]
    before = {job.folder: loaded(config, job) for job in find_jobs(config)}
    for name in names:
        (paths.data_root(config) / f"test/{name}.jpg").write_bytes(b"no image")
    for stage in ("prepare", "predict"):
        tiny.run(stage, config)
    assert "2 test images can't be read: they get the classes' shares" in capsys.readouterr().err
    folds = load_folds(config)
    for job in find_jobs(config):
        found, old = loaded(config, job), before[job.folder]
        shares = [folds.labels.count(label) / len(folds.labels) for label in found.classes.tolist()]
        unread = np.isin(found.ids, names)
        assert np.allclose(found.probs[:, unread], shares)
        readable = found.ids[~unread].tolist()
        place = [old.ids.tolist().index(name) for name in readable]
        assert sorted([*readable, *names]) == sorted(old.ids.tolist())
        assert np.allclose(found.probs[:, ~unread], old.probs[:, place], atol=1e-6)


def test_no_readable_test_image_is_said(competition):
    config = tiny.configure(competition)
    for name in submitted_ids(config):
        (paths.data_root(config) / f"test/{name}.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match="No test image is left"):
        tiny.run("prepare", config)
    tiny.job_of(config, "a", 0).file("test.npz").unlink()
    with pytest.raises(DataError, match=r"no test image can be read: .*images\.parquet"):
        tiny.run("predict", config)


def test_without_test_images_there_is_nothing_to_do(competition, capsys):
    config = tiny.without_test(competition)
    assert predict.states(config) == []
    tiny.run("predict", config)
    assert "no test images: nothing to predict" in capsys.readouterr().out


def test_a_model_that_changed_on_disk_is_refused(competition):
    config = tiny.configure(competition)
    job = tiny.job_of(config, "b", 1)
    job.file("test.npz").unlink()
    tiny.flip_unseen(job.file("model.safetensors"), -5)
    with pytest.raises(DataError, match=r"model\.safetensors changed after it was written \(sha256\)"):
        tiny.run("predict", config)
    job.file("model.safetensors").touch()
    with pytest.raises(DataError, match=r"b fold 1 isn't trained .*changed.*--fold 1 --member b"):
        tiny.run("predict", config)
    assert not job.file("test.npz").exists()


def test_a_fold_that_isnt_trained_is_named_with_its_command(competition):
    config = tiny.configure(competition)
    job = tiny.job_of(config, "a", 1)
    job.trained_manifest.unlink()
    job.file("test.npz").unlink()
    command = "python -m pipeline.train --fold 1 --member a"
    with pytest.raises(DataError, match=rf"a fold 1 isn't trained \(not done yet\): {command}"):
        tiny.run("predict", config)


def test_a_lost_record_of_the_run_is_named(competition):
    config = tiny.configure(competition)
    job = tiny.job_of(config, "a", 0)
    job.file("test.npz").unlink()
    (job.run_folder / "environment.json").unlink()
    with pytest.raises(DataError, match=r"environment\.json is missing"):
        tiny.run("predict", config)


def test_two_processes_dont_predict_at_once(competition):
    config = tiny.configure(competition)
    tiny.job_of(config, "a", 0).file("test.npz").unlink()
    with (
        tiny.held_elsewhere(paths.competition(config) / "predict.lock") as child,
        pytest.raises(LockedError, match=f"pid {child.pid}"),
    ):
        tiny.run("predict", config)


@pytest.fixture(scope="module")
def held_out(built, tmp_path_factory):
    """A competition in class folders: 24 training, 16 validation (one unreadable) and 20 test images."""
    folder = tmp_path_factory.mktemp("held_out")
    source, root = built / "data/tiny", folder / "data/tiny"
    labels = pd.read_csv(source / "train.csv", dtype=str)
    labels = labels.sort_values(["label", "id"]).reset_index(drop=True)
    for i, (name, label) in enumerate(labels[["id", "label"]].to_numpy()):
        place = root / ("val" if i % 5 in (1, 3) else "train") / label
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / "train" / f"{name}.jpg", place)
    shutil.copytree(source / "test", root / "test")
    next(root.glob("val/*/*.jpg")).write_bytes(b"no image")
    with contextlib.chdir(folder):
        for stage in ("prepare", "folds", "train", "predict"):
            tiny.run(stage, held_out_config(folder))
    return folder


def held_out_config(folder):
    return tiny.configure(folder, {"data": {"drawn": None, "use_val": "holdout"}}, tiny.MEMBERS[:1])


def test_a_validation_split_is_predicted_with_the_test_images(held_out, monkeypatch):
    monkeypatch.chdir(held_out)
    config = held_out_config(held_out)
    table = pd.read_parquet(paths.cache(config) / "images.parquet").set_index("id")
    counts = table.groupby("split").size().to_dict()
    assert counts == {"train": 24, "val": 16, "test": 20}
    shares = table.loc[table["split"] == "train", "label"].value_counts(normalize=True)
    for job in find_jobs(config):
        found = loaded(config, job)
        assert sorted(found.ids.tolist()) == sorted(table.index[table["split"] != "train"])
        unread = [table.loc[name, "shard"] < 0 for name in found.ids.tolist()]
        assert sum(unread) == 1
        assert np.allclose(found.probs[:, unread], shares[found.classes.tolist()])
        assert not np.allclose(found.probs[:, ~np.array(unread)], shares[found.classes.tolist()])


def test_validation_images_are_counted_apart(held_out, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(held_out, folder)
    monkeypatch.chdir(folder)
    config = held_out_config(folder)
    tiny.job_of(config, "a", 0).file("test.npz").unlink()
    tiny.run("predict", config)
    said = capsys.readouterr()
    assert "15 validation and 20 test images × 1 models × 2 views" in said.out
    assert "1 validation images can't be read: they get the classes' shares" in said.err


def test_only_a_validation_split_is_predicted_and_compared_with_nothing(
    held_out, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "copy"
    shutil.copytree(held_out, folder)
    monkeypatch.chdir(folder)
    config = held_out_config(folder)
    shutil.rmtree(paths.data_root(config) / "test")
    for stage in ("prepare", "predict"):
        tiny.run(stage, config)
    assert "train and test weren't compared: there are no test images" in capsys.readouterr().out
    assert len(loaded(config, find_jobs(config)[0]).ids) == 16


def test_train_and_test_are_compared_after_the_predictions_by_initial_weights(competition, capsys):
    before = build_model("test_efficientnet", 7, RANDOM, seed_key=0).state_dict()
    (competition / "own.safetensors").write_bytes(safetensors.torch.save(before))
    own = {"name": "own", "model": "test_efficientnet", "weights": "own.safetensors"}
    config = tiny.configure(competition, members=[own])
    tiny.run("train", config)
    tiny.run("predict", config)
    lines = capsys.readouterr().out.splitlines()
    said = next(i for i, line in enumerate(lines) if "20 test images × 2 models" in line)
    assert "train and test can't be told apart" in lines[said + 1]
    wanted, before = paths.shift(config).read_bytes(), tiny.snapshot(competition)
    tiny.run("predict", config)
    assert "up to date (2 models)" in capsys.readouterr().out
    assert tiny.snapshot(competition) == before
    for job in find_jobs(config):
        job.file("model.safetensors").unlink()
    paths.shift(config).unlink()
    shift.compare(config)
    assert paths.shift(config).read_bytes() == wanted
