"""What the status table says of one piece of work: done, running, stale with its reason, or to do."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import lock, manifest


@dataclass(frozen=True)
class State:
    """One line of the status table; `why` says what is missing or changed where it isn't done."""

    stage: str
    state: str
    why: str = ""
    member: str = ""
    fold: int | None = None
    score: float | None = None
    seconds: float | None = None


def of(
    path: Path,
    expected: manifest.Expected,
    member: str = "",
    fold: int | None = None,
    lock_file: Path | None = None,
) -> State:
    """Read the state of a piece of work, its score and its seconds from its manifest and its lock."""
    found = manifest.read(path)
    why = manifest.stale(path, expected) or ""
    if lock_file is not None and lock.is_held(lock_file):
        return State(expected.stage, "running", why, member, fold)
    if found is None:
        return State(expected.stage, "to do", why, member, fold)
    state = "stale" if why else "done"
    return State(expected.stage, state, why, member, fold, found["facts"].get("score"), found["seconds"])


def waiting(stage: str, member: str = "", fold: int | None = None) -> State:
    """Describe work whose inputs aren't there yet."""
    return State(stage, "to do", "earlier stages first", member, fold)
