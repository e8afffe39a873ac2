"""Manifests: what a stage made, from what; published last, so a manifest is the commit of its files."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.artifacts import writer
from pipeline.errors import DataError

SCHEMA = 1
NOT_DONE = "not done yet"
LIBRARIES = ("foldblend", "torch", "torchvision", "timm", "albumentations", "opencv-python-headless",
             "pillow", "numpy", "pandas", "scipy", "scikit-learn")  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """What a stage's manifest must say for its files to be up to date.

    `config` holds every field and fact that the outputs depend on (JSON values, flat "section.field" names
    read best in messages); `inputs` the files that were read, by a short name.
    """

    stage: str
    version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, Path] = field(default_factory=dict)


def stale(path: Path, expected: Expected) -> str | None:
    """Say why the manifest's files must be made (again): a reason for people, or None when all is up to date.

    A file is unchanged with its recorded size, mtime and inode, else (say, after a copy) with its sha256.
    """
    found = read(path)
    if found is None:
        return NOT_DONE
    if (found["stage"], found["version"]) != (expected.stage, expected.version):
        return f"made by version {found['version']} of {found['stage']}, now {expected.version}"
    wanted = json.loads(_dump(expected.config))
    for name in sorted({*wanted, *found["config"]}):
        old, new = found["config"].get(name), wanted.get(name)
        if old != new:
            return f"{name} changed from {_short(old)} to {_short(new)}"
    if set(found["inputs"]) != set(expected.inputs):
        return "its inputs are others now"
    files = [(expected.inputs[name], record) for name, record in found["inputs"].items()]
    files += [(path.parent / name, record) for name, record in found["outputs"].items()]
    return next((reason for file, record in files if (reason := _changed(file, record))), None)


def because(why: str) -> str:
    """Say in brackets why something runs again; nothing where it runs for the first time.

    >>> because("folds.seed changed from 0 to 1"), because(NOT_DONE)
    (' (folds.seed changed from 0 to 1)', '')
    """
    return "" if why == NOT_DONE else f" ({why})"


def publish(
    path: Path,
    expected: Expected,
    outputs: Iterable[Path],
    seconds: float,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Commit a stage's outputs: write their manifest at `path`; outputs are named from its folder.

    `facts` are results that other stages read without opening the outputs (class names, a score).
    """
    content = {
        "schema": SCHEMA,
        "stage": expected.stage,
        "version": expected.version,
        "config": expected.config,
        "inputs": {name: _record(file) for name, file in sorted(expected.inputs.items())},
        "outputs": {os.path.relpath(file, path.parent): _record(file) for file in outputs},
        "facts": facts or {},
        "libraries": {name: version_of(name) for name in LIBRARIES},
        "seconds": round(seconds, 3),
    }
    writer.publish_bytes(path, _dump(content, indent=1).encode())


def read(path: Path) -> dict[str, Any] | None:
    """Return the manifest's content, or None where there is none that this version can read."""
    content = read_json(path)
    return content if content is not None and content.get("schema") == SCHEMA else None


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON file's table, or None where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def facts(path: Path) -> dict[str, Any]:
    """Return the facts of a manifest that must be there; raises DataError naming it otherwise."""
    content = read(path)
    if content is None:
        raise DataError(f"{path} is missing or unreadable: python -m pipeline")
    return content["facts"]


def folds_digest(path: Path) -> str:
    """Return the digest of a fold assignment from folds/NAME.json; raises DataError where there is none."""
    try:
        return json.loads(path.read_bytes())["digest"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is missing or unreadable: python -m pipeline.folds") from error


def verified_bytes(path: Path, manifest: Path) -> bytes:
    """Read a file that the manifest lists; raises DataError where its sha256 isn't what was written."""
    content = read(manifest)
    name = os.path.relpath(path, manifest.parent)
    if content is None or name not in content["outputs"]:
        raise DataError(
            f"{path} isn't listed in {manifest}: remove {manifest} and run the same command again."
        )
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != content["outputs"][name]["sha256"]:
        raise DataError(
            f"{path} changed after it was written (sha256): remove it and run the same command again."
        )
    return data


def digest(value: Any) -> str:
    """Hash any JSON value, whatever the order of its keys: 16 hexadecimal digits.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    return hashlib.sha256(_dump(value).encode()).hexdigest()[:16]


def bytes_digest(data: bytes) -> str:
    """Hash bytes: 16 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Hash a file's content without holding it in memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _record(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "inode": status.st_ino,
        "sha256": file_sha256(path),
    }


def _changed(path: Path, record: Mapping[str, Any]) -> str | None:
    try:
        status = path.stat()
    except OSError:
        return f"{path} is missing"
    if (status.st_size, status.st_mtime_ns, status.st_ino) == (
        record["size"],
        record["mtime_ns"],
        record["inode"],
    ):
        return None
    if status.st_size == record["size"] and file_sha256(path) == record["sha256"]:
        return None
    return f"{path} changed"


def _dump(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False, allow_nan=False)


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def version_of(name: str) -> str:
    """Return the version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
