"""Several seeds of a member: each a run of its own, all of them one member to the blend."""

import dataclasses
import json

import numpy as np
import pytest

from pipeline.artifacts import manifest, paths, predictions
from pipeline.artifacts.jobs import find_jobs, other_members
from pipeline.blending import sources
from pipeline.dataset.folds.folds_file import load_folds
from tests import tiny

pytestmark = pytest.mark.usefixtures("torch_threads")
BOTH = [{**tiny.MEMBERS[0], "train": {"seeds": 2}}, tiny.MEMBERS[1]]


def probs_of(config, jobs, name):
    """What each job's file holds, in the order of its first one's ids."""
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    found = [predictions.load(job.file(name), classes, load_folds(config).digest) for job in jobs]
    ids = found[0].ids.tolist()
    return ids, [predictions.join(jobs[0].folder, part, ids) for part in found]


@pytest.fixture
def trained(competition):
    config = tiny.configure(competition, members=BOTH)
    for stage in ("train", "predict", "ensemble"):
        tiny.run(stage, config)
    return config


def test_each_seed_is_the_run_that_it_would_be_alone(finished):
    both = find_jobs(tiny.configure(finished, members=BOTH))
    second = [{**tiny.MEMBERS[0], "train": {"seed": 1}}]
    alone = [job for members in (tiny.MEMBERS[:1], second) for job in _jobs(finished, members)]
    assert [job.folder for job in both[:4]] == [job.folder for job in alone]
    assert [job.model for job in both[:4]] == [job.model for job in alone]
    assert [job.title for job in both] == ["a seed 0", "a seed 0", "a seed 1", "a seed 1", "b", "b"]


def _jobs(folder, members):
    return find_jobs(tiny.configure(folder, members=members))


def test_another_seed_trains_that_one_alone_and_the_blend_takes_their_mean(competition, capsys):
    config = tiny.configure(competition, members=BOTH)
    first = find_jobs(config)[0].file("model.safetensors")
    before = tiny.snapshot(first.parent)[str(first)]
    for stage in ("train", "predict", "ensemble"):
        tiny.run(stage, config)
    assert tiny.snapshot(first.parent)[str(first)] == before
    printed = capsys.readouterr().out
    assert "a seed 1     fold 1" in printed
    assert all(name in printed for name in ("a seed 0 ", "a seed 1 ", "a, mean "))
    scores = json.loads((paths.ensemble(config) / "scores.json").read_bytes())
    assert list(scores["members"]) == ["a", "b"]


def test_the_mean_is_over_the_seeds_of_the_same_fold(trained):
    folds = load_folds(trained)
    classes = manifest.facts(paths.cache_manifest(trained))["classes"]
    source = sources.known_sources(trained)[0]
    oof, views = sources.load_oof(source, classes, folds.ids, folds.fold_of, folds.digest)
    assert views == ["identity", "hflip"]
    jobs = {(job.fold, job.member.train.seed): job for job in source.jobs}
    for fold in range(2):
        ids, seeds = probs_of(trained, [jobs[fold, 0], jobs[fold, 1]], "oof.npz")
        assert not np.array_equal(*seeds)
        places = [folds.ids.index(name) for name in ids]
        np.testing.assert_allclose(oof[:, places], (seeds[0] + seeds[1]) / 2, atol=1e-7)
        ids, seeds = probs_of(trained, [jobs[fold, 0], jobs[fold, 1]], "test.npz")
        test = sources.load_test(source, classes, ids, folds.digest)
        np.testing.assert_allclose(test[fold], (seeds[0] + seeds[1]) / 2, atol=1e-7)
    assert len(test) == 2


def test_the_page_has_a_line_a_seed_and_one_of_what_is_blended(trained):
    tiny.run("report", trained)
    page = paths.report(trained).read_text()
    assert all(text in page for text in ("a seed 0", "a seed 1", "mean of 2 seeds"))


def test_a_seed_that_is_no_longer_wanted_is_another_run(trained):
    assert other_members(trained) == []
    first = trained.members[0]
    alone = dataclasses.replace(first, train=dataclasses.replace(first.train, seeds=1))
    fewer = dataclasses.replace(trained, members=(alone, trained.members[1]))
    [left] = other_members(fewer)
    assert (left.name, left.train.seed, left.train.seeds) == ("a", 1, 1)
    assert sources.known_sources(trained)[2:] == []
    assert [source.kind for source in sources.known_sources(fewer)] == ["member", "member", "run"]
