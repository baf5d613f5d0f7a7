"""What a layer gives the column groups to do: rounds of folds, per dataflow, with the values that move."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from math import ceil

import numpy as np

from cgsim.engine.stepped.array import Fold, OutputFold, Vector
from cgsim.engine.stepped.scanner import Scanner
from cgsim.engine.stepped.sequencer import Round
from cgsim.hardware import Hardware
from cgsim.trace.network import Layer

Tap = tuple[int, int, int]  # input channel, kernel row, kernel column


def blocks(layer: Layer) -> list[list[int]]:
    """Output channels by block: of one convolution group and base group, with the same base inputs."""
    size = layer.out_channels // layer.groups // layer.base_groups
    return [list(range(first, first + size)) for first in range(0, layer.out_channels, size)]


def taps(layer: Layer, channel: int) -> tuple[list[Tap], list[Tap]]:
    """(base, conditional) taps of the reduction of an output channel; without a split all are base."""
    inputs, outputs = layer.in_shape[0] // layer.groups, layer.out_channels // layer.groups
    group, within = divmod(channel, outputs)
    part = within // (outputs // layer.base_groups)
    first, end = part * layer.base_channels, (part + 1) * layer.base_channels
    base: list[Tap] = []
    late: list[Tap] = []
    for i in range(inputs):
        is_base = layer.base_channels == 0 or first <= i < end
        (base if is_base else late).extend(_window(layer, group * inputs + i))
    return base, late


def activation(layer: Layer, inputs: np.ndarray, tap: Tap, pixel: int) -> int:
    """The value of `inputs` [Cin, H, W] that an output pixel multiplies with the weight of a tap."""
    channel, down, across = tap
    y = pixel // layer.out_shape[2] * layer.stride[0] - layer.padding[0] + down * layer.dilation[0]
    x = pixel % layer.out_shape[2] * layer.stride[1] - layer.padding[1] + across * layer.dilation[1]
    inside = 0 <= y < layer.in_shape[1] and 0 <= x < layer.in_shape[2]
    return int(inputs[channel, y, x]) if inside else 0


def weight(layer: Layer, weights: np.ndarray, channel: int, tap: Tap) -> int:
    """The weight of an output channel at a tap."""
    return int(weights[channel, tap[0] % (layer.in_shape[0] // layer.groups), tap[1], tap[2]])


def _window(layer: Layer, channel: int) -> list[Tap]:
    return [(channel, y, x) for y in range(layer.kernel[0]) for x in range(layer.kernel[1])]


def pixel_order(layer: Layer, width: int, order: str, samples: int) -> list[int]:
    """The order in which `is` assigns pixels to columns: `raster`, or `block` for groups of `width` columns.

    In blocks the pixels of a sample are walked in bands of h rows, each column by column; h is the largest
    divisor of `width` with h * h <= width.
    """
    _, height, wide = layer.out_shape
    band = 1
    if order == "block":
        band = max(h for h in range(1, width + 1) if width % h == 0 and h * h <= width)
    plane = [
        y * wide + x
        for top in range(0, height, band)
        for x in range(wide)
        for y in range(top, min(top + band, height))
    ]
    return [sample * layer.pixels + pixel for sample in range(samples) for pixel in plane]


class Work:
    """The rounds of a layer on an array whose columns are divided into `groups` groups.

    Pixels are numbered through all samples. A phase is named by whether it is conditional.
    """

    def __init__(
        self,
        layer: Layer,
        hardware: Hardware,
        groups: int,
        inputs: np.ndarray,
        weights: np.ndarray,
        shown: np.ndarray | None,
    ) -> None:
        """`inputs` [B, Cin, H, W]; `shown` bool [B * M] are pixel gates: then all of K is conditional."""
        self.layer, self.hardware, self.groups = layer, hardware, groups
        self.rows, self.width = hardware.array.rows, hardware.array.cols // groups
        self.inputs, self.weights, self.shown = inputs, weights, shown
        self.pixels = list(range(len(inputs) * layer.pixels))
        self.slots = [
            (block, channels[first : first + self.width])
            for block, channels in enumerate(blocks(layer))
            for first in range(0, len(channels), self.width)
        ]
        order = pixel_order(layer, self.width, hardware.mapping.pixel_order, len(inputs))
        if shown is not None:
            order = [pixel for pixel in order if shown[pixel]]
        self.pixel_slots = [order[i : i + self.width] for i in range(0, len(order), self.width)]
        self._columns: dict[Tap, list[int]] = {}

    def owned(self, groups: Collection[int]) -> np.ndarray:
        """The outputs, bool [N, B * M], whose sums the columns of these groups hold."""
        own = np.zeros((self.layer.out_channels, len(self.pixels)), bool)
        if self.hardware.array.dataflow == "is":
            for number, pixels in enumerate(self.pixel_slots):
                own[:, pixels] |= number % self.groups in groups
        else:
            for number, (_, channels) in enumerate(self.slots):
                own[channels] |= number % self.groups in groups
        return own

    def rounds(self, gates: np.ndarray | None, groups: Collection[int]) -> list[Round]:
        """The rounds of `groups` in the base phase, or with `gates` bool [N, B * M] the conditional one."""
        phases: dict[str, Callable[[np.ndarray | None, Collection[int]], Iterator[Round]]]
        phases = {"ws": self._weights, "is": self._inputs, "os": self._outputs}
        return [folds for folds in phases[self.hardware.array.dataflow](gates, groups) if folds]

    def _weights(self, gates: np.ndarray | None, groups: Collection[int]) -> Iterator[dict[int, Fold]]:
        """`ws`: channels side by side; a vector is a pixel's slice of the taps of its slot."""
        for column_fold in self._column_folds(len(self.slots), groups):
            for r in range(ceil(len(self._taps(self.slots[0][1][0], gates)) / self.rows)):
                folds = {}
                for g, number in column_fold.items():
                    block, channels = self.slots[number]
                    part = self._taps(channels[0], gates)[r * self.rows : (r + 1) * self.rows]
                    scanner = self._scanner(self._pixel_bits(channels, gates))
                    if scanner is not None and not scanner.needed:
                        continue
                    folds[g] = Fold(
                        self._grid(
                            [[weight(self.layer, self.weights, n, tap) for n in channels] for tap in part]
                        ),
                        [
                            Vector(
                                self._column([self._values(tap)[p] for tap in part]),
                                [(n, p) for n in channels] + [None] * (self.width - len(channels)),
                                p,
                                (block, r, p),
                            )
                            for p in self.pixels
                        ],
                        scanner,
                        gates is not None,
                    )
                yield folds

    def _inputs(self, gates: np.ndarray | None, groups: Collection[int]) -> Iterator[dict[int, Fold]]:
        """`is`: pixels side by side; a vector is a filter's slice of the taps of a part of the inputs."""
        for column_fold in self._column_folds(len(self.pixel_slots), groups):
            for part, base_users, late_users in self._parts():
                everything = gates is None or self.shown is not None
                users = base_users if everything else late_users
                for first in range(0, len(part), self.rows):
                    piece = part[first : first + self.rows]
                    folds = {}
                    for g, number in column_fold.items():
                        pixels = self.pixel_slots[number]
                        scanner = None
                        if gates is not None and not everything:
                            blank = [False] * (self.width - len(pixels))
                            scanner = self._scanner(
                                [[bool(gates[n, p]) for p in pixels] + blank for n in users]
                            )
                        if not users or (scanner is not None and not scanner.needed):
                            continue
                        folds[g] = Fold(
                            self._grid([[self._values(tap)[p] for p in pixels] for tap in piece]),
                            [
                                Vector(
                                    self._column([weight(self.layer, self.weights, n, tap) for tap in piece]),
                                    [(n, p) for p in pixels] + [None] * (self.width - len(pixels)),
                                )
                                for n in users
                            ],
                            scanner,
                            gates is not None,
                        )
                    yield folds

    def _outputs(self, gates: np.ndarray | None, groups: Collection[int]) -> Iterator[dict[int, OutputFold]]:
        """`os`: channels side by side, pixels one above the other; a vector is a reduction step."""
        for column_fold in self._column_folds(len(self.slots), groups):
            scanners = {
                g: self._scanner(self._pixel_bits(self.slots[number][1], gates))
                for g, number in column_fold.items()
            }
            counts = {g: len(self.pixels) if s is None else s.needed for g, s in scanners.items()}
            for i in range(ceil(max(counts.values(), default=0) / self.rows)):
                folds = {}
                for g, number in column_fold.items():
                    block, channels = self.slots[number]
                    steps = self._taps(channels[0], gates)
                    count = min(counts[g] - i * self.rows, self.rows)
                    if count <= 0 or not steps:
                        continue
                    blank = [0] * (self.width - len(channels))
                    home = ("block", block) if gates is None else ("slot", number)
                    folds[g] = OutputFold(
                        [*channels, *([None] * len(blank))],
                        range(i * self.rows, i * self.rows + count),
                        [self._values(tap) for tap in steps],
                        [
                            [weight(self.layer, self.weights, n, tap) for n in channels] + blank
                            for tap in steps
                        ],
                        [(*home, i, k) for k in range(len(steps))],
                        scanners[g],
                        gates is not None,
                    )
                yield folds

    def _column_folds(self, slots: int, groups: Collection[int]) -> list[dict[int, int]]:
        """Slots side by side, as many as there are groups: the slot of each group in `groups`."""
        return [
            {
                slot - first: slot
                for slot in range(first, min(first + self.groups, slots))
                if slot - first in groups
            }
            for first in range(0, slots, self.groups)
        ]

    def _taps(self, channel: int, gates: np.ndarray | None) -> list[Tap]:
        base, late = taps(self.layer, channel)
        return base if gates is None or self.shown is not None else late

    def _parts(self) -> Iterator[tuple[list[Tap], list[int], list[int]]]:
        """Parts of the inputs: taps, and the channels that use them in the base and conditional phase."""
        layer = self.layer
        inputs, each = layer.in_shape[0] // layer.groups, layer.base_channels
        for group in range(layer.groups):
            own = blocks(layer)[group * layer.base_groups : (group + 1) * layer.base_groups]
            whole = [n for block in own for n in block]
            cut = (
                [range(i * each, (i + 1) * each) for i in range(layer.base_groups)]
                if each
                else [range(inputs)]
            )
            for block, channels in zip(own, cut, strict=True):
                late = [n for n in whole if n not in block]
                yield [t for i in channels for t in _window(layer, group * inputs + i)], block, late
            rest = range(cut[-1].stop, inputs)
            yield [t for i in rest for t in _window(layer, group * inputs + i)], [], whole

    def _values(self, tap: Tap) -> list[int]:
        """The activations of a tap at all pixels."""
        if tap not in self._columns:
            self._columns[tap] = [
                activation(self.layer, sample, tap, pixel)
                for sample in self.inputs
                for pixel in range(self.layer.pixels)
            ]
        return self._columns[tap]

    def _pixel_bits(self, channels: list[int], gates: np.ndarray | None) -> list[list[bool]] | None:
        """What the scanner reads per pixel: a bit per column, or the pixel's own gate."""
        if gates is None:
            return None
        if self.shown is not None:
            return [[bool(self.shown[p])] for p in self.pixels]
        blank = [False] * (self.width - len(channels))
        return [[bool(gates[n, p]) for n in channels] + blank for p in self.pixels]

    def _scanner(self, bits: list[list[bool]] | None) -> Scanner | None:
        unit = self.hardware.gate_unit
        return None if bits is None else Scanner(bits, unit.scan_bits_per_cycle, unit.fifo_depth)

    def _grid(self, lines: list[list[int]]) -> list[list[int]]:
        """Filled with zeros to rows x columns."""
        full = [line + [0] * (self.width - len(line)) for line in lines]
        return full + [[0] * self.width for _ in range(self.rows - len(full))]

    def _column(self, values: list[int]) -> list[int]:
        return values + [0] * (self.rows - len(values))
