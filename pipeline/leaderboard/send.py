"""Send a submission once and wait for its score: ledger before and after, the site's list is believed."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import terminal
from pipeline.artifacts import lock, paths
from pipeline.config import Config
from pipeline.errors import DataError, Interrupted, UsageError
from pipeline.leaderboard import answers, client, ledger, outgoing
from pipeline.leaderboard.answers import Answer, KaggleError, Submission
from pipeline.leaderboard.outgoing import Outgoing
from pipeline.score.metrics import find_metric

PENDING, UNKNOWN, DUPLICATE, NO_CREDENTIALS, NO_QUOTA, NOT_SENT, SCORING_ERROR = 10, 11, 12, 13, 15, 16, 17


@dataclass(frozen=True)
class Waits:
    """Seconds between looks: those of `after_sending`; then `first` growing to `longest`, until `give_up`."""

    after_sending: tuple[float, ...] = (0.0, 3.0, 10.0, 30.0)
    first: float = 5.0
    longest: float = 60.0
    give_up: float = 3600.0


WAITS = Waits()


def send_file(config: Config, path: Path, *, force: bool = False, waits: Waits = WAITS) -> None:
    """Check, send and wait; prints the score.

    Raises DataError (faults, exit 3), UsageError (no competition), LockedError, KaggleError with 10 still
    pending, 11 unknown whether sent, 12 duplicate, 13 no credentials, 14 no permission, 15 no quota, 16 not
    sent, 17 not scored; Interrupted by Ctrl-C, which stops the waiting only.
    """
    require_slug(config)
    file = outgoing.look_at(config, path)
    outgoing.show(config, file)
    if file.verdict.faults:
        raise DataError(outgoing.fault_message(file))
    found = client.find_credentials()
    if found is None:
        raise KaggleError(
            "no Kaggle credentials, nothing was sent. Set KAGGLE_API_TOKEN (kaggle.com/settings, API), or "
            f"send it by hand:\n  {outgoing.command(config.data.kaggle, file)}",
            NO_CREDENTIALS,
        )
    if found.warning:
        terminal.warn(found.warning)
    with lock.hold(paths.competition(config) / "submit.lock", f"submitting to {config.data.kaggle}"):
        ref = _send_once(config, file, force, waits)
    wait_for(config, ref, waits)


def require_slug(config: Config) -> None:
    """Refuse to send where no competition is configured."""
    if not config.data.kaggle:
        raise UsageError("no Kaggle competition configured (data.kaggle): there is nowhere to send to.")


def wait_for(config: Config, ref: str, waits: Waits = WAITS) -> None:
    """Poll the list until the submission has a score, write the ledger, and print the closing line.

    Raises KaggleError: 10 still pending, 11 not in the list, 17 the site couldn't score it.
    """
    require_slug(config)
    resume = f"python -m pipeline.submit --wait {ref}"
    try:
        found = _poll(config.data.kaggle, ref, waits, resume)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped waiting; {ref} goes on at Kaggle: {resume}", signal.SIGINT) from None
    fields = {"slug": config.data.kaggle, "ref": ref, "status": found.status, "file": None}
    if found.status == "ERROR":
        reason = found.error or f"see https://www.kaggle.com/competitions/{config.data.kaggle}/submissions"
        ledger.append(paths.ledger(config), "error", error=reason, **fields)
        raise KaggleError(f"Kaggle couldn't score {ref} ({found.file_name}): {reason}", SCORING_ERROR)
    ledger.append(paths.ledger(config), "scored", public=found.public, private=found.private, **fields)
    terminal.say(_closing_line(config, ref, found))


def _send_once(config: Config, file: Outgoing, force: bool, waits: Waits) -> str:
    """Return the ref of the one submission that this file has in the site's list after this call."""
    slug, book = config.data.kaggle, paths.ledger(config)
    entries = ledger.latest(ledger.read(book), slug)
    listed = client.list_submissions(slug)
    fields = {"slug": slug, "file": str(file.path), "sha256": file.sha256}
    earlier = next((item for item in listed if file.tag in item.description), None)
    if earlier and any(e["event"] == "prepared" and e["sha256"] == file.sha256 for e in entries):
        terminal.say(f"an earlier try was stopped, but did send it: {earlier.ref} of {earlier.date}")
        ledger.append(book, "sent", ref=earlier.ref, **fields)
        return earlier.ref
    if not force:
        _refuse_duplicate(entries, earlier, file)
    _refuse_without_quota(slug)
    ledger.append(book, "prepared", **fields, **_facts(config, file))
    terminal.stage("submit", f"sending {file.path} to {slug}")
    try:
        answer = client.submit(slug, file.path, file.message)
        found = _look(slug, file, {item.ref for item in listed}, waits)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped: {_how_to_find_out(slug, file)}", signal.SIGINT) from None
    if found is None:
        raise _not_in_list(config, file, answer)
    ledger.append(book, "sent", ref=found.ref, **fields)
    return found.ref


def _look(slug: str, file: Outgoing, known: set[str], waits: Waits) -> Submission | None:
    """Look for the new submission in the list, a few times: the list may be late, or away for a moment."""
    for seconds in waits.after_sending:
        time.sleep(seconds)
        try:
            listed = client.list_submissions(slug)
        except KaggleError:
            continue
        new = [item for item in listed if item.ref not in known and file.tag in item.description]
        if new:
            return new[0]
    return None


