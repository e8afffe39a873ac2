"""What can be blended: the members' runs, other runs with the same folds, and predictions made elsewhere."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.artifacts import paths, predictions
from pipeline.artifacts.jobs import Job, fold_jobs, other_members, refit_jobs
from pipeline.blending.external import external_files, load_external
from pipeline.class_balance import trained_power
from pipeline.config import Config, Member
from pipeline.errors import DataError, UsageError


@dataclass(frozen=True)
class Source:
    """One thing that can be blended, by its name: runs with a job a seed and fold, or files made elsewhere.

    `kind` is "member" (of the configuration), "run" (another recipe of these folds) or "external". `refits`
    are the models of all rows, a seed each: on the test rows they count as one more fold's.
    """

    name: str
    kind: str
    jobs: tuple[Job, ...] = ()
    refits: tuple[Job, ...] = ()
    oof_file: Path | None = None
    test_file: Path | None = None

    @property
    def power(self) -> float:
        """The power of the classes' shares that its training believes in; 1 for what was made elsewhere."""
        return trained_power(self.jobs[0].member.train) if self.jobs else 1.0

    @property
    def chosen_on_its_rows(self) -> bool:
        """Whether the epoch was chosen by the very rows that are scored, so that its scores flatter."""
        return bool(self.jobs) and self.jobs[0].member.train.select == "best"

    def inputs(self, with_test: bool) -> dict[str, Path]:
        """Return the files that a blend reads of it, by short names."""
        if self.oof_file is not None:
            both = (self.oof_file, self.test_file if with_test else None)
            return {f"external/{path.name}": path for path in both if path is not None}
        files = [job.file("oof.npz") for job in self.jobs]
        files += [job.file("test.npz") for job in (*self.jobs, *self.refits) if with_test]
        return {"/".join([*path.parts[-3:-1], path.stem]): path for path in files}


def known_sources(config: Config) -> list[Source]:
    """Return all that can be blended: the members, trained or not, then complete runs, then externals.

    Raises DataError where prepare or folds haven't run, or two of them have one name.
    """
    members = [_source(config, member, member.name, "member") for member in config.members]
    files = external_files(paths.external(config))
    externals = [Source(name, "external", (), (), oof, test) for name, (oof, test) in files.items()]
    found = [*members, *_other_runs(config), *externals]
    names = [source.name for source in found]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled:
        raise DataError(
            f"{paths.external(config)} holds {doubled!r}, the name of a member: rename its files."
        )
    return found


def blended_sources(config: Config) -> list[Source]:
    """Return what the configuration blends, in a stable order; raises UsageError for an unknown name."""
    known = known_sources(config)
    if config.ensemble.members:
        return [find_source(known, name) for name in config.ensemble.members]
    return [source for source in known if source.kind != "run" or config.ensemble.all_runs]


def find_source(known: Sequence[Source], name: str) -> Source:
    """Return the source called `name`; raises UsageError with the nearest names."""
    names = [source.name for source in known]
    if name in names:
        return known[names.index(name)]
    near = difflib.get_close_matches(name, names, 3, 0.5) or names
    raise UsageError(f"{name!r} is nothing that can be blended; there is {', '.join(near)}.")


def load_oof(
    source: Source, classes: Sequence[str], ids: Sequence[str], fold_of: np.ndarray, folds_digest: str
) -> tuple[np.ndarray, list[str]]:
    """Return probs float32 [V, n, C] in the order of `ids` (the folds' rows), and the names of the V views.

    Several seeds' models of a fold count by their mean.

    fold_of int [n]; rows of fold −1 are NaN. Raises DataError naming the file for rows, classes, views or
    folds that don't fit.
    """
    if source.oof_file is not None:
        return _load_external_oof(source.oof_file, classes, ids, fold_of)
    probs, views = np.empty(0), None
    for fold, files in _by_fold(source, "oof.npz").items():
        held_out = np.flatnonzero(fold_of == fold).tolist()
        seeds = []
        for path in files:
            found = predictions.load(path, classes, folds_digest)
            views = views or found.views.tolist()
            if found.views.tolist() != views:
                raise DataError(
                    f"{path} has the views {found.views.tolist()}, other folds {views}: train again."
                )
            seeds.append(predictions.join(path, found, [ids[i] for i in held_out]))
        if not len(probs):
            probs = np.full((len(seeds[0]), len(ids), len(classes)), np.nan, np.float32)
        probs[:, held_out] = np.mean(seeds, axis=0)
    return probs, views or []


