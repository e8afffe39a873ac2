"""What all commands share: --config, key=value overrides, a message and an exit code for each mistake."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from pipeline import config, terminal
from pipeline.errors import PipelineError

Work = Callable[[config.Config, argparse.Namespace], None]
AddArguments = Callable[[argparse.ArgumentParser], None]

ENDING = """\
which configuration counts: --config (a file or a preset), $PIPELINE_CONFIG, competition.toml in the current
folder, else the built-in sample competition. All keys and their meaning: python -m pipeline.config
exit codes: 0 ok, 2 usage or configuration, 3 data, 4 locked or environment, 5 disk, memory or numbers,
130 and 143 stopped by a signal: the same command goes on where it was."""


def build_parser(
    name: str, description: str, add_arguments: AddArguments | None = None
) -> argparse.ArgumentParser:
    """Make the parser with what every command takes; the bare words of its own come before key=value."""
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline{'.' + name if name else ''}",
        description=description,
        epilog=ENDING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE|PRESET", help="the competition's configuration")
    if add_arguments is not None:
        add_arguments(parser)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as in train.epochs=20")
    return parser


def run(
    work: Work,
    description: str | None,
    name: str = "",
    add_arguments: AddArguments | None = None,
) -> NoReturn:
    """Read the command line and the configuration, do the work, end with its exit code."""
    parser = build_parser(name, description or "", add_arguments)
    options = parser.parse_intermixed_args()
    sys.exit(guarded(lambda: work(config.load(options.config, options.overrides), options)))


def guarded(work: Callable[[], None]) -> int:
    """Do the work; a fault that a user can mend becomes one message and an exit code, without a traceback."""
    try:
        work()
    except PipelineError as fault:
        terminal.error(str(fault))
        return fault.exit_code
    except KeyboardInterrupt:
        terminal.error("stopped (Ctrl-C): the same command goes on where it was.")
        return 130
    except (MemoryError, RuntimeError) as fault:
        # torch's own error for a GPU; torch isn't imported for its name's sake.
        if not (isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError"):
            raise
        terminal.error("out of memory: a smaller train.batch, train.size or predict.batch needs less.")
        return 5
    return 0
