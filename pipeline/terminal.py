"""What a person sees: messages, tables, progress; plain without a terminal. The only place that prints."""

import contextlib
import functools
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

PLAIN_SECONDS = 15.0
PLAIN_WIDTH = 200


def say(text: str) -> None:
    """Print a line for people, as it is (no markup, no wrapping)."""
    _print(text, sys.stdout)


def stage(name: str, text: str) -> None:
    """Print what a stage does or did: `prepare    up to date`."""
    _print(f"{name:<9} {text}", sys.stdout)


def warn(text: str) -> None:
    """Print something that a person should know and that doesn't stop the work."""
    _print(f"warning: {text}", sys.stderr)


def error(text: str) -> None:
    """Print why the command ends."""
    _print(f"error: {text}", sys.stderr)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text under their columns; numbers align right, a narrow terminal folds the last column.

    Without a terminal the lines are as long as they need to be.
    """
    from rich.table import Table

    if title:
        say(title)
    drawn = Table(box=None, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = all(_is_number(row[i]) for row in rows if row[i])
        drawn.add_column(column, justify="right" if numeric and i else "left", no_wrap=i < len(columns) - 1)
    for row in rows:
        drawn.add_row(*(_literal(cell) for cell in row))
    with contextlib.suppress(BrokenPipeError):
        _console().print(drawn)


class Line:
    """One line that is updated: `update(share done in [0, 1], text)`."""

    def __init__(self, label: str, bar: "Progress | None"):
        self.label = label
        self.bar = bar
        self.task = bar.add_task(label, total=1.0, text="") if bar else None
        self.last = time.monotonic()

    def update(self, share: float, text: str) -> None:
        """Show how far the work is; without a terminal a line at most every 15 seconds."""
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=share, text=text)
        elif time.monotonic() - self.last >= PLAIN_SECONDS:
            self.last = time.monotonic()
            say(f"{self.label:<9} {100 * share:3.0f} %  {text}")


@contextlib.contextmanager
def progress(label: str) -> Iterator[Line]:
    """Show one line of progress while the block runs; it disappears at the end of the block."""
    if not _console().is_terminal:
        yield Line(label, None)
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description:<9}"), BarColumn(8), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=_console(), transient=True) as bar:
        yield Line(label, bar)


def duration(seconds: float) -> str:
    """Write a time as a person reads it.

    >>> duration(0.4), duration(75), duration(3725)
    ('0.4 s', '1 min 15 s', '1 h 2 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@functools.cache
def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def _print(text: str, stream: object) -> None:
    with contextlib.suppress(BrokenPipeError, ValueError, OSError):
        print(_printable(text), file=stream, flush=True)  # type: ignore[call-overload]


def _printable(text: str) -> str:
    # A file's name may hold escape codes or half a UTF-8 character: shown, never sent to the terminal.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    shown = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
    return shown.encode(encoding, errors="backslashreplace").decode(encoding)


def _literal(cell: str) -> "Text":
    from rich.text import Text

    return Text(_printable(cell))


def _is_number(cell: str) -> bool:
    try:
        float(cell.split(maxsplit=1)[0].replace(",", ""))
    except (ValueError, IndexError):
        return False
    return True
