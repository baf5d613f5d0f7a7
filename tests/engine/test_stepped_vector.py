"""The vector-unit kernel against its stepped twin."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.dram.counters import COUNTS
from cgsim.engine.columns import PHASES, STALLS, TENSORS
from cgsim.engine.dram import memory
from cgsim.engine.journal import SILENT
from cgsim.engine.machine import machine
from cgsim.engine.on_vector import Reads, in_order
from cgsim.engine.stepped import memory as stepped_memory
from cgsim.engine.stepped.layout import gathered
from cgsim.engine.stepped.vector import run_vector_layer
from cgsim.engine.vector import run_vector
from cgsim.hardware import Hardware
from cgsim.mapping.gather import gathered_pieces
from cgsim.mapping.layout import whole_regions
from cgsim.mapping.operations import Operation
from cgsim.mapping.vector import tiles_of
from cgsim.trace.network import Layer
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
    own = stepped_memory.memory(target)
    stepped = run_vector_layer(tiles, target, own)
    compare_with(tiles, in_order(np.array(tiles, np.int64)), target, stepped, own)


def compare_with(
    tiles: list[tuple[int, int, int]],
    reads: Reads,
    target: Hardware,
    stepped: Counter[str],
    own: stepped_memory.Memory,
) -> None:
    """`stepped` is what the stepped unit counted, on the memory `own`."""
    counted, dram = run_vector(
        np.array(tiles, np.int64),
        reads.pieces,
        reads.of,
        whole_regions(reads.end),
        machine(target),
        memory(target),
        SILENT,
    )
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


@given(st.data())
@settings(max_examples=1000 if VALIDATE else 40, deadline=None)
def test_gathers(data: st.DataObject) -> None:
    """The channels that each sample picks are read where they lie, whatever the layout; k of them move."""
    draw = data.draw
    channels, height, width = (draw(st.integers(1, most)) for most in (9, 4, 5))
    k, samples = draw(st.integers(1, channels)), draw(st.integers(1, 3))
    shapes = (channels, height, width), (k, height, width)
    bits = draw(st.sampled_from([8, 8, 4, 16]))
    layer = Layer("gather", "gather", *shapes, gate="channel", activation_bits=bits)
    cuts = tuple(sorted(draw(st.sets(st.integers(1, channels), max_size=2))))
    operation = Operation(layer, input_cuts=cuts)
    target: Hardware = draw(accelerators(**draw(memories())))
    picks = [draw(st.permutations([True] * k + [False] * (channels - k))) for _ in range(samples)]
    rows = draw(st.integers(1, height))

    expected = gathered(operation, target, picks, rows)
    pieces = list(gathered_pieces(operation, target, np.array(picks), rows))
    assert [[(a, a + b) for a, b in own.tolist()] for own in pieces] == expected
    tiles = [tuple(tile) for _ in range(samples) for tile in tiles_of(layer, rows).tolist()]
    moved = [sum(end - first for first, end in own) for own in expected]
    assert [load for load, _, _ in tiles] == [-(-size // 8) for size in moved]
    assert sum(moved) == samples * k * height * width * bits

    size = samples * channels * height * width * bits
    own = stepped_memory.memory(target)
    stepped = run_vector_layer(tiles, target, own, expected, size)
    reads = Reads(np.concatenate(pieces), np.cumsum([0, *map(len, pieces)]), size)
    compare_with(tiles, reads, target, stepped, own)
