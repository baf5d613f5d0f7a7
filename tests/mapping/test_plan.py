"""Plans of batches: which pixels of which samples a tile holds, and in which columns they sit."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import CgsimError
from cgsim.mapping.candidates import candidates
from cgsim.mapping.capacity import require_fits
from cgsim.mapping.operations import Operation
from cgsim.mapping.plan import pixel_places, plan
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import Tiling, need
from cgsim.trace.network import Layer
from tests.engine.machines import hardware, layers

ORDERS = ["raster", "block"]


def walk(rows: int, columns: int, height: int) -> list[tuple[int, int]]:
    """Bands of `height` rows, each column by column."""
    return [
        (y, x)
        for band in range(0, rows, height)
        for x in range(columns)
        for y in range(band, min(band + height, rows))
    ]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.sampled_from(ORDERS))
def test_places_are_a_permutation(rows: int, columns: int, width: int, order: str) -> None:
    places = pixel_places(rows, columns, width, order)
    assert sorted(places.tolist()) == list(range(rows * columns))
    height = max(h for h in range(1, width + 1) if width % h == 0 and h * h <= width)
    walked = walk(rows, columns, height if order == "block" else 1)
    assert [walked[place] for place in places] == [(y, x) for y in range(rows) for x in range(columns)]


@pytest.mark.parametrize(
    ("width", "block"), [(1, (1, 1)), (4, (2, 2)), (6, (2, 3)), (7, (1, 7)), (12, (3, 4))]
)
def test_neighbours_in_block_order_are_compact(width: int, block: tuple[int, int]) -> None:
    rows, columns = 2 * block[0], 3 * block[1]
    slot = pixel_places(rows, columns, width, "block").reshape(rows, columns) // width
    for own in range(rows * columns // width):
        y, x = np.nonzero(slot == own)
        assert (np.ptp(y) + 1, np.ptp(x) + 1) == block
        assert len(y) == width


@st.composite
def tilings(draw: st.DrawFn, layer: Layer, batch: int) -> Tiling:
    _, height, width = layer.out_shape
    rows = draw(st.integers(1, height))
    columns = draw(st.integers(1, width)) if rows == 1 else width
    samples = draw(st.integers(1, batch)) if (rows, columns) == (height, width) else 1
    return Tiling(rows, columns, draw(st.integers(1, 3)), 1, "weights_resident", False, samples)


@given(layers(gated=True, largest=6), st.integers(1, 5), st.sampled_from([None, *ORDERS]), st.data())
def test_tiles_hold_every_pixel_of_every_sample_once(
    layer: Layer, batch: int, order: str | None, data: st.DataObject
) -> None:
    tiling = data.draw(tilings(layer, batch))
    layout = slots(layer, 6, 2)
    dataflow = {"dataflow": "is", "pixel_order": order} if order else {}
    found = plan(layer, layout, tiling, hardware(**dataflow), batch)
    held = [pixel for first, end in found.pixels.tolist() for pixel in range(first, end)]
    assert held == list(range(batch * layer.pixels))
    assert len(found.pixels) == tiling.pixel_tiles(layer, batch)
    for (first, end), samples in zip(found.pixels.tolist(), found.samples.tolist(), strict=True):
        assert samples == (end - 1) // layer.pixels - first // layer.pixels + 1
        assert end - first <= tiling.tile_pixels
    if order is None:
        return
    for tile, (first, end) in enumerate(found.pixels.tolist()):
        assert found.first_slot[tile + 1] - found.first_slot[tile] == ceil((end - first) / layout.width)
        filled = np.bincount(found.slot_of[first:end] - found.first_slot[tile])
        assert (filled[:-1] == layout.width).all()
        assert 0 < filled[-1] <= layout.width


def test_slots_of_a_batch_in_block_order() -> None:
    """Two samples of 2 x 4 pixels, four columns: 2 x 2 blocks, sample by sample."""
    layer = Layer("l", "conv2d", (1, 2, 4), (1, 2, 4))
    tiling, target = (
        Tiling(2, 4, 1, 1, "weights_resident", False, 2),
        hardware(dataflow="is", pixel_order="block"),
    )
    found = plan(layer, slots(layer, 4, 1), tiling, target, 2)
    assert found.slot_of.reshape(2, 2, 4).tolist() == [[[0, 0, 1, 1]] * 2, [[2, 2, 3, 3]] * 2]
    assert found.patch.tolist() == [[0, 2, 0, 4]]


def test_a_tile_of_several_samples_needs_its_weights_once() -> None:
    layer = Layer(
        "l", "conv2d", (8, 6, 6), (8, 6, 6), (3, 3), padding=(1, 1), base_channels=2, gate="activation"
    )
    target = hardware(batch=4)
    layout = slots(layer, 4, 1)

    # double buffering: two parts of everything, gates excepted; 4 of the 8 output channels are in a tile
    for samples in (1, 2, 4):
        tiling = Tiling(6, 6, 1, 1, "weights_outer", False, samples)
        assert vars(need(layer, layout, target, tiling, 1, True)) == {
            "activation": samples * 36 * (8 + 4) * 2,
            "weight": 4 * 8 * 9 * 2,
            "accumulator": samples * 36 * 4 * 4 * 2,
            "gate": samples * 36 * 4 // 8,
        }


@given(layers(gated=True, largest=6), st.integers(2, 5), st.sampled_from([1, 2, 4]))
def test_candidates_of_a_batch_fit(layer: Layer, batch: int, kib: int) -> None:
    sizes = {
        "activation_kib": kib / 4,
        "weight_kib": kib / 4,
        "accumulator_kib": kib / 8,
        "gate_kib": kib / 64,
    }
    target = hardware(batch=batch, column_groups=2, **sizes)
    layout = slots(layer, 4, 2)
    found = candidates(layer, layout, target, 1)
    if not len(found):
        with pytest.raises(CgsimError, match="does not fit even as tiles of one pixel"):
            require_fits([Operation(layer, residuals=1)], target)
    for index in range(len(found)):
        tiling = found.tiling(index)
        assert tiling.tile_samples == 1 or (tiling.tile_rows, tiling.tile_columns) == layer.out_shape[1:]
        assert 1 <= tiling.tile_samples <= batch
        needed = vars(need(layer, layout, target, tiling, 1, True))
        assert all(needed[key.removesuffix("_kib")] <= size * 1024 for key, size in sizes.items())


def test_large_buffers_let_samples_share_a_tile() -> None:
    layer = Layer("l", "conv2d", (8, 2, 2), (8, 2, 2), (3, 3), padding=(1, 1))
    assert 4 in candidates(layer, slots(layer, 4, 1), hardware(batch=4), 0).samples
