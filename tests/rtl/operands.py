"""What the RTL array multiplies: activations as its rows read them, and operands by phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgsim.trace.network import Layer


@dataclass
class Phase:
    """Operands of a phase: moving [blocks, rounds, vectors, rows], stationary [slots, rounds, rows, columns].

    `os`: [blocks, steps, pixels] and [slots, steps, columns].
    """

    moving: np.ndarray
    stationary: np.ndarray

    @property
    def head(self) -> tuple[int, int, int, int]:
        """Rounds, vectors, bytes of both."""
        return self.moving.shape[1], self.moving.shape[2], self.moving.size, self.stationary.size


NO_PHASE = Phase(np.zeros((1, 0, 0, 1), np.int8), np.zeros((1, 0, 1, 1), np.int8))


@dataclass
class Part:
    """An entry of the table of parts."""

    entry: int
    slices: int
    first: int
    count: int
    skip_from: int = 0
    skip: int = 0


def patches(layer: Layer, samples: np.ndarray) -> np.ndarray:
    """The inputs that each output pixel reads: int8 [Cin x kernel, samples x pixels], zeros outside."""
    batch, channels, _, _ = samples.shape
    pad_y, pad_x = layer.padding
    padded = np.pad(np.asarray(samples, np.int8), ((0, 0), (0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    _, height, width = layer.out_shape
    found = np.zeros((channels, *layer.kernel, batch, height, width), np.int8)
    for y in range(layer.kernel[0]):
        for x in range(layer.kernel[1]):
            top, left = y * layer.dilation[0], x * layer.dilation[1]
            seen = padded[:, :, top :: layer.stride[0], left :: layer.stride[1]][:, :, :height, :width]
            found[:, y, x] = seen.swapaxes(0, 1)
    return found.reshape(channels * layer.kernel[0] * layer.kernel[1], batch * height * width)
