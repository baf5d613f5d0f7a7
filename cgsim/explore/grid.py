"""A grid of hardware keys becomes a list of accelerators, all of them valid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cgsim.errors import CgsimError, ListedError
from cgsim.hardware import Hardware

MOST_POINTS = 1_000_000
_MOST_REASONS = 10
_MOST_NAMED = 2


@dataclass(frozen=True)
class Point:
    """One accelerator of a grid, with the values of the grid's keys that made it."""

    settings: dict[str, Any]
    hardware: Hardware

    def __str__(self) -> str:
        """`array.rows=8, array.cols=16`."""
        return describe(self.settings) or self.hardware.name


def grid_points(hardware: Hardware, grid: Mapping[str, Any], command: str = "sweep") -> list[Point]:
    """Return every combination of the values of `grid` (dotted key: values), the last key fastest.

    A single value stands for a list of one. An empty grid is the hardware as it is. The settings of a point
    hold the values as the configuration holds them (a clock of 800 is 800.0). `command` begins the messages.

    Raises:
        CgsimError: unknown key, no values, a value that comes twice, or combinations that are refused; these
            are all listed, before anything runs.
    """
    if not isinstance(grid, Mapping):
        raise CgsimError(f"{command}: expected a grid such as {{'array.rows': [8, 16]}}, got {grid!r}")
    axes = {key: axis_values(key, values, command) for key, values in grid.items()}
    count = math.prod(len(values) for values in axes.values())
    if count > MOST_POINTS:
        raise CgsimError(f"{command}: the grid has {count} points, at most {MOST_POINTS} are taken")
    combinations = itertools.product(*axes.values())
    return points_of([hardware], [dict(zip(axes, values, strict=True)) for values in combinations], command)


def points_of(
    accelerators: Sequence[Hardware], settings: Sequence[Mapping[str, Any]], command: str
) -> list[Point]:
    """Return every accelerator with each of the settings, which may have different keys.

    A point tells the value of every key that any of the settings has. `command` begins the messages.

    Raises:
        CgsimError: points that are refused; they are all listed, before anything runs.
    """
    keys = dict.fromkeys(key for one in settings for key in one)
    changed: list[Hardware] = []
    refused: dict[str, dict[str, None]] = {}  # for each reason the points, as they are told
    for hardware in accelerators:
        which = f"{hardware.name}, " if len(accelerators) > 1 else ""
        for one in settings:
            try:
                changed.append(hardware.override(one))
            except CgsimError as error:
                reason = str(error).removeprefix(f"hardware {hardware.name!r}: ")
                refused.setdefault(reason, {})[f"{which}{describe(one)}"] = None
    if refused:
        found = sum(map(len, refused.values()))
        raise ListedError(
            f"{command}: {found} of {len(accelerators) * len(settings)} points are refused",
            _told_reasons(refused),
        )
    return [Point({key: one.get(key) for key in keys}, one) for one in changed]


def _told_reasons(refused: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a line for each reason: the first points that it holds for, how many more, and what it is."""
    told = []
    for reason, points in list(refused.items())[:_MOST_REASONS]:
        named = list(points)
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        told.append(f"at {'; at '.join(named[:_MOST_NAMED])}{more}: {reason}")
    rest = list(refused.values())[_MOST_REASONS:]
    if rest:
        count = sum(len(list(points)) for points in rest)
        told.append(f"and {count} more for {len(rest)} other reason{'s' if len(rest) > 1 else ''}")
    return told


def describe(settings: Mapping[str, Any]) -> str:
    """Return settings as a user writes them: `array.rows=8, array.cols=16`."""
    return ", ".join(f"{key}={value}" for key, value in settings.items())


def axis_values(key: str, values: Any, command: str) -> list[Any]:
    """Return the values of one key as a list; a single value stands for a list of one.

    Raises CgsimError if there are none, or if one comes twice; `command` begins the message.
    """
    one = isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable)
    found = [values] if one else list(values)
    if not found:
        raise CgsimError(f"{command}: {key}: expected at least one value")
    for position, value in enumerate(found):
        if any(value is earlier or value == earlier for earlier in found[:position]):
            raise CgsimError(f"{command}: {key}: {value!r} is there twice")
    return found
