"""Ensemble: temperatures, weights and decision rule, fitted on OOF rows, cross-fitted; and the submission.

The score it prints is of rows that nothing was fitted on: what the leaderboard should say. The submission has
the rows, order and form of sample_submission.csv and is checked before it is kept.

  python -m pipeline.ensemble --submit     also send it: kaggle competitions submit, then wait for the score
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import terminal
from pipeline.artifacts import lock, manifest, paths, predictions, state, writer
from pipeline.artifacts.jobs import Job, can_find_jobs, find_jobs, has_test
from pipeline.artifacts.manifest import Expected
from pipeline.artifacts.state import State
from pipeline.config import Config, Member
from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from pipeline.dataset.folds.folds_file import Folds
    from pipeline.score.crossfit import CrossFitted

STAGE = "ensemble"
VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --submit."""
    parser.add_argument(
        "--submit", action="store_true", help="send the submission to Kaggle and wait for its score"
    )


def states(config: Config) -> list[State]:
    """Return the one line of the ensemble."""
    if not can_find_jobs(config) or not all(job.oof_manifest.exists() for job in find_jobs(config)):
        return [state.waiting(STAGE)]
    return [state.of(_manifest(config), _expected(config), lock_file=_lock(config))]


def run(config: Config, options: argparse.Namespace) -> None:
    """Fit and score the blend, write the submission, print the closing sentence; send it if asked."""
    jobs = find_jobs(config)
    _check_inputs(config, jobs)
    why = manifest.stale(_manifest(config), _expected(config))
    if why is None:
        terminal.stage(STAGE, "up to date")
    else:
        if _manifest(config).exists():
            terminal.stage(STAGE, f"again: {why}")
        with lock.hold(_lock(config), "blending"):
            if manifest.stale(_manifest(config), _expected(config)):
                _blend(config, jobs)
    scores = json.loads((paths.ensemble(config) / "scores.json").read_bytes())
    _tell(config, scores)
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


def _expected(config: Config) -> Expected:
    jobs = find_jobs(config)
    facts = manifest.facts(paths.cache_manifest(config))
    inputs = {f"{job.run_folder.name}/fold{job.fold}/oof": job.file("oof.npz") for job in jobs}
    if has_test(config):
        inputs |= {f"{job.run_folder.name}/fold{job.fold}/test": job.file("test.npz") for job in jobs}
        if facts["sample_submission"]:
            inputs["sample_submission"] = Path(facts["sample_submission"])
    fields = {
        "members": [member.name for member in config.members],
        "data.metric": config.data.metric,
        "paths.submissions": config.paths.submissions,
        "classes": facts["classes_digest"],
        "official labels": facts.get("official_digest", ""),
        "folds": manifest.folds_digest(paths.folds_record(config)),
    }
    return Expected(STAGE, VERSION, fields, inputs)


def _check_inputs(config: Config, jobs: Sequence[Job]) -> None:
    for job in jobs:
        how = f"--fold {job.fold} --member {job.member.name}"
        if why := manifest.stale(job.oof_manifest, job.oof):
            raise DataError(
                f"fold {job.fold} of {job.member.name} isn't trained ({why}): python -m pipeline.train {how}"
            )
        if has_test(config) and (why := manifest.stale(job.test_manifest, job.test)):
            raise DataError(f"{job.file('test.npz')} isn't up to date ({why}): python -m pipeline.predict")


