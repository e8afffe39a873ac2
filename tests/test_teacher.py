"""A member taught by another: by the models of the same fold alone, on test images too, stopped anywhere."""

import contextlib
import dataclasses
import json
import signal

import numpy as np
import pytest

from pipeline import config as configuration
from pipeline.artifacts import manifest, paths, predictions, writer
from pipeline.artifacts.jobs import find_jobs, fold_jobs, other_members, refit_jobs, teacher_jobs
from pipeline.blending import sources
from pipeline.dataset.folds.folds_file import load_folds
from pipeline.dataset.loader import epoch_batches
from pipeline.errors import DataError, Interrupted, LockedError, UsageError
from pipeline.learn import teacher as teaching
from pipeline.learn import work as working
from pipeline.learn.search import plan_search
from pipeline.learn.teacher import soft_targets
from pipeline.learn.work import open_work, pseudo_rows, trained_on
from tests import tiny

pytestmark = pytest.mark.usefixtures("torch_threads")
STUDENT = {"name": "s", "model": "test_efficientnet", "weights": "random"}
PROMISED = ("model.safetensors", "oof.npz")


def taught(folder, changes=None, teacher=None, **train):
    """The configuration of a student before its teacher, which the finished competition has as member a."""
    student = {**STUDENT, "train": {"teacher": "a", **train}}
    return tiny.configure(folder, changes, [student, {**tiny.MEMBERS[0], "train": teacher or {}}])


def contents(config, name="s"):
    """The promised bytes of each fold of a member."""
    jobs = [job for job in find_jobs(config) if job.member.name == name and job.fold is not None]
    return [[job.file(file).read_bytes() for file in PROMISED] for job in jobs]


def elsewhere(config, folder):
    """The same configuration with runs in another folder."""
    return dataclasses.replace(config, paths=dataclasses.replace(config.paths, runs=folder))


@contextlib.contextmanager
def watched(monkeypatch, change):
    """Let a test change what the models of a process share, once it is opened."""

    def opened(config, todo):
        work = open_work(config, todo)
        change(work)
        return work

    with monkeypatch.context() as patch:
        patch.setattr(working, "open_work", opened)
        yield


def resolved(*members, **tables):
    return configuration.resolve({"data": {"name": "x"}, "members": list(members), **tables}, {}, "my.toml")


def member(name, **train):
    return {"name": name, "model": "resnet50", "train": train}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            [member("lite0"), member("s", teacher="lite1")],
            r"of s is 'lite1', no other member; there is lite0\.",
        ),
        ([member("s", teacher="t")], r"of s is 't', no other member; there is none\."),
        ([member("a"), member("s", teacher="s")], r"of s is that member itself: .* in \[\[members\]\], not"),
        (
            [member("a", teacher="b"), member("b", teacher="c"), member("c", teacher="a")],
            r"a ← b ← c ← a teach each other",
        ),
        ([member("a"), member("s", pseudo=True)], r"train.pseudo of s needs a train.teacher"),
        ([member("a", select="common"), member("s", teacher="a")], r'a teaches s, .*train.select = "last"'),
        ([member("a", select="best"), member("s", teacher="a")], r'a teaches s, .*train.select = "last"'),
        ([member("a"), member("s", teacher="a", refit=True)], r"needs train.refit of its teacher, a"),
        ([{**member("s"), "teacher": "a"}], r"named by train.teacher"),
        ([member("a"), member("s", teacher="a", teacher_share=0.0)], r"train.teacher_share = 0.0"),
        ([member("a"), member("s", teacher="a", teacher_share=1.5)], r"train.teacher_share = 1.5"),
        ([member("a"), member("s", teacher="a", teacher_temperature=0.0)], r"train.teacher_temperature = 0"),
    ],
)
def test_what_teaches_nothing_is_refused(members, words):
    with pytest.raises(UsageError, match=words):
        resolved(*members)


