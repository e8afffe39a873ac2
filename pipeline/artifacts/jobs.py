"""The pieces of work, member × seed × fold or all rows: their folders, and what their manifests must say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest, paths
from pipeline.artifacts.manifest import Expected
from pipeline.config import Config, Member, load, model_title, title, trainings
from pipeline.errors import DataError, UsageError

TRAIN_VERSION = 1
PREDICT_VERSION = 1


@dataclass(frozen=True)
class Job:
    """One model of one run of a member: fold `fold`'s, or the refit on all rows, whose `fold` is None.

    `model`, `trained` and `test` say what the manifests must. `member` has the run's own seed; its name is
    shared with the runs of other seeds.
    """

    member: Member
    fold: int | None
    run_folder: Path
    model: Expected
    trained: Expected
    test: Expected

    @property
    def title(self) -> str:
        """What people call the run: the member's name, with the seed where it has several; or its refit."""
        return self.name if self.fold is None else title(self.member)

    @property
    def name(self) -> str:
        """What people call the model: "resnet50 fold 3", "resnet50 refit"."""
        return model_title(self.member, self.fold)

    @property
    def folder(self) -> Path:
        return paths.fold(self.run_folder, self.fold)

    @property
    def lock_file(self) -> Path:
        return self.folder / "lock"

    @property
    def chooses_common_epoch(self) -> bool:
        """Whether its weights are those of an epoch that all folds of the run choose together."""
        return self.member.train.select == "common"

    @property
    def epochs_manifest(self) -> Path:
        """The commit of a fold whose epochs are to be chosen among: their weights are there, and scored."""
        return self.folder / "epochs.manifest.json"

    def file(self, name: str) -> Path:
        """Return a file of the model: model.safetensors, oof.npz, test.npz, metrics.json, log.jsonl."""
        return self.folder / name

    @property
    def model_manifest(self) -> Path:
        return self.folder / "model.manifest.json"

    @property
    def trained_manifest(self) -> Path:
        """The training's commit: the model is published, the rows that it held out, if any, are predicted."""
        return self.folder / "manifest.json"

    @property
    def test_manifest(self) -> Path:
        return self.folder / "test.manifest.json"

    @property
    def commit(self) -> tuple[Path, Expected]:
        """The manifest that the training ends with, and what it must say."""
        return self.trained_manifest, self.trained

    def untrained(self) -> str | None:
        """Say why it must be trained (again), None when that is done."""
        why = manifest.stale(*self.commit)
        return "trained, waits for the run's other folds" if why and self.waits() else why

    def waits(self) -> bool:
        """Tell whether it is trained and its epoch is to be chosen, which takes all folds of the run."""
        chooses = self.chooses_common_epoch and self.fold is not None
        return chooses and not manifest.stale(self.epochs_manifest, self.model) and not self.published()

    def published(self) -> bool:
        """Tell whether its model is there and up to date."""
        return not manifest.stale(self.model_manifest, self.model)

    def check_trained(self) -> None:
        """Raise DataError, with the command that trains it, where that is still to do."""
        if why := self.untrained():
            alone = "" if self.fold is None or self.waits() else f"--fold {self.fold} "
            which = f"{alone}--member {self.member.name}"
            raise DataError(f"{self.name} isn't trained ({why}): python -m pipeline.train {which}")

    def check_predicted(self) -> None:
        """Raise DataError where its predictions of the test rows aren't there or of another model."""
        if why := manifest.stale(self.test_manifest, self.test):
            raise DataError(f"{self.file('test.npz')} isn't up to date ({why}): python -m pipeline.predict")


def find_jobs(config: Config) -> list[Job]:
    """Return the jobs of the configuration's members; raises DataError where prepare or folds haven't run."""
    return [job for member in config.members for job in all_jobs(config, member)]


def predicted_jobs(config: Config) -> list[Job]:
    """Return the jobs whose models predict test images: the members' and those of other blended runs."""
    jobs = find_jobs(config)
    for member in other_members(config):
        own = all_jobs(config, member)
        if config.ensemble.all_runs or own[0].run_folder.name in config.ensemble.members:
            jobs += own
    return jobs


