"""What the runs left behind, as plain values: scores, times and learning curves of each member's folds."""

from dataclasses import dataclass
from typing import Any

from pipeline.artifacts import manifest, paths
from pipeline.artifacts.training_log import read_epochs
from pipeline.config import Config, Member, title, trainings
from pipeline.page.values import finite


@dataclass(frozen=True)
class FoldResult:
    """One fold of a run: `metrics` of metrics.json (empty until it ends), `epochs` of log.jsonl, in order."""

    fold: int
    metrics: dict[str, Any]
    epochs: list[dict[str, Any]]

    def number(self, name: str) -> float | None:
        """Return a figure of metrics.json, None where it isn't there."""
        return finite(self.metrics.get(name))

    def curve(self, name: str) -> list[float | None]:
        """Return one value an epoch."""
        return [finite(line.get(name)) for line in self.epochs]


@dataclass(frozen=True)
class MemberRun:
    """One training of a member of the configuration, with the folds that it has begun or ended."""

    member: Member
    folds: list[FoldResult]

    @property
    def title(self) -> str:
        """The member's name, with the seed where it has several."""
        return title(self.member)

    def done(self) -> list[FoldResult]:
        """Return the folds that are trained and scored."""
        return [fold for fold in self.folds if fold.metrics]

    def weights_source(self) -> str:
        """Tell where the initial weights came from, "random" included; "" while no fold says."""
        return ", ".join(sorted({str(fold.metrics.get("weights_source", "")) for fold in self.done()}))

    def seconds(self) -> float:
        """Return the time that the folds took together."""
        return sum(fold.number("seconds") or 0.0 for fold in self.folds)

    def images_per_second(self) -> float | None:
        """Return the folds' mean training speed."""
        speeds = [speed for fold in self.folds if (speed := fold.number("images_per_second")) is not None]
        return sum(speeds) / len(speeds) if speeds else None


def read_runs(config: Config, folds_digest: str) -> list[MemberRun]:
    """Read every member's folds, seed by seed; a training that hasn't begun has none."""
    return [
        MemberRun(one, _read_folds(config, one, folds_digest))
        for member in config.members
        for one in trainings(member)
    ]


def _read_folds(config: Config, member: Member, folds_digest: str) -> list[FoldResult]:
    if not folds_digest:
        return []
    run = paths.run(config, member, folds_digest)
    folders = [(k, paths.fold(run, k)) for k in range(config.folds.count)]
    found = [
        FoldResult(k, manifest.read_json(folder / "metrics.json") or {}, read_epochs(folder / "log.jsonl"))
        for k, folder in folders
    ]
    return [fold for fold in found if fold.metrics or fold.epochs]
