"""FPGA resources: memories by their ports, devices, packing, limits, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import cgsim
from cgsim.errors import CgsimError
from cgsim.hardware import available_hardware, load_hardware
from cgsim.hardware.fpga import Amounts, Shape, array_parts, resources
from cgsim.hardware.fpga_devices import FAMILIES, RESOURCES, devices, find_device
from cgsim.hardware.fpga_memory import blocks18, luts_of_memory, ultrarams
from cgsim.hardware.fpga_table import resources_table

BOARDS = [name for name in available_hardware() if name.startswith("fpga-")]


def refusal(changes: dict[str, Any], base: str = "fpga-zcu102") -> str:
    with pytest.raises(CgsimError) as caught:
        load_hardware(base, changes)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"hardware {base!r}: ")


@pytest.mark.parametrize(
    ("words", "bits", "expected"),
    [
        (512, 36, 1),  # one block as it is
        (513, 36, 2),  # a word more: two shapes need two
        (512, 37, 2),
        (512, 72, 2),  # what a block of 36 Kb is as 512 x 72
        (1024, 18, 1),
        (1024, 32, 2),
        (16384, 1, 1),
        (16385, 1, 2),
        (2048, 128, 15),  # 2K x 9, fifteen side by side: 4 x 512 x 36 would need 16
        (4096, 8, 2),
        (0, 36, 0),
    ],
)
def test_block_rams(words: int, bits: int, expected: int) -> None:
    assert blocks18(words, bits) == expected


@pytest.mark.parametrize(
    ("words", "bits", "expected"), [(4096, 72, 1), (4097, 72, 2), (4096, 73, 2), (100, 512, 8)]
)
def test_ultrarams(words: int, bits: int, expected: int) -> None:
    assert ultrarams(words, bits) == expected


@pytest.mark.parametrize(
    ("words", "bits", "family", "expected"),
    [
        (16, 6, "7-series", 4),  # one RAM32M
        (32, 7, "7-series", 8),
        (33, 6, "7-series", 8),
        (8, 14, "ultrascale+", 8),  # one RAM32M16
        (8, 15, "ultrascale+", 16),
        (16, 4, "ecp5", 6),
        (17, 4, "ecp5", 12),
    ],
)
def test_memories_in_luts(words: int, bits: int, family: str, expected: int) -> None:
    assert luts_of_memory(words, bits, family) == expected


def test_devices_are_complete() -> None:
    for name, device in devices().items():
        assert device.family in FAMILIES
        assert device.source
        assert all(getattr(device, resource) >= 0 for resource in RESOURCES), name
        assert name == name.upper()


@pytest.mark.parametrize("part", ["XCZU9EG", "xczu9eg-ffvb1156-2-e", "XCZU9EG-2"])
def test_a_part_is_known_by_how_it_begins(part: str) -> None:
    device = find_device(part)
    assert device is not None
    assert device.name == "XCZU9EG"


def test_the_longest_name_counts() -> None:
    assert find_device("XC7Z020-1CLG400C") == devices()["XC7Z020"]
    assert find_device("28nm") is None
    assert find_device(None) is None


@pytest.mark.parametrize("board", BOARDS)
def test_boards_fit_with_room_to_route(board: str) -> None:
    taken = resources(load_hardware(board))
    assert not taken.over
    assert max(taken.utilisation.values()) < 0.8
    assert taken.device is not None


@pytest.mark.parametrize("board", BOARDS)
def test_parts_add_up(board: str) -> None:
    taken = resources(load_hardware(board))
    total = sum(taken.parts.values(), Amounts())
    for name in RESOURCES:
        assert 0 <= getattr(taken, name) - getattr(total, name) < 1


@pytest.mark.parametrize("board", BOARDS)
def test_gating_is_what_it_adds(board: str) -> None:
    hardware = load_hardware(board)
    gated = resources(hardware)
    plain = resources(hardware.override({"gate_unit.enabled": False, "array.column_groups": 1}))
    assert not any(plain.gating.to_dict().values())
    # Cells of block RAM are the same; which buffers become UltraRAM may differ.
    assert gated.gating.lut == gated.lut - plain.lut > 0
    assert gated.gating.dsp == gated.dsp - plain.dsp > 0


def test_a_dsp_slice_per_pe() -> None:
    taken = resources(load_hardware("fpga-zcu102"))
    assert taken.parts["pes"].dsp == 512
    assert taken.parts["vector_unit"].dsp == 32


def test_two_macs_per_dsp_slice() -> None:
    one = resources(load_hardware("fpga-zcu102"))
    two = resources(load_hardware("fpga-zcu102", {"fpga.macs_per_dsp": 2}))
    assert two.parts["pes"].dsp == 256
    assert one.dsp - two.dsp == 256
    assert two.lut >= one.lut


def test_packing_needs_wide_multipliers() -> None:
    assert refusal({"fpga.macs_per_dsp": 2}, "fpga-pynq-z2") == (
        "fpga.macs_per_dsp: expected 1, got 2: two int8 products need the factors of 27 bits of "
        "'ultrascale+', this is '7-series'"
    )


def test_packing_needs_pairs_of_columns() -> None:
    assert refusal({"fpga.macs_per_dsp": 2, "array.column_groups": 16}) == (
        "fpga.macs_per_dsp: expected 1, got 2: pairs of columns share a DSP slice, and a column group has 1"
    )
    assert refusal({"fpga.macs_per_dsp": 3}) == "fpga.macs_per_dsp: expected 1 or 2, got 3"


def test_what_does_not_fit_is_refused() -> None:
    changes = {"array.rows": 32, "array.cols": 32, "vector_unit.lanes": 32, "buffers.activation_kib": 1024}
    message = refusal(changes, "fpga-pynq-z2")
    assert message.startswith("does not fit XC7Z020: takes 1098 DSP slices of 220, ")
    assert message.endswith(" block RAMs of 36 Kb of 140")


def test_a_share_of_the_device() -> None:
    assert refusal({"fpga.usable_percent": 20}).startswith(
        "does not fit XCZU9EG (20 % of it): takes 584 DSP slices of 504"
    )


def test_limits_in_the_file_replace_those_of_the_device() -> None:
    assert refusal({"fpga.dsp": 100}) == "does not fit XCZU9EG: takes 584 DSP slices of 100"
    assert load_hardware("fpga-pynq-z2", {"fpga.dsp": 100_000, "array.rows": 32}).array.rows == 32


def test_an_unknown_device_is_refused() -> None:
    assert refusal({"technology": "XCZU9EX"}) == (
        "technology: unknown FPGA 'XCZU9EX' (did you mean 'XCZU9EG'?); another needs fpga.family"
    )


def test_an_unknown_device_of_a_known_family() -> None:
    hardware = load_hardware(
        "fpga-zcu102", {"technology": "XCKU5P", "fpga.family": "ultrascale+", "fpga.dsp": 1824}
    )
    taken = resources(hardware)
    assert taken.device is None
    assert taken.available == {"dsp": 1824}
    assert taken.utilisation == {"dsp": taken.dsp / 1824}


def test_without_a_technology_nothing_is_checked() -> None:
    hardware = load_hardware("fpga-zcu102", {"technology": None, "array.rows": 1024})
    with pytest.raises(
        CgsimError, match=r"'fpga-zcu102': technology: expected the name of an FPGA; or give fpga"
    ):
        resources(hardware)


def test_an_asic_is_not_held_against_an_fpga() -> None:
    asic = load_hardware("tpu-like-128x128")
    with pytest.raises(CgsimError, match="unknown FPGA"):
        resources(asic)
    taken = resources(asic.override({"fpga.family": "ultrascale+"}))
    assert taken.parts["pes"].dsp == 128 * 128
    assert not taken.available


def test_buffers_are_counted_by_their_ports() -> None:
    """Two halves of 16 Ki words of 128 bits, each 8 x 15 blocks of 2K x 9."""
    parts = resources(load_hardware("fpga-zcu102")).parts
    assert parts["weight_buffer"] == Amounts(bram36=120)


def test_large_buffers_become_ultraram_where_there_is_some() -> None:
    parts = resources(load_hardware("fpga-zcu104")).parts
    assert parts["weight_buffer"] == Amounts(uram=2 * 4 * 2)  # 16 Ki words of 128 bits
    assert parts["accumulator_buffer"].bram36 > 0  # 1 Ki words of 512 bits would use a quarter of each
    without = resources(load_hardware("fpga-zcu104", {"fpga.uram": 0, "fpga.bram36": 1000}))
    assert without.uram == 0
    assert without.parts["weight_buffer"] == Amounts(bram36=120)


def test_small_memories_are_luts() -> None:
    hardware = load_hardware("fpga-zcu102", {"buffers.gate_kib": 1})
    assert resources(hardware).parts["gate_buffer"].bram36 == 0
    assert resources(hardware).parts["gate_buffer"].lut > 0


def test_long_queues_are_block_ram() -> None:
    short, long = (
        resources(load_hardware("fpga-zcu102", {"gate_unit.fifo_depth": depth})).parts["gate_unit"]
        for depth in (64, 512)
    )
    assert (short.bram36, long.bram36) == (0, 8 * 3 / 2)  # 8 groups, 512 x (64 + 20) bits
    assert long.lut < short.lut


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("output", [False, True])
def test_more_of_anything_never_takes_less(family: str, output: bool) -> None:
    def total(**changes: Any) -> Amounts:
        shape = {
            "rows": 8,
            "cols": 8,
            "groups": 2,
            "output": output,
            "window": 32,
            "queue": 16,
            "gated": True,
        }
        return sum(array_parts(Shape(**shape | {"banked": False} | changes), family).values(), Amounts())

    for bigger in (
        {"rows": 16},
        {"cols": 16},
        {"groups": 4},
        {"window": 64},
        {"queue": 64},
        {"banked": True},
    ):
        for name in ("dsp", "lut", "ff"):
            assert getattr(total(**bigger), name) >= getattr(total(), name), (bigger, name)
    assert total(gated=False).lut < total().lut


@pytest.mark.parametrize("board", BOARDS)
def test_the_table_is_narrow_and_complete(board: str) -> None:
    taken = resources(load_hardware(board))
    lines = resources_table(taken).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == [load_hardware(board).technology, "DSP", "LUT", "FF", "BRAM36", "URAM"]
    assert len(lines) == len(taken.parts) + 5


def test_a_sweep_lists_the_points_that_do_not_fit(tmp_path: Any) -> None:
    trace = "traces/resnet20-cgnet.trace.parquet"
    with pytest.raises(CgsimError) as caught:
        cgsim.sweep([trace], "fpga-pynq-z2", {"array.rows": [8, 16, 64]}, out=tmp_path / "sweep")
    message = str(caught.value)
    assert "1 of 3 points are refused: at array.rows=64: does not fit XC7Z020: takes" in message
    assert "DSP slices of 220" in message
