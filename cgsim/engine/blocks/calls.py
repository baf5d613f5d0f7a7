"""What the host starts, call by call: a block on all engines, or a part of one convolution on one of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from cgsim.engine.blocks.timing import dense_cycles
from cgsim.errors import CgsimError
from cgsim.hardware import Engine, Hardware
from cgsim.trace.network import INPUT, Layer, Network


@dataclass(frozen=True)
class Stage:
    """A convolution on an engine; `slices`: of its output channels one after another, in as many calls."""

    layer: Layer
    engine: Engine
    slices: int = 1


@dataclass(frozen=True)
class Block:
    """Convolutions that feed each other and nothing else. `together`: in one call, on an engine each."""

    stages: tuple[Stage, ...]
    together: bool

    @property
    def calls(self) -> int:
        """Calls by the host."""
        return 1 if self.together else sum(stage.slices for stage in self.stages)


def blocks(network: Network, hardware: Hardware) -> list[Block]:
    """The calls of a network, in order. Raises CgsimError for what no engine computes, or skips."""
    for layer in network.layers:
        if layer.gate == "activation":
            raise CgsimError(
                f"hardware {hardware.name!r}: layer {layer.name!r}: gates of single activations, expected "
                "gates of pixels or channels, which is what engines skip"
            )
    return [_block(chain, hardware) for chain in _chains(network)]


def _chains(network: Network) -> list[list[Layer]]:
    """Convolutions that feed each other and nothing else, in the order of the network."""
    readers: dict[str, int] = {}
    for layer in network.layers:
        for name in layer.producers:
            readers[name] = readers.get(name, 0) + 1
    chains: dict[str, list[Layer]] = {}  # by the layer that they end with
    for layer in network.layers:
        if not layer.on_array:
            continue
        before = layer.producers[0] if len(layer.producers) == 1 else ""
        chain = chains.pop(before, []) if readers.get(before) == 1 else []
        chains[layer.name] = [*chain, layer]
    order = {layer.name: index for index, layer in enumerate(network.layers)}
    return sorted(chains.values(), key=lambda chain: order[chain[0].name])


def _block(chain: list[Layer], hardware: Hardware) -> Block:
    """In one call if the convolutions find their engines in order and none exceeds its own."""
    if len(chain) > 1:
        engines, stages = list(hardware.engines.pipeline), []
        for layer in chain:
            while engines and engines[0].kernel != layer.kernel[0]:
                engines.pop(0)
            if engines and _slices(layer, engines[0]) == 1:
                stages.append(Stage(layer, engines.pop(0)))
        if len(stages) == len(chain):
            return Block(tuple(stages), together=True)
    return Block(tuple(_alone(layer, hardware) for layer in chain), together=False)


def _alone(layer: Layer, hardware: Hardware) -> Stage:
    """A convolution by itself, on the engine that takes the least time."""
    engines = hardware.engines.pipeline
    if hardware.engines.stem is not None and INPUT in layer.producers:
        engines = (hardware.engines.stem,)
    restart = hardware.engines.restart_cycles
    found = [
        (dense_cycles(layer, engine, restart), index, Stage(layer, engine, _slices(layer, engine)))
        for index, engine in enumerate(engines)
        if _slices(layer, engine)
    ]
    if not found:
        kernel, inputs = layer.kernel[0], layer.in_shape[0]
        raise CgsimError(
            f"hardware {hardware.name!r}: layer {layer.name!r}: no engine computes a convolution of "
            f"{kernel} x {kernel} on {inputs} channels in {layer.groups} group{'s' * (layer.groups > 1)}, "
            f"expected {' or '.join(dict.fromkeys(map(_told, engines)))}"
        )
    return min(found)[2]


def _slices(layer: Layer, engine: Engine) -> int:
    """In how many parts of its output channels an engine computes a layer; 0: not at all."""
    square = layer.kernel[0] == layer.kernel[1] == engine.kernel and layer.groups == 1
    if not square or layer.in_shape[0] > engine.most_inputs:
        return 0
    return ceil(layer.out_channels / engine.most_outputs)


def _told(engine: Engine) -> str:
    return f"{engine.kernel} x {engine.kernel} on up to {engine.most_inputs}"
