"""Commands run in children of one warm process, so that a test doesn't pay for importing torch each time.

Each child is forked from a server that has imported everything and computed nothing; it runs the real module
as `python -m` does, in its own folder, and may be told to kill itself at a chosen write.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import no_network

PRELOAD = ["tests.warm_imports"]
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class KillAt:
    """Die by SIGKILL at the `count`-th event (write, fsync, replace) on files whose name ends with `name`."""

    event: str
    name: str
    count: int = 1


@dataclass(frozen=True)
class Result:
    """How a command ended (a negative code is a signal's number) and what it printed."""

    exit_code: int
    output: str


def run(module: str, arguments: Sequence[str], folder: Path, kill: KillAt | None = None) -> Result:
    """Run `python -m MODULE ARGUMENTS` in a folder and wait for its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    log = folder / "output.log"
    child = context.Process(target=_child, args=(module, list(arguments), str(folder), str(log), kill))
    child.start()
    child.join(TIMEOUT_SECONDS)
    if child.is_alive():
        child.kill()
        child.join()
        raise TimeoutError(f"{module} hangs: {log.read_text()}")
    assert child.exitcode is not None
    return Result(child.exitcode, log.read_text())


def _child(module: str, arguments: list[str], folder: str, log: str, kill: KillAt | None) -> None:
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = [module, *arguments]
    no_network.cut_off()
    if kill is not None:
        _arm(kill)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _arm(kill: KillAt) -> None:
    from pipeline.artifacts import writer

    seen = 0

    def on_event(event: str, path: Path) -> None:
        nonlocal seen
        seen += event == kill.event and path.name.endswith(kill.name)
        if seen == kill.count:
            os.kill(os.getpid(), signal.SIGKILL)

    writer.on_event = on_event