def test_a_teacher_may_have_a_teacher_and_the_order_says_nothing():
    found = resolved(member("c", teacher="b"), member("b", teacher="a"), member("a"))
    assert [[one.name for one in configuration.teachers(each)] for each in found.members] == [
        ["b", "a"],
        ["a"],
        [],
    ]


def test_the_run_is_named_by_what_the_teacher_is_not_by_its_name():
    def digest(*members):
        found = resolved(*members)
        return paths.recipe_digest(found.members[-1], "f")

    one = digest(member("a"), member("s", teacher="a"))
    assert one == digest(member("other"), member("s", teacher="other"))
    assert one == digest(member("a", workers=2, refit=True), member("s", teacher="a"))
    others = [
        digest(member("a", epochs=3), member("s", teacher="a")),
        digest(member("a", seeds=2), member("s", teacher="a")),
        digest(member("z", lr=0.5), member("a", teacher="z"), member("s", teacher="a")),
        digest(member("z"), member("a", teacher="z"), member("s", teacher="a")),
        digest(member("a"), member("s", teacher="a", pseudo=True)),
        digest(member("a"), member("s")),
    ]
    assert len({one, *others}) == 7


def test_a_run_without_a_teacher_is_the_one_it_was(finished):
    alone, beside = tiny.configure(finished), taught(finished)
    assert fold_jobs(beside, beside.members[1]) == fold_jobs(alone, alone.members[0])
    assert all(job.untrained() is None for job in fold_jobs(beside, beside.members[1]))


def test_what_the_command_prints_reads_back(finished):
    from pipeline.config_text import to_toml

    config = taught(finished, pseudo=True)
    (finished.parent / "printed.toml").write_text(text := to_toml(config))
    assert configuration.load(str(finished.parent / "printed.toml")) == config
    assert "teacher.name" not in text


def test_the_teacher_is_trained_first_and_the_chain_goes_through(competition, capsys):
    config = taught(competition, {"train": {"epochs": 1}}, pseudo=True)
    for stage in (*tiny.CHAIN[3:], "report"):
        tiny.run(stage, config)
    assert "taught by a" in paths.report(config).read_text()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("train ")]
    done = [line.split()[1] for line in lines if "macro-f1 0" in line]
    assert done == ["a", "a", "s", "s"]
    scores = json.loads((paths.ensemble(config) / "scores.json").read_bytes())
    assert list(scores["members"]) == ["s", "a"]
    folds = load_folds(config)
    for job in fold_jobs(config, config.members[0]):
        with np.load(job.file("oof.npz")) as oof:
            held_out = [folds.ids[i] for i in np.flatnonzero(folds.fold_of == job.fold)]
            assert sorted(oof["ids"].tolist()) == sorted(held_out)
        assert not list(job.folder.glob("teacher*"))
        start = json.loads(job.file("log.jsonl").read_text().splitlines()[0])
        work = open_work(config, [])
        assert start["rows"] == trained_on(work, job.fold).sum() + len(pseudo_rows(work)) > 30
    tiny.run("train", config)
    assert "up to date (4 models)" in capsys.readouterr().out


def test_a_chain_of_teachers_is_trained_from_its_beginning(competition, capsys):
    last = {**tiny.MEMBERS[1], "name": "last", "train": {"teacher": "s", "select": "common"}}
    student = {**STUDENT, "train": {"teacher": "a"}}
    config = tiny.configure(competition, {"train": {"epochs": 2}}, [last, student, tiny.MEMBERS[0]])
    for fold in ("0", "1"):
        tiny.run("train", config, "--fold", fold)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("train ")]
    begun = [line.split()[1] for line in lines if "random initial weights" in line]
    assert begun == ["s:", "last:"]
    assert all(job.untrained() is None for job in find_jobs(config))
    assert not list(paths.competition(config).rglob("teacher*"))


