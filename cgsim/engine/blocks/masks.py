"""Which pixels the convolutions of a block compute, and how many of the pixels that they read were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cgsim.engine.gates import Gates
from cgsim.trace.network import Layer
from cgsim.trace.pack import unpack_bits


@dataclass(frozen=True)
class Kept:
    """Of a convolution, int64 [S] each: outputs computed, taps of these that were kept, inputs kept."""

    pixels: np.ndarray
    taps: np.ndarray
    inputs: np.ndarray


def kept_of(trace: Gates, layers: Sequence[Layer], samples: np.ndarray, gated: bool) -> list[Kept]:
    """What each convolution of a block computes for `samples`.

    The mask of a block is the `pixel` gates of its convolutions: one without them has those of another one of
    the block with an output as large. A convolution reads only what the one before has computed; the first
    one, of stride 1, what its own mask keeps of the input. Of a first one with a stride, the input's mask is
    not in the trace: its density is taken to be what leaves as many outputs as there are, were its pixels
    kept independently of each other.
    """
    masks = {layer.name: _own(trace, layer, samples, gated) for layer in layers}
    for layer in layers:
        if masks[layer.name] is None:
            others = [masks[other.name] for other in layers if other.out_shape[1:] == layer.out_shape[1:]]
            masks[layer.name] = next((mask for mask in others if mask is not None), None)
    found = []
    before: np.ndarray | None = None
    for position, layer in enumerate(layers):
        mask = masks[layer.name]
        if position == 0 and layer.stride == (1, 1):
            before = mask
        if position == 0 and layer.stride != (1, 1) and mask is not None:
            found.append(_guessed(layer, mask))
        else:
            found.append(_counted(layer, mask, before, len(samples)))
        before = mask
    return found


def _own(trace: Gates, layer: Layer, samples: np.ndarray, gated: bool) -> np.ndarray | None:
    if not gated or layer.gate != "pixel":
        return None
    words = np.ascontiguousarray(trace.gates(layer.name, samples))
    bits = unpack_bits(words.view(np.uint8), layer.pixels)
    return bits.reshape(len(samples), *layer.out_shape[1:]).astype(bool)


def _counted(layer: Layer, mask: np.ndarray | None, before: np.ndarray | None, samples: int) -> Kept:
    """`mask` bool [S, H, W] of the outputs, `before` of the inputs; None: all of them."""
    outputs = np.ones((samples, *layer.out_shape[1:]), bool) if mask is None else mask
    inputs = np.ones((samples, *layer.in_shape[1:]), bool) if before is None else before
    (top, left), (down, right) = layer.padding, layer.stride
    padded = np.pad(inputs, ((0, 0), (top, top), (left, left)))
    high, wide = layer.out_shape[1:]
    taps = np.zeros(samples, np.int64)
    for y in range(layer.kernel[0]):
        for x in range(layer.kernel[1]):
            seen = padded[:, y : y + down * (high - 1) + 1 : down, x : x + right * (wide - 1) + 1 : right]
            taps += (seen & outputs).sum(axis=(1, 2))
    return Kept(outputs.sum(axis=(1, 2)), taps, inputs.sum(axis=(1, 2)))


def _guessed(layer: Layer, mask: np.ndarray) -> Kept:
    pixels, window = mask.sum(axis=(1, 2)), layer.kernel[0] * layer.kernel[1]
    density = 1 - (1 - pixels / layer.pixels) ** (1 / window)
    taps = np.rint(layer.pixels * window * density).astype(np.int64)
    inputs = np.rint(layer.in_shape[1] * layer.in_shape[2] * density).astype(np.int64)
    return Kept(pixels, np.minimum(taps, pixels * window), inputs)
