"""A layer as the RTL array's host sees it: registers, tables and operands, and where the results are."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.mapping.plan import pixel_places
from cgsim.mapping.slots import slots
from cgsim.trace.network import Layer
from tests.rtl.operands import NO_PHASE, Part, Phase, patches
from tests.rtl.simulator import BuildKey

REGISTERS, PARTS, THRESHOLDS, NEED, BLOCKS = range(5)
"""Spaces that the host writes (rtl/cgsim_pkg.sv)."""
MOST = (1 << 20) - 1
"""What an index of the RTL can count to."""
NEVER = 2**31 - 1
"""The threshold of a column without a channel."""
ALL_COLUMNS = 0xFFFF
CONFIGURATION = (
    "flags",
    "slots",
    "folds",
    "tail",
    "sections",
    "base_parts",
    "late_parts",
    "own_parts",
    "late_table",
    "stride",
    "need_stride",
    "vectors",
    "needed",
    "base_steps",
    "late_steps",
    "window",
    "window_cycles",
    "depth",
    "banks",
    "latency",
)
"""Registers in the order of their addresses (rtl/gated_array.sv)."""
FLAGS = ("by_vector", "scanned", "gated", "meet", "lockstep", "direct", "overlapped")
"""Bits of the register `flags`, lowest first."""


@dataclass(frozen=True)
class Program:
    """A job for one simulator, and where its outputs are found in the answer."""

    build: BuildKey
    packed: bytes
    results: int
    places: np.ndarray
    """Of each output [B, N, M] in the answer [groups, results, columns], flat; -1: not computed."""
    conditional_is_base: bool
    """Pixel gates under `is`: no decision, so the array runs a base phase that cgsim calls conditional."""

    def gather(self, answer: np.ndarray) -> np.ndarray:
        """Outputs [B, N, M]."""
        padded = np.append(answer.ravel(), 0)  # the last one: what is not computed
        return np.where(self.places >= 0, padded[self.places], 0)

    def event_names(self, names: Sequence[str]) -> list[str]:
        """What the array's events are to cgsim."""
        return [name.replace("base", "conditional") if self.conditional_is_base else name for name in names]


def describe(
    layer: Layer,
    hardware: Hardware,
    inputs: np.ndarray,
    weights: np.ndarray,
    thresholds: np.ndarray | None,
    pixel_gates: np.ndarray | None,
) -> Program:
    """The program of a layer; arguments as in `tests.rtl.cosim.Job`."""
    return _Builder(layer, hardware, inputs, weights, thresholds, pixel_gates).program()