def test_no_label_of_a_fold_reaches_its_models(competition, monkeypatch):
    config = taught(competition, {"train": {"epochs": 1, "seed": 3}}, {"seeds": 2}, pseudo=True)
    tiny.run("train", config)
    before = {name: contents(config, name) for name in ("a", "s")}

    def other_labels(work):
        work.targets = work.targets.copy()
        rows = work.rows[work.folds.fold_of == 0]
        work.targets[rows] = (work.targets[rows] + 1) % 3

    changed = elsewhere(config, "other runs")
    with watched(monkeypatch, other_labels):
        tiny.run("train", changed)
    after = {name: contents(changed, name) for name in ("a", "s")}
    same = {name: [one == two for one, two in zip(before[name], after[name], strict=True)] for name in before}
    assert same == {"a": [True, False, True, False], "s": [True, False]}


def test_the_targets_are_the_mean_of_the_teachers_seeds_and_views_by_id(competition, monkeypatch):
    config = taught(competition, {"train": {"epochs": 1}}, {"seeds": 2}, pseudo=True)
    work = open_work(config, [])
    with pytest.raises(DataError):
        soft_targets(work, find_jobs(config)[0])
    monkeypatch.setattr(teaching, "remove", lambda job: None)
    for stage in ("train", "predict"):
        tiny.run(stage, config)
    for job in fold_jobs(config, config.members[0]):
        soft = soft_targets(work, job)
        assert soft is not None
        teachers = teacher_jobs(config, job)
        assert [(one.fold, one.member.train.seed) for one in teachers] == [(job.fold, 0), (job.fold, 1)]
        classes, digest = work.classes, work.folds.digest
        files = [one.file("test.npz") for one in teachers]
        found = {path: predictions.load(path, classes, digest) for path in files}
        labelled = trained_on(work, job.fold).sum()
        assert soft.rows.tolist() == [*work.rows[trained_on(work, job.fold)], *pseudo_rows(work)]
        ids = work.cache.table["id"].to_numpy()[soft.rows[labelled:]].tolist()
        for one in found.values():  # the readable test images are a part of all
            assert set(ids) <= set(one.ids.tolist())
        rows = [[one.ids.tolist().index(name) for name in ids] for one in found.values()]
        probs = [one.probs[:, at].mean(0) for one, at in zip(found.values(), rows, strict=True)]
        np.testing.assert_allclose(soft.probs[labelled:], np.mean(probs, 0), atol=1e-6)
        path = job.file(teaching.LABELLED)
        written = predictions.load(path, classes, digest)
        backwards = dataclasses.replace(written, ids=written.ids[::-1], probs=written.probs[:, ::-1])
        predictions.save(path, backwards)
        manifest.publish(
            job.file("teacher.manifest.json"),
            teaching._expected(work, job),
            [path, job.file(teaching.PSEUDO)],
            1.0,
        )
        again = soft_targets(work, job)
        assert again is not None
        np.testing.assert_array_equal(again.probs, soft.probs)
        assert again.digest != soft.digest


def test_stopped_at_steps_it_ends_with_the_same_bits(competition, monkeypatch):
    recipe = {"pseudo": True, "mixup": 0.4, "sampler": "class-balanced", "head_epochs": 1}
    config = taught(competition, **recipe)
    whole = elsewhere(config, "whole")
    tiny.run("train", whole)
    steps = 0

    def watch(work):
        def stop(step):
            nonlocal steps
            steps += 1
            if steps in (3, 4, 9, 17):
                signal.raise_signal(signal.SIGTERM)

        work.watched = stop

    with watched(monkeypatch, watch):
        for _ in range(4):
            with pytest.raises(Interrupted, match=r"s fold \d: asked to stop"):
                tiny.run("train", config)
        tiny.run("train", config)
    assert contents(config) == contents(whole)


class Killed(BaseException):
    """What no code of ours catches, as a power cut."""


