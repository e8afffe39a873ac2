"""The prediction stage: every test id once, whatever can be read; only by the models that were trained."""

import numpy as np
import pandas as pd
import pytest

from pipeline import predict
from pipeline.artifacts import manifest, paths, predictions
from pipeline.artifacts.jobs import find_jobs
from pipeline.dataset.folds_file import load_folds
from pipeline.errors import DataError, LockedError
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
    tiny.run("prepare", config)
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
    with pytest.raises(DataError, match=r"fold 1 of b isn't trained .*changed.*--fold 1 --member b"):
        tiny.run("predict", config)
    assert not job.file("test.npz").exists()


def test_a_fold_that_isnt_trained_is_named_with_its_command(competition):
    config = tiny.configure(competition)
    job = tiny.job_of(config, "a", 1)
    job.oof_manifest.unlink()
    job.file("test.npz").unlink()
    command = "python -m pipeline.train --fold 1 --member a"
    with pytest.raises(DataError, match=rf"fold 1 of a isn't trained \(not done yet\): {command}"):
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