def load_test(
    source: Source, classes: Sequence[str], ids: Sequence[str], folds_digest: str
) -> list[np.ndarray]:
    """Return probs float32 [V, m, C] in the order of `ids`, one array a fold; one in all if external.

    A refit's come from `load_refit`. Raises DataError for rows that don't fit, or where predictions made
    elsewhere have no test file.
    """
    if source.oof_file is not None:
        if source.test_file is None:
            expected = source.oof_file.name.replace(".oof.", ".test.")
            raise DataError(f"{source.oof_file} has no test predictions beside it: {expected} is missing.")
        found = load_external(source.test_file, classes, out_of_fold=False)
        return [predictions.join(source.test_file, found, ids)]
    folds = _by_fold(source, "test.npz").values()
    return [_mean(paths, classes, ids, folds_digest) for paths in folds]


def load_refit(
    source: Source, classes: Sequence[str], ids: Sequence[str], folds_digest: str
) -> list[np.ndarray]:
    """Return the one array of test probs, as `load_test` has them, that a source's models of all rows give.

    None where it has no such model. Raises DataError for rows that don't fit.
    """
    paths = [job.file("test.npz") for job in source.refits]
    return [_mean(paths, classes, ids, folds_digest)] if paths else []


def _mean(paths: Sequence[Path], classes: Sequence[str], ids: Sequence[str], folds_digest: str) -> np.ndarray:
    """Return what the models of several seeds say on average: probs float32 [V, m, C]."""
    found = [predictions.join(path, predictions.load(path, classes, folds_digest), ids) for path in paths]
    return np.mean(found, axis=0)


def _by_fold(source: Source, name: str) -> dict[int | None, list[Path]]:
    """Return the file of each seed's model, fold by fold."""
    files: dict[int | None, list[Path]] = {}
    for job in source.jobs:
        files.setdefault(job.fold, []).append(job.file(name))
    return files


def _other_runs(config: Config) -> list[Source]:
    """Return the runs beside the members' whose folds are all trained and up to date."""
    runs = [(member, fold_jobs(config, member)) for member in other_members(config)]
    return [
        _source(config, member, jobs[0].run_folder.name, "run")
        for member, jobs in runs
        if all(job.untrained() is None for job in jobs)
    ]


def _source(config: Config, member: Member, name: str, kind: str) -> Source:
    return Source(name, kind, tuple(fold_jobs(config, member)), tuple(refit_jobs(config, member)))


def _load_external_oof(
    path: Path, classes: Sequence[str], ids: Sequence[str], fold_of: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    found = load_external(path, classes, out_of_fold=True)
    scored = np.flatnonzero(fold_of >= 0).tolist()
    joined = predictions.join(path, found, [ids[i] for i in scored])
    fold_by_id: Mapping[str, int] = dict(zip(found.ids.tolist(), found.fold.tolist(), strict=True))
    other = [ids[i] for i in scored if fold_by_id[ids[i]] != fold_of[i]]
    if other:
        i = list(ids).index(other[0])
        raise DataError(
            f"{path}: {len(other)} rows were held out in another fold than here ({other[0]!r} in fold "
            f"{fold_by_id[other[0]]}, here {fold_of[i]}): its models saw rows that are held out together. "
            "Train it with the folds of folds/NAME.csv."
        )
    probs = np.full((len(joined), len(ids), len(classes)), np.nan, np.float32)
    probs[:, scored] = joined
    return probs, found.views.tolist()
