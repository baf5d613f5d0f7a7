"""Values of YAML files put into dataclasses, with one clear error."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from cgsim.errors import CgsimError, nearest

Made = TypeVar("Made")


def build(kind: type[Made], values: Mapping[str, Any], where: str) -> Made:
    """`kind(**values)`; raises CgsimError, beginning with `where`, on a key that it does not have."""
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise CgsimError(f"{where}: unknown key {key!r}{nearest(str(key), known)}")
    return kind(**values)


def coerce_fields(record: Any, where: str) -> None:
    """Put every field of a frozen dataclass into its declared type, or raise CgsimError."""
    for field in dataclasses.fields(record):
        value = coerce(str(field.type), getattr(record, field.name), f"{where}: {field.name}")
        object.__setattr__(record, field.name, value)


def coerce(kind: str, value: Any, where: str) -> Any:
    """`value` as bool, int, float, str, a tuple of floats or a dict; raises CgsimError if it is not one."""
    number = _is_number(value)
    if kind.endswith(" | None"):
        return None if value is None else coerce(kind.removesuffix(" | None"), value, where)
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and number and int(value) == value:
        return int(value)
    if kind == "float" and number:
        return float(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind.startswith("tuple") and isinstance(value, list | tuple) and all(map(_is_number, value)):
        return tuple(float(item) for item in value)
    if kind.startswith("dict") and isinstance(value, Mapping):
        return dict(value)
    hint = ""
    if kind == "float" and isinstance(value, str):
        hint = " (YAML reads 1e-4 as text; write 1.0e-4)"
    raise CgsimError(f"{where} must be {kind}, got {value!r}{hint}")


def require_choice(where: str, value: str, valid: Iterable[str]) -> None:
    """Raise CgsimError unless `value` is one of `valid`."""
    if value not in valid:
        raise CgsimError(f"{where} {value!r} is not known{nearest(value, valid)}")


def require_range(
    where: str, value: float, low: float, high: float = math.inf, *, above: bool = False
) -> None:
    """Raise CgsimError unless `value` is in [low, high], or in ]low, high] with `above`."""
    if value < low or value > high or (above and value == low):
        expected = f"above {low}" if above else f"{low} or more"
        if high != math.inf:
            expected = f"{'above ' if above else ''}{low} to {high}"
        raise CgsimError(f"{where} must be {expected}, got {value}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
