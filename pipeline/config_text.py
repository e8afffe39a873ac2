"""The configuration as text for people: its errors, and the resolved TOML with a comment line a field."""

import dataclasses
import difflib
import json
import types
from collections.abc import Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError


def explain(error: ValidationError, root: type, source: str) -> str:
    """Turn pydantic's errors into one line each: the key, what is allowed, and the nearest known key."""
    lines: dict[str, str] = {}
    for item in error.errors(include_url=False):
        place = [part for part in item["loc"] if part not in _type_names(item["loc"])]
        if item["type"] == "too_short" and lines:
            continue  # a list that is short only because its items were refused above
        # [train] and the command line reach every member: one line for all of them.
        lines.setdefault(
            _dotted([part for part in place if not isinstance(part, int)]), _line(item, place, root)
        )
    problems = "\n".join(f"{source}: {line}" for line in lines.values())
    return problems + "\nAll keys and their meaning: python -m pipeline.config"


def _line(item: Any, place: Sequence[Any], root: type) -> str:
    name = _dotted(place)
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _fields_at(root, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}."
        return f"unknown key {name!r}: {hint}"
    if item["type"] in ("missing", "missing_argument"):
        return f"{name} is missing."
    shown = json.dumps(item["input"], default=str, ensure_ascii=False)
    return f"{name} = {shown[:80]}: {_lower(item['msg'])}."


def show(config: Any, _: Any) -> None:
    """Print the resolved configuration as TOML, each field with a comment that says what it means."""
    from pipeline import terminal

    terminal.say(to_toml(config))


def to_toml(config: Any) -> str:
    """Write a configuration as TOML that reads back as itself; a field's first line says what it means."""
    lines: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            heading = f"[[{field.name}]]" if isinstance(value, tuple) else f"[{field.name}]"
            lines += [
                "",
                heading,
                *_table(item, "", commented=not isinstance(value, tuple) or item is value[0]),
            ]
    return "\n".join(lines).strip() + "\n"


def _table(value: Any, prefix: str, *, commented: bool) -> list[str]:
    lines = []
    for field in _keys(type(value)):
        item = getattr(value, field.name)
        if dataclasses.is_dataclass(item):
            lines += _table(item, f"{prefix}{field.name}.", commented=commented)
        elif item is not None:
            line = f"{prefix}{field.name} = {_toml(item)}"
            description = _description(type(value), field.name)
            lines.append(f"{line:<40} # {description}" if commented and description else line)
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _description(owner: Any, name: str) -> str:
    return owner.__pydantic_fields__[name].description or ""


def _fields_at(root: type, place: Sequence[Any]) -> list[str]:
    current: Any = root
    for part in place:
        if isinstance(part, str):
            current = _dataclass_in(get_type_hints(current)[part])
    return [field.name for field in _keys(current)]


def _keys(owner: Any) -> list[dataclasses.Field]:
    """Return the fields that are keys of the configuration, not found from others."""
    return [field for field in dataclasses.fields(owner) if not owner.__pydantic_fields__[field.name].exclude]


def _dataclass_in(hint: Any) -> Any:
    if get_origin(hint) in (tuple, Union, types.UnionType):
        return next(item for item in map(_dataclass_in, get_args(hint)) if item is not None)
    return hint if dataclasses.is_dataclass(hint) else None


def _type_names(place: Sequence[Any]) -> set[str]:
    # In a union pydantic adds the name of each branch it tried, such as "str" or "tuple[dict[str,any],...]".
    return {part for part in place if isinstance(part, str) and (part == "str" or "[" in part)}


def _dotted(place: Sequence[Any]) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")
