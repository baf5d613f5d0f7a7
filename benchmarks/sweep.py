"""How long a sweep takes, on one process and on two: 48 accelerators x 64 images of ResNet-18, DDR4 commands.

    python benchmarks/sweep.py [--samples 64] [--points 48] [--workers 2 1]

The trace is made anew (ResNet-18, 224 x 224, gates with the statistics of the shipped ResNet-20), outside the
clock. Kernels are compiled before. Wall-clock seconds: run it on a quiet machine; the time on one process
divided by that on two is what the second core is worth.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import cgsim
from cgsim.explore import PARQUET_FILE
from cgsim.trace import build_network, fit, load_trace, transplant

TRACES = Path(__file__).parent.parent / "traces"
GRID = {
    "array.rows": [16, 32, 48, 64],
    "array.cols": [16, 32, 64],
    "dram.standard": ["DDR4-2400", "DDR4-3200"],
    "dma.conditional_fetch": ["on_demand", "eager"],
}


def grid(points: int) -> dict[str, list[object]]:
    """Return the first axes of GRID, cut so that about `points` combinations remain."""
    chosen: dict[str, list[object]] = {}
    left = points
    for key, values in reversed(GRID.items()):
        chosen[key] = list(itertools.islice(values, max(1, min(len(values), left))))
        left //= len(chosen[key])
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--points", type=int, default=48)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 1])
    arguments = parser.parse_args()
    axes = grid(arguments.points)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "resnet18.trace.parquet"
        statistics = fit(load_trace(str(TRACES / "resnet20-cgnet.trace.parquet")))
        network = build_network("resnet18", "activation")
        transplant(statistics, network, trace, samples=arguments.samples, flop_reduction=2.8)
        few = {key: values[:1] for key, values in axes.items()}
        cgsim.sweep(trace, "asic-28nm", few, samples=1, workers=1)
        seconds = {}
        for workers in arguments.workers:
            output = Path(folder) / f"on-{workers}"
            start = time.perf_counter()
            table = cgsim.sweep(trace, "asic-28nm", axes, workers=workers, output=output, progress=True)
            seconds[workers] = time.perf_counter() - start
            assert (output / PARQUET_FILE).is_file()
            runs = len(table)
            print(
                f"{runs} accelerators x {arguments.samples} images, {workers} processes: "
                f"{seconds[workers]:.1f} s, {runs * arguments.samples / seconds[workers]:.1f} images/s"
            )
        if {1, 2} <= seconds.keys():
            print(f"the second process is worth {seconds[1] / seconds[2]:.2f}x")


if __name__ == "__main__":
    main()
