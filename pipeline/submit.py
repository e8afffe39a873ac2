"""Submit: check the newest submission and print what would be sent, and the command that sends it.

Nothing is sent without --send.

  python -m pipeline.submit                what the ensemble wrote last: checked, shown, not sent
  python -m pipeline.submit FILE --send    send FILE to data.kaggle, once, and wait for its score
  python -m pipeline.submit --wait REF     wait for the score of a submission that was sent before
  python -m pipeline.submit --sync         fill in scores, import submissions that were made by hand
  python -m pipeline.submit --pick         CV and LB of all that were scored, and which two to make final

exit codes of its own: 10 still pending, 11 unknown whether sent, 12 sent before (--force sends it again),
13 no credentials, 14 rules not accepted or no permission, 15 no submission left today, 16 not sent,
17 Kaggle couldn't score it
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import terminal
from pipeline.artifacts import state
from pipeline.artifacts.state import State
from pipeline.config import Config
from pipeline.errors import DataError, UsageError

STAGE = "submit"
VALUE_FLAGS = ("--config", "--wait", "--file")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add FILE, --send, --wait, --sync, --pick and --force."""
    parser.add_argument("--file", type=Path, metavar="FILE", help="the submission; default: the newest one")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--send", action="store_true", help="send it to Kaggle and wait for the score")
    one.add_argument("--wait", metavar="REF", help="wait for the score of this submission")
    one.add_argument(
        "--sync",
        action="store_true",
        help="bring the ledger up to what Kaggle lists: scores, other submissions",
    )
    one.add_argument(
        "--pick", action="store_true", help="say where the competition stands, propose two finals"
    )
    parser.add_argument("--force", action="store_true", help="send it although it was sent before")


def states(config: Config) -> list[State]:
    """Say whether the newest submission was sent, and what it scored."""
    from pipeline.leaderboard import outgoing

    if not config.data.kaggle:
        return [State(STAGE, "done", _no_competition(config))]
    scores = outgoing.newest_scores(config)
    if not scores:
        return [state.waiting(STAGE)]
    if not scores.get("submission"):
        return [State(STAGE, "done", "no test images, no submission")]
    return [_sent_state(config, str(scores["submission"]))]


def run(config: Config, options: argparse.Namespace) -> None:
    """Show the newest submission (or --file), send it or wait for its score, sync the ledger, or pick two."""
    from pipeline.leaderboard import outgoing, pick, send, sync

    if options.pick:
        pick.tell(config)
        return
    if options.sync:
        sync.sync(config)
        return
    if options.wait:
        send.wait_for(config, options.wait)
        return
    if options.send:
        send.require_slug(config)
    elif not config.data.kaggle and options.file is None:
        terminal.stage(STAGE, _no_competition(config))
        return
    path = options.file or Path(outgoing.newest_scores(config).get("submission") or "")
    if not path.name:
        if options.send:
            raise UsageError("there is no submission to send: python -m pipeline.ensemble writes one.")
        terminal.stage(STAGE, "nothing to send: the ensemble wrote no submission")
        return
    if options.send:
        send.send_file(config, path, force=options.force)
        return
    known = _sent_state(config, str(path))
    if known.state == "to do":
        _show(config, path)
    else:
        score = "" if known.score is None else f", public {known.score:.5f}"
        terminal.stage(STAGE, f"{path} was sent{score}{known.why and ': ' + known.why}")


def _show(config: Config, path: Path) -> None:
    from pipeline.leaderboard import outgoing

    file = outgoing.look_at(config, path)
    terminal.stage(STAGE, "not sent (--send sends it):" if config.data.kaggle else "checked, not sent:")
    outgoing.show(config, file)
    if file.verdict.faults:
        raise DataError(outgoing.fault_message(file))
    if config.data.kaggle:
        terminal.say(f"  {outgoing.command(config.data.kaggle, file)}")
    else:
        why = "the sample competition is drawn" if config.data.drawn else "data.kaggle names no competition"
        terminal.say(f"          there is nowhere to send it: {why}")


def _sent_state(config: Config, path: str) -> State:
    from pipeline.artifacts import paths
    from pipeline.leaderboard import ledger

    entries = ledger.latest(ledger.read(paths.ledger(config)), config.data.kaggle)
    entry = next((entry for entry in reversed(entries) if entry["file"] == path), None)
    if entry is None or entry["event"] not in ("sent", "scored", "error"):
        return State(STAGE, "to do", "python -m pipeline.submit --send")
    if entry["event"] == "sent":
        return State(STAGE, "running", f"python -m pipeline.submit --wait {entry['ref']}")
    why = "Kaggle couldn't score it" if entry["event"] == "error" else ""
    return State(STAGE, "done", why, score=entry["public"])


def _no_competition(config: Config) -> str:
    if config.data.drawn:
        return "nothing to send: the sample's true score is in the ensemble's result"
    return "nothing to send: no Kaggle competition configured (data.kaggle)"


def with_file_flag(arguments: Sequence[str]) -> list[str]:
    """Write a bare FILE as --file FILE, since the other bare words are key=value overrides.

    >>> with_file_flag(["best.csv", "--send", "--config", "my.toml", "data.metric=accuracy"])
    ['--file', 'best.csv', '--send', '--config', 'my.toml', 'data.metric=accuracy']
    """
    written: list[str] = []
    for word in arguments:
        bare = not word.startswith("-") and "=" not in word
        if bare and (not written or written[-1] not in VALUE_FLAGS):
            written.append("--file")
        written.append(word)
    return written


if __name__ == "__main__":
    from pipeline.__main__ import run_stage

    sys.argv[1:] = with_file_flag(sys.argv[1:])
    run_stage(STAGE)
