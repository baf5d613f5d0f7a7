"""Turns what pydantic finds wrong in a configuration into one line that a user can act on."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel

from cgsim.errors import CgsimError, nearest
from cgsim.hardware.constraints import OneOf, Step

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_MOST_PROBLEMS = 5
_QUANTITY = re.compile(r"\s*([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-zµ%/]*)\s*")
_SCALE = {
    "MHz": {"mhz": 1.0, "ghz": 1e3, "khz": 1e-3, "hz": 1e-6},
    "KiB": {"kib": 1.0, "mib": 1024.0, "gib": 1024.0**2, "b": 1 / 1024, "bytes": 1 / 1024},
}


class _Shown(reprlib.Repr):
    """Shows a value in a message: on one line, cut where it gets long."""

    def repr_int(self, value: int, level: int) -> str:  # noqa: ARG002 (reprlib's signature)
        """Show an integer; one of hundreds of digits by its size, which repr() would refuse."""
        if value.bit_length() > 200:
            return f"an integer of about {int(value.bit_length() * 0.30103)} digits"
        return repr(value)


_shown = _Shown()
_shown.maxstring = _shown.maxother = 60
_shown.maxlevel = 2


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every dotted leaf key of a model with its field, in file order."""
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section:
            yield from fields(section, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section class if the field is a section, which may be null; None if it is a value."""
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    kind = kinds[0] if get_origin(field.annotation) is UnionType and len(kinds) == 1 else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def unit(field: FieldInfo) -> str:
    """Return the unit of a field, "" where it has none."""
    return str(_extra(field).get("unit", ""))


def choices(field: FieldInfo) -> list[Any]:
    """Return the values that a field chooses from; none where it takes any number or text."""
    if get_origin(field.annotation) is Literal:
        return list(get_args(field.annotation))
    one_of = next((c for c in field.metadata if isinstance(c, OneOf)), None)
    if one_of is not None:
        return list(one_of.names())
    return [True, False] if field.annotation is bool else []


def expected(field: FieldInfo) -> str:
    """Describe in words which values a field takes, such as `an integer from 1 to 1024`."""
    if "expected" in _extra(field):
        return str(_extra(field)["expected"])
    kind = field.annotation
    if kind is bool:
        return "true or false"
    values = [repr(value) for value in choices(field)]
    if values:
        return " or ".join([", ".join(values[:-1]), values[-1]]) if len(values) > 1 else values[0]
    if kind in (int, float):
        noun = "an integer" if kind is int else "a number"
        return noun + (f" in {unit(field)}" if unit(field) in _SCALE else "") + bounds(field)
    return "text" if kind is str else "text or null"


def bounds(field: FieldInfo) -> str:
    """Describe the bounds of a number, such as ` from 1 to 1024`, "" where it has none."""
    low = next((c.ge for c in field.metadata if isinstance(c, Ge)), None)
    above = next((c.gt for c in field.metadata if isinstance(c, Gt)), None)
    high = next((c.le for c in field.metadata if isinstance(c, Le)), None)
    step = next((s for s in map(_step, field.metadata) if s), None)
    text = f" above {above}" if above is not None else f" from {low}" if low is not None else ""
    text += (" up to" if above is not None else " to") + f" {high}" if high is not None else ""
    return text + (f" in steps of {step.fraction}" if step else "")


def plain(values: Any) -> Any:
    """Return `values` with mappings as dicts and numpy scalars as Python numbers."""
    if isinstance(values, Mapping):
        return {key: plain(value) for key, value in values.items()}
    if type(values).__module__ == "numpy" and getattr(values, "shape", None) == ():
        return values.item()
    return values


def configuration_error(model: type[BaseModel], error: ValidationError, source: str) -> CgsimError:
    """Return the one-line CgsimError for everything that pydantic found wrong."""
    problems = [_problem(model, details) for details in error.errors(include_url=False)]
    rest = len(problems) - _MOST_PROBLEMS
    text = "; ".join(problems[:_MOST_PROBLEMS]) + (f"; and {rest} more" if rest > 0 else "")
    return CgsimError(f"{source}: {text}")


def check_key(model: type[BaseModel], key: object, source: str) -> None:
    """Raise CgsimError unless `key` is a dotted key of one value."""
    keys = [name for name, _ in fields(model)]
    if key in keys:
        return
    inside = [name for name in keys if name.startswith(f"{key}.")]
    if inside:
        raise CgsimError(f"{source}: {key} is a section, name one of its keys: {', '.join(inside)}")
    raise CgsimError(f"{source}: {_key(key)}: unknown key{_nearest_key(model, str(key))}")


def _problem(model: type[BaseModel], details: ErrorDetails) -> str:
    """Describe one error: dotted key, what was expected, what was found."""
    location, kind, value = details["loc"], details["type"], details["input"]
    key = ".".join(_key(part) for part in location)
    if kind in ("extra_forbidden", "invalid_key"):
        return f"{key}: unknown key{_nearest_key(model, '.'.join(map(str, location)))}"
    field, section = _find(model, location)
    if section is not None:
        wanted = f"a section with the keys {', '.join(section.model_fields)}"
    elif kind == "expected":
        wanted = details["ctx"]["expected"]
    else:
        assert field is not None
        later = _not_modelled(field, value)
        if later:
            return f"{key}: {later}"
        wanted = expected(field)
    place = f"{key}: " if key else ""
    if kind == "missing":
        return f"{place}missing, expected {wanted}"
    got = "nothing" if value is None else _shown.repr(value)
    return f"{place}expected {wanted}, got {got}{_advice(field, value)}"


def _find(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[FieldInfo | None, type[BaseModel] | None]:
    """Return the field at a location, and its section class if it is a section."""
    field: FieldInfo | None = None
    section: type[BaseModel] | None = model
    for part in location:
        assert section is not None
        field = section.model_fields[str(part)]
        section = section_of(field)
    return field, section


def _not_modelled(field: FieldInfo, value: Any) -> str | None:
    """Say so if the value names something real that cgsim has no model of yet."""
    known = _extra(field).get("not_modelled", {})
    what = known.get(value.lower()) if isinstance(value, str) else None
    return f"{value!r} ({what}) is not modelled yet, only {expected(field)} is" if what else None


def _advice(field: FieldInfo | None, value: Any) -> str:
    """Say what to write instead of a number with a unit, or in quotes."""
    if field is None:
        return ""
    if choices(field) and field.annotation is not bool and isinstance(value, str):
        if value.strip() in [str(choice) for choice in choices(field) if not isinstance(choice, str)]:
            return f"; write {value.strip()}"
        close = nearest(value, [choice for choice in choices(field) if isinstance(choice, str)])
        return close if "did you mean" in close else ""
    if field.annotation not in (int, float):
        return ""
    if field.annotation is int and isinstance(value, float) and value.is_integer() and abs(value) < 1e9:
        return f"; write {int(value)}"
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return ""
    number, given = float(match[1].replace("_", "")), match[2].lower()
    scale = _SCALE.get(unit(field), {}).get(given, None if given in ("kb", "mb", "gb") else 1.0)
    if scale is None:
        return f"; write the number of {unit(field) or 'units'} alone"
    return f"; write {number * scale:.12g}"


def _nearest_key(model: type[BaseModel], key: str) -> str:
    """Suggest the valid key closest to `key`: in its own section, or the same name in another one."""
    keys = [name for name, _ in fields(model)]
    section, _, leaf = key.rpartition(".")
    elsewhere = [name for name in keys if name.rpartition(".")[2] == leaf]
    if elsewhere:
        return nearest(key, elsewhere) if len(elsewhere) > 1 else f" (did you mean {elsewhere[0]!r}?)"
    try:
        own = _find(model, tuple(section.split(".")) if section else ())[1]
    except (KeyError, AssertionError):
        own = None
    close = nearest(leaf, own.model_fields) if own else ""
    if "did you mean" in close or (own and section):
        return close
    anywhere = nearest(key, keys)
    return anywhere if "did you mean" in anywhere else close or nearest(key, model.model_fields)


def _key(part: object) -> str:
    """Return a key for a message: as it is where it is plain, quoted otherwise."""
    text = str(part)
    return text if re.fullmatch(r"[\w.-]{1,80}", text) else _shown.repr(text)


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _step(constraint: Any) -> Step | None:
    function = getattr(constraint, "func", None)
    return function if isinstance(function, Step) else None
