"""A run on an accelerator of several engines: the columns of the result."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.engine.blocks.calls import Block, Stage, blocks
from cgsim.engine.blocks.masks import Kept, kept_of
from cgsim.engine.blocks.timing import engine_cycles, search_cycles, weight_cycles
from cgsim.engine.gates import Gates
from cgsim.engine.metrics import (
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
    """How many cycles of each sample, int64 [S], an engine (or the reader of its input) is busy with."""

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
        engines: list[_Busy] = []
        for position, (stage, own) in enumerate(zip(stages, kept, strict=True)):
            inputs, outputs = self.channels(stage)
            late = masked or stage.layer.gate != "none"
            phase = CONDITIONAL_PHASE if self.gated and late else BASE
            reading = self._read(stage, own, inputs, masked and position == 0)
            found = [
                _Busy(reading, stage, DECISION if masked else BASE),
                _Busy(self._compute(stage, own, inputs, outputs), stage, phase),
            ]
            ends = not block.together or position == len(stages) - 1
            begins = not block.together or position == 0
            self._move(stage, own, inputs, outputs, begins, ends)
            if block.together:
                engines += found if position == 0 else found[1:]
            else:
                self.add(stage, HOST, call * stage.slices)
                self._slowest(found)
        if engines:
            self._slowest(engines)

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

    def _slowest(self, engines: list[_Busy]) -> None:
        """Engines that work at once take as long as the slowest, which the time is counted for."""
        slowest = np.array([engine.cycles for engine in engines]).argmax(axis=0)
        together = self.hardware.engines.execution == "pipelined"
        for index, engine in enumerate(engines):
            counts = np.where(slowest == index, engine.cycles, 0) if together else engine.cycles
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
