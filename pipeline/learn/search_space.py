"""What a search may change: fields of [train], each with choices or a range, checked before any trial."""

import difflib
import itertools
import json
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_type_hints

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import TypeAdapter, ValidationError

from pipeline.artifacts import manifest, paths
from pipeline.config import Config, Member, Train, resolve
from pipeline.config_text import explain, to_toml
from pipeline.config_train import COUNTING_FIELDS, MACHINE_FIELDS
from pipeline.dataset.survey import short_side
from pipeline.errors import DataError, UsageError

Axis = CategoricalDistribution | FloatDistribution | IntDistribution
Space = dict[str, Axis]
# What changes no recipe, or only its luck; how many models a fold has is no question of a recipe.
NOT_SEARCHED = (*MACHINE_FIELDS, *COUNTING_FIELDS, "seed")
SIDES = ("size", "sizes", "test_size", "test_crop")


def wanted_space(config: Config, member: Member) -> dict[str, Any]:
    """Return [tune] space as it is configured, or, around the member's own recipe, what usually matters."""
    lr = member.train.lr
    return config.tune.space or {
        "lr": {"low": lr / 10, "high": lr * 10, "log": True},
        "weight_decay": {"low": 1e-4, "high": 0.5, "log": True},
        "label_smoothing": {"low": 0.0, "high": 0.2, "step": 0.05},
        "mixup": [0.0, 0.2],
        "augment": ["light", "medium", "heavy"],
    }


def read_space(wanted: Mapping[str, Any]) -> Space:
    """Return what Optuna draws each field from; a choice is its JSON text, as any field's value has one.

    Raises UsageError, which names the field, for an unknown one, for no choices, an empty range, and values
    that the field can't take.

    >>> read_space({"epochs": {"low": 2, "high": 8}, "augment": ["light", "heavy"]})["augment"].choices
    ('"light"', '"heavy"')
    """
    return {name: _axis(name, values) for name, values in wanted.items()}


def values_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields' values of a trial's parameters, numbers with six digits, as people write them.

    >>> values_of({"lr": 0.0123456789, "dropout": 0.15000000000000002, "augment": '"light"'})
    {'lr': 0.0123457, 'dropout': 0.15, 'augment': 'light'}
    """
    return {name: _value(param) for name, param in params.items()}


def own_params(train: Train, space: Space) -> dict[str, Any] | None:
    """Return the parameters that are the recipe as it stands, None if one of them isn't in the space.

    >>> space = read_space({"lr": {"low": 1e-4, "high": 1e-2, "log": True}, "augment": ["light", "heavy"]})
    >>> own_params(Train(lr=1e-3), space), own_params(Train(lr=0.1), space)
    ({'lr': 0.001, 'augment': '"light"'}, None)
    """
    params = {name: _param(getattr(train, name), axis) for name, axis in space.items()}
    return params if all(_holds(axis, params[name]) for name, axis in space.items()) else None


def member_with(config: Config, member: Member, values: Mapping[str, Any]) -> Member:
    """Return the member with these values of [train]; raises UsageError where they don't go together."""
    alone = tomllib.loads(to_toml(replace(config, members=(member,))))
    return resolve(alone, {"train": dict(values)}, "tune.space").members[0]


def check_sides(config: Config, member: Member, space: Space) -> None:
    """Raise DataError where a recipe of the space needs larger images than those that are cached."""
    cached = manifest.facts(paths.cache_manifest(config))["short_side"]
    ends = {name: [_taken(name, value) for value in _ends(space[name])] for name in SIDES if name in space}
    for values in itertools.product(*ends.values()):
        train = replace(member.train, **dict(zip(ends, values, strict=True)))
        needed = short_side(replace(config, members=(replace(member, train=train),)))
        if needed > cached:
            raise DataError(
                f"tune.space asks for images of {needed} px, {cached} px are cached: "
                f"set cache.short_side = {needed} and run python -m pipeline.prepare."
            )


def _axis(name: str, wanted: Any) -> Axis:
    place, fields = f"tune.space.{name}", get_type_hints(Train)
    known = [field for field in fields if field not in NOT_SEARCHED]
    if name in NOT_SEARCHED:
        raise UsageError(f"{place}: train.{name} makes no recipe better, it can't be searched.")
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
        raise UsageError(f"{place}: [train] has no field {name!r}: {hint}")
    if isinstance(wanted, list) and wanted:
        taken = [_param(_taken(name, value), None) for value in wanted]
        return CategoricalDistribution(list(dict.fromkeys(taken)))
    if isinstance(wanted, dict) and {"low", "high"} <= set(wanted) <= {"low", "high", "log", "step"}:
        if fields[name] not in (int, float):
            raise UsageError(f"{place}: train.{name} is no number: give it a list of choices.")
        return _range(name, wanted, IntDistribution if fields[name] is int else FloatDistribution)
    raise UsageError(
        f"{place} = {json.dumps(wanted)}: a list of choices, or a table of low and high, perhaps log or step."
    )


def _range(name: str, wanted: Mapping[str, Any], kind: type[IntDistribution | FloatDistribution]) -> Axis:
    place, step = f"tune.space.{name}", wanted.get("step")
    if not isinstance(wanted.get("log", False), bool):
        raise UsageError(f"{place}: log is true or false.")
    if step is not None and (isinstance(step, bool) or not isinstance(step, int | float)):
        raise UsageError(f"{place}: step is a number.")
    ends = {end: _taken(name, wanted[end]) for end in ("low", "high")}
    extras = {extra: wanted[extra] for extra in ("log", "step") if extra in wanted}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a high end that no step reaches
            return kind(**ends, **extras)
    except (ValueError, UserWarning) as error:
        raise UsageError(f"{place}: {' '.join(str(error).split())}") from error


def _taken(name: str, value: Any) -> Any:
    """Return a value as the field takes it."""
    try:
        return getattr(TypeAdapter(Train).validate_json(json.dumps({name: value}, default=str)), name)
    except ValidationError as error:
        raise UsageError(explain(error, Train, f"tune.space.{name}")) from error


def _value(param: Any) -> Any:
    if isinstance(param, str):
        return json.loads(param)
    return float(f"{param:.6g}") if isinstance(param, float) else param


def _ends(axis: Axis) -> list[Any]:
    if isinstance(axis, CategoricalDistribution):
        return [_value(text) for text in axis.choices]
    return [axis.low, axis.high]


def _param(value: Any, axis: Axis | None) -> Any:
    return value if isinstance(axis, FloatDistribution | IntDistribution) else json.dumps(value)


def _holds(axis: Axis, param: Any) -> bool:
    if isinstance(axis, CategoricalDistribution):
        return param in axis.choices
    steps = (param - axis.low) / axis.step if axis.step else 0
    return axis.low <= param <= axis.high and abs(steps - round(steps)) < 1e-8
