"""Searches for `cgsim.mapping.channel_order`: pairs are swapped as long as that helps."""

from __future__ import annotations

import numpy as np
from numba import njit

MOST_PASSES = 20


@njit(cache=True, inline="always")
def ones(word: np.uint64) -> int:
    """Number of ones in a 64-bit word."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))  # type: ignore[return-value]


@njit(cache=True)
def cluster(words: np.ndarray, width: int, effort: int) -> np.ndarray:
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
                    change += ones(without[place, word] | theirs[word])
                    change += ones(without[candidate, word] | own[word])
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
            busy[channel] += ones(words[channel, word])
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
                    shared[channel] += ones(union[word] & words[channel, word])
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
        sizes[slot] += ones(once)
        for place in range(first, end):
            without[place, word] = twice | (once & ~words[order[place], word])


@njit(cache=True)
def arrange(
    needs: np.ndarray, places: np.ndarray, blocks: np.ndarray, groups: int, by_fold: bool, effort: int
) -> np.ndarray:
    """Swap slots of a block as long as the estimate falls: needs int64 [slots, B], places int64 [slots].

    Place p belongs to group p % groups of fold p // groups. `by_fold`: the sum over folds of the most that a
    group needs; else the most that a group needs in all folds together. `blocks` is the block of each
    place, -1 where the slot has to stay. About `effort` figures are looked at.
    """
    places = places.copy()
    count, samples = needs.shape
    folds = (count + groups - 1) // groups
    # By fold: the two largest needs of each fold and where the largest is. Else: the groups' sums, and the
    # three groups with the largest.
    most = np.zeros((folds, samples), np.int64)
    second = np.zeros((folds, samples), np.int64)
    where = np.zeros((folds, samples), np.int64)
    sums = np.zeros((groups, samples), np.int64)
    top = np.zeros((3, samples), np.int64)
    for fold in range(folds):
        _look(needs, places, groups, fold, most, second, where)
    for place in range(count):
        sums[place % groups] += needs[places[place]]
    _rank(sums, top)
    spent = 0
    for _ in range(MOST_PASSES):
        improved = False
        for one in range(count):
            if spent > effort:
                return places
            for two in range(one + 1, count):
                if blocks[one] != blocks[two] or blocks[one] < 0:
                    continue
                spent += 2 * samples
                first, last = places[one], places[two]
                if by_fold:
                    if one // groups == two // groups:
                        continue
                    change = 0
                    for place, new in ((one, last), (two, first)):
                        fold = place // groups
                        for b in range(samples):
                            rest = second[fold, b] if where[fold, b] == place else most[fold, b]
                            change += max(rest, needs[new, b]) - most[fold, b]
                else:
                    change = _group_change(sums, top, needs[last], needs[first], one % groups, two % groups)
                if change >= 0:
                    continue
                places[one], places[two] = last, first
                improved = True
                if by_fold:
                    _look(needs, places, groups, one // groups, most, second, where)
                    _look(needs, places, groups, two // groups, most, second, where)
                else:
                    sums[one % groups] += needs[last] - needs[first]
                    sums[two % groups] -= needs[last] - needs[first]
                    _rank(sums, top)
        if not improved:
            break
    return places


@njit(cache=True)
def _look(
    needs: np.ndarray,
    places: np.ndarray,
    groups: int,
    fold: int,
    most: np.ndarray,
    second: np.ndarray,
    where: np.ndarray,
) -> None:
    """The largest need in a fold, its place, and the second largest, in each batch of samples."""
    most[fold] = 0
    second[fold] = 0
    where[fold] = -1
    for place in range(fold * groups, min((fold + 1) * groups, len(places))):
        for b in range(needs.shape[1]):
            value = needs[places[place], b]
            if value > most[fold, b]:
                second[fold, b] = most[fold, b]
                most[fold, b] = value
                where[fold, b] = place
            elif value > second[fold, b]:
                second[fold, b] = value


@njit(cache=True)
def _rank(sums: np.ndarray, top: np.ndarray) -> None:
    """The three groups with the largest sums in each batch of samples, -1 where there are fewer."""
    top[:] = -1
    for group in range(len(sums)):
        for b in range(sums.shape[1]):
            moving = group
            for rank in range(3):
                held = top[rank, b]
                if held < 0 or sums[moving, b] > sums[held, b]:
                    top[rank, b] = moving
                    moving = held
                if moving < 0:
                    break


@njit(cache=True)
def _group_change(
    sums: np.ndarray, top: np.ndarray, more: np.ndarray, less: np.ndarray, a: int, b: int
) -> int:
    """Change of the largest sums if group a gets `more` for `less`, and group b the reverse."""
    if a == b:
        return 0
    change = 0
    for batch in range(sums.shape[1]):
        delta = more[batch] - less[batch]
        most = max(sums[a, batch] + delta, sums[b, batch] - delta)
        for rank in range(3):
            group = top[rank, batch]
            if group >= 0 and group != a and group != b:
                most = max(most, sums[group, batch])
                break
        change += most - sums[top[0, batch], batch]
    return change
