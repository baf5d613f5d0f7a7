"""How an experiment varies an accelerator: grids, zipped lists, lists, random and Latin-hypercube samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgsim.errors import CgsimError
from cgsim.explore.checked import integer, keys_of, mapping, number, sequence
from cgsim.explore.grid import MOST_POINTS, axis_values

Settings = dict[str, Any]
"""Dotted key -> value."""

_SETTINGS = "dotted keys and values, such as {array.rows: 8}"


@dataclass(frozen=True)
class Axis:
    """The values of one key: `count` of them (a list, or steps), or a range of real numbers."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    def value(self, place: float) -> Any:
        """Return the value at a place from 0 (the first) to 1 (excluded); equal shares for equal parts."""
        if self.choices:
            return self.choices[int(place * len(self.choices))]
        if self.step is not None:
            whole = int((self.high - self.low) / self.step + 1e-9) + 1
            return self.low + self.step * int(place * whole)
        if self.whole:
            end = self.high + 1
            found = self.low * (end / self.low) ** place if self.log else self.low + (end - self.low) * place
            return min(int(found), int(self.high))
        if self.log:
            return self.low * (self.high / self.low) ** place
        return self.low + (self.high - self.low) * place

    @property
    def countable(self) -> bool:
        """True if there are only so many values."""
        return bool(self.choices) or self.step is not None or self.whole

    def values(self) -> list[Any]:
        """Return all values, if they can be counted."""
        if self.choices:
            return list(self.choices)
        step = self.step or 1
        return [self.low + step * place for place in range(int((self.high - self.low) / step + 1e-9) + 1)]

    def told(self) -> list[Any] | dict[str, Any]:
        """Return the values as a description says them."""
        if self.choices:
            return list(self.choices)
        more = {"step": self.step} if self.step is not None else {"log": True} if self.log else {}
        return {"low": self.low, "high": self.high, **more}

    @property
    def whole(self) -> bool:
        """True if both ends are whole numbers: 8 and 64 give whole numbers, 8.0 and 64.0 real ones."""
        return isinstance(self.low, int) and isinstance(self.high, int)


def settings_of(block: Any, where: str) -> list[Settings]:
    """Return the settings that one block of `vary` stands for.

    A block is a mapping with one key: `grid` (all combinations, the last key fastest), `zip` (the first
    values of all keys, the second, ...), `list` (settings one by one), `random` or `latin_hypercube`
    (`samples`, `seed`, and `of`: key -> list, or `low`, `high`, and `step` or `log`).

    Raises:
        CgsimError: it is no such thing; `where` begins the message.
    """
    block = mapping(block, where, "one of " + ", ".join(_KINDS))
    if len(block) != 1:
        raise CgsimError(
            f"{where}: expected one key of {', '.join(_KINDS)}, got {', '.join(block) or 'none'}"
        )
    keys_of(block, _KINDS, where)
    ((kind, content),) = block.items()
    return _KINDS[kind](content, f"{where}.{kind}")


def combined(blocks: Sequence[Sequence[Settings]], where: str) -> list[Settings]:
    """Return every combination of settings, one from each block, those of the last block fastest.

    Raises CgsimError if a key is in two blocks, or for too many points.
    """
    owner: dict[str, int] = {}
    for place, block in enumerate(blocks):
        for key in dict.fromkeys(key for settings in block for key in settings):
            if key in owner:
                raise CgsimError(f"{where}: {key} is in block {owner[key] + 1} and in block {place + 1}")
            owner[key] = place
    count = math.prod(len(block) for block in blocks)
    if count > MOST_POINTS:
        raise CgsimError(f"{where}: {count} points, at most {MOST_POINTS} are taken")
    return [
        {key: value for part in parts for key, value in part.items()} for parts in itertools.product(*blocks)
    ]


