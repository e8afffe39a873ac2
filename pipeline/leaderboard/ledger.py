"""The ledger of submissions: append-only lines of JSON: what was sent, when, what it scored. No secrets."""

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest, writer
from pipeline.config import Config

Entry = dict[str, Any]
# prepared: about to be sent; sent: seen in the site's list; scored, error: what became of it.
EVENTS = ("prepared", "sent", "scored", "error", "not sent", "scored locally")
FIELDS = ("time", "event", "slug", "ref", "file", "sha256", "predictions", "rows", "message",
          "cv", "se", "cv_rows", "metric", "members",
          "public", "private", "status", "error", "commit", "config")  # fmt: skip


def append(path: Path, event: str, **fields: Any) -> Entry:
    """Add a line and sync it; fields that aren't given are null, but for the time, which is now.

    Raises ValueError for an unknown event or field.
    """
    unknown = set(fields) - set(FIELDS)
    if event not in EVENTS or unknown:
        raise ValueError(f"no such ledger event or field: {event!r}, {sorted(unknown)}")
    entry: Entry = dict.fromkeys(FIELDS)
    entry |= {**fields, "event": event}
    entry["time"] = entry["time"] or datetime.now(UTC).isoformat(timespec="seconds")
    writer.append_line(path, json.dumps(entry, ensure_ascii=False, allow_nan=False))
    return entry


def read(path: Path) -> list[Entry]:
    """Return the ledger's entries in the order they were written; a torn or foreign line is passed over."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [entry for line in lines if (entry := _entry(line)) is not None]


def latest(entries: Sequence[Entry], slug: str) -> list[Entry]:
    """Return one entry a submission of a competition, in the order in which they were made.

    Later lines add to earlier ones: what they leave null stays as it was, and so does the time.

    >>> lines = [{"slug": "a", "sha256": "1", "event": "sent", "ref": 5, "public": None, "file": "x.csv"},
    ...          {"slug": "a", "sha256": "1", "event": "scored", "ref": 5, "public": 0.8, "file": None}]
    >>> latest(lines, "a")
    [{'slug': 'a', 'sha256': '1', 'event': 'scored', 'ref': 5, 'public': 0.8, 'file': 'x.csv'}]
    """
    found: list[Entry] = []
    for entry in entries:
        if entry.get("slug") != slug:
            continue
        known = next((item for item in reversed(found) if _same_submission(item, entry)), None)
        if known is None:
            found.append(dict(entry))
        else:
            later = {name: value for name, value in entry.items() if value is not None and name != "time"}
            known.update(later)
    return sorted(found, key=lambda entry: entry.get("time") or "")


def config_digest(config: Config) -> str:
    """Hash the whole configuration: 16 hexadecimal digits."""
    return manifest.digest(dataclasses.asdict(config))


def commit() -> str | None:
    """Read the git commit of the current folder from .git, or None where there is none."""
    here = Path.cwd()
    git = next((folder / ".git" for folder in (here, *here.parents) if (folder / ".git").is_dir()), None)
    if git is None:
        return None
    head = _text(git / "HEAD")
    if not head.startswith("ref: "):
        return head or None
    branch = head.removeprefix("ref: ")
    packed = (line.split(" ") for line in _text(git / "packed-refs").splitlines())
    return _text(git / branch) or next((words[0] for words in packed if words[-1] == branch), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _same_submission(known: Entry, entry: Entry) -> bool:
    if known.get("ref") is not None and entry.get("ref") is not None:
        return str(known["ref"]) == str(entry["ref"])
    # A new attempt at the same bytes is another submission, if the one before it was settled.
    return entry["event"] != "prepared" and known.get("sha256") == entry.get("sha256")


def _entry(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    known = isinstance(entry, dict) and entry.get("event") in EVENTS
    return dict.fromkeys(FIELDS) | entry if known else None
