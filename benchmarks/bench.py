"""Speed of cgsim on this machine: one command, one table.

    python benchmarks/bench.py [--hardware asic-28nm] [--repeat 7] [--settings]

Replay is measured on one core with warm kernels, each figure the median of its repeats, in CPU seconds
so that other work on the machine disturbs it less. `images/s` is the whole replay, reading and unpacking
the trace included; `kernels` the kernels alone, their gates in memory. A plain read of the same gate
bytes (their sum, as 64-bit words) stands beside it: no replay can be faster. Mapping and the start of
the command are reported apart, as they do not grow with the number of images. `--settings` measures the
ResNet-18 trace for every dataflow and several numbers of column groups, and settings of the gate unit.
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
from cgsim.engine.mapped import forget
from cgsim.engine.replays import Gated
from cgsim.engine.run import run
from cgsim.mapping.operations import operations
from cgsim.trace import Trace

TRACES = Path(__file__).parent.parent / "traces"
IMAGES = 64
"""Images replayed per measurement; a trace with fewer is gone through several times."""


def median(
    action: Callable[[], object], repeat: int, clock: Callable[[], float] = time.process_time
) -> float:
    """Median seconds of `repeat` calls, after one that is not counted."""
    action()
    times = []
    for _ in range(repeat):
        start = clock()
        action()
        times.append(clock() - start)
    return statistics.median(times)


def replay(trace: Trace, hardware: cgsim.Hardware, repeat: int) -> tuple[float, float, float, float]:
    """(images per second of the whole replay, of its kernels, gate bytes per second of these, of a read)."""
    samples = np.arange(max(IMAGES, trace.n_samples)) % trace.n_samples
    seconds = median(lambda: run(trace, hardware, samples), repeat)
    kernels = median(kernel_calls(trace, hardware, samples), repeat)
    words = np.concatenate([trace.gates(layer.name, samples).ravel() for layer in trace.gated_layers])
    read = median(words.sum, repeat)
    return len(samples) / seconds, len(samples) / kernels, words.nbytes / kernels, words.nbytes / read


def kernel_calls(trace: Trace, hardware: cgsim.Hardware, samples: np.ndarray) -> Callable[[], object]:
    """A call of the kernels of every gated layer on gates in memory."""
    calls = []
    batch = hardware.mapping.batch
    for operation in operations(trace.network):
        if operation.layer.gate != "activation":
            continue
        way = Gated(trace, hardware, operation, operation)
        gates = way.packed(samples)
        calls.append((way.mapped, gates.reshape(-1, batch, *gates.shape[1:])))
    return lambda: [own.gated(gates) for own, gates in calls]


def settings(trace: Trace, hardware: cgsim.Hardware, repeat: int) -> None:
    """The ResNet-18 trace by dataflow and column groups, and settings of the gate unit that cost time."""
    cols = hardware.array.cols
    rows = [
        {"array.dataflow": dataflow, "array.column_groups": groups}
        for dataflow in ("ws", "is", "os")
        for groups in sorted({1, cols // 8, cols // 4, cols})
    ]
    rows += [{"gate_unit.group_sync": sync} for sync in ("fold", "layer")]
    rows += [{"gate_unit.scan_bits_per_cycle": 1}, {"mapping.batch": 8}]
    rows += [{"array.dataflow": "is", "mapping.pixel_order": "block"}]
    rows += [{"gate_unit.activation_banks": 8, "gate_unit.group_sync": "fold"}]
    rows += [{"dram.standard": "DDR4-2400"}, {"dram.standard": "DDR4-2400", "mapping.batch": 8}]
    print(f"\n{'setting':58}{'images/s':>10}{'kernels':>10}{'gate MB/s':>11}")
    for changes in rows:
        images, kernels, gates, _ = replay(trace, hardware.override(changes), repeat)
        name = ", ".join(f"{key.partition('.')[2]} {value}" for key, value in changes.items())
        print(f"{name:58}{images:10.0f}{kernels:10.0f}{gates / 1e6:11.1f}", flush=True)


def map_all(trace: Trace, hardware: cgsim.Hardware) -> None:
    """Choose every tiling again: one image with empty caches."""
    forget()
    run(trace, hardware, [0])


def start(trace: Path, hardware: str, repeat: int) -> float:
    """Median seconds of `cgsim simulate` as a whole process, Numba's cache warm."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cgsim", "simulate", str(trace), "--hardware", hardware]
        command += ["-o", folder]
        return median(
            lambda: subprocess.run(command, check=True, capture_output=True), repeat, time.perf_counter
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of cgsim on this machine")
    parser.add_argument("--hardware", default="asic-28nm", help="accelerator (default asic-28nm)")
    parser.add_argument("--repeat", type=int, default=7, help="measurements per figure (default 7)")
    parser.add_argument("--settings", action="store_true", help="dataflows, groups and gate unit, too")
    arguments = parser.parse_args()
    hardware = cgsim.load_hardware(arguments.hardware)

    print(f"hardware {hardware.name}; medians of {arguments.repeat}; one core, kernels warm\n")
    heads = f"{'trace':22}{'images/s':>10}{'kernels':>9}{'gate MB/s':>11}{'read MB/s':>11}"
    heads += f"{'mapping s':>11}{'start s':>9}"
    print(heads)
    for path in sorted(TRACES.glob("*.trace.parquet")):
        trace = cgsim.load_trace(path)
        images, kernels, gates, read = replay(trace, hardware, arguments.repeat)
        mapping = median(lambda trace=trace: map_all(trace, hardware), arguments.repeat)
        seconds = start(path, arguments.hardware, min(arguments.repeat, 5))
        name = path.name.removesuffix(".trace.parquet")
        print(
            f"{name:22}{images:10.0f}{kernels:9.0f}{gates / 1e6:11.1f}{read / 1e6:11.0f}"
            f"{mapping:11.2f}{seconds:9.2f}"
        )
    if arguments.settings:
        settings(cgsim.load_trace(TRACES / "resnet18-synthetic.trace.parquet"), hardware, arguments.repeat)


if __name__ == "__main__":
    main()
