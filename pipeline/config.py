"""The configuration: read from TOML, overridden from the command line, checked.

`config_fields.py` says what can be set. `python -m pipeline.config` prints the resolved configuration with a
comment line a field.
"""

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.class_balance import check_balance
from pipeline.config_fields import (
    Config,
    Data,
    Drawn,
    Member,
    View,
    model_title,
    recipe,
    teachers,
    title,
    trainings,
)
from pipeline.config_teachers import with_teachers
from pipeline.config_text import explain
from pipeline.config_train import (
    Train,
    final_side,
    largest_side,
    predict_side,
    retrains,
    sides_of,
    train_side,
)
from pipeline.errors import UsageError

__all__ = [
    "Config", "Data", "Drawn", "Member", "Train", "View", "final_side", "find", "largest_side", "load",
    "model_title", "parse_override", "predict_side", "recipe", "resolve", "retrains", "sides_of", "teachers",
    "title", "train_side", "trainings",
]  # fmt: skip
PRESETS = Path(__file__).parent / "presets"
SAMPLE = "sample"
MOST_CANDIDATES = 6


def load(choice: str | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read the configuration that counts, found as `find` does, and check it.

    `overrides` are `key=value` in TOML's grammar; train.* ones hold for every member. Raises UsageError.
    """
    path = find(choice)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no valid TOML: {error}.") from error
    changes: dict[str, Any] = {}
    for override in overrides:
        _merge(changes, parse_override(override))
    return resolve(raw, changes, str(path))


def find(choice: str | None) -> Path:
    """Return the file that counts: `choice` (file or preset), $PIPELINE_CONFIG, competition.toml, the sample.

    Raises UsageError for a name that is neither a file nor a preset.
    """
    choice = choice or os.environ.get("PIPELINE_CONFIG")
    if not choice:
        own = Path("competition.toml")
        return own if own.exists() else PRESETS / f"{SAMPLE}.toml"
    candidates = (Path(choice), PRESETS / f"{choice}.toml")
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        known = ", ".join(sorted(preset.stem for preset in PRESETS.glob("*.toml")))
        raise UsageError(f"--config {choice}: no such file, and no such preset (presets: {known}).")
    return found


def resolve(raw: Mapping[str, Any], changes: Mapping[str, Any], source: str) -> Config:
    """Make a Config of TOML's tables: defaults < [train] < [[members]] < `changes` of the command line."""
    tables = {name: value for name, value in raw.items() if name != "train"}
    own_train = dict(raw.get("train", {}))
    changes = dict(changes)
    changed_train = changes.pop("train", {})
    if "members" in changes:
        raise UsageError("members can't be overridden on the command line: train.* holds for every member.")
    _merge(tables, changes)
    if not tables.get("members"):
        raise UsageError(f"{source}: [[members]] is missing: name at least one model to train.")
    members = tables["members"]
    if isinstance(members, list) and all(isinstance(member, dict) for member in members):
        tables["members"] = [_member(member, own_train, changed_train) for member in members]
    try:
        config = TypeAdapter(Config).validate_json(json.dumps(tables, default=str))
    except ValidationError as error:
        raise UsageError(explain(error, Config, source)) from error
    _check(config, source)
    return with_teachers(config, source)


def parse_override(text: str) -> dict[str, Any]:
    """Read `key=value` in TOML's grammar, a bare word being a string.

    >>> parse_override("train.epochs=20")
    {'train': {'epochs': 20}}
    >>> parse_override("data.metric=accuracy")
    {'data': {'metric': 'accuracy'}}
    """
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise UsageError(f"{text!r} is no override: write key=value, as in train.epochs=20.")
    try:
        return tomllib.loads(f"{name}={value}")
    except tomllib.TOMLDecodeError:
        try:
            return tomllib.loads(f"{name}='''{value}'''")
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{text!r} is no override: {error}.") from error


def _member(
    member: Mapping[str, Any], shared: Mapping[str, Any], changed: Mapping[str, Any]
) -> dict[str, Any]:
    if "teacher" in member:
        raise UsageError("members.teacher: a member's teacher is named by train.teacher.")
    own = member.get("train", {})
    train = {**shared, **own, **changed} if isinstance(own, dict) else own
    return {"name": member.get("model", ""), **member, "train": train}


def _check(config: Config, source: str) -> None:
    names = [member.name for member in config.members]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UsageError(
            f"{source}: two members are called {doubled[0]!r}: give each [[members]] a name of its own."
        )
    for member in config.members:
        check_balance(member.train)
        _check_sizes(member.name, member.train, source)
        if member.train.refit and member.train.select == "best":
            raise UsageError(
                f"{source}: train.refit of {member.name} leaves no row to choose its epoch by, as "
                'train.select = "best" would: keep one of them, or select = "common".'
            )
    if len(set(config.predict.views)) < len(config.predict.views):
        raise UsageError(f"{source}: predict.views names a view twice.")
    tried = len(config.ensemble.blends) + len(config.ensemble.rules)
    if tried > MOST_CANDIDATES:
        raise UsageError(
            f"{source}: ensemble.blends and ensemble.rules name {tried} candidates, {MOST_CANDIDATES} are "
            "the most: choosing among many flatters."
        )
    if config.folds.kind == "time" and not (config.data.time_column or config.folds.file):
        raise UsageError(
            f'{source}: folds.kind = "time" needs data.time_column, the column of train.csv with the times.'
        )
    if config.data.kaggle and config.data.drawn:
        raise UsageError(
            f"{source}: data.drawn draws the sample competition, data.kaggle downloads one: keep one."
        )


def _check_sizes(name: str, train: Train, source: str) -> None:
    if any(side < 16 for side in train.sizes):
        raise UsageError(f"{source}: train.sizes of {name}: a side has at least 16 pixels.")
    if len(train.sizes) > train.epochs:
        raise UsageError(
            f"{source}: train.sizes of {name} has {len(train.sizes)} sides for {train.epochs} epochs."
        )


def _merge(target: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            target[name] = dict(target[name])
            _merge(target[name], value)
        else:
            target[name] = value


if __name__ == "__main__":
    from pipeline.command import run
    from pipeline.config_text import show

    run(show, "Print the resolved configuration as TOML, each field with what it means.", "config")
