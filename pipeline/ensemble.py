"""Ensemble: views, temperatures, weights and decision rule, fitted on OOF rows, cross-fitted; the submission.

The score it prints is of rows that nothing was fitted on: what the leaderboard should say. The submission has
the rows, order and form of sample_submission.csv and is checked before it is kept.

  python -m pipeline.ensemble                    the configuration's members and predictions made elsewhere
  python -m pipeline.ensemble --members a,b      only these: members, runs (by their folder), external ones
  python -m pipeline.ensemble --all              every run that has the same folds
  python -m pipeline.ensemble --submit           also send it: kaggle competitions submit, wait for the score

Predictions made elsewhere are runs/NAME/external/MEMBER.oof.csv and MEMBER.test.csv: id, a column a class,
and for the out-of-fold rows fold, as in folds/NAME.csv (or .npz: ids, classes, probs, fold).
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import terminal
from pipeline.artifacts import lock, manifest, paths, state, writer
from pipeline.artifacts.jobs import can_find_jobs, has_test
from pipeline.artifacts.manifest import Expected
from pipeline.artifacts.state import State
from pipeline.blending import sources
from pipeline.blending.sources import Source
from pipeline.config import Config
from pipeline.errors import UsageError

STAGE = "ensemble"
VERSION = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --members, --all and --submit."""
    parser.add_argument("--members", metavar="A,B", help="blend only these, as ensemble.members does")
    parser.add_argument("--all", action="store_true", help="blend every run with the same folds")
    parser.add_argument(
        "--submit", action="store_true", help="send the submission to Kaggle and wait for its score"
    )


def chosen(config: Config, options: argparse.Namespace) -> Config:
    """Return the configuration with what --members and --all ask for; members left out aren't trained."""
    if options.members and options.all:
        raise UsageError("--members and --all: give one of them.")
    if options.all:
        every = dataclasses.replace(config.ensemble, members=(), all_runs=True)
        return dataclasses.replace(config, ensemble=every)
    if not options.members:
        return config
    names = tuple(name.strip() for name in options.members.split(",") if name.strip())
    if can_find_jobs(config):
        known = sources.known_sources(config)
        for name in names:
            sources.find_source(known, name)
    members = tuple(member for member in config.members if member.name in names) or config.members
    only = dataclasses.replace(config.ensemble, members=names)
    return dataclasses.replace(config, members=members, ensemble=only)


def states(config: Config) -> list[State]:
    """Return the one line of the ensemble."""
    if not can_find_jobs(config):
        return [state.waiting(STAGE)]
    blended = sources.blended_sources(config)
    if not all(job.trained_manifest.exists() for source in blended for job in source.jobs):
        return [state.waiting(STAGE)]
    return [state.of(_manifest(config), _expected(config, blended), lock_file=_lock(config))]


def run(config: Config, options: argparse.Namespace) -> None:
    """Fit and score the blend, write the submission, print the closing sentence; send it if asked."""
    config = chosen(config, options)
    blended = sources.blended_sources(config)
    _check_inputs(config, blended)
    expected = _expected(config, blended)
    why = manifest.stale(_manifest(config), expected)
    if why is None:
        terminal.stage(STAGE, "up to date")
    else:
        if _manifest(config).exists():
            terminal.stage(STAGE, f"again: {why}")
        with lock.hold(_lock(config), "blending"):
            if manifest.stale(_manifest(config), expected):
                _blend(config, blended, expected)
    scores = json.loads((paths.ensemble(config) / "scores.json").read_bytes())
    _tell(config, scores)
    if options.members or options.all:
        _tell_choice(config)
    if options.submit:
        send(config)


def send(config: Config) -> None:
    """Send the ensemble's submission to Kaggle and wait for its score; without a competition, say how to."""
    submission = json.loads((paths.ensemble(config) / "scores.json").read_bytes())["submission"]
    if submission and config.data.kaggle:
        from pipeline.leaderboard.send import send_file

        send_file(config, Path(submission))
    elif submission:
        terminal.say("Not sent, since data.kaggle names no competition. To send it by hand:")
        terminal.say(f"  kaggle competitions submit SLUG -f {submission} -m MESSAGE")


def _manifest(config: Config) -> Path:
    return paths.ensemble(config) / "manifest.json"


def _lock(config: Config) -> Path:
    return paths.competition(config) / "ensemble.lock"


def _expected(config: Config, blended: Sequence[Source]) -> Expected:
    facts = manifest.facts(paths.cache_manifest(config))
    inputs = {name: path for source in blended for name, path in source.inputs(has_test(config)).items()}
    if has_test(config) and facts["sample_submission"]:
        inputs["sample_submission"] = Path(facts["sample_submission"])
    how = dataclasses.asdict(config.ensemble)
    del how["members"], how["all_runs"]  # what they choose stands in "members"
    fields = {
        "members": [source.name for source in blended],
        **{f"ensemble.{name}": value for name, value in how.items()},
        "data.metric": config.data.metric,
        "paths.submissions": config.paths.submissions,
        "classes": facts["classes_digest"],
        "official labels": facts.get("official_digest", ""),
        "folds": manifest.folds_digest(paths.folds_record(config)),
    }
    return Expected(STAGE, VERSION, fields, inputs)


def _check_inputs(config: Config, blended: Sequence[Source]) -> None:
    unknown = sorted(set(config.ensemble.balanced) - {source.name for source in blended})
    if unknown:
        raise UsageError(f"ensemble.balanced names {unknown[0]!r}, which isn't blended.")
    for source in blended:
        for job in source.jobs:
            job.check_trained()
        for job in (*source.jobs, *source.refits) if has_test(config) else ():
            job.check_trained()
            job.check_predicted()


def _blend(config: Config, blended: Sequence[Source], expected: Expected) -> None:
    """Fit and score the chain, apply it to the test rows, publish all files: the manifest is the commit."""
    from pipeline.blending import applying, fitting

    started = time.monotonic()
    fitted = fitting.fit(config, blended)
    folder = paths.ensemble(config)
    outputs = [folder / name for name in ("oof.npz", "weights.json", "scores.json")]
    scores = fitting.scores(fitted, blended)
    fitting.save_oof(folder / "oof.npz", fitted)
    writer.publish_bytes(folder / "weights.json", _json(fitting.weights(fitted, blended)))
    if has_test(config):
        outputs.append(folder / "test.npz")
        scores |= applying.apply_to_test(config, blended, fitted, scores)
        outputs += [Path(scores["submission"])] if scores["submission"] else []
    writer.publish_bytes(folder / "scores.json", _json(scores))
    facts = {"score": fitted.found.score}
    manifest.publish(_manifest(config), expected, outputs, time.monotonic() - started, facts)


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _tell(config: Config, scores: Mapping[str, Any]) -> None:
    from pipeline.score import statement

    if not scores["submission"]:
        terminal.stage(STAGE, "no test images: OOF scores in scores.json, no submission")
    for line in statement.closing_lines(scores):
        terminal.say(line)
    terminal.say(f"Scores      {paths.ensemble(config) / 'scores.json'}")
    if scores["submission"]:
        terminal.say(f"Submission  {scores['submission']}")


def _tell_choice(config: Config) -> None:
    terminal.say("To keep what is blended, put it into the configuration:")
    terminal.say("[ensemble]")
    if config.ensemble.all_runs:
        terminal.say("all_runs = true")
    else:
        terminal.say(f"members = {json.dumps(list(config.ensemble.members), ensure_ascii=False)}")


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
