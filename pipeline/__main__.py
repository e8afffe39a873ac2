"""The whole chain: every stage in order, what is up to date skipped, the status table before and after.

  python -m pipeline                     the competition that is set up, else the built-in sample
  python -m pipeline --config my.toml    another one
  python -m pipeline --submit            … and send the submission to Kaggle

One stage (with the earlier ones that are missing): python -m pipeline.STAGE
  stages:   download prepare folds train predict ensemble submit report
  commands: status config compare tune clean
"""

import argparse
import dataclasses
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from pipeline import command, terminal
from pipeline.artifacts import writer
from pipeline.artifacts.state import State
from pipeline.config import Config, parse_override

STAGES = ("download", "prepare", "folds", "train", "predict", "ensemble", "submit", "report")
# What a stage alone doesn't need: the report is made of whatever is there, a submission of a file.
STANDALONE = ("submit", "report")


def main() -> NoReturn:
    """Run the whole chain."""
    command.run(_run_all, __doc__, "", _add_submit)


def run_stage(name: str) -> NoReturn:
    """Run one stage as a command, after the earlier stages that are missing."""
    stage = _module(name)

    def work(config: Config, options: argparse.Namespace) -> None:
        _check(config)
        if hasattr(stage, "chosen"):
            config = stage.chosen(config, options)
        if hasattr(stage, "check_choice"):
            stage.check_choice(config, options.fold, options.member)
        if name not in STANDALONE:
            for earlier in STAGES[: STAGES.index(name)]:
                if any(state.state != "done" for state in _module(earlier).states(config)):
                    _run(earlier, config)
        stage.run(config, options)
        _tell_overrides(options)

    command.run(work, stage.__doc__, name, stage.add_arguments)


def run_status() -> NoReturn:
    """Print the status table as a command."""
    from pipeline import status

    command.run(lambda config, _: status.show(_states(config)), status.__doc__, "status")


def _run_all(config: Config, options: argparse.Namespace) -> None:
    from pipeline import status

    _check(config)
    before = _states(config)
    status.show(before)
    for name in STAGES:
        _run(name, config)
    after = _states(config)
    if after != before:
        status.show(after)
    _tell_overrides(options)
    if options.submit:
        _module("ensemble").send(config)


def _run(name: str, config: Config) -> None:
    stage = _module(name)
    parser = argparse.ArgumentParser()
    stage.add_arguments(parser)
    stage.run(config, parser.parse_args([]))


def _states(config: Config) -> list[State]:
    """Return all stages' states; what stands on something that isn't done isn't done either."""
    states: list[State] = []
    for name in STAGES:
        own = _module(name).states(config)
        waits = name != "submit" and any(state.state != "done" for state in states if state.stage != "submit")
        states += [_waiting(state) if waits else state for state in own]
    return states


def _waiting(state: State) -> State:
    return (
        dataclasses.replace(state, state="stale", why="earlier stages first")
        if state.state == "done"
        else state
    )


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"pipeline.{name}")


def _check(config: Config) -> None:
    """Refuse before any work what would stop it later: an unknown metric, folders that can't be written."""
    from pipeline.leaderboard.competition_metric import competition_metric

    for folder in (config.paths.data, config.paths.runs, config.paths.folds, config.paths.submissions):
        writer.require_space(Path(folder), 0, "what the stages make")
    competition_metric(config)


def _add_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--submit", action="store_true", help="send the submission to Kaggle and wait for its score"
    )


def _tell_overrides(options: argparse.Namespace) -> None:
    if options.overrides:
        terminal.say("To keep these settings, put them into the configuration (in [[members]], which comes")
        terminal.say("before [train], where a member sets the same key):")
        terminal.say(toml_lines(options.overrides))


def toml_lines(overrides: Sequence[str]) -> str:
    """Write overrides as the TOML that says the same, a table for each.

    >>> print(toml_lines(["train.epochs=20", "data.metric=accuracy", "train.ema=false"]))
    [train]
    epochs = 20
    ema = false
    [data]
    metric = "accuracy"
    """
    tables: dict[str, list[str]] = {}
    for override in overrides:
        name, _, value = override.partition("=")
        table, _, field = name.strip().rpartition(".")
        found = parse_override(f"value={value}")["value"]
        tables.setdefault(table, []).append(
            f"{field} = {json.dumps(found) if isinstance(found, str) else value}"
        )
    return "\n".join(line for table, lines in tables.items() for line in (f"[{table}]", *lines))


if __name__ == "__main__":
    main()
