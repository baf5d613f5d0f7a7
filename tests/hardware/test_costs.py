"""What accelerators cost: energy of accesses, leakage, area and what gating adds to it."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest

from cgsim.cli import main
from cgsim.hardware import Costs, EnergyCosts, area, available_hardware, energy_costs, load_hardware
from cgsim.hardware.logic import group_leakage_mw, pe_leakage_mw
from cgsim.hardware.memories import Memory, memories
from cgsim.hardware.tables import FOLDER, Table

OWN = load_hardware("asic-28nm")
TABLE = Table.read(FOLDER / "28nm.yaml")
PLAIN = {"gate_unit.enabled": False, "array.column_groups": 1}


def test_every_cost_can_be_given() -> None:
    names = [field.name for field in fields(EnergyCosts)]
    assert names == [name for name in Costs.model_fields if name != "table"]
    for position, name in enumerate(names):
        changed = energy_costs(load_hardware("asic-28nm", {f"costs.{name}": 1000.0 + position}))
        assert getattr(changed, name) == 1000 + position


def test_costs_given_serve_where_there_is_no_table() -> None:
    given = {f"costs.{field.name}": 1.0 for field in fields(EnergyCosts)}
    costs = energy_costs(load_hardware("fpga-zcu102", given))
    assert costs.leakage_mw == 7
    assert not any(math.isnan(value) for value in vars(costs).values())


def test_a_mac_given_changes_what_is_a_share_of_it() -> None:
    costs = energy_costs(load_hardware("asic-28nm", {"costs.mac_pj": 1.0}))
    assert (costs.mac_pj, costs.pe_clock_gated_pj, costs.pe_idle_pj) == (1, 0.1, 0.01)


def test_memories_are_those_that_the_array_reads() -> None:
    """32 rows, 32 columns, 8 groups, double buffered: 256, 288, 128 and 16 KiB."""
    assert memories(OWN) == {
        "weight": Memory(2, 288 * 1024, 256),
        "activation": Memory(16, 256 * 1024, 256),
        "accumulator": Memory(2, 128 * 1024, 1024),
        "gate": Memory(2, 16 * 1024, 512),
    }
    single = load_hardware("asic-28nm", {"buffers.double_buffered": False, "gate_unit.activation_banks": 4})
    own = memories(single)["activation"]
    assert (own.number, own.kib, own.bits, own.words) == (4, 64, 256, 2048)


def test_costs_of_a_buffer_are_those_of_its_sram_per_byte() -> None:
    costs, own = energy_costs(OWN), TABLE.macro(144, 256)
    assert costs.weight_read_pj == pytest.approx(own.read_pj / 32)
    assert costs.weight_write_pj == pytest.approx(own.write_pj / 32)
    assert costs.leakage_weight_mw == pytest.approx(2 * own.leakage_mw)


def test_costs_of_logic_by_hand() -> None:
    """Indices of 20 bits, thresholds and sums of 32, LPDDR4 of 8 pJ per bit, a queue has two counters."""
    costs, logic = energy_costs(OWN), TABLE.logic
    mac, compare, count = (part.energy_pj for part in (logic.mac, logic.comparator, logic.counter))
    bit = logic.register_bit.energy_pj
    assert costs.register_pj == pytest.approx(8 * bit)
    assert costs.compare_pj == pytest.approx(compare + 32 * bit)
    assert costs.scan_pj == pytest.approx(compare / 32 + bit)
    assert costs.fifo_pj == pytest.approx(40 * bit + 2 * count)
    assert costs.vector_pj == pytest.approx(mac + compare)
    assert costs.dram_pj == 64


def test_leakage_of_logic_by_hand() -> None:
    """asic-28nm: 1,024 PEs, 8 groups that scan 64 bits and queue 16 indices, 32 columns, 32 lanes."""
    array, unit, lanes = OWN.array, OWN.gate_unit, OWN.vector_unit.lanes
    assert (array.pes, array.column_groups, array.cols) == (1024, 8, 32)
    assert (unit.scan_bits_per_cycle, unit.fifo_depth) == (64, 16)
    leaky_bit = TABLE.logic.register_bit.model_copy(update={"leakage_mw": 1e-3})
    costs, logic = energy_costs(OWN), TABLE.logic.model_copy(update={"register_bit": leaky_bit})
    assert TABLE.logic.register_bit.leakage_mw == 0  # so that the shipped table cannot tell its registers
    mac, compare, count = (part.leakage_mw for part in (logic.mac, logic.comparator, logic.counter))
    assert costs.leakage_array_mw == pytest.approx(1024 * mac)
    assert costs.leakage_vector_mw == pytest.approx(lanes * (mac + compare))
    group = 64 * compare / 32 + 3 * count
    assert costs.leakage_gate_unit_mw == pytest.approx(8 * group + 32 * compare)
    assert pe_leakage_mw(OWN, logic) == pytest.approx(mac + 56e-3)
    leaky = 8 * (group + (64 + 16 * 20) * 1e-3) + 32 * (compare + 32e-3)
    assert group_leakage_mw(OWN, logic) == pytest.approx(leaky)


def test_an_accelerator_without_gate_unit_pays_for_none() -> None:
    costs = energy_costs(load_hardware("asic-28nm", PLAIN))
    assert (costs.gate_read_pj, costs.gate_write_pj) == (0, 0)
    assert (costs.leakage_gate_mw, costs.leakage_gate_unit_mw) == (0, 0)


def test_banks_of_the_activation_buffer_cost_area_where_they_cost_more_than_one_piece() -> None:
    """edge-16x16: 16 of 6 KiB in place of two of 48 KiB."""
    own = load_hardware("edge-16x16")
    banked = memories(own)["activation"]
    whole = Memory(2, banked.total_bytes, banked.bits)
    assert banked.number > whole.number
    covered = [one.number * TABLE.macro(one.kib, one.bits).area_mm2 for one in (banked, whole)]
    assert covered[0] > covered[1]
    found = area(own)
    assert found.parts["activation_buffer"] == pytest.approx(covered[1])
    assert found.gating["activation_banks"] == pytest.approx(covered[0] - covered[1])


def test_area_by_hand() -> None:
    """PEs of a MAC and 8 + 16 + 32 flip-flops; feeds of 32 x 31 / 2 bytes; what gating adds, part by part."""
    logic, found = TABLE.logic, area(OWN)
    bit = logic.register_bit.area_um2 / 1e6
    assert found.parts["pes"] == pytest.approx(1024 * (logic.mac.area_um2 / 1e6 + 56 * bit))
    assert found.parts["feed_and_exit"] == pytest.approx((8 + 32) * 496 * bit)
    lane = (logic.mac.area_um2 + logic.comparator.area_um2) / 1e6
    assert found.parts["vector_unit"] == pytest.approx(OWN.vector_unit.lanes * lane)
    assert found.gating["feed_ports"] == pytest.approx(7 * 8 * 496 * bit)
    assert found.gating["comparators"] == pytest.approx(32 * (logic.comparator.area_um2 / 1e6 + 32 * bit))
    counter = logic.counter.area_um2 / 1e6
    assert found.gating["index_fifos"] == pytest.approx(8 * (16 * 20 * bit + 2 * counter))
    assert found.gating["gate_buffer"] == pytest.approx(2 * TABLE.macro(8, 512).area_mm2)
    assert found.total_mm2 == pytest.approx(sum(found.parts.values()) + sum(found.gating.values()))
    assert found.gating_overhead == pytest.approx(sum(found.gating.values()) / sum(found.parts.values()))
    assert 1.5 < found.total_mm2 < 2.1


def test_gating_adds_nothing_where_there_is_none() -> None:
    plain = area(load_hardware("asic-28nm", PLAIN))
    assert plain.gating_mm2 == 0
    assert plain.parts["pes"] == area(OWN).parts["pes"]


@pytest.mark.parametrize(("groups", "more"), [(1, 2), (2, 8), (8, 32)])
def test_more_feeds_cost_more(groups: int, more: int) -> None:
    few, many = (area(load_hardware("asic-28nm", {"array.column_groups": n})) for n in (groups, more))
    assert many.gating["feed_ports"] > few.gating["feed_ports"]
    assert many.gating["scanners"] > few.gating["scanners"]
    assert many.gating["comparators"] == few.gating["comparators"]
    assert many.gating_mm2 > few.gating_mm2


@pytest.mark.parametrize("name", available_hardware())
def test_every_accelerator_has_its_costs_on_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardware", "costs", name]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    hardware = load_hardware(name)
    assert ("a MAC" in text) == (hardware.style == "asic")
    assert main(["hardware", "costs", name, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    if hardware.style == "asic":
        assert told["area"]["total_mm2"] == pytest.approx(area(hardware).total_mm2)
        assert told["energy"]["mac_pj"] > 0
    else:
        assert ("fpga" in told) == (not hardware.engines.pipeline)
        assert told["energy"] == {}