def _grid(content: Any, where: str) -> list[Settings]:
    axes = _axes(content, where)
    combined([[{}] * len(values) for values in axes.values()], where)  # refuses too many
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _zip(content: Any, where: str) -> list[Settings]:
    axes = {key: list(sequence(values, f"{where}.{key}")) for key, values in _keys(content, where).items()}
    lengths = {key: len(values) for key, values in axes.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise CgsimError(f"{where}: expected lists of one length, {told}")
    return [dict(zip(axes, values, strict=True)) for values in zip(*axes.values(), strict=True)]


def _list(content: Any, where: str) -> list[Settings]:
    return [
        dict(mapping(settings, f"{where}[{place}]", _SETTINGS))
        for place, settings in enumerate(sequence(content, where))
    ]


def _random(content: Any, where: str) -> list[Settings]:
    axes, count, seed = _sampled(content, where)
    return _at(axes, np.random.default_rng(seed).random((count, len(axes))))


def _latin_hypercube(content: Any, where: str) -> list[Settings]:
    from scipy.stats.qmc import LatinHypercube

    axes, count, seed = _sampled(content, where)
    return _at(axes, LatinHypercube(len(axes), rng=np.random.default_rng(seed)).random(count))


_KINDS = {
    "grid": _grid,
    "zip": _zip,
    "list": _list,
    "random": _random,
    "latin_hypercube": _latin_hypercube,
}


def _at(axes: Sequence[Axis], places: np.ndarray) -> list[Settings]:
    return [
        {axis.key: axis.value(float(place)) for axis, place in zip(axes, row, strict=True)} for row in places
    ]


def _keys(content: Any, where: str) -> Mapping[str, Any]:
    found = mapping(content, where, _SETTINGS)
    if not found:
        raise CgsimError(f"{where}: expected at least one key")
    return found


def _axes(content: Any, where: str) -> dict[str, list[Any]]:
    return {key: axis_values(key, values, where) for key, values in _keys(content, where).items()}


def _sampled(content: Any, where: str) -> tuple[list[Axis], int, int]:
    told = mapping(content, where, "the keys samples, seed and of")
    keys_of(told, ("samples", "seed", "of"), where)
    for key in ("samples", "of"):
        if key not in told:
            raise CgsimError(f"{where}.{key}: missing")
    count = integer(told["samples"], f"{where}.samples", 1)
    if count > MOST_POINTS:
        raise CgsimError(f"{where}.samples: {count} points, at most {MOST_POINTS} are taken")
    seed = integer(told.get("seed", 0), f"{where}.seed", 0)
    return (
        [read_axis(key, one, f"{where}.of.{key}") for key, one in _keys(told["of"], f"{where}.of").items()],
        count,
        seed,
    )


def read_axis(key: str, content: Any, where: str) -> Axis:
    """Return the values of a key: a list of them, or `low`, `high`, and `step` or `log`.

    Raises CgsimError, which `where` begins, on anything else.
    """
    if not isinstance(content, Mapping):
        return Axis(key, choices=tuple(axis_values(key, content, where.removesuffix(f".{key}"))))
    keys_of(content, ("low", "high", "step", "log"), where)
    for end in ("low", "high"):
        if end not in content:
            raise CgsimError(f"{where}.{end}: missing (or give a list of values instead)")
    low, high = (number(content[end], f"{where}.{end}") for end in ("low", "high"))
    if not low < high:
        raise CgsimError(f"{where}: expected low below high, got {low} and {high}")
    step = content.get("step")
    log = content.get("log", False)
    if not isinstance(log, bool):
        raise CgsimError(f"{where}.log: expected true or false, got {log!r}")
    if step is not None and number(step, f"{where}.step") <= 0:
        raise CgsimError(f"{where}.step: expected a number above 0, got {step}")
    if log and (step is not None or low <= 0):
        raise CgsimError(f"{where}.log: expected low above 0 and no step")
    return Axis(key, low=low, high=high, step=step, log=log)
