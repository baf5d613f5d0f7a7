"""Output channels that gate together, put side by side: the order is learned from some samples' gates.

The channels of a slot share one stream of vectors, so a vector is needed if any of them is on, and groups
wait for one another. A compiler may permute the output channels of a layer (and the inputs of those that
read it) for nothing; which permutation pays can be learned from a few samples.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit

from cgsim.mapping.slots import Slots, slots
from cgsim.trace.network import Layer

Sync = Literal["fold", "tile", "layer"]

EFFORT = 1 << 27
"""Words of gates that the search for one layer looks at, about: a few tenths of a second."""
FEWEST_WORDS = 16
MOST_PASSES = 20


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
            order[start : start + size] += _cluster(block, layout.width, EFFORT // layout.blocks) - np.arange(
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
    return _swap_slots(np.ascontiguousarray(needs.T), places, blocks, layout.groups, by_fold)


def _in_slots(order: np.ndarray, layout: Slots, places: np.ndarray) -> np.ndarray:
    """The channels of `order` with slots put in other places, in each slot ascending."""
    return np.concatenate([np.sort(order[layout.first[slot] : layout.end[slot]]) for slot in places])


@njit(cache=True, inline="always")
def _ones(word: np.uint64) -> int:
    """Number of ones in a 64-bit word."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))  # type: ignore[return-value]


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
                counts[sample, slot] += _ones(union[word])
    return counts


