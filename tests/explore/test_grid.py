"""Grids: order, typed values, and every bad point listed before anything runs."""

from __future__ import annotations

import numpy as np
import pytest

from cgsim.errors import CgsimError, ListedError
from cgsim.explore import grid_points
from cgsim.hardware import load_hardware


@pytest.fixture
def hardware():
    return load_hardware("edge-16x16")


def refusal(hardware, grid) -> str:
    with pytest.raises(CgsimError) as caught:
        grid_points(hardware, grid)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_product_with_the_last_key_fastest(hardware):
    points = grid_points(hardware, {"array.rows": [8, 16], "clock_mhz": [100, 200]})
    assert [str(point) for point in points] == [
        "array.rows=8, clock_mhz=100.0",
        "array.rows=8, clock_mhz=200.0",
        "array.rows=16, clock_mhz=100.0",
        "array.rows=16, clock_mhz=200.0",
    ]
    assert [(p.hardware.array.rows, p.hardware.clock_mhz) for p in points] == [
        (8, 100.0),
        (8, 200.0),
        (16, 100.0),
        (16, 200.0),
    ]


def test_empty_grid_is_the_hardware_itself(hardware):
    (point,) = grid_points(hardware, {})
    assert (point.settings, point.hardware, str(point)) == ({}, hardware, "edge-16x16")


def test_one_value_ranges_and_arrays(hardware):
    grid = {"array.rows": np.array([4, 8]), "array.pipelining": "serial", "array.cols": range(8, 17, 8)}
    points = grid_points(hardware, grid)
    assert len(points) == 4
    assert {type(value) for point in points for value in point.settings.values()} == {int, str}


def test_dependent_keys_together(hardware):
    points = grid_points(hardware, {"array.cols": [4], "array.column_groups": [1, 2, 4]})
    assert [point.hardware.array.group_cols for point in points] == [4, 2, 1]


def test_every_bad_point_is_listed(hardware):
    assert refusal(hardware, {"array.cols": [4, 8, 12]}) == (
        "sweep: 2 of 3 points are refused: "
        "at array.cols=4: array.column_groups: expected a divisor of array.cols (4), got 8; "
        "at array.cols=12: array.column_groups: expected a divisor of array.cols (12), got 8"
    )


def test_points_refused_for_one_reason_are_told_together(hardware):
    grid = {"array.cols": [4, 8], "array.rows": [1, 2, 4, 8], "clock_mhz": [-1, 100]}
    told = refusal(hardware, grid)
    groups = "array.column_groups: expected a divisor of array.cols (4), got 8"
    assert told.startswith("sweep: 12 of 16 points are refused: ")
    assert (
        f"at array.cols=4, array.rows=1, clock_mhz=100; at array.cols=4, array.rows=2, clock_mhz=100 "
        f"and 2 more: {groups}"
    ) in told
    assert told.count("got -1") == 2  # alone, and together with the groups
    with pytest.raises(ListedError) as caught:
        grid_points(hardware, grid)
    assert (caught.value.head, len(caught.value.problems)) == ("sweep: 12 of 16 points are refused", 3)
    assert f"{caught.value.head}: {'; '.join(caught.value.problems)}" == told


def test_a_long_list_of_reasons_is_cut(hardware):
    told = refusal(hardware, {"array.rows": list(range(-30, 1)), "array.cols": [8, 16]})
    assert told.endswith("; and 42 more for 21 other reasons")


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"array.rows": []}, "sweep: array.rows: expected at least one value"),
        ({"array.rows": [8, 16, 8]}, "sweep: array.rows: 8 is there twice"),
        (
            {"array.row": [8]},
            "sweep: 1 of 1 points are refused: at array.row=8: array.row: unknown key (did you mean 'rows'?)",
        ),
        (
            {"array.rows": range(1, 1001), "array.cols": range(1, 1002)},
            "sweep: the grid has 1001000 points, at most 1000000 are taken",
        ),
    ],
)
def test_refused(hardware, grid, message):
    assert refusal(hardware, grid) == message