@dataclass
class _Builder:
    layer: Layer
    hardware: Hardware
    inputs: np.ndarray
    weights: np.ndarray
    thresholds: np.ndarray | None
    pixel_gates: np.ndarray | None
    writes: list[tuple[int, int, int]] = field(default_factory=list)
    parts_written: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        array = self.hardware.array
        self.gated = self.thresholds is not None
        if not self.gated:
            self.layer = replace(self.layer, gate="none", base_channels=0, base_groups=1)
        self.rows, self.cols, self.dataflow = array.rows, array.cols, array.dataflow
        self.groups = array.column_groups if self.gated or self.pixel_gates is not None else 1
        self.width = self.cols // self.groups
        samples = self.inputs if self.inputs.ndim == 4 else self.inputs[None]
        self.batch = len(samples)
        self.patches = patches(self.layer, samples)
        self.pixels = self.patches.shape[1]
        self.shown = None if self.pixel_gates is None else np.asarray(self.pixel_gates, bool).reshape(-1)
        self.filters = np.asarray(self.weights, np.int8).reshape(self.layer.out_channels, -1)
        self.layout = slots(self.layer, self.cols, self.groups)

    # What the reduction is made of.

    def taps(self, block: int, late: bool) -> tuple[np.ndarray, np.ndarray]:
        """Of a block of channels: rows of the patches, and columns of the filters."""
        layer = self.layer
        each, taps = layer.in_shape[0] // layer.groups, layer.kernel[0] * layer.kernel[1]
        group, base_group = divmod(block, layer.base_groups)
        local = np.arange(each)
        base = local // (layer.base_channels or each) == base_group
        mine = local[~base if late else base]
        columns = (mine[:, None] * taps + np.arange(taps)).ravel()
        return columns + group * each * taps, columns

    def program(self) -> Program:
        registers = dict.fromkeys(CONFIGURATION, 0)
        window, queue = self.gate_unit(registers)
        place = self.place_pixels if self.dataflow == "is" else self.place_channels
        phases, places = place(registers)
        array, unit = self.hardware.array, self.hardware.gate_unit
        flags = {
            "overlapped": array.pipelining == "overlapped",
            "direct": array.pipelining == "scalesim",
            "lockstep": unit.group_sync == "fold",
            "meet": unit.group_sync != "layer",
            "gated": self.gated,
            "scanned": self.shown is not None and self.dataflow != "is",
            "by_vector": self.dataflow == "is",
        }
        registers["flags"] = sum(flags[name] << bit for bit, name in enumerate(FLAGS))
        registers["latency"] = unit.compare_latency
        banks = unit.activation_banks
        registers["banks"] = 0 if banks == "ideal" or self.dataflow == "is" else int(banks)
        self.writes += [(REGISTERS, i, registers[name]) for i, name in enumerate(CONFIGURATION)]
        results = registers["folds"] * registers["stride"]
        blocks = self.blocks(registers["slots"])
        parts = sum(1 for space, address, _ in self.writes if space == PARTS) // 6
        items = registers["folds"] * registers["sections"]
        large = results > 1 << 14 or items > 1 << 11 or items * registers["base_parts"] > 1 << 12
        large |= parts > 1 << 9 or max(registers["folds"], self.layer.out_channels) > 1 << 10
        if max(results, registers["stride"], *(phase.head[0] for phase in phases)) > MOST:
            raise CgsimError(
                f"layer {self.layer.name!r}: {results} outputs per column, expected at most {MOST} in the RTL"
            )
        kind = "output" if self.dataflow == "os" else "stationary"
        key = BuildKey(self.rows, self.cols, self.groups, kind, window, queue, large)
        head = [len(self.writes), results, len(blocks), *phases[0].head, *phases[1].head]
        packed = struct.pack(f"<{len(head)}I", *head) + np.array(blocks, "<u4").tobytes()
        packed += (np.array(self.writes, np.int64) & 0xFFFFFFFF).astype("<u4").tobytes()
        for phase in phases:
            packed += phase.moving.tobytes() + phase.stationary.tobytes()
        return Program(key, packed, results, places, self.shown is not None and self.dataflow == "is")

    def gate_unit(self, registers: dict[str, int]) -> tuple[int, int]:
        """Registers of the scanner; the window and the queue that a simulator must have."""
        unit = self.hardware.gate_unit
        bits = 1 if self.shown is not None else self.width
        candidates = self.layer.out_channels if self.dataflow == "is" else self.pixels
        window = min(max(1, unit.scan_bits_per_cycle // bits), candidates)
        registers["window"] = window
        registers["window_cycles"] = -(-bits // unit.scan_bits_per_cycle)
        registers["depth"] = min(unit.fifo_depth, candidates)
        size = 64
        while size < window:
            size *= 2
        registers["stride"] = -(-candidates // size) * size
        registers["need_stride"] = 0 if self.shown is not None else registers["stride"]
        queue = 16
        while queue < registers["depth"]:
            queue *= 2
        return size, queue

    def blocks(self, count: int) -> list[int]:
        """Whose moving operands each slot reads; they are also the words of the banks."""
        if self.dataflow == "is":
            return [0] * count
        per_block = len(self.layout.first) // self.layout.blocks
        blocks = [slot // per_block for slot in range(count)]
        for slot, block in enumerate(blocks):
            self.writes.append((BLOCKS, slot // self.groups << 16 | slot % self.groups, block))
        return blocks

    # `ws`, `os`: columns are channels.

    def place_channels(self, registers: dict[str, int]) -> tuple[list[Phase], np.ndarray]:
        first, end = self.layout.first, self.layout.end
        count = len(first)
        registers["slots"], registers["folds"] = count, -(-count // self.groups)
        registers["tail"] = self.width
        registers["sections"] = registers["base_parts"] = registers["late_parts"] = 1
        registers["late_table"] = 1
        registers["vectors"] = self.pixels
        if self.shown is not None:
            registers["needed"] = int(self.shown.sum())
            self.writes += [(NEED, p, int(on)) for p, on in enumerate(self.shown)]
        if self.thresholds is not None:
            for slot in range(registers["folds"] * self.groups):
                for c in range(self.width):
                    channel = first[slot] + c if slot < count else -1
                    value = self.thresholds[channel] if slot < count and channel < end[slot] else NEVER
                    line, own = divmod(slot, self.groups)
                    self.writes.append((THRESHOLDS, line << 16 | own * self.width + c, int(value)))
        phases = []
        for late in (False, True):
            wanted = late == (self.shown is not None) or self.gated
            phases.append(self.channel_phase(late and self.shown is None) if wanted else NO_PHASE)
            rounds = phases[-1].head[0]
            registers["late_steps" if late else "base_steps"] = rounds
            slices = ceil(self.pixels / self.rows) if self.dataflow == "os" else rounds
            self.write_parts(int(late), [Part(0, slices, 0, self.pixels)])
        slot_of = np.repeat(np.arange(count), end - first)
        column = np.arange(len(slot_of)) - first[slot_of]
        fold, group = np.divmod(slot_of, self.groups)
        results = registers["folds"] * registers["stride"]
        address = (group * results + fold * registers["stride"])[:, None] + np.arange(self.pixels)
        places = address * self.width + column[:, None]
        if self.shown is not None:
            places = np.where(self.shown, places, -1)
        return phases, self.by_sample(places)

    def channel_phase(self, late: bool) -> Phase:
        moving, stationary = [], []
        per_block = len(self.layout.first) // self.layout.blocks
        for block in range(self.layout.blocks):
            rows, columns = self.taps(block, late)
            moving.append(self.patches[rows])
            for slot in range(block * per_block, (block + 1) * per_block):
                held = np.zeros((len(columns), self.width), np.int8)
                own = self.filters[self.layout.first[slot] : self.layout.end[slot], columns]
                held[:, : len(own)] = own.T
                stationary.append(held)
        if self.dataflow == "os":
            return Phase(np.stack(moving)[..., None], np.stack(stationary)[:, :, None])
        return Phase(
            np.stack([self.slices(m).swapaxes(1, 2) for m in moving]),
            np.stack([self.slices(s) for s in stationary]),
        )

    # `is`: columns are pixels.

    def place_pixels(self, registers: dict[str, int]) -> tuple[list[Phase], np.ndarray]:
        _, height, width = self.layer.out_shape
        plane = pixel_places(height, width, self.width, self.hardware.mapping.pixel_order)
        place = (np.arange(self.batch)[:, None] * len(plane) + plane).ravel()
        order = np.argsort(place)
        if self.shown is not None:
            order = order[self.shown[order]]
        count = -(-len(order) // self.width)
        registers["slots"], registers["folds"] = count, -(-count // self.groups)
        registers["tail"] = len(order) - max(0, count - 1) * self.width
        layer = self.layer
        registers["sections"], registers["base_parts"] = layer.groups, layer.base_groups
        used = layer.base_groups * layer.base_channels
        leftover = 0 < used < layer.in_shape[0] // layer.groups
        registers["own_parts"] = layer.base_groups if layer.base_groups > 1 else 0
        registers["late_parts"] = registers["own_parts"] + leftover
        registers["late_table"] = layer.groups * layer.base_groups
        if self.thresholds is not None:
            self.writes += [
                (THRESHOLDS, n << 16 | ALL_COLUMNS, int(t)) for n, t in enumerate(self.thresholds)
            ]
        phases = [self.pixel_phase(order, registers, self.base_parts())]
        phases.append(
            self.pixel_phase(order, registers, self.late_parts(leftover)) if self.gated else NO_PHASE
        )
        inverse = np.full(self.pixels, -1)
        inverse[order] = np.arange(len(order))
        slot, column = np.divmod(inverse, self.width)
        fold, group = np.divmod(slot, self.groups)
        results = registers["folds"] * registers["stride"]
        address = group * results + fold * registers["stride"] + np.arange(layer.out_channels)[:, None]
        return phases, self.by_sample(np.where(inverse >= 0, address * self.width + column, -1))

    def base_parts(self) -> list[tuple[Part, np.ndarray, np.ndarray]]:
        """Parts of the base phase: each is read by the channels of its block."""
        size = self.layer.out_channels // self.layout.blocks
        return [
            (Part(0, 0, block * size, size), *self.taps(block, late=False))
            for block in range(self.layout.blocks)
        ]

    def late_parts(self, leftover: bool) -> list[tuple[Part, np.ndarray, np.ndarray]]:
        """Parts of the conditional phase: bases of the other blocks, then what is in nobody's base."""
        layer = self.layer
        found = []
        size = layer.out_channels // self.layout.blocks
        whole = size * layer.base_groups
        each = layer.in_shape[0] // layer.groups
        for group in range(layer.groups):
            first = group * whole
            if layer.base_groups > 1:
                for i in range(layer.base_groups):
                    taps = self.taps(group * layer.base_groups + i, late=False)
                    found.append((Part(0, 0, first, whole - size, i * size, size), *taps))
            if leftover:
                taps_each = layer.kernel[0] * layer.kernel[1]
                columns = np.arange(layer.base_groups * layer.base_channels * taps_each, each * taps_each)
                found.append((Part(0, 0, first, whole), columns + group * each * taps_each, columns))
        return found

    def pixel_phase(
        self, order: np.ndarray, registers: dict[str, int], parts: list[tuple[Part, np.ndarray, np.ndarray]]
    ) -> Phase:
        width, count = self.width, registers["slots"]
        moving, stationary = [], []
        entry = 0
        for part, rows, columns in parts:
            part.entry, part.slices = entry, -(-len(rows) // self.rows)
            entry += part.slices
            filters = np.zeros((len(columns), self.layer.out_channels), np.int8)
            users = slice(part.first, part.first + part.count + part.skip)
            filters[:, users] = self.filters[users, columns].T
            moving.append(self.slices(filters).swapaxes(1, 2))
            held = np.zeros((len(rows), count * width), np.int8)
            held[:, : len(order)] = self.patches[np.ix_(rows, order)]
            stationary.append(self.slices(held).reshape(part.slices, self.rows, count, width))
        late = len(self.parts_written) > 0
        self.write_parts(registers["late_table"] if late else 0, [part for part, _, _ in parts])
        return Phase(np.concatenate(moving)[None], np.concatenate(stationary).transpose(2, 0, 1, 3))

    # Both.

    def slices(self, values: np.ndarray) -> np.ndarray:
        """[K, X] cut into row folds, filled with zeros: [folds, rows, X]."""
        folds = -(-len(values) // self.rows)
        filled = np.zeros((folds * self.rows, values.shape[1]), np.int8)
        filled[: len(values)] = values
        return filled.reshape(folds, self.rows, -1)

    def write_parts(self, first: int, parts: list[Part]) -> None:
        for number, part in enumerate(parts, first):
            values = (part.entry, part.slices, part.first, part.count, part.skip_from, part.skip)
            self.writes += [(PARTS, number << 3 | i, value) for i, value in enumerate(values)]
        self.parts_written += parts

    def by_sample(self, values: np.ndarray) -> np.ndarray:
        """[N, B * M] as [B, N, M]."""
        return values.reshape(len(values), self.batch, -1).swapaxes(0, 1)
