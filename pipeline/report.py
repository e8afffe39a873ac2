"""Report: put what a competitor looks at into one page, runs/NAME/report.html, that opens without network.

The closing sentence and the scores; the ensemble: what each choice gained, how alike the members are, how
reliable its probabilities; members and folds, learning curves, confusion matrix, results a class, the most
confused pairs, the worst images, suspected wrong labels; the data: class counts, sizes, odd files, the folds'
balance, duplicates side by side, how test images differ; the submission. The page is made of whatever files
exist; what isn't there yet is said in it. Open it with any browser, light or dark, computer or phone.
"""

import argparse
import time
from importlib import metadata
from pathlib import Path

from pipeline import terminal
from pipeline.artifacts import lock, manifest, paths, state, writer
from pipeline.config import Config, sides_of, trainings
from pipeline.errors import DataError

STAGE = "report"
VERSION = 4
FOLD_FILES = ("log.jsonl", "metrics.json")
ENSEMBLE_FILES = ("scores.json", "weights.json", "oof.npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The report has no flags of its own."""


def states(config: Config) -> list[state.State]:
    """Tell whether the page shows the files as they are now."""
    return [state.of(_manifest(config), expected(config), lock_file=_lock(config))]


def run(config: Config, options: argparse.Namespace) -> None:
    """Make the page if any file that it shows has changed. Raises LockedError, ResourceError."""
    wanted, page = expected(config), paths.report(config)
    why = manifest.stale(_manifest(config), wanted)
    if why is None:
        terminal.stage(STAGE, f"up to date ({page})")
        return
    with lock.hold(_lock(config), "the report"):
        started = time.monotonic()
        from pipeline.page.build import build

        content = build(config)
        writer.publish_bytes(page, content)
        manifest.publish(_manifest(config), wanted, [page], time.monotonic() - started)
    terminal.stage(STAGE, f"{page}, {len(content) / 1e6:.1f} MB{manifest.because(why)}")


def _lock(config: Config) -> Path:
    return paths.competition(config) / "report.lock"


def expected(config: Config) -> manifest.Expected:
    """List what the page depends on: fields of the configuration and the files that exist."""
    fields = {
        "data.name": config.data.name,
        "data.metric": config.data.metric,
        "folds.count": config.folds.count,
        "members": [
            [m.name, m.model, sides_of(m.train), m.train.epochs, m.train.seeds, m.train.teacher]
            for m in config.members
        ],
        "plotly": metadata.version("plotly"),
        "cleanlab": _version("cleanlab"),
    }
    return manifest.Expected(STAGE, VERSION, fields, _inputs(config))


def _inputs(config: Config) -> dict[str, Path]:
    cache, ensemble = paths.cache(config), paths.ensemble(config)
    files = {"folds": paths.folds_record(config), "images": cache / "images.parquet"}
    files |= {"classes": paths.cache_manifest(config), "shift": paths.shift(config)}
    files |= {f"ensemble/{name}": ensemble / name for name in ENSEMBLE_FILES}
    files |= {f"tune/{path.parent.name}": path for path in paths.tune_records(config)}
    digest = _folds_digest(config)
    runs = [one for member in config.members for one in trainings(member)]
    for training in runs if digest else ():
        folder = paths.run(config, training, digest)
        for k in range(config.folds.count):
            files |= {f"{folder.name}/fold{k}/{name}": paths.fold(folder, k) / name for name in FOLD_FILES}
    return {name: file for name, file in files.items() if file.is_file()}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _folds_digest(config: Config) -> str:
    try:
        return manifest.folds_digest(paths.folds_record(config))
    except DataError:
        return ""


def _manifest(config: Config) -> Path:
    return paths.report(config).with_suffix(".manifest.json")


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
