"""Signals: the first SIGTERM or Ctrl-C asks to stop at the next safe place, the second ends the process."""

import os
import signal
from types import FrameType

_requested: int | None = None


def install() -> None:
    """Catch SIGTERM and SIGINT for a process that can save its work; losing the terminal stops nothing."""
    signal.signal(signal.SIGTERM, _request)
    signal.signal(signal.SIGINT, _request)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def requested() -> int | None:
    """Return the number of the signal that asked to stop, or None."""
    return _requested


def _request(number: int, _: FrameType | None) -> None:
    global _requested  # noqa: PLW0603  (a signal handler has nowhere else to leave its word)
    if _requested is not None:
        os._exit(128 + number)
    _requested = number
