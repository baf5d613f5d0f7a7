"""An experiment: which traces on which accelerators, varied how; read from YAML or made in Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgsim.errors import CgsimError
from cgsim.explore.checked import description, integer, keys_of, mapping, sequence, text
from cgsim.explore.grid import Point, points_of
from cgsim.explore.plan import Plan
from cgsim.explore.runs import chosen_samples, open_traces
from cgsim.explore.sampling import Settings, combined, settings_of
from cgsim.hardware import Hardware, load_hardware

_KEYS = ("name", "traces", "hardware", "vary", "samples", "check")


@dataclass(frozen=True)
class Experiment:
    """Every trace on every accelerator, in every variant.

    `Experiment.load` reads a YAML file, `Experiment.from_dict` the same keys from Python:

        name: buffers
        traces: ["traces/resnet20-*.trace.parquet"]
        hardware: [asic-28nm, edge-16x16]
        vary:
          - grid: {array.rows: [8, 16, 32]}
          - latin_hypercube:
              samples: 20
              of: {buffers.weight_kib: {low: 64, high: 512}, clock_mhz: {low: 200.0, high: 800.0, log: true}}
        samples: 16

    The blocks of `vary` (docs/experiments.md) are combined with one another.
    """

    name: str
    traces: tuple[str, ...]
    """Paths and fsspec addresses, patterns filled in."""
    accelerators: tuple[Hardware, ...]
    settings: tuple[Settings, ...]
    samples: int | tuple[int, ...] | None = None
    check: bool = False
    source: str = "experiment"
    """What begins messages: the file."""
    described: Mapping[str, Any] | None = None
    """The description as it was given, for the provenance."""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Experiment:
        """Read an experiment from a YAML file; relative paths in it are relative to its folder.

        Raises:
            CgsimError: the file cannot be read, or what it says is refused.
        """
        values = description(path, "an experiment")
        return cls.from_dict(values, source=str(Path(path)), folder=Path(path).parent)

    @classmethod
    def from_dict(
        cls, values: Any, *, source: str = "experiment", folder: str | os.PathLike[str] = ""
    ) -> Experiment:
        """Make an experiment from the keys of such a file; relative paths are relative to `folder`.

        Raises:
            CgsimError: a key or value is refused, or an accelerator or trace is not there; one line, which
                `source` begins, with the nearest valid name.
        """
        told = mapping(values, source, f"the keys {', '.join(_KEYS)}")
        keys_of(told, _KEYS, source)
        for key in ("traces", "hardware"):
            if key not in told:
                raise CgsimError(f"{source}: {key}: missing")
        base = Path(folder)
        default = Path(source).stem or "experiment"
        blocks = told.get("vary") or []
        if isinstance(blocks, Mapping):
            blocks = [blocks]
        made = [
            settings_of(block, f"{source}: vary[{place}]")
            for place, block in enumerate(sequence(blocks, f"{source}: vary") if blocks else ())
        ]
        check = told.get("check", False)
        if not isinstance(check, bool):
            raise CgsimError(f"{source}: check: expected true or false, got {check!r}")
        return cls(
            name=text(told.get("name", default), f"{source}: name"),
            traces=_traces(told["traces"], base, f"{source}: traces"),
            accelerators=_accelerators(told["hardware"], base, f"{source}: hardware"),
            settings=tuple(combined(made, f"{source}: vary")),
            samples=_samples(told.get("samples"), f"{source}: samples"),
            check=check,
            source=source,
            described=dict(told),
        )

    @property
    def keys(self) -> list[str]:
        """The dotted keys that vary."""
        return list(dict.fromkeys(key for one in self.settings for key in one))

    def points(self) -> list[Point]:
        """Return every accelerator in every variant, once, even where samples fell on the same values.

        Raises CgsimError with all that are refused.
        """
        points = points_of(self.accelerators, self.settings, self.source)
        return list({repr(point.hardware.to_dict()): point for point in points}.values())

    def plan(self) -> Plan:
        """Return what would run; raises CgsimError if points, traces or samples are refused."""
        points = self.points()
        traces = open_traces(list(self.traces), self.source)
        return Plan(self.name, traces, points, chosen_samples(traces, self.samples))


def _traces(value: Any, folder: Path, where: str) -> tuple[str, ...]:
    found: list[str] = []
    for place, one in enumerate([value] if isinstance(value, str) else sequence(value, where)):
        entry = text(one, f"{where}[{place}]")
        if "://" in entry:
            found.append(entry)
        elif any(character in entry for character in "*?[") and not (folder / entry).exists():
            matches = sorted(str(path) for path in Path(folder / entry).parent.glob(Path(entry).name))
            if not matches:
                raise CgsimError(f"{where}[{place}]: no file matches {str(folder / entry)!r}")
            found += matches
        else:
            found.append(str(folder / entry))
    return tuple(dict.fromkeys(found))


def _accelerators(value: Any, folder: Path, where: str) -> tuple[Hardware, ...]:
    entries = [value] if isinstance(value, (str, Mapping)) else sequence(value, where)
    found: dict[str, Hardware] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, (str, Mapping)):
            raise CgsimError(f"{where}[{place}]: expected a name, a path or the keys of one, got {entry!r}")
        beside = isinstance(entry, str) and (folder / entry).is_file()
        one = load_hardware(folder / entry if isinstance(entry, str) and beside else entry)
        if one.name in found:
            raise CgsimError(f"{where}[{place}]: {one.name!r} is there twice; give the second another name")
        found[one.name] = one
    return tuple(found.values())


def _samples(value: Any, where: str) -> int | tuple[int, ...] | None:
    if value is None or value == "all":
        return None
    if isinstance(value, list):
        return tuple(integer(one, f"{where}[{place}]", 0) for place, one in enumerate(sequence(value, where)))
    return integer(value, where, 1)
