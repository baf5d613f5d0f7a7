"""Cycles of an engine: its loops, counted.

An engine goes through kept pixels, taps (or takes a whole window at once), groups of `inputs` channels and
groups of `outputs` channels. The innermost loop takes a cycle a turn; leaving it and entering it anew costs
`restart` cycles, in which the pipeline of multipliers and adders runs empty.
"""

from __future__ import annotations

import numpy as np

from cgsim.hardware import Engine
from cgsim.trace.network import Layer


def engine_cycles(
    engine: Engine,
    pixels: np.ndarray,
    taps: np.ndarray,
    inputs: np.ndarray,
    outputs: np.ndarray,
    restart: int,
) -> np.ndarray:
    """Cycles of a convolution for S samples, int64 [S], without its weights.

    `pixels` outputs are computed from `taps` pixels of the input that were kept, all together; `inputs` and
    `outputs` channels are on. A skipped tap costs a restart; a window taken at once has none. Sums that took
    several turns leave behind the last one, a group of channels a cycle.
    """
    ins, outs = -(-inputs // engine.inputs), -(-outputs // engine.outputs)
    if engine.kernel == 1:
        cycles = pixels * (ins + restart + outs * (ins + restart))
    elif engine.taps > 1:
        cycles = pixels * (ins * (outs + restart) + np.where(ins > 1, outs, 0))
    else:
        skipped = pixels * engine.kernel**2 - taps
        cycles = taps * ins * (outs + restart) + skipped * restart + pixels * outs
    return np.where((inputs > 0) & (outputs > 0), cycles, 0)


def search_cycles(
    engine: Engine, pixels: np.ndarray, kept: np.ndarray, inputs: np.ndarray, restart: int
) -> np.ndarray:
    """Cycles in which the input's `pixels` are read and weighed, and those `kept` handed on, int64 [S].

    Two loops for each pixel, the second of which ends at once where the pixel is not kept.
    """
    turns = -(-inputs // engine.inputs)
    return pixels * (turns + 2 * restart) + kept * turns


def weight_cycles(engine: Engine, inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Cycles in which an engine's weights are loaded before it starts, int64 [S]: `inputs` bytes a cycle."""
    return engine.kernel**2 * -(-inputs // engine.inputs) * outputs


def dense_cycles(layer: Layer, engine: Engine, restart: int) -> int:
    """Cycles of a layer without gates."""
    one = np.ones(1, np.int64)
    pixels = one * layer.pixels
    taps = pixels * engine.kernel**2
    found = engine_cycles(engine, pixels, taps, one * layer.in_shape[0], one * layer.out_channels, restart)
    return int(found[0])
