"""The learned channel order: a permutation within blocks, never worse on what it learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.mapping.channel_order import channel_order, estimate
from cgsim.mapping.slots import slots
from cgsim.trace import bytes_to_words, load_trace, pack_bits
from cgsim.trace.network import Layer

TRACE = Path(__file__).parents[2] / "traces" / "resnet20-cgnet.trace.parquet"


def layer_of(channels: int, pixels: int, base_groups: int = 1, groups: int = 1) -> Layer:
    inputs = 2 * base_groups * groups
    layer = Layer(
        "x", "conv2d", (inputs, 1, pixels), (channels, 1, pixels), groups=groups,
        gate="activation", base_channels=1, base_groups=base_groups,
    )  # fmt: skip
    layer.check()
    return layer


def packed(bits: np.ndarray) -> np.ndarray:
    return bytes_to_words(pack_bits(bits))


def slow_estimate(
    bits: np.ndarray,
    order: Sequence[int],
    width: int,
    groups: int,
    block: int,
    sync: str,
    rows: int,
    batch: int,
) -> int:
    """The objective, from bools [S, N, M], in words: who needs what, and who waits for whom."""
    holders = []  # the channels of each slot
    for start in range(0, len(order), block):
        for first in range(start, start + block, width):
            holders.append([order[place] for place in range(first, min(first + width, start + block))])
    total = 0
    for sample in range(0, len(bits), batch):
        cycles = []
        for channels in holders:
            needed = sum(
                any(one[channel][pixel] for channel in channels)
                for one in bits[sample : sample + batch]
                for pixel in range(bits.shape[2])
            )
            cycles.append(max(needed, rows) if needed else 0)
        if sync == "fold":
            total += sum(max(cycles[first : first + groups]) for first in range(0, len(cycles), groups))
        else:
            total += max(sum(cycles[group::groups]) for group in range(groups))
    return total


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    base_groups, conv_groups = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)]))
    block = draw(st.integers(1, 9))
    channels, pixels = block * base_groups * conv_groups, draw(st.integers(1, 70))
    shape = (draw(st.integers(1, 4)), channels, pixels)
    seed, share = draw(st.integers(0, 2**32)), draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    rng = np.random.default_rng(seed)
    shares = rng.random((1, channels, 1)) * 2 * share
    return {
        "bits": rng.random(shape) < shares,
        "layer": layer_of(channels, pixels, base_groups, conv_groups),
        "block": block,
        "width": draw(st.integers(1, 5)),
        "groups": draw(st.integers(1, 5)),
        "sync": draw(st.sampled_from(["fold", "tile", "layer"])),
        "rows": draw(st.sampled_from([1, 1, 5, 40])),
        "batch": draw(st.integers(1, 3)),
    }


@given(case=cases(), seed=st.integers(0, 2**32))
def test_the_estimate_is_the_slow_one(case: dict[str, Any], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(case["bits"].shape[1])
    layout = slots(case["layer"], case["width"] * case["groups"], case["groups"])
    options = case["sync"], case["rows"], case["batch"]
    fast = estimate(packed(case["bits"]), order, layout, *options)
    assert fast == slow_estimate(
        case["bits"], order.tolist(), case["width"], case["groups"], case["block"], *options
    )


@given(case=cases())
def test_channels_stay_in_their_block_and_nothing_gets_worse(case: dict[str, Any]) -> None:
    gates, layer = packed(case["bits"]), case["layer"]
    cols, options = case["width"] * case["groups"], (case["sync"], case["rows"], case["batch"])
    order = channel_order(layer, gates, cols, case["groups"], *options)
    assert order.dtype == np.int64
    natural = np.arange(layer.out_channels)
    for start in range(0, layer.out_channels, case["block"]):
        part = slice(start, start + case["block"])
        assert sorted(order[part].tolist()) == natural[part].tolist()
    assert np.array_equal(order, channel_order(layer, gates.copy(), cols, case["groups"], *options))
    layout = slots(layer, cols, case["groups"])
    learned, before = (estimate(gates, x, layout, *options) for x in (order, natural))
    assert learned <= before
    if learned == before:
        assert np.array_equal(order, natural)


@pytest.mark.parametrize("sync", ["fold", "tile"])
def test_pairs_that_gate_together_find_each_other(sync: str) -> None:
    """Channels c and c + 8 have equal gates, all others disjoint ones: perfect slots exist."""
    bits = np.zeros((2, 16, 64), bool)
    for channel in range(16):
        bits[:, channel, channel % 8 * 8 : channel % 8 * 8 + 8] = True
    order = channel_order(layer_of(16, 64), packed(bits), 8, 4, sync)
    pairs = {tuple(sorted(pair)) for pair in order.reshape(8, 2).tolist()}
    assert pairs == {(channel, channel + 8) for channel in range(8)}


def test_single_channels_with_equal_needs_sit_side_by_side() -> None:
    """With a feed for each column only the folds matter: busy channels together, and idle ones."""
    bits = np.zeros((3, 8, 64), bool)
    bits[:, 1::2] = True
    bits[:, ::2, :4] = True
    order = channel_order(layer_of(8, 64), packed(bits), 4, 4, "fold")
    folds = [set(order[:4].tolist()), set(order[4:].tolist())]
    assert {1, 3, 5, 7} in folds
    assert estimate(packed(bits), order, slots(layer_of(8, 64), 4, 4), "fold") == 3 * (64 + 4)


def test_groups_are_balanced_where_they_meet_late() -> None:
    """Two groups, needs 8 8 8 8 1 1 1 1: in natural order of alternating channels one has all the work."""
    bits = np.zeros((1, 8, 8), bool)
    bits[:, ::2] = True
    bits[:, 1::2, 0] = True
    layout = slots(layer_of(8, 8), 2, 2)
    assert estimate(packed(bits), np.arange(8), layout, "layer") == 32
    order = channel_order(layer_of(8, 8), packed(bits), 2, 2, "layer")
    assert estimate(packed(bits), order, layout, "layer") == 18


@pytest.mark.parametrize("groups", [1, 2])
def test_a_slot_as_wide_as_the_block_leaves_nothing_to_choose(groups: int) -> None:
    bits = np.random.default_rng(0).random((4, 8, 30)) < 0.3
    order = channel_order(layer_of(8, 30, base_groups=2), packed(bits), 4 * groups, groups, "fold")
    assert order.tolist() == list(range(8))


def test_other_layers_keep_their_order() -> None:
    layer = Layer("x", "conv2d", (4, 1, 9), (6, 1, 9), gate="pixel")
    gates = packed(np.ones((2, 1, 9), bool))
    assert channel_order(layer, gates, 4, 2, "fold").tolist() == list(range(6))
    none = np.zeros((0, 6, 1), np.uint64)
    assert channel_order(layer_of(6, 9), none, 4, 2, "fold").tolist() == list(range(6))


@pytest.mark.parametrize(("sync", "gain"), [("fold", 0.02), ("tile", 0.04)])
def test_what_is_learned_from_real_gates_holds_for_other_images(sync: Any, gain: float) -> None:
    """Groups of 4 columns, 16 columns: the gain on images that were not learned from."""
    trace = load_trace(TRACE)
    half = trace.n_samples // 2
    before = after = 0
    for layer in trace.gated_layers:
        learn, other = (trace.gates(layer.name, part) for part in (slice(0, half), slice(half, None)))
        layout = slots(layer, 16, 4)
        order = channel_order(layer, learn, 16, 4, sync)
        weight = layer.conditional_reduction
        before += weight * estimate(other, np.arange(layer.out_channels), layout, sync)
        after += weight * estimate(other, order, layout, sync)
    assert after < (1 - gain) * before
