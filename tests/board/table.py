"""Latencies of DPACS on a ZCU102, measured and modelled: python -m tests.board.table."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cgsim import load_hardware
from cgsim.engine.run import run
from cgsim.trace import Trace
from tests.board.networks import PRUNED, drawn_trace, kind

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
def trace_of(depth: int, ratio: str, stages: tuple[int, ...] = PRUNED) -> Trace:
    pruned = (0, 0) if ratio == "dense" else (int(ratio[1:3]), int(ratio[5:7]))
    pixels, channels = (1 - percent / 100 for percent in pruned)
    return drawn_trace(depth, pixels, channels, Path(_folder().name), stages)


def modelled(
    series: str,
    ratio: str,
    changes: Mapping[str, Any] | None = None,
    stages: tuple[int, ...] = PRUNED,
) -> float:
    """Milliseconds of an image, the mean over draws; `stages` prune channels."""
    depth, design = int(series[6:].split("_", maxsplit=1)[0]), series.split("_")[1]
    hardware = load_hardware(f"dpacs-{kind(depth)}-{design}", dict(changes or {}))
    counts = run(trace_of(depth, ratio, stages), hardware)
    cycles = counts.columns["gated_cycles"].sum() / len(np.unique(counts.columns["sample"]))
    return float(cycles / hardware.clock_mhz / 1e3)


def latencies(
    changes: Mapping[str, Any] | None = None, stages: tuple[int, ...] = PRUNED
) -> Iterator[Latency]:
    """All forty."""
    for series, ratios in MEASURED.items():
        for ratio, measured in ratios.items():
            yield Latency(series, ratio, measured, modelled(series, ratio, changes, stages))


def swapped(found: list[Latency], within: bool) -> list[float]:
    """How far apart, of the larger one, those pairs were measured that the model has in the other order."""
    pairs = [(a, b) for a, b in combinations(found, 2) if (a.series == b.series) == within]
    return [
        abs(a.measured - b.measured) / max(a.measured, b.measured)
        for a, b in pairs
        if (a.measured < b.measured) != (a.modelled < b.modelled)
    ]


def _published_driver() -> str:
    """What becomes of it if channels are pruned as in the published driver, the constants fitted anew."""
    from tests.board.fit import fit

    restart, call = fit(stages=(256,))
    found = list(latencies({"engines.restart_cycles": restart, "host.call_us": call}, (256,)))
    off = np.abs([one.deviation for one in found])
    saved = []
    for series in MEASURED:
        few, many = (next(x.modelled for x in found if (x.series, x.ratio) == (series, r)) for r in _C)
        saved.append(f"{few - many:.1f} (measured {MEASURED[series][_C[0]] - MEASURED[series][_C[1]]:.1f})")
    return (
        f"Channels pruned in the stage of 256 only, as published; refit {restart} cycles, {call} us:\n"
        f"deviation: {off.max():.1%} at most, {off.mean():.1%} on average; from {_C[0]} to {_C[1]} it saves\n"
        f"{', '.join(saved)} ms\n"
    )


_C = ("s25_c25", "s25_c75")


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
    print(f"deviation: {off.max():.1%} at most, {off.mean():.1%} on average, of {len(off)} latencies")
    for within, text in ((True, "within a series"), (False, "across series")):
        pairs = swapped(found, within)
        print(f"order {text}: {len(pairs)} pairs swapped, measured up to {max(pairs):.1%} apart")
    print(f"\n{_published_driver()}")
    print("Predicted, ms an image (nothing was fitted on these networks)")
    series = [f"resnet{depth}_{design}" for depth in (50, 101) for design in ("serial", "parallel")]
    print(f"{'':8}" + "".join(f"{one:>19}" for one in series))
    for ratio in RATIOS:
        print(f"{ratio:8}" + "".join(f"{modelled(one, ratio):19.2f}" for one in series), flush=True)


if __name__ == "__main__":
    sys.exit(main())
