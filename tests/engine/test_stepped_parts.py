"""The parts of the stepped array by hand: scanner, queue, banks, drain chain, pixel order, refused input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cgsim.engine.stepped.layer import run_layer
from cgsim.engine.stepped.scanner import Banks, Scanner
from cgsim.engine.stepped.work import pixel_order
from cgsim.errors import CgsimError
from cgsim.trace.network import Layer
from tests.engine.machines import hardware

OFF, ON, HALF = (False, False), (True, True), (False, True)


def popped(scanner: Scanner, cycles: int, at: frozenset[int] | None = None) -> list[tuple[int, int]]:
    """(cycle, candidate) of each pop, in cycles where one is allowed (`at`; None: in every cycle)."""
    found = []
    for cycle in range(cycles):
        scanner.turn()
        if scanner.queue and (at is None or cycle in at):
            found.append((cycle, scanner.queue.popleft()))
    return found


def test_what_is_found_can_be_taken_in_the_same_cycle() -> None:
    assert popped(Scanner([ON, OFF, HALF], 2, 4), 9) == [(0, 0), (2, 2)]


def test_a_cycle_reads_whole_candidates() -> None:
    # 5 bits are two candidates of two bits: the fifth bit is not read
    assert popped(Scanner([OFF, ON, OFF, OFF, HALF, ON], 5, 4), 9) == [(0, 1), (2, 4), (3, 5)]


def test_a_candidate_that_does_not_fit_takes_several_cycles() -> None:
    # three bits at two per cycle: known in the second cycle, whether the first bit was on or the last
    bits = [(True, False, False), (False, False, True), (False, False, False), (True, True, True)]
    assert popped(Scanner(bits, 2, 4), 12) == [(1, 0), (3, 1), (7, 3)]


def test_a_full_queue_holds_the_scanner() -> None:
    # Two entries, no pop before cycle 3. Cycle 0 finds 0..3 and queues 0 and 1. A place that a pop has
    # freed is filled in the next cycle; candidate 4 is read in the cycle after 3 has been queued.
    scanner = Scanner([(True,)] * 5, 4, 2)
    assert popped(scanner, 12, frozenset(range(3, 12))) == [(3, 0), (4, 1), (5, 2), (6, 3), (7, 4)]
    queue = Scanner([(True,)] * 5, 1, 1)
    assert popped(queue, 12) == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]
    assert popped(Scanner([(True,)] * 3, 4, 1), 9, frozenset({2, 3, 4})) == [(2, 0), (3, 1), (4, 2)]


def test_banks_serve_a_word_to_all_and_one_word_each() -> None:
    banks = Banks(2)
    assert banks.grant(4, "a")
    assert banks.grant(4, "a")  # the same word: a broadcast
    assert not banks.grant(6, "b")  # another word of bank 0
    assert banks.grant(5, "c")
    banks.turn()
    assert banks.grant(6, "b")
    assert all(Banks(None).grant(0, word) for word in "abc")


def gated(override: dict[str, Any] | None = None, **changes: Any) -> tuple[dict[str, int], int]:
    """Events and cycles of 6 pixels x 4 channels with one base and two conditional inputs, all gates on."""
    layer = Layer("l", "conv2d", (3, 1, 6), (4, 1, 6), base_channels=1, gate="activation")
    target = hardware(rows=2, cols=4, column_groups=2, **changes)
    target = target.override(override or {})
    result = run_layer(layer, target, np.ones((3, 1, 6), int), np.ones((4, 3, 1, 1), int), np.zeros(4, int))
    assert (result.outputs == 3).all()
    return result.events, result.cycles


def test_events_of_a_small_layer() -> None:
    # rows 2, 6 vectors; the last result leaves 2 + 4 - 2 cycles after it; one cycle to compare; 2 to load
    events, cycles = gated()
    assert events == {
        "base_start": 2,
        "base_end": 8,
        "decided": 13,
        "conditional_start": 15,
        "conditional_end": 21,
        "last_result": 25,
    }
    assert cycles == 25
    assert gated(pipelining="scalesim") == (events, 24)


def test_output_stationary_sums_drain_down_the_columns() -> None:
    # 3 row tiles of one step each; a fold may end 2 cycles after the one before it, when the chain is free;
    # the last leaves 2 + 4 - 2 cycles of skew and 2 rows later
    events, _ = gated(dataflow="os")
    assert (events["base_start"], events["base_end"]) == (0, 1 + 2 + 2)
    assert events["decided"] == events["base_end"] + 4 + 2 + 1
    # conditional: 2 row addresses, then 3 row tiles of two steps each, without a gap
    assert events["conditional_start"] == events["decided"] + 2
    assert events["conditional_end"] == events["conditional_start"] + 3 * 2
    assert events["last_result"] == events["conditional_end"] + 4 + 2
    serial, _ = gated(dataflow="os", pipelining="scalesim")  # draining is free, each fold waits for the last
    assert serial["base_end"] == 3 * 1 + 2 * 4


def test_slow_scanners_leave_bubbles() -> None:
    # two gate bits per candidate at one bit per cycle: a vector every second cycle, the first in the second
    events, _ = gated(scan_bits_per_cycle=1)
    assert events["conditional_end"] == events["conditional_start"] + 12


def test_groups_that_share_words_never_conflict() -> None:
    # both groups read the same pixel in the same cycle
    assert gated({"gate_unit.activation_banks": 1}) == gated()


def test_groups_with_words_of_their_own_take_turns() -> None:
    # grouped: each column group reads inputs of its own; one bank serves one of them per cycle
    layer = Layer("l", "conv2d", (4, 1, 5), (2, 1, 5), groups=2, base_channels=1, gate="activation")
    ends, key = {}, "gate_unit.activation_banks"
    for banks in (1, 2, "ideal"):
        target = hardware(rows=1, cols=2, column_groups=2).override({key: banks})
        values = np.ones((4, 1, 5), int), np.ones((2, 2, 1, 1), int), np.zeros(2, int)
        events = run_layer(layer, target, *values).events
        ends[banks] = events["base_end"] - events["base_start"]
    assert ends == {1: 10, 2: 6, "ideal": 5}


def test_groups_decide_alone_when_they_meet_only_at_the_end() -> None:
    # group 1 holds one slot, group 0 two: it is 6 cycles ahead, and its conditional fold, too
    layer = Layer("l", "conv2d", (3, 1, 6), (6, 1, 6), base_channels=1, gate="activation")
    values = np.ones((3, 1, 6), int), np.ones((6, 3, 1, 1), int)
    thresholds = np.array([9, 9, 0, 0, 9, 9])  # only the channels of group 1 go on
    at = {}
    for sync in ("fold", "tile", "layer"):
        target = hardware(rows=2, cols=4, column_groups=2, group_sync=sync)
        at[sync] = run_layer(layer, target, *values, thresholds).events
    assert at["tile"] == at["fold"]
    assert at["fold"]["conditional_start"] == at["fold"]["decided"] + 2
    assert at["layer"]["conditional_start"] == at["fold"]["conditional_start"] - 6


def test_pixel_order() -> None:
    layer = Layer("l", "conv2d", (1, 3, 4), (1, 3, 4))
    assert pixel_order(layer, 4, "raster", 1) == list(range(12))
    # groups of 4 columns: bands of 2 rows, column by column; the last band has one row
    assert pixel_order(layer, 4, "block", 1) == [0, 4, 1, 5, 2, 6, 3, 7, 8, 9, 10, 11]
    assert pixel_order(layer, 6, "block", 2)[12:] == [12 + p for p in pixel_order(layer, 4, "block", 1)]
    assert pixel_order(layer, 3, "block", 1) == list(range(12))  # 3 is no multiple of 2
    assert pixel_order(layer, 9, "block", 1)[:4] == [0, 4, 8, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inputs": np.ones((2, 1, 6))}, "layer 'l': inputs must have the shape [3, 1, 6], not [2, 1, 6]"),
        (
            {"inputs": np.ones((0, 3, 1, 6))},
            "layer 'l': inputs must have the shape [1, 3, 1, 6], not [0, 3, 1, 6]",
        ),
        ({"weights": np.ones((4, 3))}, "layer 'l': weights must have the shape [4, 3, 1, 1], not [4, 3]"),
        ({"thresholds": np.ones(3)}, "layer 'l': thresholds must have the shape [4], not [3]"),
        ({"pixel_gates": np.ones(5, bool)}, "layer 'l': pixel_gates must have the shape [6], not [5]"),
        (
            {"thresholds": np.ones(4), "pixel_gates": np.ones(6, bool)},
            "layer 'l': thresholds or pixel_gates, not both",
        ),
    ],
)
def test_wrong_shapes_are_refused(values: dict[str, Any], message: str) -> None:
    layer = Layer("l", "conv2d", (3, 1, 6), (4, 1, 6), base_channels=1, gate="activation")
    good: dict[str, Any] = {
        "inputs": np.ones((3, 1, 6)),
        "weights": np.ones((4, 3, 1, 1)),
        "thresholds": None,
        "pixel_gates": None,
    }
    with pytest.raises(CgsimError) as caught:
        run_layer(layer, hardware(), **{**good, **values})
    assert str(caught.value) == message


def test_thresholds_need_a_split() -> None:
    layer = Layer("l", "conv2d", (3, 1, 6), (4, 1, 6))
    with pytest.raises(CgsimError, match="layer 'l': thresholds need base_channels of 1 or more"):
        run_layer(layer, hardware(), np.ones((3, 1, 6)), np.ones((4, 3, 1, 1)), np.ones(4))
