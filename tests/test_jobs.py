"""Jobs: which run folder a member has, and what makes its model, its OOF rows and its test rows stale."""

import json
import os
import shutil

import pytest
import safetensors.torch

from pipeline.artifacts import manifest, paths
from pipeline.artifacts.jobs import can_find_jobs, find_jobs, has_test
from pipeline.errors import DataError
from pipeline.learn.models import build_model
from pipeline.learn.weights import RANDOM
from tests import tiny

STAMPS = ("model", "oof", "test")


def reasons(folder, changes=None, members=tiny.MEMBERS):
    """Return what is stale of member a's fold 0 under a changed configuration."""
    job = tiny.job_of(tiny.configure(folder, changes, members), "a", 0)
    found = (job.model_manifest, job.model), job.commit, (job.test_manifest, job.test)
    return {
        name: why for name, (path, to) in zip(STAMPS, found, strict=True) if (why := manifest.stale(path, to))
    }


def test_every_member_has_every_fold(finished):
    jobs = find_jobs(tiny.configure(finished))
    assert [(job.member.name, job.fold) for job in jobs] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert len({job.folder for job in jobs}) == 4
    assert len({job.run_folder for job in jobs}) == 2
    assert reasons(finished) == {}


@pytest.mark.parametrize(
    "train",
    [{"epochs": 3}, {"lr": 0.1}, {"seed": 1}, {"dtype": "bfloat16"}, {"test_size": 40}, {"augment": "none"}],
)
def test_another_recipe_is_another_run(finished, train):
    before, after = (tiny.configure(finished, changes) for changes in ({}, {"train": train}))
    folders = [{job.run_folder for job in find_jobs(config)} for config in (before, after)]
    assert not folders[0] & folders[1]


@pytest.mark.parametrize("train", [{"workers": 2}, {"max_minutes": 9.0}, {"checkpoint_minutes": 1.0}])
def test_how_a_machine_works_is_no_part_of_a_run(finished, train):
    assert reasons(finished, {"train": train}) == {}


def test_what_each_file_depends_on(finished):
    assert reasons(finished, {"data": {"metric": "accuracy"}}).keys() == {"oof"}
    assert reasons(finished, {"predict": {"views": ["identity"]}}).keys() == {"oof", "test"}
    assert reasons(finished, {"predict": {"batch": 9}})["test"] == "predict.batch changed from 16 to 9"


@pytest.mark.parametrize(
    ("fact", "stale"),
    [
        ("train_digest", {"model", "oof"}),
        ("test_digest", {"test"}),
        ("classes_digest", {"model", "oof", "test"}),
    ],
)
def test_other_images_or_classes(competition, fact, stale):
    path = paths.cache_manifest(tiny.configure(competition))
    content = json.loads(path.read_bytes())
    content["facts"][fact] = "another"
    path.write_text(json.dumps(content))
    assert reasons(competition).keys() == stale


def test_a_changed_model_makes_its_predictions_stale(competition):
    model = tiny.job_of(tiny.configure(competition), "a", 0).file("model.safetensors")
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    assert reasons(competition).keys() == {"model", "oof", "test"}
    assert str(model) in reasons(competition)["oof"]


def test_a_copy_is_up_to_date(competition):
    assert reasons(competition) == {}


def test_other_folds_are_another_run(competition):
    config = tiny.configure(competition)
    before = {job.run_folder for job in find_jobs(config)}
    record = paths.folds_record(config)
    record.write_text(record.read_text().replace(manifest.folds_digest(record), "f" * 16))
    assert not before & {job.run_folder for job in find_jobs(config)}


def test_a_weights_file_counts_by_its_content(finished, tmp_path):
    files = [tmp_path / name for name in ("w.safetensors", "moved.safetensors", "other.safetensors")]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        state = build_model("test_resnet", 3, RANDOM, seed_key=seed).state_dict()
        file.write_bytes(safetensors.torch.save(state))
    jobs = [of_weights(finished, str(file)) for file in files]
    assert jobs[0].run_folder == jobs[1].run_folder != jobs[2].run_folder
    assert jobs[0].model == jobs[1].model != jobs[2].model
    shutil.copy(files[2], files[0])
    os.utime(files[0], (1, 1))
    assert of_weights(finished, str(files[0])).run_folder == jobs[2].run_folder


def of_weights(folder, weights):
    return find_jobs(tiny.configure(folder, None, [{**tiny.MEMBERS[0], "weights": weights}]))[0]


def test_before_prepare_and_folds_there_are_no_jobs(tmp_path, competition):
    config = tiny.configure(tmp_path)
    assert not can_find_jobs(config)
    with pytest.raises(DataError, match="python -m pipeline"):
        find_jobs(config)
    config = tiny.configure(competition)
    assert can_find_jobs(config)
    assert has_test(config)
    paths.folds_record(config).unlink()
    assert not can_find_jobs(config)


def test_the_metric_belongs_to_a_training_whose_weights_it_chooses(finished):
    for select, counts in (("last", False), ("common", True), ("best", True)):
        jobs = [
            find_jobs(tiny.configure(finished, {"train": {"select": select}, "data": {"metric": metric}}))[0]
            for metric in ("macro-f1", "accuracy")
        ]
        assert (jobs[0].model != jobs[1].model) is counts
        assert jobs[0].trained != jobs[1].trained
        assert jobs[0].run_folder == jobs[1].run_folder
