"""Which channels are on: what a layer that skips channels leaves to those who read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.errors import CgsimError
from cgsim.trace.pack import unpack_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cgsim.trace.network import Layer, Network

    PackedGates = Callable[[str], NDArray[np.uint8]]
    """Packed gates of a layer with `channel` or `static` gates, by name: uint8 [S, B] or [B]."""


def channels_on(network: Network, layer: Layer, samples: int, gates: PackedGates) -> NDArray[np.bool_]:
    """Output channels of `layer` that are on in each of `samples` samples, bool [S, N].

    Found by `Network.channel_sources`. A channel that is computed counts as on, even if all it reads is
    off: a bias or a batch norm behind it may still give a constant.
    """
    sources = network.channel_sources[layer.name]
    if not sources:
        return np.ones((samples, layer.out_channels), dtype=np.bool_)
    return _union(sources, samples, layer.out_channels, gates)


def inputs_on(network: Network, layer: Layer, samples: int, gates: PackedGates) -> NDArray[np.bool_] | None:
    """Input channels of `layer` that are on in each of `samples` samples, bool [S, Cin].

    None if none of them can ever be off. A linear layer that reads C channels of H x W pixels flattened
    has C * H * W inputs, those of a channel side by side.
    """
    sources = network.input_sources(layer)
    if not sources:
        return None
    channels = network.by_name[sources[0]].out_channels
    on = _union(sources, samples, channels, gates)
    return np.repeat(on, layer.in_shape[0] // channels, axis=1) if layer.in_shape[0] != channels else on


def check_gathered(where: str, layer: Layer, on: NDArray[np.int64], first: int | None = None) -> None:
    """Raise CgsimError unless a gather takes as many channels in each sample as its output has.

    `on` int64 [S]: gates that are on; the first sample is number `first`, if that is known.
    """
    for place in np.flatnonzero(on != layer.out_channels).tolist():
        sample = "a sample" if first is None else f"sample {first + place}"
        raise CgsimError(
            f"{where}: layer {layer.name!r}: a gather of {layer.out_channels} channels, but {sample} has "
            f"{int(on[place])} gates on"
        )


def _union(sources: Sequence[str], samples: int, channels: int, gates: PackedGates) -> NDArray[np.bool_]:
    united = np.zeros((samples, (channels + 7) // 8), dtype=np.uint8)
    for name in sources:
        united |= gates(name)
    return unpack_bits(united, channels)
