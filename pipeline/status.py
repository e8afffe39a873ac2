"""Status: what is done, running, stale or to do, by stage, member and fold; nothing is run."""

import itertools
from collections.abc import Iterable

from pipeline import terminal
from pipeline.artifacts.state import State


def show(states: Iterable[State]) -> None:
    """Print the status table; neighbouring folds in the same state share a row."""
    rows = []
    for _, run in itertools.groupby(
        states, key=lambda state: (state.stage, state.member, state.state, state.why)
    ):
        rows.append(_row(list(run)))
    terminal.table("", ["stage", "member", "fold", "state", "score", "time", "why"], rows)


def _row(run: list[State]) -> list[str]:
    first = run[0]
    folds = [state.fold for state in run if state.fold is not None]
    fold = "" if not folds else f"{folds[0]}" if len(folds) == 1 else f"{folds[0]}–{folds[-1]}"
    scores = [state.score for state in run if state.score is not None]
    seconds = [state.seconds for state in run if state.seconds is not None]
    score = "" if not scores else f"{min(scores):.4f}" + (f"–{max(scores):.4f}" if len(scores) > 1 else "")
    took = terminal.duration(sum(seconds)) if seconds else ""
    return [first.stage, first.member, fold, first.state, score, took, first.why]


if __name__ == "__main__":
    from pipeline.__main__ import run_status

    run_status()