def test_killed_while_it_writes_it_ends_with_the_same_bits(competition, monkeypatch):
    config = taught(competition, {"train": {"epochs": 1}}, pseudo=True, checkpoint_minutes=1e-9)
    whole = elsewhere(config, "whole")
    tiny.run("train", whole)
    kills = [
        *(("replace", "teacher.npz"), ("write", "teacher_test.npz"), ("replace", "teacher_test.npz")),
        *(("write", "teacher.manifest.json"), ("write", "a.ckpt"), ("replace", "b.ckpt")),
        *(("replace", "model.safetensors"), ("remove", "teacher.npz"), ("remove", "teacher.manifest.json")),
    ]

    def kill(event, path):
        if kills and path.parent.parent.name.startswith("s-") and (event, path.name) == kills[0]:
            del kills[0]
            raise Killed

    monkeypatch.setattr(writer, "on_event", kill)
    while True:
        try:
            tiny.run("train", config)
        except Killed:
            continue
        break
    assert kills == []
    assert contents(config) == contents(whole)


def stop_in_the_first_fold(config, monkeypatch):
    def watch(work):
        work.watched = lambda step: signal.raise_signal(signal.SIGTERM)

    with watched(monkeypatch, watch), pytest.raises(Interrupted, match=r"asked to stop; saved after step \d"):
        tiny.run("train", config, "--member", "s", "--fold", "0")
    return fold_jobs(config, config.members[0])[0]


