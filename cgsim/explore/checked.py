"""Values of a description of an experiment, checked one by one; what is wrong is told in one line."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cgsim.errors import CgsimError, nearest
from cgsim.yamlfile import read_yaml


def description(path: str | os.PathLike[str], what: str) -> Any:
    """Return what a YAML file of `what` holds; raises CgsimError if it is missing or cannot be read."""
    if not Path(path).is_file():
        raise CgsimError(f"{os.fspath(path)}: no such file, expected {what} in YAML")
    return read_yaml(Path(path))


def mapping(value: Any, where: str, expected: str) -> Mapping[str, Any]:
    """Return a mapping whose keys are texts; raises CgsimError, which `where` begins, on anything else."""
    if not isinstance(value, Mapping):
        raise CgsimError(f"{where}: expected {expected}, got {_shown(value)}")
    for key in value:
        if not isinstance(key, str):
            raise CgsimError(f"{where}: expected keys that are texts, got {_shown(key)}")
    return value


def keys_of(value: Mapping[str, Any], valid: Iterable[str], where: str) -> None:
    """Raise CgsimError, with the nearest valid one, on a key that is not among `valid`."""
    known = list(valid)
    for key in value:
        if key not in known:
            raise CgsimError(f"{where}: unknown key {key!r}{nearest(key, known)}")


def sequence(value: Any, where: str) -> Sequence[Any]:
    """Return a list that is not empty."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise CgsimError(f"{where}: expected a list, got {_shown(value)}")
    if not value:
        raise CgsimError(f"{where}: expected at least one entry")
    return value


def number(value: Any, where: str) -> float:
    """Return a finite number, an int as an int."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise CgsimError(f"{where}: expected a number, got {_shown(value)}")
    return value


def integer(value: Any, where: str, least: int) -> int:
    """Return a whole number of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise CgsimError(f"{where}: expected a whole number of {least} or more, got {_shown(value)}")
    return value


def text(value: Any, where: str) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise CgsimError(f"{where}: expected a text, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    told = "nothing" if value is None else repr(value)
    return told if len(told) <= 60 else f"{told[:57]}..."
