"""Output channels that gate together, put side by side: the order is learned from some samples' gates.

The channels of a slot share one stream of vectors, so a vector is needed if any of them is on, and groups
wait for one another. Which column computes which channel is the compiler's choice and costs nothing: results
go to the addresses of their channels. Which choice pays can be learned from a few samples.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit

from cgsim.mapping.channel_swaps import arrange, cluster, ones
from cgsim.mapping.slots import Slots, slots
from cgsim.trace.network import Layer

Sync = Literal["fold", "tile", "layer"]

EFFORT = 1 << 27
"""Words of gates that the search for one layer looks at, about: a few tenths of a second."""
FEWEST_WORDS = 16
MOST_SAMPLES = 64


def channel_order(
    layer: Layer,
    gates: np.ndarray,
    cols: int,
    column_groups: int,
    sync: Sync,
    rows: int = 1,
    batch: int = 1,
) -> np.ndarray:
    """The order in which output channels take the columns: int64 [N], the channel at each place.

    Args:
        layer: one with gates per activation; others keep their natural order.
        gates: packed gates of the samples to learn from, uint64 [S, N, W], as `Trace.gates` gives them.
        cols: columns of the array.
        column_groups: equal groups of columns; the w = cols / column_groups columns of a group are a slot.
        sync: when groups wait for each other: at each `fold`, or else at the end of a `tile` or `layer`.
        rows: cycles that a fold takes at least, if it is needed at all (the weights of its successor load).
        batch: samples that share folds.

    Channels stay within their block (`cgsim.mapping.slots`). By the `estimate` of the same samples the
    result is never worse than the natural order, which is returned where nothing better is found. No
    randomness: the same arguments give the same order.
    """
    natural = np.arange(layer.out_channels, dtype=np.int64)
    if layer.gate != "activation" or not len(gates):
        return natural
    layout = slots(layer, cols, column_groups)
    size = layer.out_channels // layout.blocks
    joined = np.ascontiguousarray(gates.transpose(1, 0, 2)).reshape(layer.out_channels, -1)
    order = natural.copy()
    if 1 < layout.width < size:
        words = joined[:, _sampled(joined.shape[1], size * size * layout.blocks)]
        for start in range(0, layer.out_channels, size):
            block = np.ascontiguousarray(words[start : start + size])
            order[start : start + size] += cluster(block, layout.width, EFFORT // layout.blocks) - np.arange(
                size
            )
    needs = _costs(gates, order, layout, rows, batch)
    order = _in_slots(order, layout, _arranged(needs, layout, sync == "fold"))
    before = estimate(gates, natural, layout, sync, rows, batch)
    return order if estimate(gates, order, layout, sync, rows, batch) < before else natural


def estimate(
    gates: np.ndarray, order: np.ndarray, layout: Slots, sync: Sync, rows: int = 1, batch: int = 1
) -> int:
    """Cycles in which the conditional path streams once over all pixels of all samples, roughly.

    With `sync` `fold` a column fold takes as long as its slowest group, else the groups meet when each has
    gone through all its slots. `gates` uint64 [S, N, W] and `order` [N] as in `channel_order`.
    """
    costs = _costs(gates, order, layout, rows, batch)
    groups = layout.groups
    padded = np.zeros((len(costs), layout.column_folds * groups), np.int64)
    padded[:, : costs.shape[1]] = costs
    by_fold = padded.reshape(len(costs), layout.column_folds, groups)
    return int(by_fold.max(2).sum() if sync == "fold" else by_fold.sum(1).max(1).sum())


def _costs(gates: np.ndarray, order: np.ndarray, layout: Slots, rows: int, batch: int) -> np.ndarray:
    """Cycles of each slot in each batch of samples, int64 [B, slots]: needed vectors, `rows` at least."""
    needs = _needed(np.ascontiguousarray(gates), order, layout.first, layout.end)
    needs = np.add.reduceat(needs, np.arange(0, len(needs), batch), axis=0)
    return np.where(needs > 0, np.maximum(needs, rows), 0)


def _sampled(words: int, pairs: int) -> np.ndarray:
    """Which words of all samples the search looks at, evenly spread: few where there are many channels."""
    count = min(words, max(FEWEST_WORDS, EFFORT // 4 // max(pairs, 1)))
    return (np.arange(count) * words) // count


def _arranged(needs: np.ndarray, layout: Slots, by_fold: bool) -> np.ndarray:
    """Which slot takes which place, int64 [slots]: in its block; one that is not full stays at the end."""
    count = needs.shape[1]
    per_block = count // layout.blocks
    full = layout.end - layout.first == layout.end[0] - layout.first[0]
    total = needs.sum(0)
    places = np.arange(count, dtype=np.int64)
    for block in range(layout.blocks):
        movable = places[block * per_block : (block + 1) * per_block][
            full[block * per_block : (block + 1) * per_block]
        ]
        falling = movable[np.argsort(-total[movable], kind="stable")]
        if by_fold:  # neighbours alike, across the border of two blocks as well
            places[movable] = falling if block % 2 == 0 else falling[::-1]
        else:  # forth and back, so that the groups' sums are alike
            for start in range(0, len(falling), layout.groups):
                piece = falling[start : start + layout.groups]
                places[movable[start : start + layout.groups]] = (
                    piece if start // layout.groups % 2 == 0 else piece[::-1]
                )
    blocks = np.where(full, np.arange(count) // per_block, -1)
    looked = (np.arange(min(len(needs), MOST_SAMPLES)) * len(needs)) // min(len(needs), MOST_SAMPLES)
    return arrange(np.ascontiguousarray(needs[looked].T), places, blocks, layout.groups, by_fold, EFFORT)


def _in_slots(order: np.ndarray, layout: Slots, places: np.ndarray) -> np.ndarray:
    """The channels of `order` with slots put in other places, in each slot ascending."""
    return np.concatenate([np.sort(order[layout.first[slot] : layout.end[slot]]) for slot in places])


@njit(cache=True)
def _needed(gates: np.ndarray, order: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Pixels that at least one channel of a slot needs: uint64 [S, N, W] gives int64 [S, slots]."""
    counts = np.zeros((gates.shape[0], len(first)), np.int64)
    union = np.empty(gates.shape[2], np.uint64)
    for sample in range(gates.shape[0]):
        for slot in range(len(first)):
            union[:] = 0
            for place in range(first[slot], end[slot]):
                row = gates[sample, order[place]]
                for word in range(len(union)):
                    union[word] |= row[word]
            for word in range(len(union)):
                counts[sample, slot] += ones(union[word])
    return counts
