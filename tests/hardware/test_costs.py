"""What accelerators cost: energy of accesses, leakage, area and what gating adds to it."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest

from cgsim.cli import main
from cgsim.hardware import Costs, EnergyCosts, area, available_hardware, energy_costs, load_hardware
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


def test_area_by_hand() -> None:
    """PEs of a MAC and 8 + 16 + 32 flip-flops; feeds of 32 x 31 / 2 bytes; what gating adds, part by part."""
    logic, found = TABLE.logic, area(OWN)
    bit = logic.register_bit.area_um2 / 1e6
    assert found.parts["pes"] == pytest.approx(1024 * (logic.mac.area_um2 / 1e6 + 56 * bit))
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
