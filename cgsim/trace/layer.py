"""One layer of a network: its operator, its shapes, its gating, and what they must agree on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from cgsim.errors import CgsimError, nearest

Operator = Literal["conv2d", "linear", "pool", "add", "global_pool", "gate_network", "gather"]
Granularity = Literal["activation", "pixel", "channel", "static", "none"]
OffOutputs = Literal["zero", "constant"]
OPERATORS: tuple[str, ...] = get_args(Operator)
GRANULARITIES: tuple[str, ...] = get_args(Granularity)
OFF_OUTPUTS: tuple[str, ...] = get_args(OffOutputs)

INPUT = "input"
"""The name by which `producers` refers to the network's input."""


@dataclass(frozen=True)
class Layer:
    """One operator of the network (docs/trace-format.md).

    Shapes are (channels, height, width); a linear layer has height and width 1. As a GEMM a
    convolution or linear layer is M pixels x K reduction x N output channels.

    `base_channels` counts the input channels of the base path *per output channel*; the rest of the
    `in_shape[0] / groups` channels form the conditional path. 0 means that the layer has no split.
    `base_groups` b: the output channels fall into b equal groups in order, and group i takes input
    channels [i * base_channels, (i + 1) * base_channels) as its base (CGNet's channel grouping). With
    b = 1 the base is the first `base_channels` inputs.

    `producers` names the layers, or the network's input, whose results are read. Empty: the layer reads an
    input of its own, which nothing in the network makes (a list of unconnected layers).

    `gate_network_macs` are what computing the gates costs, per sample; `gate_network_weights` says of how
    many weights, if convolutions use them more than once. 0: as many as MACs, fully connected.

    A `gather` takes some channels of its input as they are; its `channel` gates say for each channel of the
    *input* whether it is taken, as many in every sample as the output has channels.
    """

    name: str
    operator: Operator
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    producers: tuple[str, ...] = (INPUT,)
    weight_bits: int = 8
    activation_bits: int = 8
    base_channels: int = 0
    base_groups: int = 1
    gate: Granularity = "none"
    gate_network_macs: int = 0
    off_outputs: OffOutputs = "zero"
    gate_network_weights: int = 0

    @property
    def on_array(self) -> bool:
        """True if the layer is a GEMM, computed by the systolic array."""
        return self.operator in ("conv2d", "linear")

    @property
    def pixels(self) -> int:
        """M: output positions."""
        return self.out_shape[1] * self.out_shape[2]

    @property
    def out_channels(self) -> int:
        """N: output channels."""
        return self.out_shape[0]

    @property
    def gated_channels(self) -> int:
        """Channels for which `channel` gates decide: of a `gather` those of its input, else N."""
        return self.in_shape[0] if self.operator == "gather" else self.out_channels

    @property
    def reduction(self) -> int:
        """K: reduction length of one output, base and conditional path together."""
        return self.in_shape[0] // self.groups * self.kernel[0] * self.kernel[1]

    @property
    def base_reduction(self) -> int:
        """The part of K that is always computed (all of it where the layer has no split)."""
        if not self.base_channels:
            return 0 if self.gate == "pixel" else self.reduction
        return self.base_channels * self.kernel[0] * self.kernel[1]

    @property
    def conditional_reduction(self) -> int:
        """The part of K that is computed only where the gate is on."""
        return self.reduction - self.base_reduction

    @property
    def dense_macs(self) -> int:
        """MACs of the ungated layer (0 for operators of the vector unit)."""
        return self.pixels * self.reduction * self.out_channels if self.on_array else 0

    @property
    def gate_shape(self) -> tuple[int, ...]:
        """Shape of one sample's gates as bool: (N, M), (M,), (N,), a gather's (Cin,), () for `none`."""
        shapes: dict[str, tuple[int, ...]] = {
            "activation": (self.out_channels, self.pixels),
            "pixel": (self.pixels,),
            "channel": (self.gated_channels,),
            "static": (self.out_channels,),
            "none": (),
        }
        return shapes[self.gate]

    @property
    def deciding_weights(self) -> int:
        """Weights of the network that computes the gates."""
        return self.gate_network_weights or self.gate_network_macs

    @property
    def packed_bytes(self) -> int:
        """Bytes of one sample's packed gates in the file (0 for `static` and `none`)."""
        if self.gate in ("static", "none"):
            return 0
        *rows, bits = self.gate_shape
        return (rows[0] if rows else 1) * ((bits + 7) // 8)

    def check(self) -> None:
        """Raise CgsimError unless shapes, split and gate of this layer agree with one another."""
        _check_choice(self.name, "operator", self.operator, OPERATORS)
        _check_choice(self.name, "gate", self.gate, GRANULARITIES)
        _check_choice(self.name, "off_outputs", self.off_outputs, OFF_OUTPUTS)
        if self.off_outputs != "zero" and self.gate not in ("channel", "static"):
            raise CgsimError(f"layer {self.name!r}: off_outputs needs 'channel' or 'static' gates")
        positive = (*self.in_shape, *self.out_shape, *self.kernel, *self.stride, *self.dilation)
        numbers = (*positive, self.groups, self.weight_bits, self.activation_bits, self.base_groups)
        if min(numbers) < 1 or min(*self.padding, self.base_channels, self.gate_network_macs) < 0:
            raise CgsimError(f"layer {self.name!r}: sizes must be positive, got {self}")
        if max(*numbers, *self.padding) > 1 << 24:
            raise CgsimError(
                f"layer {self.name!r}: a size is above {1 << 24}, got {max(*numbers, *self.padding)}"
            )
        if max(self.dense_macs, self.gate_network_macs) > 1 << 60:
            raise CgsimError(f"layer {self.name!r}: more than {1 << 60} MACs")
        if not 0 <= self.gate_network_weights <= self.gate_network_macs:
            raise CgsimError(
                f"layer {self.name!r}: gate_network_weights: expected 0 to {self.gate_network_macs} "
                f"(gate_network_macs), got {self.gate_network_weights}"
            )
        if self.operator in ("conv2d", "pool"):
            expected = tuple(
                (size + 2 * pad - dil * (ker - 1) - 1) // step + 1
                for size, pad, dil, ker, step in zip(
                    self.in_shape[1:],
                    self.padding,
                    self.dilation,
                    self.kernel,
                    self.stride,
                    strict=True,
                )
            )
            if expected != self.out_shape[1:]:
                raise CgsimError(
                    f"layer {self.name!r}: out_shape {list(self.out_shape)} contradicts its input and "
                    f"kernel, expected height and width {list(expected)}"
                )
        elif self.operator == "linear" and (*self.in_shape[1:], *self.out_shape[1:]) != (1, 1, 1, 1):
            raise CgsimError(f"layer {self.name!r}: a linear layer has height and width 1")
        elif self.operator == "global_pool" and self.out_shape != (self.in_shape[0], 1, 1):
            raise CgsimError(
                f"layer {self.name!r}: out_shape {list(self.out_shape)} of a global_pool must be "
                f"{[self.in_shape[0], 1, 1]}"
            )
        elif self.operator == "add" and self.in_shape != self.out_shape:
            raise CgsimError(f"layer {self.name!r}: an add keeps its shape, expected {list(self.in_shape)}")
        elif self.operator == "gather":
            self._check_gather()
        if self.operator == "pool" and self.in_shape[0] != self.out_shape[0]:
            raise CgsimError(f"layer {self.name!r}: a pool keeps its {self.in_shape[0]} channels")
        if self.in_shape[0] % self.groups or self.out_shape[0] % self.groups:
            raise CgsimError(f"layer {self.name!r}: channels are not divisible by groups {self.groups}")
        carries = self.on_array or (self.operator == "gather" and self.gate == "channel")
        if not carries and (self.gate != "none" or self.base_channels):
            raise CgsimError(f"layer {self.name!r}: only conv2d and linear layers carry gates")
        self._check_split()

    def _check_gather(self) -> None:
        if self.gate != "channel" or self.off_outputs != "zero":
            raise CgsimError(
                f"layer {self.name!r}: a gather has 'channel' gates, one for each channel of its input, and "
                f"takes those that are on; got gate {self.gate!r}, off_outputs {self.off_outputs!r}"
            )
        if self.out_shape[1:] != self.in_shape[1:] or self.out_shape[0] > self.in_shape[0]:
            raise CgsimError(
                f"layer {self.name!r}: out_shape {list(self.out_shape)} of a gather must be "
                f"[1 to {self.in_shape[0]}, {self.in_shape[1]}, {self.in_shape[2]}]"
            )

    def _check_split(self) -> None:
        channels = self.in_shape[0] // self.groups
        if self.base_channels:
            if self.gate != "activation":
                raise CgsimError(
                    f"layer {self.name!r}: a base path needs gates of granularity 'activation', "
                    f"not {self.gate!r}"
                )
            if self.base_channels == channels:
                raise CgsimError(
                    f"layer {self.name!r}: base_channels {channels} is all of its input channels"
                    f"{_per_group(self.groups)}: no conditional path is left{_at_most(channels - 1)}"
                )
            if self.base_channels * self.base_groups > channels:
                raise CgsimError(
                    f"layer {self.name!r}: base_channels {self.base_channels} x base_groups "
                    f"{self.base_groups} exceeds its {channels} input channels{_per_group(self.groups)}"
                    f"{_at_most(channels // self.base_groups)}"
                )
            if self.out_shape[0] // self.groups % self.base_groups:
                raise CgsimError(
                    f"layer {self.name!r}: {self.out_shape[0]} output channels are not divisible by "
                    f"base_groups {self.base_groups}"
                )
        elif self.gate == "activation":
            raise CgsimError(
                f"layer {self.name!r}: base_channels is 0, but 'activation' gates need a base path"
                f"{_at_most(min(channels - 1, channels // self.base_groups))}"
            )
        elif self.base_groups != 1:
            raise CgsimError(f"layer {self.name!r}: base_groups needs base_channels")

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field (the last two only where they are not the usual zero)."""
        data = dataclasses.asdict(self)
        if self.off_outputs == "zero":
            del data["off_outputs"]
        if not self.gate_network_weights:
            del data["gate_network_weights"]
        return data


def _at_most(most: int) -> str:
    """What a split may have as its base; nothing if there is no valid one."""
    return f", expected 1 to {most}" if most > 1 else ", expected 1" if most == 1 else ""


def _per_group(groups: int) -> str:
    return " per group" if groups > 1 else ""


def _check_choice(layer: str, key: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise CgsimError(f"layer {layer!r}: {key} {value!r} is not known{nearest(str(value), valid)}")
