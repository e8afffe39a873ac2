"""Kaggle credentials: where the client finds them, in its own order; and hiding them in what is shown.

The environment comes as an argument: `client.py` is the one that reads it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

HIDDEN = "[hidden]"
PATTERNS = (
    # An address's query signs it: whoever reads a log must not be able to use it.
    (re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*"), rf"\1?{HIDDEN}"),
    (re.compile(r"(?i)\b(authorization\W{1,4})[^\n]*"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(r"(?i)(\"?\b(?:key|token|password|secret)\"?\s*[:=]\s*\"?)[A-Za-z0-9+/=._~-]{8,}"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\bKGAT_[A-Za-z0-9_-]+"), HIDDEN),
)


class Credentials(NamedTuple):
    """Where the credentials that count come from, and a warning about them ("" = none)."""

    source: str
    warning: str


def find(environment: Mapping[str, str]) -> Credentials | None:
    """Find the credentials that the client would use; None where there are none. Nothing is sent."""
    folder = _home(environment) / ".kaggle"
    if environment.get("KAGGLE_API_TOKEN"):
        return Credentials("KAGGLE_API_TOKEN", "")
    for name in ("access_token", "access_token.txt"):
        if _text(folder / name):
            return Credentials(str(folder / name), _readable_by_others(folder / name))
    if environment.get("KAGGLE_USERNAME") and environment.get("KAGGLE_KEY"):
        return Credentials("KAGGLE_USERNAME and KAGGLE_KEY", "")
    key_file = _key_file(environment)
    if all(_fields(key_file).get(name) for name in ("username", "key")):
        return Credentials(str(key_file), _readable_by_others(key_file))
    if _fields(folder / "credentials.json"):
        return Credentials(str(folder / "credentials.json"), _readable_by_others(folder / "credentials.json"))
    return None


def scrub(text: str, environment: Mapping[str, str]) -> str:
    """Hide keys, tokens and signed addresses in what is shown or written.

    >>> scrub("PUT https://host/upload?signature=abc Authorization: Basic dXNlcjpwYXNz", {'HOME': '/nobody'})
    'PUT https://host/upload?[hidden] Authorization: [hidden]'
    """
    for secret in _secrets(environment):
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _secrets(environment: Mapping[str, str]) -> set[str]:
    folder = _home(environment) / ".kaggle"
    found = {environment.get(name, "") for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY")}
    found |= {_text(folder / name) for name in ("access_token", "access_token.txt")}
    found.add(str(_fields(_key_file(environment)).get("key", "")))
    found |= {str(value) for value in _fields(folder / "credentials.json").values()}
    return {secret for secret in found if len(secret) >= 8}


def _key_file(environment: Mapping[str, str]) -> Path:
    """Return the kaggle.json that the client reads: in XDG's folder where there is no ~/.kaggle."""
    named = environment.get("KAGGLE_CONFIG_DIR")
    if named:
        return Path(named) / "kaggle.json"
    home = _home(environment)
    if (home / ".kaggle").exists():
        return home / ".kaggle" / "kaggle.json"
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "kaggle" / "kaggle.json"


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME") or Path.home())


def _fields(path: Path) -> dict[str, object]:
    try:
        content = json.loads(_text(path))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _readable_by_others(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return f"{path} can be read by others: chmod 600 {path}" if mode & 0o044 else ""
