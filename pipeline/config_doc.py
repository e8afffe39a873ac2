"""How a field of the configuration is declared: its default, its meaning, its limits."""

from typing import Any

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def doc(default: Any, description: str, **limits: Any) -> Any:
    """Declare a field: its default, what it means, and pydantic's limits on it."""
    return Field(default, description=description, **limits)