def _not_in_list(config: Config, file: Outgoing, answer: Answer) -> KaggleError:
    slug = config.data.kaggle
    refused = answers.refusal(answer, slug, "the upload")
    said_sent = answer.exit_code == 0 and "could not submit" not in answer.text.lower()
    if answer.lost or said_sent:
        return KaggleError(f"unknown whether it was sent: {_how_to_find_out(slug, file)}", UNKNOWN)
    ledger.append(
        paths.ledger(config),
        "not sent",
        slug=slug,
        file=str(file.path),
        sha256=file.sha256,
        error=str(refused)[:500],
    )
    return KaggleError(f"not sent. {refused}", refused.exit_code)


def _how_to_find_out(slug: str, file: Outgoing) -> str:
    return (
        f"look for {file.tag} in the output of kaggle competitions submissions {slug}. The same command "
        "again looks there first and never sends twice."
    )


def _refuse_duplicate(entries: Sequence[ledger.Entry], listed: Submission | None, file: Outgoing) -> None:
    settled = ("sent", "scored", "error")
    same = [
        entry
        for entry in entries
        if entry["event"] in settled
        and (entry["sha256"] == file.sha256 or entry["predictions"] == file.predictions)
    ]
    if same:
        entry = same[-1]
        scored = f"public {entry['public']:.5f}" if entry["public"] is not None else entry["event"]
        what = "this file was" if entry["sha256"] == file.sha256 else "the same predictions were"
        when = f"{what} sent before: {entry['file']}, {entry['time']}, ref {entry['ref']}, {scored}"
    elif listed:
        scored = f"public {listed.public:.5f}" if listed.public is not None else listed.status.lower()
        when = f"this file was sent before: {listed.file_name}, {listed.date}, ref {listed.ref}, {scored}"
    else:
        return
    raise KaggleError(f"{when}. --force sends it again.", DUPLICATE)


def _refuse_without_quota(slug: str) -> None:
    limits = client.limits(slug)
    if limits is None:
        return
    terminal.stage("submit", f"{limits.left} of {limits.today + limits.left} submissions left today")
    if limits.left <= 0:
        left = terminal.duration(86400 - time.time() % 86400)
        raise KaggleError(
            f"no submission left today ({limits.today} made), nothing was sent: resets 00:00 UTC "
            f"(in {left}).",
            NO_QUOTA,
        )


def _facts(config: Config, file: Outgoing) -> dict[str, Any]:
    scores = file.scores
    members = {name: member["weight"] for name, member in scores.get("members", {}).items()}
    return {
        "predictions": file.predictions,
        "rows": file.rows,
        "message": file.message,
        "cv": scores.get("cross_fitted"),
        "se": scores.get("standard_error"),
        "cv_rows": scores.get("n"),
        "metric": config.data.metric,
        "members": members or None,
        "commit": ledger.commit(),
        "config": ledger.config_digest(config),
    }


def _poll(slug: str, ref: str, waits: Waits, resume: str) -> Submission:
    began, pause, absent = time.monotonic(), waits.first, 0
    with terminal.progress("submit") as line:
        while True:
            found = None
            try:
                listed = client.list_submissions(slug)
                found = next((item for item in listed if item.ref == ref), None)
                absent += found is None
            except KaggleError as error:
                if error.exit_code != NOT_SENT:
                    raise
            waited = time.monotonic() - began
            if found is not None and found.status not in ("PENDING", ""):
                return found
            if absent == 3:
                raise KaggleError(f"{ref} isn't among the newest submissions to {slug}.", UNKNOWN)
            if waited + pause > waits.give_up:
                raise KaggleError(f"{ref} has no score after {terminal.duration(waited)}: {resume}", PENDING)
            line.update(min(1.0, waited / waits.give_up), f"waiting for the score of {ref}")
            time.sleep(pause)
            pause = min(2 * pause, waits.longest)


def _closing_line(config: Config, ref: str, found: Submission) -> str:
    """Write `public 0.81234 | CV 0.8170 ± 0.0040 | gap −0.0047 | best so far 0.81410 | 2 left today`."""
    entries = ledger.latest(ledger.read(paths.ledger(config)), config.data.kaggle)
    own = next((entry for entry in entries if str(entry["ref"]) == ref), {})
    parts = ["no public score" if found.public is None else f"public {found.public:.5f}"]
    if found.private is not None:
        parts.append(f"private {found.private:.5f}")
    if own.get("cv") is not None:
        parts.append(f"CV {own['cv']:.4f} ± {own['se'] or 0.0:.4f}")
        if found.public is not None:
            parts.append(f"gap {found.public - own['cv']:+.4f}".replace("-", "−"))
    scores = [entry["public"] for entry in entries if entry["public"] is not None]
    if scores:
        best = max(scores) if find_metric(config.data.metric).greater_is_better else min(scores)
        parts.append(f"best so far {best:.5f}")
    limits = client.limits(config.data.kaggle)
    return " | ".join([*parts, f"{limits.left} left today"] if limits else parts)
