"""The pieces of work, member × seed × fold: their folders, and what their manifests must say."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest, paths
from pipeline.artifacts.manifest import Expected
from pipeline.config import Config, Member, load, title, trainings
from pipeline.errors import UsageError

TRAIN_VERSION = 1
PREDICT_VERSION = 1


@dataclass(frozen=True)
class Job:
    """One fold of one run of a member; `model`, `oof` and `test` say what the manifests must.

    `member` has the run's own seed; its name is shared with the runs of other seeds.
    """

    member: Member
    fold: int
    run_folder: Path
    model: Expected
    oof: Expected
    test: Expected

    @property
    def title(self) -> str:
        """What people call the run: the member's name, with the seed where there are several."""
        return title(self.member)

    @property
    def folder(self) -> Path:
        return paths.fold(self.run_folder, self.fold)

    @property
    def lock_file(self) -> Path:
        return self.folder / "lock"

    def file(self, name: str) -> Path:
        """Return a file of the fold: model.safetensors, oof.npz, test.npz, metrics.json, log.jsonl."""
        return self.folder / name

    @property
    def model_manifest(self) -> Path:
        return self.folder / "model.manifest.json"

    @property
    def oof_manifest(self) -> Path:
        """The fold's commit: the model is trained, its held-out rows are predicted."""
        return self.folder / "manifest.json"

    @property
    def test_manifest(self) -> Path:
        return self.folder / "test.manifest.json"


def find_jobs(config: Config) -> list[Job]:
    """Return the jobs of the configuration's members; raises DataError where prepare or folds haven't run."""
    return [job for member in config.members for job in member_jobs(config, member)]


def predicted_jobs(config: Config) -> list[Job]:
    """Return the jobs whose models predict test images: the members' and those of other blended runs."""
    jobs = find_jobs(config)
    for member in other_members(config):
        own = member_jobs(config, member)
        if config.ensemble.all_runs or own[0].run_folder.name in config.ensemble.members:
            jobs += own
    return jobs


def member_jobs(config: Config, member: Member) -> list[Job]:
    """Return a job for each seed and fold of one recipe, in the configuration or not."""
    facts = manifest.facts(paths.cache_manifest(config))
    folds_digest = manifest.folds_digest(paths.folds_record(config))
    return [
        _job(config, training, k, folds_digest, facts)
        for training in trainings(member)
        for k in range(config.folds.count)
    ]


def other_members(config: Config) -> list[Member]:
    """Return the recipes of the runs beside the configuration's that were trained on the same folds.

    A run's recipe is in its config.toml; a folder that isn't named by it and these folds is left out.
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
            found.append(member)
    return found


def can_find_jobs(config: Config) -> bool:
    """Tell whether prepare and folds have left what jobs are made of."""
    return paths.cache_manifest(config).exists() and paths.folds_record(config).exists()


def has_test(config: Config) -> bool:
    """Tell whether the competition has images to predict: test images or a validation split held out."""
    rows = manifest.facts(paths.cache_manifest(config))["rows"]
    return bool(rows.get("test") or rows.get("val"))


def _job(config: Config, member: Member, k: int, folds_digest: str, facts: Mapping[str, Any]) -> Job:
    run_folder = paths.run(config, member, folds_digest)
    weights = paths.fold(run_folder, k) / "model.safetensors"
    trained = {
        **paths.run_recipe(member),
        "fold": k,
        "folds": folds_digest,
        "classes": facts["classes_digest"],
        "training images": facts["train_digest"],
    }
    predicted = {
        "predict.views": list(config.predict.views),
        "predict.batch": config.predict.batch,
        "classes": facts["classes_digest"],
    }
    oof = {**trained, **predicted, "data.metric": config.data.metric}
    test = {**predicted, "folds": folds_digest, "test images": facts["test_digest"]}
    return Job(
        member,
        k,
        run_folder,
        Expected("train", TRAIN_VERSION, trained),
        Expected("train", TRAIN_VERSION, oof, {"model": weights}),
        Expected("predict", PREDICT_VERSION, test, {"model": weights}),
    )
