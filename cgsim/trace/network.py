"""What a network is to cgsim: layers in execution order; the names of their producers make the graph."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cgsim.errors import CgsimError, nearest
from cgsim.trace.layer import GRANULARITIES, INPUT, OPERATORS, Granularity, Layer, Operator

__all__ = ["GRANULARITIES", "INPUT", "OPERATORS", "Granularity", "Layer", "Network", "Operator"]


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
        changed: dict[str, str] = {}  # by a partial addition
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
                if producer in changed:
                    raise CgsimError(
                        f"layer {layer.name!r}: reads {producer!r}, which the partial addition "
                        f"{changed[producer]!r} has changed in place"
                    )
                made = shapes[producer]
                flat = layer.operator == "linear" and layer.in_shape[0] == made[0] * made[1] * made[2]
                partial = adds and producer == layer.producers[-1] and len(layer.producers) == 2
                partial &= made[1:] == layer.in_shape[1:] and made[0] < layer.in_shape[0]
                if made != layer.in_shape and not flat and not partial:
                    raise CgsimError(
                        f"layer {layer.name!r}: in_shape {list(layer.in_shape)} contradicts the shape "
                        f"{list(made)} of its producer {producer!r}"
                    )
            shapes[layer.name] = layer.out_shape
            if adds and shapes[layer.producers[-1]] != layer.in_shape:
                changed[layer.producers[0]] = layer.name
        self._check_gate_networks()

    def _check_gate_networks(self) -> None:
        """A gate network decides for the next gated layer: its MACs stand in one of the two."""
        told = ""
        for layer in self.layers:
            if layer.operator == "gate_network" and layer.gate_network_macs:
                told = layer.name
            elif layer.gate not in ("none", "static"):
                if told and layer.gate_network_macs:
                    raise CgsimError(
                        f"layer {layer.name!r}: gate_network_macs {layer.gate_network_macs} would count "
                        f"twice: the gate_network {told!r} before it tells them, expected 0"
                    )
                told = ""

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """Layers by name."""
        return {layer.name: layer for layer in self.layers}

    def is_partial(self, layer: Layer) -> bool:
        """True of an addition whose second operand has fewer channels: it changes only the first ones."""
        return self.added_channels(layer) < layer.out_channels

    def added_channels(self, layer: Layer) -> int:
        """Channels of its result that an addition changes: k of a partial one, else all."""
        if layer.operator != "add":
            return layer.out_channels
        every = layer.in_shape[0]
        return min(every if name == INPUT else self.by_name[name].out_channels for name in layer.producers)

    @cached_property
    def channel_sources(self) -> dict[str, tuple[str, ...]]:
        """Per layer (and INPUT) the layers whose gates decide which of its output channels are on.

        An output channel is off, zero for everybody who reads it, where the gates of all of them switch it
        off; with no such layer every channel is always on. Layers with `channel` or `static` gates switch
        their own; pooling passes on what it reads, and a sum is off only where all its operands are. All
        channels of a gather and of a partial addition are on.
        """
        found: dict[str, tuple[str, ...]] = {INPUT: ()}
        for layer in self.layers:
            if layer.on_array and layer.gate in ("channel", "static"):
                found[layer.name] = (layer.name,) if layer.off_outputs == "zero" else ()
            elif layer.operator in ("pool", "global_pool", "add") and not self.is_partial(layer):
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
