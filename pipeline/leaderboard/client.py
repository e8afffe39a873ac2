"""The Kaggle client, run as a command line: never imported, since its import goes to the network and prints.

Its exit codes prove nothing, it never retries and has no time-outs: callers believe the list of submissions.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import LockedError, PipelineError
from pipeline.leaderboard import credentials

LIST_SECONDS = 60.0
SUBMIT_SECONDS = 900.0
STALL_SECONDS = 300.0
RULES_WORDS = ("403", "forbidden", "permission", "accept", "rules")
KEY_WORDS = ("401", "unauthorized", "unauthenticated", "authentication required")
LOST_WORDS = ("connection", "timed out", "max retries", "traceback", "remotedisconnected", "name resolution",
              "5\\d\\d server error", "expecting value", "proxy")  # fmt: skip


class KaggleError(PipelineError):
    """What the site or its client refuses, with the exit code of the README's table (10 to 17)."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Answer:
    """What a call of the client gave: its exit code (None: stopped at the time-out), stdout, and all text."""

    exit_code: int | None
    stdout: str
    text: str

    @property
    def lost(self) -> bool:
        """Whether the call may have worked although no answer came."""
        return self.exit_code is None or bool(re.search("|".join(LOST_WORDS), self.text.lower()))


@dataclass(frozen=True)
class Submission:
    """One line of the site's list; scores are None while there are none."""

    ref: str
    file_name: str
    date: str
    description: str
    status: str
    public: float | None
    private: float | None
    error: str = ""


@dataclass(frozen=True)
class Limits:
    """Submissions made today and still allowed today."""

    today: int
    left: int


def find_credentials() -> credentials.Credentials | None:
    """Find the credentials that the client would use; nothing is sent."""
    return credentials.find(os.environ)


def list_submissions(slug: str, timeout_seconds: float = LIST_SECONDS) -> list[Submission]:
    """Return the newest submissions (up to 100) of a competition; raises KaggleError if there is no list."""
    arguments = ("-W", "competitions", "submissions", slug, "--format", "json", "--page-size", "100")
    answer = call(arguments, timeout_seconds)
    items = _json_in(answer.stdout, "[")
    if isinstance(items, list):
        return [_submission(item) for item in items if isinstance(item, dict) and item.get("ref")]
    if answer.exit_code == 0 and "no submissions found" in answer.text.lower():
        return []
    raise refusal(answer, slug, "the list of submissions")


def submit(slug: str, path: Path, message: str, timeout_seconds: float = SUBMIT_SECONDS) -> Answer:
    """Upload a file and ask for its score, once. What the answer says proves nothing: look at the list."""
    return call(("-W", "competitions", "submit", slug, "-f", str(path), "-m", message), timeout_seconds)


def limits(slug: str, timeout_seconds: float = LIST_SECONDS) -> Limits | None:
    """Return how many submissions are left today, or None where the client or the site doesn't say."""
    answer = call(("-W", "competitions", "submission-limits", slug, "--json"), timeout_seconds)
    found = _json_in(answer.stdout, "{")
    if not isinstance(found, dict) or not found:
        return None
    try:
        # The client leaves zeros out; nothing at all means that the user has no team yet.
        return Limits(int(found.get("numToday", 0)), int(found.get("numAllowedNow", 0)))
    except (TypeError, ValueError):
        return None


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


def refusal(answer: Answer, name: str, what: str) -> KaggleError:
    """Turn a failed call into one message with its exit code: 13 credentials, 14 rules or name, else 16."""
    text = answer.text.lower()
    said = f" The client says: {_last_line(answer.text)}" if answer.text.strip() else ""
    page = f"https://www.kaggle.com/{'datasets' if '/' in name else 'competitions'}/{name}"
    if answer.exit_code is None:
        return KaggleError(f"{what} of {name} didn't come in time.{said}", 16)
    if any(word in text for word in KEY_WORDS):
        return KaggleError(f"Kaggle refused the credentials ({_source()}).{said}", 13)
    if "404" in text or "not found" in text or "could not find" in text:
        return KaggleError(f"{name} isn't on Kaggle: is data.kaggle spelt as in {page}?{said}", 14)
    if any(word in text for word in RULES_WORDS) and not answer.lost:
        return KaggleError(
            f"no permission for {what} of {name}: accept its rules on {page}/rules (a misspelt name looks "
            f"the same), then run the same command again.{said}",
            14,
        )
    return KaggleError(f"{what} of {name}: no usable answer from Kaggle.{said}", 16)


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


def _json_in(text: str, opening: str) -> Any:
    """Find JSON that begins at a line's start, whatever the client printed before and after it."""
    decoder = json.JSONDecoder()
    for match in re.finditer(rf"^\{opening}", text, re.MULTILINE):
        with contextlib.suppress(ValueError):
            return decoder.raw_decode(text, match.start())[0]
    return None


def _submission(item: dict[str, Any]) -> Submission:
    def read(*names: str) -> str:
        return next((str(item[name]) for name in names if item.get(name) not in (None, "")), "")

    return Submission(
        ref=read("ref"),
        file_name=read("fileName"),
        date=read("date"),
        description=read("description"),
        status=read("status").rpartition(".")[2].upper(),
        public=_score(read("publicScore")),
        private=_score(read("privateScore")),
        error=read("errorDescription"),
    )


def _score(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1][:300]


def _source() -> str:
    found = find_credentials()
    return found.source if found else "none found"
