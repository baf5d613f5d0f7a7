"""Speed of cgsim on this machine: one command, one table.

    python benchmarks/bench.py [--hardware asic-28nm] [--repeat 7]

Replay is measured on one core with warm kernels, each figure the median of its repeats. A plain read of
the same gate bytes (their sum, as 64-bit words) stands beside it: no replay can be faster. Mapping and the
start of the command are reported apart, as they do not grow with the number of images.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import cgsim
from cgsim.engine.mapped import mapped
from cgsim.engine.run import run
from cgsim.mapping import tiling
from cgsim.trace import Trace

TRACES = Path(__file__).parent.parent / "traces"
IMAGES = 64
"""Images replayed per measurement; a trace with fewer is gone through several times."""


def median(action: Callable[[], object], repeat: int) -> float:
    """Median seconds of `repeat` calls, after one that is not counted."""
    action()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def replay(trace: Trace, hardware: cgsim.Hardware, repeat: int) -> tuple[float, float, float]:
    """(images per second gated and dense, gate bytes per second, bytes per second of a plain read)."""
    samples = [index % trace.n_samples for index in range(max(IMAGES, trace.n_samples))]
    seconds = median(lambda: run(trace, hardware, samples), repeat)
    words = np.concatenate([trace.gates(layer.name, samples).ravel() for layer in trace.gated_layers])
    read = median(words.sum, repeat)
    return len(samples) / seconds, words.nbytes / seconds, words.nbytes / read


def map_all(trace: Trace, hardware: cgsim.Hardware) -> None:
    """Choose every tiling again: one image with empty caches."""
    mapped.cache_clear()
    tiling._best.cache_clear()
    run(trace, hardware, [0])


def start(trace: Path, hardware: str, repeat: int) -> float:
    """Median seconds of `cgsim simulate` as a whole process, Numba's cache warm."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cgsim", "simulate", str(trace), "--hardware", hardware]
        command += ["-o", folder]
        return median(lambda: subprocess.run(command, check=True, capture_output=True), repeat)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of cgsim on this machine")
    parser.add_argument("--hardware", default="asic-28nm", help="accelerator (default asic-28nm)")
    parser.add_argument("--repeat", type=int, default=7, help="measurements per figure (default 7)")
    arguments = parser.parse_args()
    hardware = cgsim.load_hardware(arguments.hardware)

    print(f"hardware {hardware.name}; medians of {arguments.repeat}; one core, kernels warm\n")
    heads = f"{'trace':20}{'images/s':>10}{'gate MB/s':>11}{'read MB/s':>11}{'mapping s':>11}{'start s':>9}"
    print(heads)
    for path in sorted(TRACES.glob("*.trace.parquet")):
        trace = cgsim.load_trace(path)
        images, gates, read = replay(trace, hardware, arguments.repeat)
        mapping = median(lambda trace=trace: map_all(trace, hardware), arguments.repeat)
        seconds = start(path, arguments.hardware, min(arguments.repeat, 5))
        name = path.name.removesuffix(".trace.parquet")
        print(f"{name:20}{images:10.0f}{gates / 1e6:11.1f}{read / 1e6:11.0f}{mapping:11.2f}{seconds:9.2f}")


if __name__ == "__main__":
    main()
