"""Time of the search for tilings: ResNet-18 at ImageNet shapes, layer by layer, dense and gated.

    python benchmarks/mapping.py [--hardware asic-28nm] [--set dram.standard=DDR4-2400 ...]

CPU milliseconds of one core with warm kernels and an empty cache of mappings, the median of `--repeat`.
`tried`: tilings that ran through the pipeline, of so many that fit; `proven`: no other one is better.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import yaml

import cgsim
from cgsim.engine.mapped import BUDGET, Calibration, Mapped
from cgsim.engine.replays import Gated
from cgsim.mapping.operations import operations
from cgsim.mapping.tiling import Tiling

TRACE = Path(__file__).parent.parent / "traces" / "resnet18-synthetic.trace.parquet"
ANY = Tiling(1, 1, 1, 1, "weights_outer", False)


def measure(mapped: Mapped, calibration: Calibration | None, repeat: int) -> tuple[float, int, int, bool]:
    """(milliseconds, tilings tried, tilings, whether the choice is proven)."""
    objective, times = mapped.hardware.mapping.objective, []
    for turn in range(repeat + 1):
        start = time.process_time()
        found, search = mapped.search(calibration, BUDGET)
        search.best(objective, mapped.favourites(found, calibration))
        if turn:
            times.append(1000 * (time.process_time() - start))
    return statistics.median(times), int(search.tried.sum()), len(found), search.proven


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of the search for tilings")
    parser.add_argument("--hardware", default="asic-28nm", help="accelerator (default asic-28nm)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="keys to change")
    parser.add_argument("--repeat", type=int, default=3, help="measurements per figure (default 3)")
    arguments = parser.parse_args()
    changes = {
        key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in arguments.set)
    }
    hardware = cgsim.load_hardware(arguments.hardware).override(changes)
    trace = cgsim.load_trace(TRACE)
    print(f"hardware {hardware.name} {changes}\n")
    print(f"{'layer':18}{'mode':8}{'ms':>8}{'tried':>8}{'of':>8}  proven")
    every = []
    for operation in operations(trace.network):
        layer = operation.layer
        if not layer.on_array:
            continue
        cases = [("dense", Mapped(operation.ungated(), hardware, 1, tiling=ANY), None)]
        if layer.gate == "activation":
            way = Gated(trace, hardware, operation, operation)
            groups, calibration = hardware.array.column_groups, way._calibration()
            cases.append(("gated", Mapped(operation, hardware, groups, calibration, ANY), calibration))
        for mode, mapped, calibration in cases:
            took, tried, count, proven = measure(mapped, calibration, arguments.repeat)
            every.append(took)
            print(f"{layer.name:18}{mode:8}{took:8.1f}{tried:8}{count:8}  {'yes' if proven else 'no'}")
    print(
        f"\nmean {statistics.mean(every):.1f} ms, longest {max(every):.1f} ms, together {sum(every):.0f} ms"
    )


if __name__ == "__main__":
    main()
