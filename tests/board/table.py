"""Latencies of DPACS on a ZCU102, measured and modelled: python -m tests.board.table."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cgsim import load_hardware
from cgsim.engine.run import run
from cgsim.trace import Trace
from tests.board.networks import drawn_trace, kind

MEASURED: dict[str, dict[str, float]] = json.loads(
    (Path(__file__).parents[1] / "data" / "dpacs-zcu102.json").read_text()
)["latency_ms"]
"""Milliseconds by series, such as `resnet18_serial`, and ratio, such as `s25_c50` or `dense`."""
RATIOS = tuple(MEASURED["resnet18_serial"])
FITTED_ON = tuple(
    (f"resnet18_{design}", ratio) for design in ("serial", "parallel") for ratio in ("dense", "s75_c75")
)
"""The four latencies that the two constants were fitted on."""


class Latency(NamedTuple):
    series: str
    ratio: str
    measured: float
    modelled: float

    @property
    def deviation(self) -> float:
        return self.modelled / self.measured - 1


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@cache
def trace_of(depth: int, ratio: str) -> Trace:
    pruned = (0, 0) if ratio == "dense" else (int(ratio[1:3]), int(ratio[5:7]))
    pixels, channels = (1 - percent / 100 for percent in pruned)
    return drawn_trace(depth, pixels, channels, Path(_folder().name))


def modelled(series: str, ratio: str, changes: Mapping[str, Any] | None = None) -> float:
    """Milliseconds of an image, the mean over draws."""
    depth, design = int(series[6:].split("_", maxsplit=1)[0]), series.split("_")[1]
    hardware = load_hardware(f"dpacs-{kind(depth)}-{design}", dict(changes or {}))
    counts = run(trace_of(depth, ratio), hardware)
    cycles = counts.columns["gated_cycles"].sum() / len(np.unique(counts.columns["sample"]))
    return float(cycles / hardware.clock_mhz / 1e3)


def latencies() -> Iterator[Latency]:
    """All forty."""
    for series, ratios in MEASURED.items():
        for ratio, measured in ratios.items():
            yield Latency(series, ratio, measured, modelled(series, ratio))


def main() -> None:
    """Print the table, and what the model says of networks that nothing was compared with."""
    found = list(latencies())
    print("DPACS on a ZCU102, ms an image: measured, modelled, deviation (* fitted on)")
    print(f"{'':8}" + "".join(f"{series:>18}" for series in MEASURED))
    for ratio in RATIOS:
        cells = ""
        for one in found:
            if one.ratio == ratio:
                star = "*" if (one.series, ratio) in FITTED_ON else " "
                cells += f"{one.measured:6.2f}{one.modelled:6.2f}{100 * one.deviation:+5.0f}%"[:17] + star
        print(f"{ratio:8}{cells}")
    off = np.abs([one.deviation for one in found])
    print(f"deviation: {off.max():.1%} at most, {off.mean():.1%} on average, of {len(off)} latencies\n")
    print("Predicted, ms an image (nothing was fitted on these networks)")
    series = [f"resnet{depth}_{design}" for depth in (50, 101) for design in ("serial", "parallel")]
    print(f"{'':8}" + "".join(f"{one:>19}" for one in series))
    for ratio in RATIOS:
        print(f"{ratio:8}" + "".join(f"{modelled(one, ratio):19.2f}" for one in series), flush=True)


if __name__ == "__main__":
    sys.exit(main())
