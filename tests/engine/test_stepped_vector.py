"""The vector-unit kernel against its stepped twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.dram.counters import COUNTS
from cgsim.engine.columns import PHASES, STALLS, TENSORS
from cgsim.engine.dram import memory
from cgsim.engine.journal import SILENT
from cgsim.engine.machine import machine
from cgsim.engine.stepped import memory as stepped_memory
from cgsim.engine.stepped.vector import run_vector_layer
from cgsim.engine.vector import run_vector
from cgsim.hardware import Hardware
from tests.conftest import VALIDATE
from tests.engine.machines import accelerators, memories

NAMES = [
    "cycles",
    *PHASES,
    *(f"{cause}_stall" for cause in STALLS),
    *TENSORS,
    *(f"{tensor}_bursts" for tensor in TENSORS),
]


def lists_of_tiles(largest: int) -> st.SearchStrategy[list[tuple[int, int, int]]]:
    """Bytes loaded, lane operations, bytes stored; or what is kept on chip: nothing loaded, or stored."""
    sizes = st.integers(1, largest)
    every = st.lists(st.tuples(sizes, st.integers(1, 40), sizes), min_size=1, max_size=7)
    kept = st.sampled_from([(1, 1), (1, 1), (1, 1), (0, 1), (1, 0), (0, 0)])
    return st.builds(lambda tiles, keep: [(a * keep[0], b, c * keep[1]) for a, b, c in tiles], every, kept)


def compare(tiles: list[tuple[int, int, int]], target: Hardware) -> None:
    counted, dram = run_vector(np.array(tiles, np.int64), machine(target), memory(target), SILENT)
    own = stepped_memory.memory(target)
    stepped = run_vector_layer(tiles, target, own)
    assert dict(zip(NAMES, counted.tolist(), strict=True)) == {name: stepped[name] for name in NAMES}
    if target.dram.standard != "ideal":
        assert dict(zip(COUNTS, dram.tolist(), strict=True)) == {name: own.counts[name] for name in COUNTS}


@given(lists_of_tiles(200), accelerators())
@settings(max_examples=3000 if VALIDATE else 200, deadline=None)
def test_vector_layer(tiles: list[tuple[int, int, int]], target: Hardware) -> None:
    compare(tiles, target)


@given(lists_of_tiles(2000), st.data())
@settings(max_examples=1000 if VALIDATE else 40, deadline=None)
def test_vector_layer_with_dram(tiles: list[tuple[int, int, int]], data: st.DataObject) -> None:
    compare(tiles, data.draw(accelerators(**data.draw(memories()))))
