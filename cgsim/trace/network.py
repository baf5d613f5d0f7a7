"""What a network is to cgsim: layers in execution order, each with its shapes and its gating."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from cgsim.errors import CgsimError, nearest

Operator = Literal["conv2d", "linear", "pool", "add", "global_pool", "gate_network"]
Granularity = Literal["activation", "pixel", "channel", "static", "none"]
OPERATORS: tuple[str, ...] = get_args(Operator)
GRANULARITIES: tuple[str, ...] = get_args(Granularity)

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
        """Shape of one sample's gates as booleans: (N, M), (M,), (N,) or () for `none`."""
        shapes: dict[str, tuple[int, ...]] = {
            "activation": (self.out_channels, self.pixels),
            "pixel": (self.pixels,),
            "channel": (self.out_channels,),
            "static": (self.out_channels,),
            "none": (),
        }
        return shapes[self.gate]

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
        if self.operator == "pool" and self.in_shape[0] != self.out_shape[0]:
            raise CgsimError(f"layer {self.name!r}: a pool keeps its {self.in_shape[0]} channels")
        if self.in_shape[0] % self.groups or self.out_shape[0] % self.groups:
            raise CgsimError(f"layer {self.name!r}: channels are not divisible by groups {self.groups}")
        if not self.on_array and (self.gate != "none" or self.base_channels):
            raise CgsimError(f"layer {self.name!r}: only conv2d and linear layers carry gates")
        self._check_split()

    def _check_split(self) -> None:
        channels = self.in_shape[0] // self.groups
        if self.base_channels:
            if self.gate != "activation":
                raise CgsimError(
                    f"layer {self.name!r}: a base path needs gates of granularity 'activation', "
                    f"not {self.gate!r}"
                )
            if self.base_channels * self.base_groups > channels or self.base_channels == channels:
                raise CgsimError(
                    f"layer {self.name!r}: base_channels {self.base_channels} x base_groups "
                    f"{self.base_groups} must leave a conditional path in {channels} input channels"
                )
            if self.out_shape[0] // self.groups % self.base_groups:
                raise CgsimError(
                    f"layer {self.name!r}: {self.out_shape[0]} output channels are not divisible by "
                    f"base_groups {self.base_groups}"
                )
        elif self.gate == "activation":
            raise CgsimError(f"layer {self.name!r}: 'activation' gates need base_channels of 1 or more")
        elif self.base_groups != 1:
            raise CgsimError(f"layer {self.name!r}: base_groups needs base_channels")

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Network:
    """Layers in execution order; `producers` names make the graph."""

    name: str
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        """Check every layer and the graph; raise CgsimError on the first contradiction."""
        if not self.layers:
            raise CgsimError(f"network {self.name!r} has no layers")
        shapes: dict[str, tuple[int, int, int]] = {}
        for layer in self.layers:
            layer.check()
            if layer.name in shapes or layer.name == INPUT:
                raise CgsimError(f"layer {layer.name!r}: the name is taken")
            adds = layer.operator == "add"
            if len(layer.producers) < 2 if adds else len(layer.producers) > 1:
                raise CgsimError(
                    f"layer {layer.name!r}: {layer.operator} takes "
                    f"{'2 or more' if adds else 'at most 1'} producers, got {list(layer.producers)}"
                )
            for producer in layer.producers:
                if producer == INPUT:
                    shapes.setdefault(INPUT, layer.in_shape)
                elif producer not in shapes:
                    raise CgsimError(
                        f"layer {layer.name!r}: producer {producer!r} is not an earlier layer"
                        + nearest(producer, shapes)
                    )
                made = shapes[producer]
                flat = layer.operator == "linear" and layer.in_shape[0] == made[0] * made[1] * made[2]
                if made != layer.in_shape and not flat:
                    raise CgsimError(
                        f"layer {layer.name!r}: in_shape {list(layer.in_shape)} contradicts the shape "
                        f"{list(made)} of its producer {producer!r}"
                    )
            shapes[layer.name] = layer.out_shape

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """Layers by name."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def channel_sources(self) -> dict[str, tuple[str, ...]]:
        """Per layer (and INPUT) the layers whose gates decide which of its output channels are on.

        An output channel is off, zero for everybody who reads it, where the gates of all of them switch it
        off; with no such layer every channel is always on. Layers with `channel` or `static` gates switch
        their own; pooling passes on what it reads, and a sum is off only where all its operands are.
        """
        found: dict[str, tuple[str, ...]] = {INPUT: ()}
        for layer in self.layers:
            if layer.gate in ("channel", "static"):
                found[layer.name] = (layer.name,)
            elif layer.operator in ("pool", "global_pool", "add"):
                found[layer.name] = _united([found[name] for name in layer.producers])
            else:
                found[layer.name] = ()
        return found

    def input_sources(self, layer: Layer) -> tuple[str, ...]:
        """The layers whose gates decide which of the inputs of `layer` are on, as in `channel_sources`."""
        return _united([self.channel_sources[name] for name in layer.producers])

    @property
    def dense_macs(self) -> int:
        """MACs of the ungated network for one sample."""
        return sum(layer.dense_macs for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """A JSON object: name and layers."""
        return {"name": self.name, "layers": [layer.to_json() for layer in self.layers]}

    @classmethod
    def from_json(cls, data: Any) -> Network:
        """Build from `to_json`'s object; raises CgsimError on unknown, missing or ill-typed fields."""
        if not isinstance(data, dict) or set(data) != {"name", "layers"}:
            raise CgsimError("network: expected an object with 'name' and 'layers'")
        if not isinstance(data["name"], str) or not isinstance(data["layers"], list):
            raise CgsimError("network: 'name' must be a string and 'layers' a list")
        return cls(data["name"], tuple(_layer_from_json(item) for item in data["layers"]))


def _united(operands: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The sources of a sum: none if an operand is always on, else those of all operands."""
    return tuple(dict.fromkeys(name for names in operands for name in names)) if all(operands) else ()


_FIELDS = {field.name: field for field in dataclasses.fields(Layer)}
_REQUIRED = ("name", "operator", "in_shape", "out_shape")


def _layer_from_json(item: Any) -> Layer:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise CgsimError("network: every layer must be an object with a 'name'")
    name = item["name"]
    for key in item:
        if key not in _FIELDS:
            raise CgsimError(f"layer {name!r}: unknown key {key!r}{nearest(key, _FIELDS)}")
    for key in _REQUIRED:
        if key not in item:
            raise CgsimError(f"layer {name!r}: key {key!r} is missing")
    return Layer(**{key: _field_value(name, key, value) for key, value in item.items()})


def _field_value(name: str, key: str, value: Any) -> Any:
    kind = str(_FIELDS[key].type)
    if kind == "int":
        good: Any = value if isinstance(value, int) and not isinstance(value, bool) else None
    elif kind.startswith("tuple[int"):
        length = kind.count("int")
        fine = isinstance(value, list | tuple) and len(value) == length
        fine = fine and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
        good = tuple(value) if fine else None
    elif kind.startswith("tuple[str"):
        fine = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        good = tuple(value) if fine else None
    else:
        good = value if isinstance(value, str) else None
    if good is None:
        raise CgsimError(f"layer {name!r}: key {key!r} must be {kind}, got {value!r}")
    return good


def _check_choice(layer: str, key: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise CgsimError(f"layer {layer!r}: {key} {value!r} is not known{nearest(str(value), valid)}")
