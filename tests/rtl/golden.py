"""What a layer computes, by PyTorch: exact integers from convolutions in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from cgsim.trace.network import Layer


def sums(layer: Layer, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums int64 [B, N, M] of int8 `inputs` [B, Cin, H, W] and `weights` [N, Cin / groups, kh, kw].

    Every partial sum is an integer below 2^53, so float64 holds it whatever the order of additions; and
    below 2^31, so that the accumulators of the RTL hold it.
    """
    assert inputs.dtype == weights.dtype == np.int8
    assert layer.reduction * 128 * 128 < 1 << 31
    result = functional.conv2d(
        torch.from_numpy(inputs.astype(np.float64)),
        torch.from_numpy(weights.astype(np.float64)),
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    whole = result.numpy().astype(np.int64)
    assert whole.shape[1:] == layer.out_shape
    return whole.reshape(len(inputs), layer.out_channels, layer.pixels)


def base_sums(layer: Layer, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums int64 [B, N, M] over the base channels of each output channel."""
    return sums(layer, inputs, weights * base_mask(layer)[:, :, None, None])


def base_mask(layer: Layer) -> np.ndarray:
    """int8 [N, Cin / groups]: 1 where an input channel belongs to the base path of an output channel."""
    per_group = layer.out_channels // layer.groups
    block = np.arange(layer.out_channels) % per_group * layer.base_groups // per_group
    channel = np.arange(layer.in_shape[0] // layer.groups)
    return (channel[None, :] // layer.base_channels == block[:, None]).astype(np.int8)


def computed(
    layer: Layer,
    inputs: np.ndarray,
    weights: np.ndarray,
    thresholds: np.ndarray | None,
    pixel_gates: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """(outputs int64 [B, N, M], gates bool [B, N, M] or None for a dense layer)."""
    whole = sums(layer, inputs, weights)
    if thresholds is not None:
        base = base_sums(layer, inputs, weights)
        gates = base > thresholds[None, :, None]
        return np.where(gates, whole, base), gates
    if pixel_gates is not None:
        gates = np.broadcast_to(pixel_gates.reshape(len(inputs), 1, layer.pixels), whole.shape)
        return np.where(gates, whole, 0), gates
    return whole, None


def ungated(layer: Layer) -> Layer:
    """The layer without its split: what dense execution computes."""
    return replace(layer, gate="none", base_channels=0, base_groups=1)
