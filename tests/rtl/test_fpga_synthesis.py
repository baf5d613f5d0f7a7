"""FPGA resources as cgsim.hardware.fpga estimates them, against synthesis of rtl/ with Yosys."""

from __future__ import annotations

import os

import pytest

from tests.conftest import VALIDATE
from tests.rtl.fpga_fit import text
from tests.rtl.fpga_table import COMPARED, FAMILIES, STORED, Row, read, table
from tests.rtl.simulator import SOURCES
from tests.rtl.synthesis import SIZES, Size, count, missing_tools, synthesise

MOST = 0.15
"""What the model may be off, as a share of what was measured."""
ROWS = read()
COSTS = SOURCES.parent / "cgsim" / "hardware" / "fpga_costs.yaml"

ALONE = {
    Size(4, 4, 2, family="xc7"): {"lut": 304, "ff": 269, "dsp": 16},
    Size(3, 6, 2, family="xcup"): {"lut": 569, "ff": 789, "dsp": 18},
}
"""Arrays without control and gate unit, as synthesised on 2026-11-23."""


@pytest.fixture
def yosys() -> None:
    """Skip where rtl/ cannot be synthesised; in CI and in `make validate` fail."""
    if not missing_tools():
        return
    message = f"synthesis needs {', '.join(missing_tools())}; make setup, or: sudo apt-get install yosys"
    if os.environ.get("CI") or VALIDATE:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.mark.parametrize("row", ROWS, ids=[row.size.name for row in ROWS])
def test_the_model_is_near_what_was_measured(row: Row) -> None:
    assert {name: f"{row.deviation(name):+.1%}" for name in COMPARED if abs(row.deviation(name)) > MOST} == {}


def test_more_than_a_dozen_sizes_are_held() -> None:
    held = [row.size for row in ROWS if not row.fitted]
    assert len(held) >= 12
    assert {size.family for size in held} == set(FAMILIES)
    assert {size.kind for size in held} == {"stationary", "output"}
    assert [row.size for row in ROWS] == list(SIZES)


def test_the_costs_are_those_of_the_fit() -> None:
    assert COSTS.read_text() == text()


def test_the_table_names_every_size() -> None:
    lines = table(ROWS).splitlines()
    assert all(any(line.startswith(row.size.name) for line in lines) for row in ROWS)
    assert max(map(len, lines)) <= 100


@pytest.mark.usefixtures("yosys")
@pytest.mark.parametrize("size", ALONE, ids=lambda size: size.name)
def test_an_array_synthesised_now(size: Size) -> None:
    """PEs and lines alone, which take seconds; all of it is `make validate-fpga`.

    As when the table was made: if not, rtl/ or a program is another, and the table is to be made anew.
    """
    found = synthesise(size, array_alone=True)
    assert {name: found[name] for name in COMPARED} == pytest.approx(ALONE[size], rel=0.03)


def test_cells_that_nobody_counts_are_told() -> None:
    with pytest.raises(RuntimeError, match="cells that nobody counts: RAMB36E2"):
        count("     LUT6        3\n     RAMB36E2        1\n")


def test_cells_are_counted() -> None:
    text_of_stat = "\n".join(
        f"     {name:<20} {number}"
        for name, number in {
            "LUT2": 3,
            "RAM32M16": 2,
            "FDRE": 7,
            "DSP48E2": 4,
            "TABLE": 1,
            "MUXF7": 9,
        }.items()
    )
    assert count(text_of_stat) == {"lut": 19, "ff": 7, "dsp": 4, "table": 1}


def test_the_stored_table_says_where_it_comes_from() -> None:
    assert '"program": "Yosys 0.23' in STORED.read_text()
