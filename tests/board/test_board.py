"""Every latency that DPACS measured on its ZCU102, within 15 % and in the right order."""

from __future__ import annotations

from itertools import combinations

import pytest

from cgsim import load_hardware
from tests.board.fit import fit
from tests.board.table import MEASURED, RATIOS, Latency, latencies

WITHIN = 0.15
TELLS, TELLS_ACROSS = 0.03, 0.12
"""Latencies of a series, or of any, measured nearer to each other than this may change places."""


@pytest.fixture(scope="module")
def found() -> list[Latency]:
    return list(latencies())


def test_every_latency_is_within_15_percent(found: list[Latency]) -> None:
    assert len(found) == 4 * len(RATIOS)
    off = {(one.series, one.ratio): one.deviation for one in found if abs(one.deviation) > WITHIN}
    assert not off
    assert sum(abs(one.deviation) for one in found) / len(found) < 0.05


@pytest.mark.parametrize("series", MEASURED)
def test_the_order_within_a_series_is_right(found: list[Latency], series: str) -> None:
    own = [one for one in found if one.series == series]
    for a, b in combinations(own, 2):
        if abs(a.measured - b.measured) > TELLS * max(a.measured, b.measured):
            assert (a.measured < b.measured) == (a.modelled < b.modelled), (a, b)


@pytest.mark.parametrize("depth", [18, 34])
def test_the_designs_keep_their_order_at_each_ratio(found: list[Latency], depth: int) -> None:
    times = {(one.series, one.ratio): one for one in found}
    for ratio in RATIOS:
        serial, parallel = (times[f"resnet{depth}_{design}", ratio] for design in ("serial", "parallel"))
        assert (serial.measured < parallel.measured) == (serial.modelled < parallel.modelled), ratio


def test_the_order_across_series_is_right_where_latencies_differ_much(found: list[Latency]) -> None:
    for a, b in combinations(found, 2):
        if abs(a.measured - b.measured) > TELLS_ACROSS * max(a.measured, b.measured):
            assert (a.measured < b.measured) == (a.modelled < b.modelled), (a, b)


def test_the_two_constants_are_those_that_four_latencies_give() -> None:
    found = fit()
    for kind in ("basicblock", "bottleneck"):
        for design in ("serial", "parallel"):
            hardware = load_hardware(f"dpacs-{kind}-{design}")
            assert (hardware.engines.restart_cycles, hardware.host.call_us) == found
