"""Speed of the RTL under Verilator on this machine: one command, one table.

    python benchmarks/rtl.py [--arrays 4 8 16 32] [--repeat 3]

Per array and dataflow: seconds to build the simulator (Verilator and the C++ compiler, one core, nothing kept
from earlier builds) and cycles per second of a convolution, dense and with gates, on one core. The time of a
layer is that of the simulator's process, its start and the transfer of operands included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cgsim.trace.network import Layer  # noqa: E402
from tests.engine.machines import hardware  # noqa: E402
from tests.rtl import golden  # noqa: E402
from tests.rtl.cosim import Job, missing_tools, run  # noqa: E402
from tests.rtl.descriptors import describe  # noqa: E402
from tests.rtl.simulator import BuildKey, build_simulator  # noqa: E402


def job(size: int, dataflow: str, gated: bool) -> Job:
    """A 3 x 3 convolution that takes about 25 thousand cycles; `gated`: a third of its gates is on."""
    rng = np.random.default_rng(size)
    channels = 4 * size
    shape = (channels, 14, 14)
    split = {"base_channels": channels // 4, "base_groups": 4, "gate": "activation"} if gated else {}
    layer = Layer("layer", "conv2d", shape, shape, (3, 3), (1, 1), (1, 1), **split)
    inputs = rng.integers(-128, 128, (1, *shape), dtype=np.int8)
    weights = rng.integers(-128, 128, (channels, channels, 3, 3), dtype=np.int8)
    groups = max(1, size // 4) if gated else 1
    target = hardware(
        rows=size,
        cols=size,
        dataflow=dataflow,
        column_groups=groups,
        scan_bits_per_cycle=32,
        group_sync="fold",
    )
    thresholds = None
    if gated:
        sums = golden.base_sums(layer, inputs, weights)
        thresholds = np.quantile(sums, 2 / 3, axis=(0, 2), method="nearest").astype(np.int32)
    return Job(layer, target, inputs, weights, thresholds)


def cycles_per_second(task: Job, repeat: int) -> tuple[int, float]:
    """(cycles of the layer, cycles per second)."""
    program = describe(task.layer, task.hardware, task.inputs, task.weights, task.thresholds, None)
    simulator = build_simulator(program.build)
    (result,) = run([task])
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        subprocess.run([simulator], input=program.packed, capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    return result.cycles, result.cycles / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--arrays", type=int, nargs="+", default=[4, 8, 16, 32], help="sizes of the square arrays"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs per figure")
    options = parser.parse_args()
    if missing_tools():
        sys.exit(f"the RTL needs {', '.join(missing_tools())}: make setup-rtl")
    print("RTL under Verilator, one core")
    heads = ("array", "layer", "groups", "dataflow", "build s", "cycles", "cycles/s")
    print(" ".join(f"{head:>{width}}" for head, width in zip(heads, (8, 6, 6, 8, 8, 9, 10), strict=True)))
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # nothing that was built before
        built: dict[BuildKey, float] = {}
        for size in options.arrays:
            for gated in (False, True):
                for dataflow in ("ws", "is", "os"):
                    task = job(size, dataflow, gated)
                    key = describe(
                        task.layer, task.hardware, task.inputs, task.weights, task.thresholds, None
                    ).build
                    start = time.perf_counter()
                    build_simulator(key)
                    built.setdefault(key, time.perf_counter() - start)
                    cycles, speed = cycles_per_second(task, options.repeat)
                    groups = task.hardware.array.column_groups if gated else 1
                    row = (
                        f"{size}x{size}",
                        "gated" if gated else "dense",
                        groups,
                        dataflow,
                        built[key],
                        cycles,
                        speed,
                    )
                    print("{:>8} {:>6} {:>6} {:>8} {:>8.1f} {:>9,} {:>10,.0f}".format(*row), flush=True)


if __name__ == "__main__":
    main()
