"""The vector-unit kernel against its stepped twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cgsim.engine.columns import PHASES, STALLS, TENSORS
from cgsim.engine.dram import dram
from cgsim.engine.machine import machine
from cgsim.engine.stepped.vector import run_vector_layer
from cgsim.engine.vector import run_vector
from tests.engine.machines import hardware

NAMES = ["cycles", *PHASES, *(f"{cause}_stall" for cause in STALLS), *TENSORS]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=7),
    st.booleans(),
    st.sampled_from([0.5, 1.25, 3, 16]),
    st.integers(0, 20),
    st.integers(1, 8),
)
def test_vector_layer(
    tiles: list[tuple[int, int, int]], double: bool, rate: float, latency: int, lanes: int
) -> None:
    target = hardware(double_buffered=double, bytes_per_cycle=rate, latency_cycles=latency, lanes=lanes)
    result = run_vector(np.array(tiles, np.int64), machine(target), dram(target))
    stepped = run_vector_layer(tiles, target)
    counted = dict(zip(NAMES, result.tolist(), strict=True))
    assert counted == {name: stepped[name] for name in NAMES}
