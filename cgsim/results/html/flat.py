"""Configurations as lines: nested objects become dotted keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MANY = 8


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return dotted key -> value as text, in the order of the object; nothing for empty objects."""
    found: dict[str, str] = {}
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        else:
            found[name] = told(value)
    return found


def told(value: Any) -> str:
    """Return a value as text: numbers short, a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return short(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {told(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        if len(value) > _MANY and list(value) == list(range(len(value))):
            return f"0 to {len(value) - 1}"
        return ", ".join(map(told, value))
    return str(value)


def short(value: float) -> str:
    """Return a number with about six digits, its thousands apart; a dash for NaN."""
    if value != value:
        return "–"
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:,.6g}"
