"""The array alone: what must never make a layer slower, and what must not change its cycles at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.engine.alone import array_cycles
from cgsim.trace.network import Layer
from tests.conftest import VALIDATE
from tests.engine.machines import hardware

EXAMPLES = settings(max_examples=1000 if VALIDATE else 60, deadline=None)
dataflows = st.sampled_from(["ws", "is", "os"])
pipelinings = st.sampled_from(["overlapped", "serial"])


@dataclass(frozen=True)
class Case:
    """A 1 x 1 convolution with gates bool [N, M] on a small array."""

    layer: Layer
    gates: np.ndarray
    keys: dict[str, Any]

    def cycles(self, **changes: Any) -> int:
        return array_cycles(self.layer, hardware(**{**self.keys, **changes}), self.gates)


@st.composite
def cases(draw: st.DrawFn, blocks: int = 2) -> Case:
    """Up to `blocks` base groups; gates differ in density from channel to channel."""
    base_groups, base = draw(st.integers(1, blocks)), draw(st.integers(1, 3))
    channels, pixels = draw(st.integers(1, 8)) * base_groups, draw(st.integers(1, 40))
    inputs = base * base_groups + draw(st.integers(1, 4))
    shapes = (inputs, 1, pixels), (channels, 1, pixels)
    layer = Layer("l", "conv2d", *shapes, base_channels=base, base_groups=base_groups, gate="activation")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gates = rng.random((channels, pixels)) < rng.choice([0, 0.1, 0.4, 0.8, 1], (channels, 1))
    groups = draw(st.integers(1, 4))
    keys = {
        "rows": draw(st.integers(1, 6)),
        "cols": groups * draw(st.integers(1, 3)),
        "column_groups": groups,
        "scan_bits_per_cycle": draw(st.sampled_from([1, 2, 3, 5, 8, 64])),
        "fifo_depth": draw(st.sampled_from([1, 2, 3, 16])),
    }
    return Case(layer, gates, keys)


@given(cases(), dataflows, pipelinings)
@EXAMPLES
def test_the_later_groups_wait_the_sooner_a_layer_ends(case: Case, dataflow: str, pipelining: str) -> None:
    fold, tile, layer = (
        case.cycles(dataflow=dataflow, pipelining=pipelining, group_sync=sync)
        for sync in ("fold", "tile", "layer")
    )
    assert fold >= tile >= layer


@given(cases(), st.sampled_from(["ws", "is"]), pipelinings, st.sampled_from(["fold", "tile", "layer"]))
@EXAMPLES
def test_a_better_scanner_is_never_slower(case: Case, dataflow: str, pipelining: str, sync: str) -> None:
    """Not so for `os`, whose groups may then wait for one another in other folds."""

    def cycles(**changes: int) -> int:
        return case.cycles(dataflow=dataflow, pipelining=pipelining, group_sync=sync, **changes)

    own, bits, depth = cycles(), case.keys["scan_bits_per_cycle"], case.keys["fifo_depth"]
    assert cycles(fifo_depth=depth + 1) <= own
    assert cycles(scan_bits_per_cycle=bits + 1) <= own
    assert cycles(scan_bits_per_cycle=2 * bits) <= own
    assert cycles(scan_bits_per_cycle=1 << 12) <= own


@given(cases(), st.sampled_from(["ws", "os"]), pipelinings, st.sampled_from(["fold", "tile"]))
@EXAMPLES
def test_banks_are_never_faster_than_ideal_ones(
    case: Case, dataflow: str, pipelining: str, sync: str
) -> None:
    """Nor does a single group, or input-stationary execution, which reads weights, notice them."""
    keys = {"dataflow": dataflow, "pipelining": pipelining, "group_sync": sync}
    ideal = case.cycles(**keys)
    banked = [case.cycles(**keys, activation_banks=banks) for banks in (1, 2, 3)]
    assert min(banked) >= ideal
    if case.keys["column_groups"] == 1:
        assert max(banked) == ideal
    keys["dataflow"] = "is"
    assert case.cycles(**keys, activation_banks=1) == case.cycles(**keys)


@given(cases(blocks=1), pipelinings)
@EXAMPLES
def test_a_bank_per_pixel_is_enough_where_all_read_the_same(case: Case, pipelining: str) -> None:
    """`ws`, one block, groups in the same row fold: groups either read different banks or the same word."""
    banked = case.cycles(pipelining=pipelining, activation_banks=case.layer.pixels)
    assert banked == case.cycles(pipelining=pipelining)


@pytest.mark.parametrize(("banks", "conditional"), [("ideal", 10), (10, 10), (2, 10), (1, 20)])
def test_bank_conflicts_by_hand(banks: Any, conditional: int) -> None:
    """Two groups on one block: one wants the even pixels, the other the odd ones, 10 each.

    With one bank they take turns; with two, each has its own. 4 rows, 2 columns, one row fold per phase: load
    4, base 20, exit 4, decision 1, load 4, conditional, exit 4.
    """
    layer = Layer("l", "conv2d", (8, 1, 20), (2, 1, 20), base_channels=4, gate="activation")
    gates = np.arange(20) % 2 == np.arange(2)[:, None]
    target = hardware(cols=2, column_groups=2, activation_banks=banks)
    assert array_cycles(layer, target, gates) == 4 + 20 + 4 + 1 + 4 + conditional + 4


@given(cases(), dataflows, st.integers(1, 3), st.sampled_from(["fold", "tile", "layer"]))
@EXAMPLES
def test_a_batch_is_a_sample_of_as_many_pixels(case: Case, dataflow: str, batch: int, sync: str) -> None:
    """A 1 x 1 convolution does not see where a sample ends."""
    each = max(1, case.layer.pixels // batch)
    gates = np.resize(case.gates, (batch, case.layer.out_channels, each))
    target = hardware(**case.keys, dataflow=dataflow, group_sync=sync)

    def of(pixels: int) -> Layer:
        inputs, outputs = case.layer.in_shape[0], case.layer.out_channels
        return replace(case.layer, in_shape=(inputs, 1, pixels), out_shape=(outputs, 1, pixels))

    one = array_cycles(of(batch * each), target, np.concatenate(gates, axis=1))
    assert array_cycles(of(each), target, gates, batch) == one


def test_nothing_on_takes_no_cycles() -> None:
    """Pixel gates: no base phase, so nothing runs at all, and there is no last cycle to count from 0."""
    layer = Layer("l", "conv2d", (3, 2, 2), (4, 2, 2), gate="pixel")
    for dataflow in ("ws", "is", "os"):
        for pipelining in ("overlapped", "serial", "scalesim"):
            target = hardware(dataflow=dataflow, pipelining=pipelining)
            assert array_cycles(layer, target, np.zeros((1, 4), bool)) == 0
