"""Tune: search for a member's best recipe (Optuna), and write the configuration that has it.

  python -m pipeline.tune                          20 recipes of the first member, scored on fold 0
  python -m pipeline.tune --member resnet50 --all  scored by the mean of all folds: slower, and steadier
  python -m pipeline.tune --trials 50              … 50 in all, with those that are tried already

What is searched stands in [tune] of the configuration. Each recipe is a normal training; one whose validation
score falls behind is given up early. Killed anywhere, the same command goes on. The best configuration goes
to tuned.toml: the score it was chosen by flatters, and the report says so.
"""

import argparse
import dataclasses
import importlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import terminal
from pipeline.artifacts import manifest, paths, writer
from pipeline.artifacts.jobs import can_find_jobs
from pipeline.config import Config, Member
from pipeline.config_text import to_toml
from pipeline.errors import DataError, UnsuitableError, UsageError
from pipeline.train import check_choice

if TYPE_CHECKING:
    from pipeline.learn.search import Search, Trial

HEAD = "# Found by python -m pipeline.tune"
SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --fold, --all, --member, --trials and --out."""
    folds = parser.add_mutually_exclusive_group()
    folds.add_argument("--fold", type=int, metavar="K", default=0, help="score on fold K (default: 0)")
    folds.add_argument("--all", action="store_true", help="score by the mean of all folds")
    parser.add_argument("--member", metavar="NAME", help="whose recipe (default: tune.member)")
    parser.add_argument("--trials", type=int, metavar="N", help="recipes to try (default: tune.trials)")
    parser.add_argument("--out", type=Path, metavar="FILE", default=Path("tuned.toml"), help="what to write")


def run(config: Config, options: argparse.Namespace) -> None:
    """Search, write the best configuration and what the report says of it, and show the best trials."""
    _check_optuna()
    member = _member(config, options)
    folds = tuple(range(config.folds.count)) if options.all else (options.fold,)
    _check_out(options.out)
    if not can_find_jobs(config):
        raise DataError("there are no images and folds to train on yet: python -m pipeline.folds")
    from pipeline.leaderboard.competition_metric import competition_metric
    from pipeline.learn.search import plan_search, ranked, run_search

    competition_metric(config)
    search = plan_search(config, member, folds)
    trials = run_search(search, options.trials or config.tune.trials)
    done = ranked(search, trials)
    if not done:
        raise DataError(f"all of {len(trials)} trials were given up: change tune.space.")
    best, content = _found(config, search, done, len(trials))
    writer.publish_bytes(search.folder / "best.json", json.dumps(content, indent=1).encode())
    members = tuple(best if one.name == best.name else one for one in config.members)
    head = "\n# ".join([HEAD, f"Command: {_command(options)}", *_sentences(content)])
    tuned = to_toml(dataclasses.replace(config, members=members))
    writer.publish_bytes(options.out, f"{head}\n{tuned}".encode())
    _tell(content, done, options.out)


def _check_optuna() -> None:
    try:
        importlib.import_module("optuna")
    except ImportError as error:
        raise UnsuitableError(
            "the search needs Optuna, which isn't installed: python -m pip install 'optuna>=4' (or uv pip …)"
        ) from error


def _member(config: Config, options: argparse.Namespace) -> Member:
    """Return the member to tune; raises UsageError for what the configuration doesn't have."""
    if options.trials is not None and options.trials < 1:
        raise UsageError(f"--trials {options.trials}: at least one recipe must be tried.")
    name = options.member or config.tune.member or config.members[0].name
    check_choice(config, options.fold, name)
    return next(member for member in config.members if member.name == name)


def _check_out(path: Path) -> None:
    try:
        written = not path.exists() or path.read_text(encoding="utf-8").startswith(HEAD)
    except (OSError, UnicodeDecodeError):
        written = False
    if not written:
        raise UsageError(f"{path} is there and not of an earlier search: name another file with --out.")


def _found(
    config: Config, search: "Search", done: Sequence["Trial"], trials: int
) -> tuple[Member, dict[str, Any]]:
    """Return the member with the best recipe and what best.json says of it; `done` begins with the best."""
    from pipeline.learn.search_space import member_with, values_of

    best = member_with(config, search.member, done[0].values)
    own = None if search.own is None else values_of(search.own)
    return best, {
        "member": best.name,
        "recipe": paths.recipe_digest(best, manifest.folds_digest(paths.folds_record(config))),
        "values": done[0].values,
        "trials": trials,
        "given_up": trials - len(done),
        "folds": list(search.folds),
        "metric": config.data.metric,
        "score": done[0].score,
        "score_before": next((trial.score for trial in done if trial.values == own), None),
    }


def _command(options: argparse.Namespace) -> str:
    """Write the command that finds the same."""
    words = ["python", "-m", "pipeline.tune", *(["--all"] if options.all else ["--fold", str(options.fold)])]
    for name in ("config", "member", "trials"):
        value = getattr(options, name, None)
        words += [] if value is None else [f"--{name}", str(value)]
    return shlex.join([*words, "--out", str(options.out), *getattr(options, "overrides", [])])


def _sentences(content: dict[str, Any]) -> list[str]:
    """Say what was found, of how many, and that its score flatters."""
    from pipeline.learn.search import told

    folds, before = content["folds"], content["score_before"]
    where = f"fold {folds[0]}" if len(folds) == 1 else f"folds 0 to {folds[-1]}"
    mean = ", their mean" if len(folds) > 1 else ""
    was = "" if before is None else f" (the recipe as it was: {before:.4f})"
    return [
        f"{content['member']}: {told(content['values'])}",
        f"Score: {content['metric']} {content['score']:.4f} on {where}{mean}{was}, the best of "
        f"{content['trials']} trials, {content['given_up']} of them given up early.",
        f"It was chosen by this score, so it flatters, and so does the OOF score of {where}.",
    ]


def _tell(content: dict[str, Any], done: Sequence["Trial"], out: Path) -> None:
    """Print the best trials and what was found."""
    names = list(content["values"])
    rows = [
        [str(trial.number), f"{trial.score:.4f}", *(_shown(trial.values[name]) for name in names)]
        for trial in done[:SHOWN]
    ]
    terminal.table("The best trials", ["trial", content["metric"], *names], rows)
    for sentence in _sentences(content):
        terminal.say(sentence)
    terminal.say(f"python -m pipeline.train --config {out} trains it on all folds.")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    from pipeline.command import run as run_command

    run_command(run, __doc__, "tune", add_arguments)
