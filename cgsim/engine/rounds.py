"""The rounds of folds of a phase of a tile: what each column group streams (docs/machine-model.md, Array)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.engine.bits import append_bits, count_range
from cgsim.engine.machine import IS, LAYER, OS, TILE, WS, Machine, Workload
from cgsim.engine.scan import batch_cycles, stream_cycles
from cgsim.mapping.parts import END, FIRST, LENGTH, SKIP_END, SKIP_FIRST
from cgsim.mapping.plan import Plan

NEEDED, STREAM, LOAD, WORD, ROW, PIXELS, CANDIDATES = range(7)
FOLD_FIELDS = 7
PRESENT, PART, REPEAT = range(3)


class Rounds(NamedTuple):
    """Rounds of a phase of a tile: in round p each column group streams one fold, REPEAT times in a row.

    `folds` int64 [P, G, FOLD_FIELDS]: NEEDED vectors of a group, STREAM cycles until the last of them has
    entered (0: the group takes no part), LOAD cycles in which its stationary operands (`os`: row addresses)
    are written, WORD, a number that is equal where groups read the same activations, ROW of `words` that
    tells which of the candidates [first, end) are needed, PIXELS of its row tile (`os`), CANDIDATES that the
    index scanner examines for it, also where none is needed. `rounds` int64 [P, 3]: PRESENT groups that hold
    a slot; PART of the reduction; REPEAT, set by `cut`.
    """

    folds: np.ndarray
    rounds: np.ndarray
    words: np.ndarray
    first: int
    end: int


@njit(cache=True, inline="always")
def _rounds(positions: int, groups: int, words: np.ndarray, first: int, end: int) -> Rounds:
    folds = np.zeros((positions, groups, FOLD_FIELDS), np.int64)
    return Rounds(folds, np.zeros((positions, 3), np.int64), words, first, end)


@njit(cache=True)
def users(part: np.ndarray, first: int, end: int) -> int:
    """Output channels of [first, end) that use a part."""
    skipped = min(end, part[SKIP_END]) - max(first, part[SKIP_FIRST])
    return max(0, min(end, part[END]) - max(first, part[FIRST])) - max(0, skipped)


@njit(cache=True)
def alike(at_pixels: int, at_channels: int, plan: Plan, work: Workload, machine: Machine) -> tuple[int, int]:
    """(folds per row fold, vectors) of a base phase whose rounds and groups are all alike; otherwise (0, 0).

    For `os` a fold has as many vectors as its chunk of the reduction has steps; the pixels are returned.
    """
    pixels = plan.pixels[at_pixels, 1] - plan.pixels[at_pixels, 0]
    slots, groups = _slots(at_pixels, at_channels, plan, work, machine), work.column_groups
    if groups > 1:
        if machine.sync == LAYER or (machine.sync == TILE and slots % groups != 0):
            return 0, 0
        if machine.banks > 0 and machine.dataflow != IS and _blocks_differ(at_channels, plan, work):
            return 0, 0
    folds, vectors = -(-slots // groups), pixels
    if machine.dataflow == OS:
        folds *= -(-pixels // machine.rows)
    if machine.dataflow == IS:
        vectors = 0
        for part in range(len(work.base_parts)):
            using = users(work.base_parts[part], plan.channels[at_channels, 0], plan.channels[at_channels, 1])
            if using > 0 and vectors > 0 and using != vectors:
                return 0, 0
            vectors = max(vectors, using)
    return folds, vectors


@njit(cache=True, inline="always")
def _slots(at_pixels: int, at_channels: int, plan: Plan, work: Workload, machine: Machine) -> int:
    """Slots of a tile: of pixels (`is`) or of channels."""
    if machine.dataflow == IS:
        return -(-(plan.pixels[at_pixels, 1] - plan.pixels[at_pixels, 0]) // work.width)
    first, end = plan.folds[at_channels] * work.column_groups
    return min(end, len(work.slot_block)) - first


@njit(cache=True)
def slots_of(
    at_pixels: int, at_channels: int, plan: Plan, work: Workload, machine: Machine
) -> tuple[int, int]:
    """(slots of a tile, streams of them that groups share, round by round, if all groups stream alike)."""
    slots, groups = _slots(at_pixels, at_channels, plan, work, machine), work.column_groups
    blocks, shared = work.slot_block[plan.folds[at_channels, 0] * groups :], 0
    for slot in range(slots):
        if slot % groups == 0 or (machine.dataflow != IS and blocks[slot] != blocks[slot - 1]):
            shared += 1
    return slots, shared


@njit(cache=True)
def _blocks_differ(at_channels: int, plan: Plan, work: Workload) -> bool:
    first, end = plan.folds[at_channels] * work.column_groups
    return work.slot_block[first] != work.slot_block[min(end, len(work.slot_block)) - 1]


@njit(cache=True)
def base_rounds(at_pixels: int, at_channels: int, plan: Plan, work: Workload, machine: Machine) -> Rounds:
    """All vectors for all groups, where they are not `alike`."""
    pixels = plan.pixels[at_pixels, 1] - plan.pixels[at_pixels, 0]
    slots, groups = _slots(at_pixels, at_channels, plan, work, machine), work.column_groups
    first_slot = plan.folds[at_channels, 0] * groups
    parts = work.base_parts if machine.dataflow == IS else work.base_parts[:1]
    tiles = -(-pixels // machine.rows) if machine.dataflow == OS else 1
    column_folds, none = -(-slots // groups), np.zeros((0, 0), np.uint64)
    found = _rounds(column_folds * len(parts) * tiles, groups, none, 0, 0)
    position = 0
    for fold in range(column_folds):
        present = min(groups, slots - fold * groups)
        for part in range(len(parts)):
            using = users(parts[part], plan.channels[at_channels, 0], plan.channels[at_channels, 1])
            if using == 0:
                continue
            for tile in range(tiles):
                found.rounds[position, PRESENT], found.rounds[position, PART] = present, part
                for group in range(present):
                    own = found.folds[position, group]
                    own[NEEDED] = own[STREAM] = using if machine.dataflow == IS else pixels
                    own[LOAD] = 0 if machine.dataflow == OS else machine.rows
                    if machine.dataflow == OS:
                        own[PIXELS] = min(machine.rows, pixels - tile * machine.rows)
                    if machine.dataflow != IS:
                        own[WORD] = work.slot_block[first_slot + fold * groups + group] * tiles + tile
                position += 1
    return Rounds(found.folds[:position], found.rounds[:position], none, 0, 0)


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
    if machine.dataflow == WS:
        return _late_pixels(at_pixels, at_channels, plan, work, machine, united)
    if machine.dataflow == OS:
        return _late_row_tiles(at_pixels, at_channels, plan, work, machine, united)
    return _late_filters(at_pixels, at_channels, plan, work, machine, united, filters)


@njit(cache=True)
def _late_pixels(
    at_pixels: int, at_channels: int, plan: Plan, work: Workload, machine: Machine, united: np.ndarray
) -> Rounds:
    """`late_rounds` of weight-stationary execution."""
    first, end = plan.pixels[at_pixels]
    slots, groups = _slots(at_pixels, at_channels, plan, work, machine), work.column_groups
    first_slot = plan.folds[at_channels, 0] * groups
    found = _rounds(-(-slots // groups), groups, united, first, end)
    row = first_slot
    for fold in range(len(found.rounds)):
        present = min(groups, slots - fold * groups)
        found.rounds[fold, PRESENT] = present
        for group in range(present):
            own = found.folds[fold, group]
            own[STREAM], own[NEEDED] = stream_cycles(united[row], first, end, work.scanner)
            own[LOAD], own[WORD], own[ROW] = machine.rows, work.slot_block[row], row
            own[CANDIDATES] = end - first
            row += 1
    return found


@njit(cache=True)
def _late_row_tiles(
    at_pixels: int, at_channels: int, plan: Plan, work: Workload, machine: Machine, united: np.ndarray
) -> Rounds:
    """`late_rounds` of output-stationary execution: needed pixels packed into row tiles."""
    first, end = plan.pixels[at_pixels]
    slots, groups = _slots(at_pixels, at_channels, plan, work, machine), work.column_groups
    first_slot = plan.folds[at_channels, 0] * groups
    most = -(-(end - first) // machine.rows)
    loads, tiles = np.zeros((slots, most), np.int64), np.zeros(slots, np.int64)
    needed = np.zeros(slots, np.int64)
    for slot in range(slots):
        needed[slot] = count_range(united[first_slot + slot], first, end)
        tiles[slot] = batch_cycles(
            united[first_slot + slot], first, end, machine.rows, work.scanner, loads[slot]
        )
    positions = 0
    for slot in range(0, slots, groups):
        positions += max(1, tiles[slot : slot + groups].max())
    found = _rounds(positions, groups, united, first, end)
    position = 0
    for start in range(0, slots, groups):
        present = min(groups, slots - start)
        for tile in range(max(1, tiles[start : start + present].max())):
            found.rounds[position, PRESENT] = present
            for group in range(present):
                if tile == 0:
                    found.folds[position, group, CANDIDATES] = end - first
                if tile < tiles[start + group]:
                    own = found.folds[position, group]
                    own[PIXELS] = min(machine.rows, needed[start + group] - tile * machine.rows)
                    own[NEEDED] = own[STREAM] = 1  # set by `cut`
                    own[LOAD] = max(machine.rows, loads[start + group, tile])
                    own[WORD] = (start + group) * most + tile
            position += 1
    return found


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
    slots, groups, parts = (
        _slots(at_pixels, at_channels, plan, work, machine),
        work.column_groups,
        work.late_parts,
    )
    if work.pixel_gates:
        pixels = count_range(united[0], plan.pixels[at_pixels, 0], plan.pixels[at_pixels, 1])
        slots = -(-pixels // work.width)
    column_folds = -(-slots // groups)
    first, end = plan.channels[at_channels]
    found = _rounds(column_folds * len(parts), groups, filters, 0, 0)
    candidates = np.zeros(filters.shape[1] + 1, np.uint64)
    position = 0
    for fold in range(column_folds):
        present = min(groups, slots - fold * groups)
        for part in range(len(parts)):
            using = users(parts[part], first, end)
            if using == 0:
                continue
            found.rounds[position, PRESENT], found.rounds[position, PART] = present, part
            low, stop, again, high = _using(parts[part], first, end)
            for group in range(present):
                own = found.folds[position, group]
                own[LOAD] = machine.rows
                if work.pixel_gates:
                    own[NEEDED] = own[STREAM] = using
                    continue
                own[CANDIDATES] = using
                row = filters[plan.first_slot[at_pixels] + fold * groups + group]
                if work.scanner.window >= using:  # all found in one window
                    own[NEEDED] = count_range(row, low, stop) + count_range(row, again, high)
                    own[STREAM] = own[NEEDED] + (work.scanner.window_cycles - 1 if own[NEEDED] else 0)
                    continue
                candidates[:] = 0
                append_bits(candidates, 0, row, low, stop)
                append_bits(candidates, stop - low, row, again, high)
                own[STREAM], own[NEEDED] = stream_cycles(candidates, 0, using, work.scanner)
            position += 1
    return Rounds(found.folds[:position], found.rounds[:position], filters, 0, 0)


@njit(cache=True, inline="always")
def _using(part: np.ndarray, first: int, end: int) -> tuple[int, int, int, int]:
    """The channels of [first, end) that use a part, as two ranges."""
    low, high = max(first, part[FIRST]), min(end, part[END])
    if part[SKIP_END] > part[SKIP_FIRST]:
        return low, min(high, max(low, part[SKIP_FIRST])), min(high, max(low, part[SKIP_END])), high
    return low, high, high, high


class Slices(NamedTuple):
    """What a chunk of a phase takes of each part, int64 [P]: row `folds`, `length` of reduction.

    `wanted` int64 [P]: channels of the tile that use a part and whose weights are fetched.
    """

    folds: np.ndarray
    length: np.ndarray
    wanted: np.ndarray


@njit(cache=True)
def cut(found: Rounds, slices: Slices, reduction: int, machine: Machine) -> None:
    """Restrict rounds to the chunk `slices`, `reduction` long."""
    for position in range(len(found.rounds)):
        own = found.rounds[position]
        if machine.dataflow != OS:
            own[REPEAT] = slices.folds[own[PART]]
            continue
        own[REPEAT] = 1
        for group in range(found.folds.shape[1]):  # one fold, however long
            if found.folds[position, group, NEEDED] > 0:
                found.folds[position, group, NEEDED] = found.folds[position, group, STREAM] = reduction


@njit(cache=True)
def slices_of(parts: np.ndarray) -> Slices:
    """Room for the slices of a phase with these parts."""
    count = len(parts)
    return Slices(np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64))


@njit(cache=True)
def take(
    slices: Slices, parts: np.ndarray, channels: np.ndarray, rows: int, first: int, end: int
) -> tuple[int, int]:
    """Fill `slices` with the row folds [first, end) of a phase of a tile: (folds, length of reduction)."""
    before, reduction, total = 0, 0, 0
    for part in range(len(parts)):
        slices.folds[part] = slices.length[part] = 0
        if users(parts[part], channels[0], channels[1]) == 0:
            continue
        length = parts[part, LENGTH]
        count = -(-length // rows)
        low, high = max(first - before, 0), min(end - before, count)
        before += count
        if high > low:
            slices.folds[part] = high - low
            slices.length[part] = min(high * rows, length) - low * rows
            total += high - low
            reduction += slices.length[part]
    return total, reduction


@njit(cache=True)
def count_wanted(slices: Slices, parts: np.ndarray, channels: np.ndarray, wanted: np.ndarray) -> None:
    """Count the `wanted` channels (bool [N]) of a tile that use each part."""
    if len(parts) == 1 and parts[0, FIRST] == 0 and parts[0, END] >= channels[1]:  # all use it
        slices.wanted[0] = np.count_nonzero(wanted)
        return
    for part in range(len(parts)):
        using = 0
        for channel in range(max(channels[0], parts[part, FIRST]), min(channels[1], parts[part, END])):
            if wanted[channel] and not parts[part, SKIP_FIRST] <= channel < parts[part, SKIP_END]:
                using += 1
        slices.wanted[part] = using


@njit(cache=True, inline="always")
def weights_of(slices: Slices) -> int:
    """Weights of a chunk that are fetched."""
    values = 0
    for part in range(len(slices.folds)):
        values += slices.length[part] * slices.wanted[part]
    return values