def _blend(config: Config, jobs: Sequence[Job]) -> None:
    """Fit and score the chain, apply it to the test rows, publish all files: the manifest is the commit."""
    import numpy as np

    from pipeline.dataset.folds.folds_file import load_folds
    from pipeline.score import statement
    from pipeline.score.crossfit import cross_fitted

    started = time.monotonic()
    folds = load_folds(config)
    classes = manifest.facts(paths.cache_manifest(config))["classes"]
    index = {name: i for i, name in enumerate(classes)}
    targets = np.array([index[label] for label in folds.labels])
    groups = np.unique(np.array(folds.groups), return_inverse=True)[1]
    oof = np.stack([_member_oof(member, jobs, folds, classes) for member in config.members])
    found = cross_fitted(
        oof, targets, folds.fold_of, config.data.metric, groups=groups, seed=config.folds.seed
    )
    folder = paths.ensemble(config)
    outputs = [folder / name for name in ("oof.npz", "weights.json", "scores.json")]
    scored = np.flatnonzero(folds.fold_of >= 0)
    names = [folds.ids[i] for i in scored]
    own = found.probs[scored], found.predictions[scored], folds.fold_of[scored]
    _save(folder / "oof.npz", names, classes, *own, folds.digest)
    members = [member.name for member in config.members]
    writer.publish_bytes(folder / "weights.json", _json(statement.weights(found, members)))
    scores = statement.scores(found, targets, folds.fold_of, members, classes, folds.digest)
    if has_test(config):
        outputs.append(folder / "test.npz")
        scores |= _apply_to_test(config, jobs, found, classes, folds.digest, scores)
        outputs += [Path(scores["submission"])] if scores["submission"] else []
    writer.publish_bytes(folder / "scores.json", _json(scores))
    manifest.publish(
        _manifest(config), _expected(config), outputs, time.monotonic() - started, {"score": found.score}
    )


def _member_oof(member: Member, jobs: Sequence[Job], folds: "Folds", classes: Sequence[str]) -> "np.ndarray":
    """Return float32 [n, C] in the folds' order, the mean over views; rows of fold −1 are NaN."""
    import numpy as np

    probs = np.full((len(folds.ids), len(classes)), np.nan, np.float32)
    for job in jobs:
        if job.member == member:
            path = job.file("oof.npz")
            held_out = np.flatnonzero(folds.fold_of == job.fold)
            found = predictions.load(path, classes, folds.digest)
            probs[held_out] = predictions.join(path, found, [folds.ids[i] for i in held_out]).mean(axis=0)
    return probs


def _apply_to_test(
    config: Config,
    jobs: Sequence[Job],
    found: "CrossFitted",
    classes: list[str],
    folds_digest: str,
    scores: dict[str, Any],
) -> dict[str, Any]:
    """Blend the test predictions, write and check the submission; return what scores.json adds."""
    import numpy as np
    import pandas as pd

    from pipeline.dataset import official
    from pipeline.leaderboard.write import write_submission

    loaded = [(job, predictions.load(job.file("test.npz"), classes, folds_digest)) for job in jobs]
    ids = sorted(loaded[0][1].ids.tolist())
    members = [
        np.mean(
            [
                predictions.join(job.file("test.npz"), part, ids).mean(axis=0)
                for job, part in loaded
                if job.member == member
            ],
            axis=0,
        )
        for member in config.members
    ]
    probs, labels = found.chain.apply(np.stack(members))
    folder = paths.ensemble(config)
    _save(folder / "test.npz", ids, classes, probs, labels, np.full(len(ids), -1), folds_digest)
    rows = official.predicted_rows(pd.read_parquet(paths.cache(config) / "images.parquet"))
    added = {"official": official.official_scores(rows, ids, probs, labels, classes)}
    tested = np.isin(ids, rows.loc[rows["split"] == "test", "id"])
    if tested.any():
        names = [name for name, wanted in zip(ids, tested, strict=True) if wanted]
        added |= write_submission(config, classes, names, labels[tested], probs[tested], scores)
    return added


def _save(
    path: Path,
    ids: Sequence[str],
    classes: Sequence[str],
    probs: "np.ndarray",
    labels: "np.ndarray",
    fold_of: "np.ndarray",
    folds_digest: str,
) -> None:
    import numpy as np

    view = np.array(["blend"])
    names = np.array(ids, dtype=np.str_), np.array(classes, dtype=np.str_), view
    found = predictions.Predictions(*names, probs[None].astype(np.float32), fold_of, folds_digest)
    predictions.save(path, found, predictions=labels)


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


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    run_stage(STAGE)