def all_jobs(config: Config, member: Member) -> list[Job]:
    """Return the jobs of one recipe: its folds', then its refits'."""
    return [*fold_jobs(config, member), *refit_jobs(config, member)]


def fold_jobs(config: Config, member: Member) -> list[Job]:
    """Return a job for each seed and fold of one recipe, in the configuration or not."""
    return _jobs(config, member, range(config.folds.count))


def refit_jobs(config: Config, member: Member) -> list[Job]:
    """Return a job for each seed's model of all rows, if the recipe has one."""
    return _jobs(config, member, [None]) if member.train.refit else []


def teacher_jobs(config: Config, job: Job) -> list[Job]:
    """Return the jobs whose models teach a job's: of its teacher, each seed's of the same fold; or none."""
    teacher = job.member.teacher
    return [one for one in all_jobs(config, teacher) if one.fold == job.fold] if teacher else []


def other_members(config: Config) -> list[Member]:
    """Return the recipes of the runs beside the configuration's that were trained on the same folds.

    A run's recipe is in its config.toml, but for its refit, which counts if it is there; a folder that isn't
    named by it and these folds is left out.
    """
    folds_digest = manifest.folds_digest(paths.folds_record(config))
    own = {paths.run(config, one, folds_digest) for member in config.members for one in trainings(member)}
    found = []
    for file in sorted(paths.competition(config).glob("*/config.toml")):
        if file.parent in own:
            continue
        try:
            member = load(str(file)).members[0]
            named = paths.run(config, member, folds_digest)
        except UsageError:  # of an earlier release, or its weights file is gone
            continue
        if named == file.parent:
            refit = replace(member, train=replace(member.train, refit=True))
            trained = all(job.untrained() is None for job in refit_jobs(config, refit))
            found.append(refit if trained else member)
    return found


def can_find_jobs(config: Config) -> bool:
    """Tell whether prepare and folds have left what jobs are made of."""
    return paths.cache_manifest(config).exists() and paths.folds_record(config).exists()


def has_test(config: Config) -> bool:
    """Tell whether the competition has images to predict: test images or a validation split held out."""
    rows = manifest.facts(paths.cache_manifest(config))["rows"]
    return bool(rows.get("test") or rows.get("val"))


def _jobs(config: Config, member: Member, models: Iterable[int | None]) -> list[Job]:
    facts = manifest.facts(paths.cache_manifest(config))
    folds_digest = manifest.folds_digest(paths.folds_record(config))
    return [_job(config, training, k, folds_digest, facts) for training in trainings(member) for k in models]


def _job(config: Config, member: Member, k: int | None, folds_digest: str, facts: Mapping[str, Any]) -> Job:
    run_folder = paths.run(config, member, folds_digest)
    weights = paths.fold(run_folder, k) / "model.safetensors"
    trained = {
        **paths.run_recipe(member),
        "fold": k,
        "folds": folds_digest,
        "classes": facts["classes_digest"],
        "training images": facts["train_digest"],
    }
    if member.train.select != "last":
        trained["data.metric"] = config.data.metric  # it chooses the weights
    predicted = {
        "predict.views": list(config.predict.views),
        "predict.batch": config.predict.batch,
        "classes": facts["classes_digest"],
    }
    test = {**predicted, "folds": folds_digest, "test images": facts["test_digest"]}
    if member.teacher is not None:  # it is taught by predictions
        trained |= test if member.train.pseudo else predicted
    oof = {} if k is None else {**predicted, "data.metric": config.data.metric}
    return Job(
        member,
        k,
        run_folder,
        Expected("train", TRAIN_VERSION, trained),
        Expected("train", TRAIN_VERSION, {**trained, **oof}, {"model": weights}),
        Expected("predict", PREDICT_VERSION, test, {"model": weights}),
    )