def test_a_file_that_was_changed_is_made_again_and_rot_is_refused(competition, monkeypatch):
    config = taught(competition)
    whole = elsewhere(config, "whole")
    tiny.run("train", whole)
    job = stop_in_the_first_fold(config, monkeypatch)
    path = job.file("teacher.npz")
    written = path.read_bytes()
    path.write_bytes(written[:-1])
    assert stop_in_the_first_fold(config, monkeypatch).file("teacher.npz").read_bytes() == written
    tiny.flip_unseen(path, len(written) // 2)
    with pytest.raises(DataError, match=r"teacher.npz changed after it was written \(sha256\): remove it"):
        tiny.run("train", config)
    path.unlink()
    tiny.run("train", config)
    assert contents(config) == contents(whole)


def test_another_teachers_model_begins_the_fold_anew(competition, monkeypatch):
    config = taught(competition)
    job = stop_in_the_first_fold(config, monkeypatch)
    first, second = (teacher_jobs(config, one)[0] for one in fold_jobs(config, config.members[0]))
    first.file("model.safetensors").write_bytes(second.file("model.safetensors").read_bytes())
    manifest.publish(first.model_manifest, first.model, [first.file("model.safetensors")], 1.0)
    tiny.run("train", config)
    events = [json.loads(line) for line in job.file("log.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "start"] == [0]


def test_a_member_alone_needs_a_trained_teacher_and_says_how(competition):
    config = taught(competition, {"train": {"seed": 9}})
    with pytest.raises(
        DataError, match=r"s fold 0 is taught by a fold 0.*python -m pipeline.train --member a$"
    ):
        tiny.run("train", config, "--member", "s")
    with pytest.raises(DataError, match=r"python -m pipeline.train --fold 1 --member a$"):
        tiny.run("train", config, "--member", "s", "--fold", "1")
    assert not list(paths.competition(config).glob("s-*"))


def test_a_teacher_that_another_process_trains_is_waited_for(competition):
    config = taught(competition, {"train": {"epochs": 1}})
    teacher = fold_jobs(config, config.members[1])[0]
    with tiny.held_elsewhere(teacher.lock_file), pytest.raises(LockedError, match="a fold 0 is held by pid"):
        tiny.run("train", config, "--fold", "0")
    [student] = [job for job in fold_jobs(config, config.members[0]) if job.fold == 0]
    assert not student.file("log.jsonl").exists()
    tiny.run("train", config, "--fold", "0")
    assert student.untrained() is None


def test_other_views_teach_otherwise_and_other_test_images_only_who_sees_them(finished):
    views, test = {"predict": {"views": ["identity"]}}, "test images"
    for pseudo in (False, True):
        [job] = [one for one in find_jobs(taught(finished, pseudo=pseudo)) if one.name == "s fold 0"]
        [other] = [one for one in find_jobs(taught(finished, views, pseudo=pseudo)) if one.name == "s fold 0"]
        assert job.run_folder == other.run_folder
        assert job.model.config["predict.views"] != other.model.config["predict.views"]
        assert (test in job.model.config) == pseudo


def test_without_test_images_there_are_no_pseudo_labels(competition):
    tiny.without_test(competition)
    with pytest.raises(UsageError, match=r"train.pseudo of s: there are no test images; leave it out"):
        tiny.run("train", taught(competition, pseudo=True))


def test_left_out_of_a_blend_the_teacher_still_teaches(competition):
    config = taught(competition, {"train": {"epochs": 1}})
    tiny.run("train", config, "--member", "a")
    from pipeline import ensemble

    alone = ensemble.chosen(config, tiny.options("ensemble", "--members", "s"))
    assert [one.name for one in alone.members] == ["s"]
    for stage in ("train", "predict", "ensemble"):
        tiny.run(stage, alone)
    assert contents(alone) == contents(config)


def test_another_run_is_found_from_its_own_file(competition):
    config = taught(competition, {"train": {"epochs": 1}}, {"seeds": 2})
    tiny.run("train", config)
    folder = fold_jobs(config, config.members[0])[0].run_folder
    loaded = configuration.load(str(folder / "config.toml"))
    assert [one.name for one in loaded.members] == ["s", "a"]
    plain = tiny.configure(competition)
    names = {one.name for one in other_members(plain)}
    assert names == {"a", "s"}
    [run] = [one for one in sources.known_sources(plain) if one.name == folder.name]
    assert run.kind == "run"
    assert [job.run_folder for job in run.jobs] == [folder, folder]


def test_a_model_of_all_rows_learns_from_the_teachers(competition):
    config = taught(competition, {"train": {"epochs": 1}}, {"refit": True}, refit=True)
    [refit] = refit_jobs(config, config.members[0])
    assert [one.name for one in teacher_jobs(config, refit)] == ["a refit"]
    tiny.run("train", config)
    assert refit.untrained() is None


def test_pseudo_rows_are_drawn_once_whatever_the_sampler(finished):
    config = taught(finished, pseudo=True)
    work = open_work(config, [])
    labelled, extra = work.rows[trained_on(work, 0)], pseudo_rows(work)
    rows = np.concatenate([labelled, extra])
    for change in ({"sampler": "square-root"}, {"sampler": "class-balanced"}, {"retrain_epochs": 1}):
        train = dataclasses.replace(config.members[0].train, **change)
        drawn = np.concatenate(epoch_batches(rows, work.targets, train, 0, 1))
        assert len(drawn) == len(rows)
        assert sorted(drawn[np.isin(drawn, extra)].tolist()) == extra.tolist()
        if change != {"sampler": "square-root"}:
            classes = np.bincount(work.targets[drawn[np.isin(drawn, labelled)]])
            assert classes.max() - classes.min() <= 1


def test_a_validation_split_is_no_pseudo_label(finished):
    work = open_work(taught(finished, pseudo=True), [])
    table = work.cache.table.copy()
    tests = np.flatnonzero(table["split"] == "test")
    table.loc[tests[:3], "split"] = "val"
    work.cache = dataclasses.replace(work.cache, table=table)
    assert pseudo_rows(work).tolist() == tests[3:].tolist()


def test_a_search_has_no_teacher(finished):
    config = taught(finished)
    with pytest.raises(UsageError, match="a trial has no teacher's models"):
        plan_search(config, config.members[0], (0,))
