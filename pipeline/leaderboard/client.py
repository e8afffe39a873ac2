"""The Kaggle client, run as a command line: never imported, since its import goes to the network and prints.

Its exit codes prove nothing, it never retries and has no time-outs: callers believe the list of submissions.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import LockedError
from pipeline.leaderboard import credentials
from pipeline.leaderboard.answers import (
    Answer,
    KaggleError,
    Limits,
    Submission,
    limits_in,
    refusal,
    submissions_in,
)

LIST_SECONDS = 60.0
SUBMIT_SECONDS = 900.0
STALL_SECONDS = 300.0


def find_credentials() -> credentials.Credentials | None:
    """Find the credentials that the client would use; nothing is sent."""
    return credentials.find(os.environ)


def list_submissions(slug: str, timeout_seconds: float = LIST_SECONDS) -> list[Submission]:
    """Return the newest submissions (up to 100) of a competition; raises KaggleError if there is no list."""
    arguments = ("-W", "competitions", "submissions", slug, "--format", "json", "--page-size", "100")
    answer = call(arguments, timeout_seconds)
    found = submissions_in(answer)
    if found is None:
        raise refusal(answer, slug, "the list of submissions")
    return found


def submit(slug: str, path: Path, message: str, timeout_seconds: float = SUBMIT_SECONDS) -> Answer:
    """Upload a file and ask for its score, once. What the answer says proves nothing: look at the list."""
    return call(("-W", "competitions", "submit", slug, "-f", str(path), "-m", message), timeout_seconds)


def limits(slug: str, timeout_seconds: float = LIST_SECONDS) -> Limits | None:
    """Return how many submissions are left today, or None where the client or the site doesn't say."""
    return limits_in(call(("-W", "competitions", "submission-limits", slug, "--json"), timeout_seconds))


def download_competition(
    slug: str,
    folder: Path,
    progress: Callable[[int], None] | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> Path:
    """Fetch all files of a competition as one zip into the folder and return it; goes on after a stop.

    `progress` is called with the bytes there. Raises KaggleError: no credentials (13), no permission (14).
    """
    page = f"https://www.kaggle.com/competitions/{slug}/data"
    if find_credentials() is None:
        raise KaggleError(
            f"no Kaggle credentials to download {slug} with. Set KAGGLE_API_TOKEN (kaggle.com/settings, "
            f"API); or by hand: download {page}, unzip it into the data folder, run the same command again.",
            13,
        )
    arguments = ("-W", "competitions", "download", slug, "-p", str(folder))
    return _download(arguments, slug, folder, progress, stall_seconds)


def download_dataset(
    name: str,
    folder: Path,
    progress: Callable[[int], None] | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> Path:
    """Fetch a public data set (OWNER/NAME) as one zip into the folder and return it; needs no credentials."""
    # Without credentials the client answers only if the command's first word is "datasets": no -W before it.
    return _download(("datasets", "download", name, "-p", str(folder)), name, folder, progress, stall_seconds)


def call(arguments: Sequence[str], timeout_seconds: float) -> Answer:
    """Run `kaggle ARGUMENTS` in a clean environment; keys and signed addresses are hidden in the answer."""
    try:
        done = subprocess.run(
            [_program(), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_seconds,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as stopped:
        return _answer(None, stopped.stdout or b"", stopped.stderr or b"")
    return _answer(done.returncode, done.stdout, done.stderr)


def _download(
    arguments: Sequence[str],
    name: str,
    folder: Path,
    progress: Callable[[int], None] | None,
    stall_seconds: float,
) -> Path:
    process = subprocess.Popen(
        [_program(), *arguments, "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=_environment(),
    )
    try:
        finished = _watch(process, folder, progress, stall_seconds)
    finally:
        if process.poll() is None:
            process.kill()
        output = process.communicate()[0]
    answer = _answer(process.returncode if finished else None, output, b"")
    archive = folder / f"{name.rpartition('/')[2]}.zip"
    if not finished or answer.exit_code != 0 or not archive.is_file():
        raise refusal(answer, name, "the download")
    return archive


def _watch(
    process: "subprocess.Popen[bytes]",
    folder: Path,
    progress: Callable[[int], None] | None,
    stall_seconds: float,
) -> bool:
    """Wait while the folder grows; False where nothing came for `stall_seconds`."""
    size, last = -1, time.monotonic()
    while time.monotonic() - last < stall_seconds:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
            return True
        with contextlib.suppress(OSError):
            found = sum(file.stat().st_size for file in folder.iterdir())
            if found != size:
                size, last = found, time.monotonic()
        if progress is not None:
            progress(max(size, 0))
    return False


def _program() -> str:
    beside = Path(sys.executable).with_name("kaggle")
    found = str(beside) if beside.is_file() else shutil.which("kaggle")
    if found is None:
        raise LockedError("the kaggle command isn't installed: pip install kaggle six")
    return found


def _environment() -> dict[str, str]:
    # VERBOSE makes the client print the Authorization header.
    kept = {name: value for name, value in os.environ.items() if name not in ("VERBOSE", "VERBOSE_OUTPUT")}
    return kept | {"PYTHONUTF8": "1", "PYTHONWARNINGS": "ignore"}


def _answer(exit_code: int | None, stdout: bytes, stderr: bytes) -> Answer:
    out, err = (credentials.scrub(part.decode("utf-8", "replace"), os.environ) for part in (stdout, stderr))
    return Answer(exit_code, out, f"{out}\n{err}".strip())