@njit(cache=True)
def _cluster(words: np.ndarray, width: int, effort: int) -> np.ndarray:
    """Channels of a block in slots of `width` that need few vectors in all: uint64 [n, L] gives int64 [n].

    First greedy: a slot starts with the busiest channel that is left and takes the one that shares most
    with it, again and again. Then pairs are swapped as long as the unions become smaller in sum.
    """
    channels, length = words.shape
    order = _greedy(words, width)
    without = np.empty_like(words)  # of each place: the union of the other channels in its slot
    sizes = np.empty((channels + width - 1) // width, np.int64)
    for slot in range(len(sizes)):
        _unite(words, order, width, slot, without, sizes)
    spent = 0
    for _ in range(MOST_PASSES):
        improved = False
        for place in range(channels):
            best, other = 0, -1
            own = words[order[place]]
            for candidate in range(channels):
                if candidate // width == place // width:
                    continue
                change = -sizes[place // width] - sizes[candidate // width]
                theirs = words[order[candidate]]
                for word in range(length):
                    change += _ones(without[place, word] | theirs[word])
                    change += _ones(without[candidate, word] | own[word])
                if change < best:
                    best, other = change, candidate
            spent += channels * length * 2
            if other >= 0:
                order[place], order[other] = order[other], order[place]
                _unite(words, order, width, place // width, without, sizes)
                _unite(words, order, width, other // width, without, sizes)
                improved = True
        if not improved or spent > effort:
            break
    return order


@njit(cache=True)
def _greedy(words: np.ndarray, width: int) -> np.ndarray:
    channels, length = words.shape
    order = np.arange(channels)
    busy = np.zeros(channels, np.int64)
    for channel in range(channels):
        for word in range(length):
            busy[channel] += _ones(words[channel, word])
    free = np.ones(channels, np.bool_)
    shared = np.zeros(channels, np.int64)
    union = np.zeros(length, np.uint64)
    for place in range(channels):
        starts = place % width == 0
        best = -1
        for channel in range(channels):
            if not free[channel]:
                continue
            shared[channel] = busy[channel]
            if not starts:
                shared[channel] = 0
                for word in range(length):
                    shared[channel] += _ones(union[word] & words[channel, word])
            if best < 0 or shared[channel] > shared[best]:
                best = channel
        order[place] = best
        free[best] = False
        for word in range(length):
            union[word] = words[best, word] if starts else union[word] | words[best, word]
    return order


@njit(cache=True)
def _unite(
    words: np.ndarray, order: np.ndarray, width: int, slot: int, without: np.ndarray, sizes: np.ndarray
) -> None:
    """Fill `without` and `sizes` for one slot: the union of all but one of its channels, and of all."""
    first, end = slot * width, min((slot + 1) * width, len(order))
    sizes[slot] = 0
    for word in range(words.shape[1]):
        once, twice = np.uint64(0), np.uint64(0)
        for place in range(first, end):
            bits = words[order[place], word]
            twice |= once & bits
            once |= bits
        sizes[slot] += _ones(once)
        for place in range(first, end):
            without[place, word] = twice | (once & ~words[order[place], word])


@njit(cache=True)
def _swap_slots(
    needs: np.ndarray, places: np.ndarray, blocks: np.ndarray, groups: int, by_fold: bool
) -> np.ndarray:
    """Swap slots of a block as long as the estimate falls: needs int64 [slots, B], places int64 [slots].

    `blocks` is the block of each place, -1 where the slot has to stay.
    """
    places = places.copy()
    count, samples = needs.shape
    folds = (count + groups - 1) // groups
    state = np.zeros((folds if by_fold else groups, samples), np.int64)
    for part in range(len(state)):
        _sum_up(needs, places, groups, by_fold, part, state)
    for _ in range(MOST_PASSES):
        improved = False
        for one in range(count):
            for two in range(one + 1, count):
                a = one // groups if by_fold else one % groups
                b = two // groups if by_fold else two % groups
                if a == b or blocks[one] != blocks[two] or blocks[one] < 0:
                    continue
                if by_fold:
                    change = _fold_change(needs, places, groups, one, two, state)
                else:
                    change = _group_change(needs, places, one, two, a, b, state)
                if change < 0:
                    places[one], places[two] = places[two], places[one]
                    _sum_up(needs, places, groups, by_fold, a, state)
                    _sum_up(needs, places, groups, by_fold, b, state)
                    improved = True
        if not improved:
            break
    return places


@njit(cache=True)
def _sum_up(
    needs: np.ndarray, places: np.ndarray, groups: int, by_fold: bool, part: int, state: np.ndarray
) -> None:
    """Fill `state`, int64 [folds or groups, B]: the most that a fold needs, or the sum of a group."""
    state[part] = 0
    if by_fold:
        for place in range(part * groups, min((part + 1) * groups, len(places))):
            for sample in range(needs.shape[1]):
                state[part, sample] = max(state[part, sample], needs[places[place], sample])
    else:
        for place in range(part, len(places), groups):
            for sample in range(needs.shape[1]):
                state[part, sample] += needs[places[place], sample]


@njit(cache=True)
def _fold_change(
    needs: np.ndarray, places: np.ndarray, groups: int, one: int, two: int, state: np.ndarray
) -> int:
    """Change of the estimate if two places of different folds are swapped."""
    change = 0
    for place, other in ((one, two), (two, one)):
        fold = place // groups
        end = min((fold + 1) * groups, len(places))
        for sample in range(needs.shape[1]):
            most = needs[places[other], sample]
            old = state[fold, sample]
            if most < old and needs[places[place], sample] < old:
                continue  # another slot is the slowest, before and after
            for neighbour in range(fold * groups, end):
                if neighbour != place:
                    most = max(most, needs[places[neighbour], sample])
            change += most - old
    return change


@njit(cache=True)
def _group_change(
    needs: np.ndarray, places: np.ndarray, one: int, two: int, a: int, b: int, state: np.ndarray
) -> int:
    """Change of the estimate if places of groups a and b are swapped."""
    change = 0
    for sample in range(needs.shape[1]):
        more = needs[places[two], sample] - needs[places[one], sample]
        old, most = 0, max(state[a, sample] + more, state[b, sample] - more)
        for group in range(len(state)):
            old = max(old, state[group, sample])
            if group not in (a, b):
                most = max(most, state[group, sample])
        change += most - old
    return change
