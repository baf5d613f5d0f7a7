"""The rounds of folds of a phase of a tile: what each column group streams (docs/machine-model.md, Array)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.engine.bits import append_bits, count_range
from cgsim.engine.machine import IS, LAYER, OS, WS, Machine, Workload
from cgsim.engine.scan import batch_cycles, stream_cycles
from cgsim.mapping.parts import END, FIRST, LENGTH, SKIP_END, SKIP_FIRST
from cgsim.mapping.plan import Plan


class Rounds(NamedTuple):
    """Rounds of a phase of a tile: in round p each column group streams one fold, `repeat`[p] times in a row.

    int64 [P, G]: `needed` vectors of a group, `stream` cycles until the last of them has entered (0: the
    group takes no part), `load` cycles in which its stationary operands (`os`: row addresses) are
    written, `word` a number that is equal where groups read the same activations, `row` of `words` that tells
    which of the candidates [first, end) are needed. int64 [P]: `present` groups that hold a slot; `part` of
    the reduction, -1 for all; `times` the round is run per row fold; `repeat`, set by `cut`.
    """

    needed: np.ndarray
    stream: np.ndarray
    load: np.ndarray
    word: np.ndarray
    row: np.ndarray
    present: np.ndarray
    part: np.ndarray
    times: np.ndarray
    repeat: np.ndarray
    words: np.ndarray
    first: int
    end: int


@njit(cache=True)
def _rounds(positions: int, groups: int, words: np.ndarray, first: int, end: int) -> Rounds:
    return Rounds(
        np.zeros((positions, groups), np.int64),
        np.zeros((positions, groups), np.int64),
        np.zeros((positions, groups), np.int64),
        np.zeros((positions, groups), np.int64),
        np.zeros((positions, groups), np.int64),
        np.ones(positions, np.int64),
        np.zeros(positions, np.int64),
        np.ones(positions, np.int64),
        np.zeros(positions, np.int64),
        words,
        first,
        end,
    )


@njit(cache=True)
def users(part: np.ndarray, first: int, end: int) -> int:
    """Output channels of [first, end) that use a part."""
    skipped = min(end, part[SKIP_END]) - max(first, part[SKIP_FIRST])
    return max(0, min(end, part[END]) - max(first, part[FIRST])) - max(0, skipped)


@njit(cache=True)
def base_rounds(at_pixels: int, at_channels: int, plan: Plan, work: Workload, machine: Machine) -> Rounds:
    """All vectors for all groups. Groups that are alike in every round are given as one."""
    pixels = plan.pixels[at_pixels, 1] - plan.pixels[at_pixels, 0]
    first_slot = plan.folds[at_channels, 0] * work.column_groups
    slots = min(plan.folds[at_channels, 1] * work.column_groups, len(work.slot_block)) - first_slot
    row_tiles = -(-pixels // machine.rows)
    none = np.zeros((0, 0), np.uint64)
    parts = work.base_parts
    if machine.dataflow == IS:
        slots = -(-pixels // work.width)
    groups = work.column_groups
    folds = -(-slots // groups)
    blocks = work.slot_block[first_slot] != work.slot_block[min(first_slot + slots, len(work.slot_block)) - 1]
    conflicts = machine.banks > 0 and machine.dataflow != IS and blocks
    if machine.sync != LAYER and not conflicts:
        groups = 1
    alike = groups == 1

    if machine.dataflow == IS:
        first, end = plan.channels[at_channels]
        used = 0
        same = True
        count = 0
        for part in range(len(parts)):
            using = users(parts[part], first, end)
            if using > 0:
                same = same and (used == 0 or using == count)
                used += 1
                count = using
        if alike and same:
            rounds = _rounds(1, 1, none, 0, 0)
            rounds.needed[:], rounds.stream[:], rounds.load[:] = count, count, machine.rows
            rounds.part[0], rounds.times[0] = -1, folds
            return rounds
        rounds = _rounds(folds * used, groups, none, 0, 0)
        position = 0
        for fold in range(folds):
            for part in range(len(parts)):
                using = users(parts[part], first, end)
                if using == 0:
                    continue
                present = 1 if alike else min(groups, slots - fold * groups)
                rounds.needed[position, :present] = rounds.stream[position, :present] = using
                rounds.load[position, :present] = machine.rows
                rounds.present[position], rounds.part[position] = present, part
                position += 1
        return rounds

    tiles = row_tiles if machine.dataflow == OS else 1
    if alike:
        rounds = _rounds(1, 1, none, 0, 0)
        rounds.needed[:], rounds.stream[:] = pixels, pixels
        rounds.load[:] = machine.rows if machine.dataflow == WS else 0
        rounds.times[0] = folds * tiles
        return rounds
    rounds = _rounds(folds * tiles, groups, none, 0, 0)
    for position in range(folds * tiles):
        fold, tile = position // tiles, position % tiles
        present = min(groups, slots - fold * groups)
        rounds.present[position] = present
        for group in range(present):
            rounds.needed[position, group] = rounds.stream[position, group] = pixels
            rounds.load[position, group] = machine.rows if machine.dataflow == WS else 0
            block = work.slot_block[first_slot + fold * groups + group]
            rounds.word[position, group] = block * tiles + tile
    return rounds


@njit(cache=True)
def late_rounds(
    at_pixels: int,
    at_channels: int,
    plan: Plan,
    work: Workload,
    machine: Machine,
    united: np.ndarray,
    filters: np.ndarray,
) -> Rounds:
    """Needed vectors only.

    `united` uint64 [slots, pixels / 64]: pixels that each slot of channels needs. `filters` uint64 [slots of
    pixels, N / 64]: filters that each slot of pixels needs (`is`, all tiles one after the other).
    """
    first, end = plan.pixels[at_pixels]
    first_slot = plan.folds[at_channels, 0] * work.column_groups
    slots = min(plan.folds[at_channels, 1] * work.column_groups, len(work.slot_block)) - first_slot
    if machine.dataflow == IS:
        return _late_filters(at_pixels, at_channels, plan, work, machine, united, filters)
    groups = work.column_groups
    folds = -(-slots // groups)
    if machine.dataflow == WS:
        rounds = _rounds(folds, groups, united, first, end)
        for slot in range(slots):
            fold, group = slot // groups, slot % groups
            row = first_slot + slot
            rounds.needed[fold, group] = count_range(united[row], first, end)
            rounds.stream[fold, group] = stream_cycles(united[row], first, end, work.scanner)
            rounds.load[fold, group] = machine.rows
            rounds.word[fold, group] = work.slot_block[row]
            rounds.row[fold, group] = row
            rounds.present[fold] = group + 1
        return rounds

    most = -(-(end - first) // machine.rows)
    loads = np.zeros((slots, most), np.int64)
    tiles = np.zeros(slots, np.int64)
    positions = 0
    for slot in range(slots):
        tiles[slot] = batch_cycles(
            united[first_slot + slot], first, end, machine.rows, work.scanner, loads[slot]
        )
    for fold in range(folds):
        positions += tiles[fold * groups : (fold + 1) * groups].max()
    rounds = _rounds(positions, groups, united, first, end)
    position = 0
    for fold in range(folds):
        present = min(groups, slots - fold * groups)
        for tile in range(tiles[fold * groups : fold * groups + present].max()):
            rounds.present[position] = present
            for group in range(present):
                slot = fold * groups + group
                if tile < tiles[slot]:
                    rounds.needed[position, group] = rounds.stream[position, group] = 1
                    rounds.load[position, group] = max(machine.rows, loads[slot, tile])
                    rounds.word[position, group] = slot * most + tile
            position += 1
    return rounds


@njit(cache=True)
def _late_filters(
    at_pixels: int,
    at_channels: int,
    plan: Plan,
    work: Workload,
    machine: Machine,
    united: np.ndarray,
    filters: np.ndarray,
) -> Rounds:
    """`late_rounds` of input-stationary execution."""
    pixels = plan.pixels[at_pixels, 1] - plan.pixels[at_pixels, 0]
    if work.pixel_gates:
        pixels = count_range(united[0], plan.pixels[at_pixels, 0], plan.pixels[at_pixels, 1])
    slots, groups, parts = -(-pixels // work.width), work.column_groups, work.late_parts
    folds = -(-slots // groups)
    first, end = plan.channels[at_channels]
    used = 0
    for part in range(len(parts)):
        used += users(parts[part], first, end) > 0
    rounds = _rounds(folds * used, groups, filters, 0, 0)
    candidates = np.zeros(filters.shape[1] + 1, np.uint64)
    position = 0
    for fold in range(folds):
        present = min(groups, slots - fold * groups)
        for part in range(len(parts)):
            using = users(parts[part], first, end)
            if using == 0:
                continue
            rounds.present[position], rounds.part[position] = present, part
            for group in range(present):
                rounds.load[position, group] = machine.rows
                if work.pixel_gates:
                    rounds.needed[position, group] = rounds.stream[position, group] = using
                    continue
                row = filters[plan.first_slot[at_pixels] + fold * groups + group]
                _gather(row, parts[part], first, end, candidates)
                rounds.needed[position, group] = count_range(candidates, 0, using)
                rounds.stream[position, group] = stream_cycles(candidates, 0, using, work.scanner)
            position += 1
    return rounds


@njit(cache=True)
def _gather(row: np.ndarray, part: np.ndarray, first: int, end: int, candidates: np.ndarray) -> None:
    """The bits of the channels of [first, end) that use a part, one after the other."""
    low, high = max(first, part[FIRST]), min(end, part[END])
    stop = min(high, max(low, part[SKIP_FIRST])) if part[SKIP_END] > part[SKIP_FIRST] else high
    again = min(high, max(low, part[SKIP_END])) if part[SKIP_END] > part[SKIP_FIRST] else high
    candidates[:] = 0
    append_bits(candidates, 0, row, low, stop)
    append_bits(candidates, stop - low, row, again, high)


@njit(cache=True)
def cut(
    rounds: Rounds,
    parts: np.ndarray,
    channels: np.ndarray,
    first: int,
    end: int,
    machine: Machine,
) -> int:
    """Restrict rounds to the row folds [first, end) of their phase; returns their length of reduction.

    `parts` int64 [P, 5] of the phase, `channels` [2] of the tile.
    """
    folds = np.zeros(len(parts), np.int64)
    before, reduction = 0, 0
    for part in range(len(parts)):
        if users(parts[part], channels[0], channels[1]) == 0:
            continue
        slices = -(-parts[part, LENGTH] // machine.rows)
        low, high = max(first - before, 0), min(end - before, slices)
        folds[part] = max(0, high - low)
        if high > low:
            reduction += min(high * machine.rows, parts[part, LENGTH]) - low * machine.rows
        before += slices
    for position in range(len(rounds.part)):
        if machine.dataflow == OS:  # one fold, however long
            rounds.repeat[position] = rounds.times[position]
        elif rounds.part[position] < 0:
            rounds.repeat[position] = rounds.times[position] * folds.sum()
        else:
            rounds.repeat[position] = rounds.times[position] * folds[rounds.part[position]]
    if machine.dataflow == OS:
        for position in range(rounds.needed.shape[0]):
            for group in range(rounds.needed.shape[1]):
                if rounds.needed[position, group] > 0:
                    rounds.needed[position, group] = rounds.stream[position, group] = reduction
    return reduction


@njit(cache=True)
def weights_of(
    parts: np.ndarray, channels: np.ndarray, first: int, end: int, wanted: np.ndarray, rows: int
) -> int:
    """Weights of the row folds [first, end) of a phase, of the channels that are `wanted` (bool [N])."""
    before, values = 0, 0
    for part in range(len(parts)):
        if users(parts[part], channels[0], channels[1]) == 0:
            continue
        length = parts[part, LENGTH]
        slices = -(-length // rows)
        low, high = max(first - before, 0), min(end - before, slices)
        before += slices
        if high <= low:
            continue
        using = 0
        for channel in range(max(channels[0], parts[part, FIRST]), min(channels[1], parts[part, END])):
            if wanted[channel] and not parts[part, SKIP_FIRST] <= channel < parts[part, SKIP_END]:
                using += 1
        values += using * (min(high * rows, length) - low * rows)
    return values


@njit(cache=True)
def slices_of(parts: np.ndarray, channels: np.ndarray, rows: int) -> int:
    """Row folds of a phase for a channel tile."""
    total = 0
    for part in range(len(parts)):
        if users(parts[part], channels[0], channels[1]) > 0:
            total += -(-parts[part, LENGTH] // rows)
    return total
