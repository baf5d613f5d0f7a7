"""Rules for values that pydantic has none for."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from pydantic_core import PydanticCustomError


def expectation(message: str) -> PydanticCustomError:
    """Return the error of a value that breaks a rule; `message` completes "expected ..."."""
    return PydanticCustomError("expected", "{expected}", {"expected": message})


IDEAL_OR_COUNT = "'ideal' or an integer from 1 to 1024"


def ideal_or_count(value: Any) -> Any:
    """Validator of a value that is 'ideal' or a count."""
    counts = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024
    if value == "ideal" or counts:
        return value
    raise expectation(IDEAL_OR_COUNT)


class Step:
    """Constraint: the value is a whole multiple of `fraction` (exact, no rounding tolerance)."""

    def __init__(self, fraction: Fraction) -> None:
        self.fraction = fraction

    def __call__(self, value: float | None) -> float | None:
        """Return `value`, or raise if it lies between two steps."""
        if value is not None and (Fraction(value) / self.fraction).denominator != 1:
            raise expectation(f"a multiple of {self.fraction}")
        return value
