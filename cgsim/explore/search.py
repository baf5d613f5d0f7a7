"""A search: which keys vary over which values, what is wanted, what is allowed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgsim.errors import CgsimError, nearest
from cgsim.explore.checked import description, integer, keys_of, mapping, sequence, text
from cgsim.explore.experiment import Experiment
from cgsim.explore.figures_of_merit import Constraint, known_figure, parse_constraint
from cgsim.explore.plan import Plan
from cgsim.explore.sampling import Axis, read_axis
from cgsim.hardware import Hardware
from cgsim.hardware.messages import check_key

SAMPLERS = ("nsga2", "tpe", "random", "grid")
TRACE = "trace"
"""The variable that chooses among several traces."""

_KEYS = (
    "name",
    "traces",
    "hardware",
    "samples",
    "vary",
    "objectives",
    "constraints",
    "trials",
    "seed",
    "sampler",
    "batch",
)


@dataclass(frozen=True)
class Search:
    """What `cgsim.optimize` looks for.

    `Search.load` reads a YAML file, `Search.from_dict` the same keys from Python:

        traces: traces/trained/cifar10-cgnet-*.trace.parquet
        hardware: asic-28nm
        vary:
          array.rows: [8, 16, 32, 64]
          buffers.weight_kib: {low: 64, high: 512, step: 32}
          clock_mhz: {low: 200.0, high: 1000.0}
        objectives: [latency, pes, accuracy]
        constraints: ["p99_latency<=2"]
        trials: 200

    With several traces, the search chooses among them, too.
    """

    base: Experiment
    """Traces, the accelerator that varies, samples."""
    axes: tuple[Axis, ...]
    objectives: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    trials: int = 100
    seed: int = 0
    sampler: str = "nsga2"
    batch: int = 16
    """Trials proposed at a time; a search depends on it, and not on the number of workers."""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Search:
        """Read a search from a YAML file; relative paths in it are relative to its folder.

        Raises:
            CgsimError: the file cannot be read, or what it says is refused.
        """
        values = description(path, "a search")
        return cls.from_dict(values, source=str(Path(path)), folder=Path(path).parent)

    @classmethod
    def from_dict(cls, values: Any, *, source: str = "search", folder: str | os.PathLike[str] = "") -> Search:
        """Make a search from the keys of such a file; relative paths are relative to `folder`.

        Raises:
            CgsimError: a key or value is refused; one line, which `source` begins.
        """
        told = mapping(values, source, f"the keys {', '.join(_KEYS)}")
        keys_of(told, _KEYS, source)
        for key in ("vary", "objectives"):
            if not told.get(key):
                raise CgsimError(f"{source}: {key}: missing")
        about = {key: told[key] for key in ("name", "traces", "hardware", "samples") if key in told}
        base = Experiment.from_dict(about, source=source, folder=folder)
        if len(base.accelerators) > 1:
            raise CgsimError(f"{source}: hardware: expected one accelerator, got {len(base.accelerators)}")
        vary = mapping(told["vary"], f"{source}: vary", "dotted keys and their values")
        for key in vary:
            check_key(Hardware, key, f"{source}: vary")
        given = told["objectives"]
        objectives = [given] if isinstance(given, str) else list(sequence(given, f"{source}: objectives"))
        names = tuple(known_figure(name, f"{source}: objectives") for name in objectives)
        if len(set(names)) < len(names):
            raise CgsimError(f"{source}: objectives: one is there twice")
        limits = told.get("constraints") or ()
        if limits and not isinstance(limits, str):
            limits = sequence(limits, f"{source}: constraints")
        limits = [limits] if isinstance(limits, str) else limits
        sampler = text(told.get("sampler", "nsga2" if len(names) > 1 else "tpe"), f"{source}: sampler")
        if sampler not in SAMPLERS:
            raise CgsimError(f"{source}: sampler: unknown {sampler!r}{nearest(sampler, SAMPLERS)}")
        axes = tuple(read_axis(key, one, f"{source}: vary.{key}") for key, one in vary.items())
        for axis in axes:
            if sampler == "grid" and not axis.countable:
                raise CgsimError(
                    f"{source}: vary.{axis.key}: the grid needs a list, or whole numbers, or a step"
                )
        return cls(
            base=base,
            axes=axes,
            objectives=names,
            constraints=tuple(parse_constraint(one, f"{source}: constraints") for one in limits),
            trials=integer(told.get("trials", 100), f"{source}: trials", 1),
            seed=integer(told.get("seed", 0), f"{source}: seed", 0),
            sampler=sampler,
            batch=integer(told.get("batch", 16), f"{source}: batch", 1),
        )

    @property
    def accelerator(self) -> Hardware:
        """The accelerator that varies."""
        return self.base.accelerators[0]

    def opened(self) -> Plan:
        """Return the open traces on the accelerator as it is; raises CgsimError if one cannot be read."""
        return self.base.plan()
