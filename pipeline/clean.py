"""Clean: show runs, submissions and leftovers that the configuration doesn't refer to; --yes removes them.

python -m pipeline.clean          what could go, and its size; nothing is removed
python -m pipeline.clean --yes    remove it
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from pipeline import terminal
from pipeline.artifacts import lock, manifest, paths, writer
from pipeline.artifacts.jobs import can_find_jobs, predicted_jobs
from pipeline.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --yes."""
    parser.add_argument("--yes", action="store_true", help="remove what is listed")


def run(config: Config, options: argparse.Namespace) -> None:
    """List what nothing refers to, with sizes, and remove it if asked."""
    found = list(_unreferenced(config))
    if not found:
        terminal.say("nothing to clean: everything belongs to this configuration")
        return
    rows = [[str(path), why, f"{_size(path) / 1e6:.1f} MB"] for path, why in found]
    terminal.table("", ["path", "why", "size"], rows)
    if not options.yes:
        terminal.say("Nothing was removed: python -m pipeline.clean --yes removes these.")
        return
    for path, _ in found:
        writer.remove(path)
    terminal.say(f"removed {len(found)}")


def _unreferenced(config: Config) -> Iterator[tuple[Path, str]]:
    kept = {job.run_folder for job in predicted_jobs(config)} if can_find_jobs(config) else None
    for folder in sorted(paths.competition(config).glob("*-*")):
        is_run = (folder / "environment.lock").exists()
        if is_run and kept is not None and folder not in kept and not _is_busy(folder):
            yield folder, "a run of another recipe, member or split"
    for folder in sorted(paths.tune(config).glob("*/runs")):
        if not _is_busy(folder.parent):
            yield folder, "a trial of a search that was stopped: without it that trial begins anew"
    scores = manifest.read_json(paths.ensemble(config) / "scores.json") or {}
    for file in sorted(Path(config.paths.submissions).glob(f"{config.data.name}-{8 * '[0-9a-f]'}.csv")):
        if scores and str(file) != scores.get("submission"):
            yield file, "an earlier submission (the ledger keeps its score; --pick needs its rows)"
    for root in (paths.competition(config), paths.cache(config)):
        if not _is_busy(root):
            for file in sorted(root.rglob("*.tmp")):
                yield file, "left by a write that was stopped"


def _is_busy(folder: Path) -> bool:
    return any(lock.is_held(file) for name in ("lock", "*.lock") for file in folder.rglob(name))


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    from pipeline.command import run as run_command

    run_command(run, __doc__, "clean", add_arguments)
