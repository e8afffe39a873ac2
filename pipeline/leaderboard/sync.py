"""Bring the ledger up to what the site lists: scores filled in, submissions made elsewhere imported."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline import terminal
from pipeline.artifacts import lock, paths
from pipeline.config import Config
from pipeline.leaderboard import client, ledger, send
from pipeline.leaderboard.answers import Submission
from pipeline.leaderboard.ledger import Entry


def sync(config: Config) -> None:
    """Ask for the newest submissions (up to 100) and add to the ledger what it lacks; prints what that was.

    A submission that the ledger doesn't know is the one that an interrupted try prepared, if it carries its
    tag, else imported: it has no file and no CV. Nothing is sent. Raises KaggleError (13, 14, 16) where there
    is no list, LockedError while another process is sending, UsageError without a competition.
    """
    send.require_slug(config)
    slug, book = config.data.kaggle, paths.ledger(config)
    with lock.hold(paths.competition(config) / "submit.lock", f"submissions to {slug}"):
        listed = client.list_submissions(slug)
        done: Counter[str] = Counter()
        for item in reversed(listed):
            entries = ledger.latest(ledger.read(book), slug)
            for event, fields in missing(entries, item):
                ledger.append(book, event, slug=slug, ref=item.ref, **fields)
                done["imported" if fields.get("status") == "imported" else event] += 1
    waiting = [item.ref for item in listed if item.status in ("PENDING", "")]
    said = ", ".join(f"{number} {what}" for what, number in done.items()) or "nothing new"
    terminal.stage("submit", f"{len(listed)} submissions listed by {slug}: {said}")
    if waiting:
        terminal.say(f"          without a score yet: {', '.join(waiting)}")


def missing(entries: Sequence[Entry], item: Submission) -> list[tuple[str, dict[str, Any]]]:
    """Return the events, with their fields, that the ledger lacks of one listed submission."""
    own = next((entry for entry in entries if str(entry["ref"]) == item.ref), None)
    found: list[tuple[str, dict[str, Any]]] = []
    if own is None:
        tried = (entry for entry in reversed(entries) if entry["ref"] is None and entry["sha256"])
        own = next((entry for entry in tried if f"sha:{entry['sha256'][:8]}" in item.description), None)
        if own is not None:
            fields = {"file": own["file"], "sha256": own["sha256"]}
        else:
            message = f"{item.file_name}; {item.description}" if item.description else item.file_name
            fields = {"message": message, "status": "imported", "time": _utc(item.date)}
        found.append(("sent", fields))
    known = own or dict.fromkeys(ledger.FIELDS)
    if item.status == "ERROR" and known["event"] != "error":
        found.append(("error", {"status": item.status, "error": item.error or None}))
    scores = {"public": item.public, "private": item.private}
    if item.status == "COMPLETE" and (
        known["event"] != "scored" or any(known[name] != score for name, score in scores.items())
    ):
        found.append(("scored", {"status": item.status, **scores}))
    return found


def _utc(date: str) -> str | None:
    """Write a date of the site's list as the ledger does; None where it can't be read.

    >>> _utc("2026-11-27 08:30:00.12"), _utc("2026-11-27T08:30:00Z"), _utc("yesterday")
    ('2026-11-27T08:30:00+00:00', '2026-11-27T08:30:00+00:00', None)
    """
    try:
        found = datetime.fromisoformat(date)
    except ValueError:
        return None
    aware = datetime.combine(found, found.time(), found.tzinfo or UTC)
    return aware.astimezone(UTC).isoformat(timespec="seconds")
