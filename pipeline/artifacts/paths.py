"""Where everything is: the names of all files and folders, from the configuration alone."""

import functools
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest
from pipeline.config import Config, Member, recipe
from pipeline.errors import UsageError


def data_root(config: Config) -> Path:
    """Return the folder of the competition's files (may be read-only)."""
    return (
        Path(config.data.root).expanduser()
        if config.data.root
        else Path(config.paths.data) / config.data.name
    )


def download_manifest(config: Config) -> Path:
    """Return the commit of what `download` fetched or drew."""
    return Path(config.paths.data) / config.data.name / ".cache" / "download.json"


def solution(config: Config) -> Path:
    """Return the drawn competition's hidden labels, outside its folder."""
    root = data_root(config)
    return root.with_name(root.name + "-solution") / "solution.csv"


def cache(config: Config) -> Path:
    """Return the folder of the decoded images and the audit table (images.parquet)."""
    return Path(config.paths.data) / config.data.name / ".cache"


def cache_manifest(config: Config) -> Path:
    """Return the commit of `prepare`; its facts hold the classes and digests of the images."""
    return cache(config) / "manifest.json"


def folds_table(config: Config) -> Path:
    """Return folds/NAME.csv: id, label, group, fold."""
    return Path(config.paths.folds) / f"{config.data.name}.csv"


def folds_record(config: Config) -> Path:
    """Return folds/NAME.json: seed, counts and digests of the fold assignment."""
    return folds_table(config).with_suffix(".json")


def competition(config: Config) -> Path:
    """Return runs/NAME."""
    return Path(config.paths.runs) / config.data.name


def run(config: Config, member: Member, folds_digest: str) -> Path:
    """Return runs/NAME/MEMBER-DIGEST8: the folder of one recipe on one fold assignment."""
    return competition(config) / f"{member.name}-{recipe_digest(member, folds_digest)[:8]}"


def recipe_digest(member: Member, folds_digest: str) -> str:
    """Digest a recipe on a fold assignment, whatever the member is called."""
    return manifest.digest([run_recipe(member), folds_digest])


def run_recipe(member: Member) -> dict[str, Any]:
    """Return the member's recipe with a weights file named by its content: moved, it is the same run.

    A teacher stands there by its own recipe and number of models: another name is the same teacher.
    """
    fields = recipe(member)
    if member.weights.endswith(".safetensors"):
        fields["weights"] = _content(member)
    if member.teacher is not None:
        fields["train.teacher"] = {**run_recipe(member.teacher), "train.seeds": member.teacher.train.seeds}
    return fields


def fold(run_folder: Path, k: int | None) -> Path:
    """Return the folder of fold k in a run; with None that of the model of all rows."""
    return run_folder / ("refit" if k is None else f"fold{k}")


def ensemble(config: Config) -> Path:
    """Return runs/NAME/ensemble."""
    return competition(config) / "ensemble"


def external(config: Config) -> Path:
    """Return runs/NAME/external: predictions made elsewhere."""
    return competition(config) / "external"


def tune(config: Config) -> Path:
    """Return runs/NAME/tune: a folder for each search of a recipe."""
    return competition(config) / "tune"


def tune_records(config: Config) -> list[Path]:
    """Return the files that say what the searches found."""
    return sorted(tune(config).glob("*/best.json"))


def report(config: Config) -> Path:
    """Return runs/NAME/report.html."""
    return competition(config) / "report.html"


def shift(config: Config) -> Path:
    """Return runs/NAME/shift.json: whether train and test can be told apart."""
    return competition(config) / "shift.json"


def ledger(config: Config) -> Path:
    """Return the submissions' ledger; the drawn sample keeps its own, so that nothing of it is tracked."""
    if config.data.drawn:
        return competition(config) / "ledger.jsonl"
    return Path(config.paths.submissions) / "ledger.jsonl"


def submission(config: Config, content_digest: str) -> Path:
    """Return submissions/NAME-DIGEST8.csv for a submission's content."""
    return Path(config.paths.submissions) / f"{config.data.name}-{content_digest[:8]}.csv"


def _content(member: Member) -> str:
    path = Path(member.weights).expanduser()
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(
            f"the weights of {member.name}, {path}, can't be read ({error.strerror}); its runs are named by "
            "the file's content: put it back, or set weights to where it is now."
        ) from error
    return _sha256(path, status.st_size, status.st_mtime_ns, status.st_ino)


@functools.cache
def _sha256(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    return manifest.file_sha256(path)
