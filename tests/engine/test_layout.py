"""Where tensors lie in DRAM and what transfers move: kernels, stepped reference, and by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.engine.bits import filters_of, join, unite
from cgsim.engine.pieces import BITS, FIRST_BIT
from cgsim.engine.program import ACTIVATION_BYTES, RESIDUAL_BYTES, STORE_BYTES, WEIGHT_BYTES, Program
from cgsim.engine.stepped.layout import Layout as SteppedLayout
from cgsim.engine.stepped.layout import Piece, bursts, joined
from cgsim.engine.stepped.tiles import Cell, Tiles
from cgsim.engine.steps import outline, program
from cgsim.mapping.layout import REGION_BITS, Layout
from cgsim.mapping.operations import Operation
from cgsim.mapping.tiling import Tiling
from cgsim.trace.network import Layer
from tests.conftest import VALIDATE
from tests.engine.machine_cases import Case, cases
from tests.engine.machines import hardware

MANY = settings(max_examples=3000 if VALIDATE else 200, deadline=None)


def compiled(case: Case) -> Program:
    """The kernels' program of a case, gates included."""
    mapped = case.mapped()
    plan = mapped._plan(case.tiling, case.batch)
    base = outline(plan, mapped.work, mapped.machine)
    if case.gates is None:
        return base
    gates = join(case.words(), case.operation.layer.pixels) if case.batch > 1 else case.words()[0]
    filters = np.zeros((0, 0), np.uint64)
    if case.hardware.array.dataflow == "is" and case.operation.layer.gate != "pixel":
        filters = filters_of(gates, plan.slot_of, plan.first_slot[-1])
    united = unite(gates, mapped.layout.first, mapped.layout.end)
    return program(base, plan, mapped.work, mapped.machine, gates, united, filters, True)


def moved(own: Program, step: int, transfer: int) -> tuple[int, list[Piece]]:
    """Bytes of a transfer of the kernels, and its pieces."""
    size, first, end = own.steps[step, transfer : transfer + 3]
    pieces = own.pieces[first:end].tolist() if size else []
    return int(size), [(piece[FIRST_BIT], piece[FIRST_BIT] + piece[BITS]) for piece in pieces]


@given(cases())
@MANY
def test_transfers_move_the_same_pieces_in_the_same_order(case: Case) -> None:
    own = compiled(case)
    expected = case.stepped().program
    assert len(own.steps) == len(expected)
    for i, step in enumerate(expected):
        assert moved(own, i, WEIGHT_BYTES) == (step.weight_bytes, step.weights)
        assert moved(own, i, ACTIVATION_BYTES) == (step.activation_bytes, step.activations)
        if step.last:
            size, pieces = moved(own, i, RESIDUAL_BYTES)
            assert (size, joined(pieces)) == (step.residual_bytes, step.residuals)  # operands may adjoin
            assert moved(own, i, STORE_BYTES) == (step.output_bytes, step.stores)


@given(cases())
@MANY
def test_pieces_hold_the_bits_that_are_counted(case: Case) -> None:
    own = compiled(case)
    for i in range(len(own.steps)):
        for transfer in (WEIGHT_BYTES, ACTIVATION_BYTES, RESIDUAL_BYTES, STORE_BYTES):
            size, pieces = moved(own, i, transfer)
            assert size == (sum(end - first for first, end in pieces) + 7) // 8


@given(cases())
@MANY
def test_dense_layers_move_every_bit(case: Case) -> None:
    """Weights that stay and results once; inputs, where pixel tiles read all there is, at least once."""
    layer, tiling = case.operation.layer, case.tiling
    dense = Case(case.operation.ungated(), case.hardware, tiling, None)
    own, layout = compiled(dense), dense.mapped()._plan(tiling, dense.batch).layout
    found: dict[int, list[Piece]] = {WEIGHT_BYTES: [], RESIDUAL_BYTES: [], STORE_BYTES: []}
    for transfer, pieces in found.items():
        for i in range(len(own.steps)):
            pieces += moved(own, i, transfer)[1]
    weights = sorted(found[WEIGHT_BYTES])
    if tiling.loop_order == "activations_outer":
        assert len(weights) % len(set(weights)) == 0
        weights = sorted(set(weights))
    assert run(weights) == (0, layer.out_channels * layer.reduction * layer.weight_bits)
    results = layout.out_sample * dense.batch
    if dense.operation.result_channels:  # the first channels of a wider tensor, each value once
        stored = [bit for first, end in found[STORE_BYTES] for bit in range(first, end)]
        assert len(stored) == len(set(stored)) == dense.batch * layer.activation_bits * outputs(layer)
        assert all(layout.outputs <= bit < layout.outputs + results for bit in stored)
        return
    assert run(sorted(found[STORE_BYTES])) == (layout.outputs, layout.outputs + results)
    if dense.operation.residuals:
        size = results * dense.operation.residuals
        assert run(sorted(found[RESIDUAL_BYTES])) == (layout.residuals, layout.residuals + size)


def outputs(layer: Layer) -> int:
    """Values of a sample's output."""
    return layer.out_channels * layer.pixels


def run(pieces: list[Piece]) -> tuple[int, int]:
    """The bits [first, end) that sorted pieces make up without a gap and without meeting twice."""
    assert all(before[1] == piece[0] for before, piece in pairwise(pieces))
    return pieces[0][0], pieces[-1][1]


def addresses(blocks: np.ndarray, sample: int, shape: tuple[int, int, int], bits: int) -> dict[Cell, int]:
    """First bit of every value of two samples, by the formula of `Layout`."""
    _, height, width = shape
    return {
        (s, channel, y, x): s * sample
        + place
        + (y * width + x) * (end - first) * bits
        + (channel - first) * bits
        for s in range(2)
        for first, end, place in blocks.tolist()
        for channel in range(first, end)
        for y in range(height)
        for x in range(width)
    }


