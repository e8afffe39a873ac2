"""Signals: the first SIGTERM or Ctrl-C asks to stop at the next safe place, the second ends the process."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from pipeline.errors import Interrupted

_requested: int | None = None


@contextlib.contextmanager
def caught() -> Iterator[None]:
    """Catch SIGTERM and SIGINT while the block does work that it can save and go on with.

    Losing the terminal stops nothing from here on. Raises Interrupted at the block's end for a signal that
    came too late to stop it: what comes after the block has no safe places and must not begin.
    """
    global _requested  # noqa: PLW0603  (a signal handler has nowhere else to leave its word)
    _requested = None
    before = {number: signal.signal(number, _request) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
        if _requested is not None:
            raise Interrupted("asked to stop; what was done is kept: run the same command again.", _requested)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _requested = None


def requested() -> int | None:
    """Return the number of the signal that asked to stop, or None."""
    return _requested


def _request(number: int, _: FrameType | None) -> None:
    global _requested  # noqa: PLW0603
    if _requested is not None:
        os._exit(128 + number)
    _requested = number
