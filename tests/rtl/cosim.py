"""Layers on the RTL array (rtl/): builds simulators with Verilator and hands them whole layers."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgsim.hardware import Hardware
from cgsim.trace.network import Layer
from tests.rtl.descriptors import Program, describe
from tests.rtl.simulator import BuildKey, build_simulator, missing_tools

__all__ = ["Job", "Result", "build", "missing_tools", "run"]

EVENTS = ("base_start", "base_end", "decided", "conditional_start", "conditional_end", "last_result")


@dataclass(frozen=True)
class Job:
    """A layer, an array, and what both work on.

    `inputs` int8 [B, Cin, H, W] or [Cin, H, W], `weights` int8 [N, Cin / groups, kh, kw], `thresholds` int32
    [N], `pixel_gates` bool [M] or [B, M]. Without thresholds and pixel gates: dense, one column group.
    """

    layer: Layer
    hardware: Hardware
    inputs: np.ndarray
    weights: np.ndarray
    thresholds: np.ndarray | None = None
    pixel_gates: np.ndarray | None = None


@dataclass(frozen=True)
class Result:
    """What the array made of a job: outputs int32 [B, N, M], gates bool [B, N, M] (None without thresholds).

    `events` as in `cgsim.engine.stepped.layer.SteppedLayer`.
    """

    outputs: np.ndarray
    gates: np.ndarray | None
    cycles: int
    events: dict[str, int]


def build(rows: int, cols: int, groups: int, kind: str) -> Path:
    """The simulator of a `stationary` (`ws`, `is`) or `output` (`os`) array; built if it is not there yet."""
    return build_simulator(BuildKey(rows, cols, groups, kind))


def run(jobs: Sequence[Job], processes: int = 1) -> list[Result]:
    """Run all jobs, those that fit the same simulator one after the other in one process.

    Raises:
        RuntimeError: a simulator could not be built, or gave up.
    """
    programs = [
        describe(job.layer, job.hardware, job.inputs, job.weights, job.thresholds, job.pixel_gates)
        for job in jobs
    ]
    by_build: dict[BuildKey, list[int]] = {}
    for number, program in enumerate(programs):
        by_build.setdefault(program.build, []).append(number)
    results: dict[int, Result] = {}
    with ThreadPoolExecutor(processes) as pool:
        for key, numbers in by_build.items():
            build_simulator(key)
            # more shares than processes, as layers differ much in size
            shares = (
                [numbers[i :: 4 * processes] for i in range(4 * processes)] if processes > 1 else [numbers]
            )
            found = pool.map(lambda share, key=key: _simulate(key, [programs[n] for n in share]), shares)
            for share, answers in zip(shares, found, strict=True):
                for number, answer in zip(share, answers, strict=True):
                    results[number] = _result(jobs[number], programs[number], answer)
    return [results[number] for number in range(len(jobs))]


Answer = tuple[tuple[int, ...], np.ndarray, np.ndarray]


def _simulate(key: BuildKey, programs: list[Program]) -> list[Answer]:
    if not programs:
        return []
    process = subprocess.run(
        [build_simulator(key)], input=b"".join(p.packed for p in programs), capture_output=True, check=False
    )
    if process.returncode:
        raise RuntimeError(f"{key}: {process.stderr.decode().strip() or process.returncode}")
    return list(_answers(process.stdout, programs))


def _answers(data: bytes, programs: list[Program]) -> Iterator[Answer]:
    at = 0
    for program in programs:
        head = struct.unpack_from("<8I", data, at)
        at += 32
        shape = (program.build.groups, program.results, program.build.cols // program.build.groups)
        size = int(np.prod(shape))
        sums = np.frombuffer(data, "<i4", size, at).reshape(shape)
        gates = np.frombuffer(data, np.uint8, size, at + 4 * size).reshape(shape)
        at += 5 * size
        yield head, sums, gates
    assert at == len(data)


def _result(job: Job, program: Program, answer: Answer) -> Result:
    (cycles, seen, *when), sums, gates = answer
    names = program.event_names(EVENTS)
    events = {name: when[i] for i, name in enumerate(names) if seen >> i & 1}
    events.setdefault("last_result", 0)
    if job.hardware.array.pipelining == "scalesim":
        cycles = max(0, cycles - 1)
    return Result(
        program.gather(sums).astype(np.int32),
        None if job.thresholds is None else program.gather(gates).astype(bool),
        cycles,
        events,
    )