@given(cases())
@MANY
def test_every_value_has_an_address_of_its_own(case: Case) -> None:
    layer, bits = case.operation.layer, case.operation.layer.activation_bits
    result = (case.operation.result_channels or layer.out_channels, *layer.out_shape[1:])
    layout: Layout = case.mapped()._plan(case.tiling, case.batch).layout
    tiles = Tiles(layer, case.hardware, case.tiling, case.hardware.array.column_groups, case.batch)
    stepped = SteppedLayout(case.operation, case.hardware, tiles, case.batch)
    for shape, blocks, sample, tensor in (
        (layer.in_shape, layout.in_blocks, layout.in_sample, stepped.inputs),
        (result, layout.out_blocks, layout.out_sample, stepped.outputs),
    ):
        found = addresses(blocks, sample, shape, bits)
        assert len(found) == 2 * int(np.prod(shape))
        assert sorted(found.values()) == list(range(0, 2 * sample, bits))
        assert {cell: tensor.address(cell) - tensor.start for cell in found} == found
    assert (layout.inputs, layout.outputs) == (stepped.inputs.start, stepped.outputs.start)


@given(cases())
@MANY
def test_tensors_do_not_overlap(case: Case) -> None:
    layer, batch = case.operation.layer, case.batch
    layout: Layout = case.mapped()._plan(case.tiling, batch).layout
    regions = [
        (0, layer.out_channels * layer.base_reduction * layer.weight_bits),
        (layout.late_weights, layer.out_channels * layer.conditional_reduction * layer.weight_bits),
        (layout.inputs, layout.in_sample * batch),
        (layout.residuals, layout.out_sample * batch * case.operation.residuals),
        (layout.outputs, layout.out_sample * batch),
    ]
    for (first, size), (following, _) in pairwise(regions):
        assert first % REGION_BITS == 0
        assert first + size <= following < first + size + REGION_BITS


def stepped_layout(layer: Layer, cuts: tuple[int, ...] = (), **changes: Any) -> SteppedLayout:
    target = hardware(**changes)
    tiling = Tiling(layer.out_shape[1], layer.out_shape[2], 1, 1, "weights_outer", interleaved=False)
    operation = Operation(layer, output_cuts=cuts)
    return SteppedLayout(operation, target, Tiles(layer, target, tiling, 1, 1), 1)


def test_blocks_by_hand() -> None:
    # 40 channels of a byte, bursts of 16 would be too small: 32 channels fill a burst of 32 bytes
    layer = Layer("l", "conv2d", (40, 2, 3), (8, 2, 3))
    inputs = stepped_layout(layer, burst_bytes=32).inputs
    start = inputs.start
    assert start == REGION_BITS  # behind the weights
    at = {cell: (inputs.address((0, *cell)) - start) // 8 for cell in [(0, 0, 0), (31, 0, 0), (0, 0, 1)]}
    assert at == {(0, 0, 0): 0, (31, 0, 0): 31, (0, 0, 1): 32}
    assert (inputs.address((0, 32, 0, 0)) - start) // 8 == 32 * 6  # the second block holds 8 channels
    assert (inputs.address((0, 33, 1, 2)) - start) // 8 == 32 * 6 + 5 * 8 + 1
    assert (inputs.address((1, 0, 0, 0)) - start) // 8 == 40 * 6
    inputs = stepped_layout(layer, burst_bytes=32, activation_layout="channel_major").inputs
    assert (inputs.address((0, 7, 1, 2)) - start) // 8 == 7 * 6 + 5


def test_base_channels_share_no_block_with_others() -> None:
    layer = Layer("l", "conv2d", (8, 1, 2), (4, 1, 2), base_channels=3, base_groups=2, gate="activation")
    inputs = stepped_layout(layer).inputs
    assert sorted({(block.start, block.stop) for block in inputs.block_of.values()}) == [
        (0, 3),
        (3, 6),
        (6, 8),
    ]
    outputs = stepped_layout(layer, cuts=(1,)).outputs
    assert set(outputs.block_of.values()) == {range(1), range(1, 4)}


def test_pieces_of_a_patch_by_hand() -> None:
    # 4 channels in a block, an image of 2 x 3 pixels of 4 bytes
    inputs = stepped_layout(Layer("l", "conv2d", (4, 2, 3), (4, 2, 3))).inputs
    start = inputs.start

    def taken(channels: range, rows: range, columns: range) -> list[Piece]:
        pieces = inputs.pieces((0, c, y, x) for c in channels for y in rows for x in columns)
        return [((first - start) // 8, (end - start) // 8) for first, end in pieces]

    assert taken(range(4), range(2), range(3)) == [(0, 24)]
    assert taken(range(4), range(2), range(2)) == [(0, 8), (12, 20)]
    assert taken(range(1, 3), range(1), range(2)) == [(1, 3), (5, 7)]


def test_bursts_by_hand() -> None:
    assert bursts([(0, 1)], 32) == [0]
    assert bursts([(255, 257)], 32) == [0, 1]
    assert bursts([(0, 256), (256, 512), (511, 512)], 32) == [0, 1]
    assert bursts([(0, 8), (600, 608), (8, 16)], 32) == [
        0,
        2,
        0,
    ]  # only the burst just asked for is not asked again


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900)), min_size=1, max_size=6))
def test_bursts_cover_the_pieces(spans: list[tuple[int, int]]) -> None:
    pieces = [(first, first + length) for first, length in spans]
    asked = bursts(pieces, 32)
    bits = {bit for first, end in pieces for bit in range(first, end)}
    assert {bit // 256 for bit in bits} == set(asked)
    assert all(a != b for a, b in pairwise(asked))
