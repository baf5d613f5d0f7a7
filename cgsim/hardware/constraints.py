"""Rules for values that pydantic has none for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler


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


class OneOf:
    """Constraint of a text: it is one of `names()`, asked anew for each value, as names may come to them."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self.names = names

    def __call__(self, value: str) -> str:
        """Return `value`, or raise if it is none of the names."""
        if value not in self.names():
            raise PydanticCustomError("one_of", "not one of the names")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Check after pydantic has checked that it is text."""
        return core_schema.no_info_after_validator_function(self, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        """List the names that there are now."""
        return handler(schema) | {"enum": list(self.names())}
