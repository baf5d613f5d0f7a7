"""Make the figures of the documentation from the shipped traces: `python docs/images/make.py [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

import cgsim
from cgsim.results.plots import speedup_vs_array

HERE = Path(__file__).resolve().parent
TRACES = HERE.parents[1] / "traces"
SIZES = [8, 16, 32]


def main(folder: Path) -> None:
    """Write speedup_vs_flops.png, cycles.png and speedup_vs_array.png into `folder`."""
    hardware = cgsim.load_hardware("asic-28nm")
    run = cgsim.simulate(cgsim.load_trace(TRACES / "resnet20-cgnet.trace.parquet"), hardware)
    run.plot.speedup_vs_flops(folder / "speedup_vs_flops.png")
    run.plot.cycles(folder / "cycles.png")
    traces = sorted(TRACES.glob("*.trace.parquet"))
    table = cgsim.sweep(traces, hardware, {"array.rows": SIZES, "array.cols": SIZES})
    speedup_vs_array(table, folder / "speedup_vs_array.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
