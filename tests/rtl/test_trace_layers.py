"""Layers of the shipped CGNet, with its own int8 weights and activations, through the RTL."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from cgsim.hardware import Hardware
from cgsim.models.cosimulation import CosimulationNetwork, load_shipped
from tests.conftest import VALIDATE
from tests.engine.machines import hardware
from tests.rtl.cases import Build
from tests.rtl.compare import differences
from tests.rtl.cosim import Job, run

PROCESSES = min(4, os.cpu_count() or 1)

STEPPED = 700_000 if VALIDATE else 300_000
"""PEs times cycles up to which a layer of the first image is also stepped through in Python."""

DENSE = (Build(4, 4, 1, "stationary"), Build(4, 4, 1, "output"))
"""Arrays for the layers without gates, in a normal run: one feed."""

GATED = (Build(8, 8, 4, "stationary"), Build(8, 8, 4, "output"))
LARGE = (
    Build(16, 16, 4, "stationary"),
    Build(16, 16, 4, "output"),
    Build(32, 32, 8, "stationary"),
    Build(32, 32, 8, "output"),
)
"""Arrays that run in validation, too."""


@dataclass(frozen=True)
class Setting:
    """An accelerator, and how many samples share folds."""

    hardware: Hardware
    batch: int = 1

    def __str__(self) -> str:
        array, unit = self.hardware.array, self.hardware.gate_unit
        return (
            f"{array.dataflow} {array.rows}x{array.cols} in {array.column_groups} {array.pipelining} "
            f"{unit.group_sync} batch {self.batch}"
        )


def settings() -> list[Setting]:
    """Every dataflow on an array for dense and one for gated layers; in validation every synchronisation."""
    found = []
    for build in (*DENSE, *GATED, *LARGE) if VALIDATE else (*DENSE, *GATED):
        for dataflow in ("os",) if build.kind == "output" else ("ws", "is"):
            for sync in ("fold", "tile", "layer") if VALIDATE and build not in DENSE else ("fold",):
                target = hardware(
                    rows=build.rows,
                    cols=build.cols,
                    column_groups=build.groups,
                    dataflow=dataflow,
                    group_sync=sync,
                    scan_bits_per_cycle=32,
                    activation_banks=8 if sync == "tile" else "ideal",
                    pixel_order="block" if sync == "layer" else "raster",
                    pipelining="serial" if sync == "tile" and build.rows == 16 else "overlapped",
                )
                found.append(Setting(target, 2 if sync == "layer" and build.rows == 8 else 1))
    return found


@cache
def shipped() -> CosimulationNetwork:
    return load_shipped()


def chosen_layers(gated: bool) -> list[str]:
    """All layers of a kind in validation, otherwise the first and the last."""
    known = shipped().trace.network.by_name
    found = [name for name in shipped().layers if (known[name].gate != "none") is gated]
    return found if VALIDATE else [found[0], found[-1]]


@pytest.mark.usefixtures("rtl")
@pytest.mark.parametrize("setting", settings(), ids=str)
def test_layers_of_the_shipped_trace(setting: Setting, agreed: Callable[[str, int], None]) -> None:
    network = shipped()
    starts = range(0, network.samples - setting.batch + 1, 2) if VALIDATE else (0,)
    layers = chosen_layers(gated=setting.hardware.array.column_groups > 1)
    tried = [(name, range(at, at + setting.batch)) for at in starts for name in layers]
    cases = [[network.case(sample, name) for sample in samples] for name, samples in tried]
    jobs = [
        Job(
            group[0].layer,
            setting.hardware,
            np.stack([case.inputs for case in group]),
            group[0].weights,
            group[0].thresholds,
            None,
        )
        for group in cases
    ]
    pes, found = setting.hardware.array.pes, []
    for (name, samples), group, job, result in zip(tried, cases, jobs, run(jobs, PROCESSES), strict=True):
        wrong = differences(job, result, stepped=0 in samples and result.cycles * pes < STEPPED)
        if not np.array_equal(result.outputs, np.stack([case.outputs for case in group])):
            wrong.append("outputs: not the quantised model's")
        if group[0].thresholds is not None and not np.array_equal(
            result.gates, network.trace.bits(name, list(samples))
        ):
            wrong.append("gates: not the trace's")
        if wrong:
            found.append(f"{name}, samples {list(samples)}:\n    " + "\n    ".join(wrong))
        agreed("layers of the shipped trace: outputs, decisions and cycles", not wrong)
    assert not found, f"{len(found)} of {len(tried)} layers differ:\n" + "\n".join(found)
