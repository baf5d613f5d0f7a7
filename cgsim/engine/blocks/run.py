"""A run on an accelerator of several engines: the columns of the result."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.engine.blocks.calls import Block, Stage, blocks
from cgsim.engine.blocks.masks import Kept, kept_of
from cgsim.engine.blocks.timing import engine_cycles, search_cycles, weight_cycles
from cgsim.engine.gates import Gates
from cgsim.engine.metrics import (
    ACTIVATION_LOAD,
    ACTIVATIONS_READ,
    ACTIVATIONS_WRITE,
    BASE,
    BASE_WEIGHTS_READ,
    CONDITIONAL_PHASE,
    CYCLES,
    DECISION,
    HOST,
    LOAD_WEIGHTS,
    PARTS,
    RESIDUAL_READ,
    TENSOR_COUNT,
)
from cgsim.engine.replay import RESULTS
from cgsim.hardware import Hardware

ADDED = "add"


class _Busy(NamedTuple):
    """How many cycles of each sample, int64 [S], an engine is busy."""

    cycles: np.ndarray
    stage: Stage
    phase: int


class _Counting:
    """Counts of S samples by layer and metric."""

    def __init__(self, trace: Gates, hardware: Hardware, samples: np.ndarray, gated: bool) -> None:
        self.trace, self.hardware, self.samples, self.gated = trace, hardware, samples, gated
        names = [layer.name for layer in trace.network.layers]
        self.row = {name: index for index, name in enumerate(names)}
        self.counts = np.zeros((len(samples), len(names), RESULTS), np.int64)
        added = [layer for layer in trace.network.layers if layer.operator == ADDED]
        self.hosts = {name for layer in added for name in layer.producers}

    def add(self, stage: Stage, metric: int, values: np.ndarray | int) -> None:
        self.counts[:, self.row[stage.layer.name], metric] += values

    def channels(self, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
        """Input and output channels that are on, int64 [S] each."""
        layer, every = stage.layer, np.ones(len(self.samples), np.int64)
        inputs, outputs = every * layer.in_shape[0], every * layer.out_channels
        if self.gated:
            read = self.trace.inputs_on(layer.name, self.samples)
            inputs = inputs if read is None else read.sum(axis=1)
            if layer.gate in ("channel", "static"):
                outputs = self.trace.channels_on(layer.name, self.samples).sum(axis=1)
        return inputs, outputs

    def block(self, block: Block) -> None:
        """Count the calls of a block."""
        stages = block.stages
        kept = kept_of(self.trace, [stage.layer for stage in stages], self.samples, self.gated)
        masked = self.gated and any(stage.layer.gate == "pixel" for stage in stages)
        call = round(self.hardware.host.call_us * self.hardware.clock_mhz)
        if block.together:
            self.add(stages[0], HOST, call)
        busy: list[_Busy] = []
        for position, (stage, own) in enumerate(zip(stages, kept, strict=True)):
            inputs, outputs = self.channels(stage)
            late = self.gated and (masked or stage.layer.gate != "none")
            phase = CONDITIONAL_PHASE if late else BASE
            ends = not block.together or position == len(stages) - 1
            begins = not block.together or position == 0
            if begins:
                reading = self._read(stage, own, inputs, masked and position == 0)
            busy.append(_Busy(self._compute(stage, own, inputs, outputs), stage, phase))
            self._move(stage, own, inputs, outputs, begins, ends)
            if ends:
                self._wait_for(busy, reading, DECISION if masked else ACTIVATION_LOAD)
                busy = []
            if not block.together:
                self.add(stage, HOST, call * stage.slices)

    def _compute(self, stage: Stage, own: Kept, inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        each = -(-outputs // stage.slices)
        restart = self.hardware.engines.restart_cycles
        return engine_cycles(stage.engine, own.pixels, own.taps, inputs, each, restart) * stage.slices

    def _read(self, stage: Stage, own: Kept, inputs: np.ndarray, searched: bool) -> np.ndarray:
        """Cycles in which the input of a call is read, and its mask found where that is due."""
        layer = stage.layer
        pixels = np.full(len(inputs), layer.in_shape[1] * layer.in_shape[2])
        restart = self.hardware.engines.restart_cycles
        if searched:
            return stage.slices * search_cycles(stage.engine, pixels, own.inputs, inputs, restart)
        return stage.slices * own.inputs * -(-inputs // stage.engine.inputs)

    def _wait_for(self, engines: list[_Busy], reading: np.ndarray, cause: int) -> None:
        """Count the time of engines that work at once, and of the reader of their input.

        The slowest one's time is shared out over them, in proportion to what each is busy; if reading takes
        longer than any of them, the rest of it is counted for `cause`.
        """
        cycles = np.array([engine.cycles for engine in engines])
        first = engines[0].stage
        if self.hardware.engines.execution == "sequential":
            self.add(first, cause, reading)
        else:
            slowest, total = cycles.max(axis=0), np.maximum(cycles.sum(axis=0), 1)
            self.add(first, cause, np.maximum(reading - slowest, 0))
            until = np.cumsum(cycles, axis=0) * slowest // total  # cumulative, so that nothing is lost
            cycles = np.diff(until, axis=0, prepend=0)
        for engine, counts in zip(engines, cycles, strict=True):
            self.add(engine.stage, engine.phase, counts)

    def _move(
        self, stage: Stage, own: Kept, inputs: np.ndarray, outputs: np.ndarray, begins: bool, ends: bool
    ) -> None:
        """Weights, and what a call reads and writes, in bytes."""
        layer = stage.layer
        self.add(stage, LOAD_WEIGHTS, weight_cycles(stage.engine, inputs, outputs))
        weights = layer.kernel[0] * layer.kernel[1] * inputs * outputs
        self.add(stage, BASE_WEIGHTS_READ, weights * layer.weight_bits // 8)
        bits = layer.activation_bits
        if begins:
            self.add(stage, ACTIVATIONS_READ, stage.slices * own.inputs * inputs * bits // 8)
        if ends:
            values = own.pixels * outputs * bits // 8
            self.add(stage, ACTIVATIONS_WRITE, values)
            if layer.name in self.hosts:
                self.add(stage, RESIDUAL_READ, values)


def run_blocks(trace: Gates, hardware: Hardware, samples: np.ndarray, gated: bool) -> np.ndarray:
    """Counts of `samples` by layer of the network, int64 [S, layers, RESULTS].

    Pooling, additions and whatever else is no convolution take no time of their own: additions are made where
    sums leave the last engine, the others the host has to do. Raises CgsimError for convolutions that no
    engine computes.
    """
    counting = _Counting(trace, hardware, samples, gated)
    for block in blocks(trace.network, hardware):
        counting.block(block)
    counts = counting.counts
    counts[..., CYCLES] = counts[..., PARTS].sum(axis=2)
    for tensor in range(BASE_WEIGHTS_READ, BASE_WEIGHTS_READ + TENSOR_COUNT):
        counts[..., tensor + TENSOR_COUNT] = -(-counts[..., tensor] // hardware.dma.burst_bytes)
    return counts
