"""What the Kaggle client prints, read defensively: warnings before, notes behind, errors in many words."""

import contextlib
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from pipeline.errors import PipelineError

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


def submissions_in(answer: Answer) -> list[Submission] | None:
    """Return the list of submissions that was printed, None where there is none."""
    items = _json_in(answer.stdout, "[")
    if isinstance(items, list):
        return [_submission(item) for item in items if isinstance(item, dict) and item.get("ref")]
    nothing = answer.exit_code == 0 and "no submissions found" in answer.text.lower()
    return [] if nothing else None


def limits_in(answer: Answer) -> Limits | None:
    """Return the day's limits that were printed, None where there are none."""
    found = _json_in(answer.stdout, "{")
    if not isinstance(found, dict) or not found:
        return None
    try:
        # The client leaves zeros out; nothing at all means that the user has no team yet.
        return Limits(int(found.get("numToday", 0)), int(found.get("numAllowedNow", 0)))
    except (TypeError, ValueError):
        return None


def refusal(answer: Answer, name: str, what: str) -> KaggleError:
    """Turn a failed call into one message with its exit code: 13 credentials, 14 rules or name, else 16."""
    text = answer.text.lower()
    said = f" The client says: {_last_line(answer.text)}" if answer.text.strip() else ""
    page = f"https://www.kaggle.com/{'datasets' if '/' in name else 'competitions'}/{name}"
    if answer.exit_code is None:
        return KaggleError(f"{what} of {name} didn't come in time.{said}", 16)
    if any(word in text for word in KEY_WORDS):
        remedy = "set KAGGLE_API_TOKEN (kaggle.com/settings, API)"
        return KaggleError(f"Kaggle refused the credentials, or found none: {remedy}.{said}", 13)
    if "404" in text or "not found" in text or "could not find" in text:
        return KaggleError(f"{name} isn't on Kaggle: is data.kaggle spelt as in {page}?{said}", 14)
    if any(word in text for word in RULES_WORDS) and not answer.lost:
        return KaggleError(
            f"no permission for {what} of {name}: accept its rules on {page}/rules (a misspelt name looks "
            f"the same), then run the same command again.{said}",
            14,
        )
    return KaggleError(f"{what} of {name}: no usable answer from Kaggle.{said}", 16)


def _json_in(text: str, opening: str) -> Any:
    """Find JSON that begins at a line's start, whatever the client printed before and after it."""
    decoder = json.JSONDecoder()
    for match in re.finditer(rf"^\{opening}", text, re.MULTILINE):
        with contextlib.suppress(ValueError):
            return decoder.raw_decode(text, match.start())[0]
    return None


def _submission(item: dict[str, Any]) -> Submission:
    def read(name: str) -> str:
        return "" if item.get(name) is None else str(item[name])

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
        score = float(text)
    except ValueError:
        return None
    return score if math.isfinite(score) else None


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1][:300]
