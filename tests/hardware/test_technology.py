"""Tables of energy and area: what the library said, what lies between, what is refused."""

from __future__ import annotations

import json
import math
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import CgsimError
from cgsim.hardware import cacti, energy_costs, load_hardware
from cgsim.hardware.table_choice import table_of
from cgsim.hardware.tables import FOLDER, Sram, Table, shipped_tables

HELD = json.loads((Path(__file__).parents[1] / "data" / "hwcomponents.json").read_text())["sram"]
TABLES = {name: Table.read(FOLDER / f"{name}.yaml") for name in shipped_tables()}


def test_the_tables_are_those_of_the_nodes() -> None:
    assert shipped_tables() == ["16nm", "28nm", "45nm", "65nm"]
    for name, table in TABLES.items():
        text = (FOLDER / f"{name}.yaml").read_text()
        assert f"{table.node_nm:g}nm" == name
        assert table.date is not None
        for source in (*(part.source for _, part in table.logic), table.dram.source, table.sram.source):
            assert source in table.sources, source
        assert "docs/energy.md" in text


@pytest.mark.parametrize(
    ("kib", "read", "write", "area"), [(128, 13.85, 10.93, 0.178), (1024, 40.60, 31.74, 1.302)]
)
def test_known_srams_at_28_nm(kib: int, read: float, write: float, area: float) -> None:
    """As hwcomponents 1.0.114 with CACTI gave them when cgsim was designed."""
    own = TABLES["28nm"].macro(kib, 64)
    assert own.read_pj == pytest.approx(read, rel=1e-3)
    assert own.write_pj == pytest.approx(write, rel=1e-3)
    assert own.area_mm2 == pytest.approx(area, rel=2e-3)
    mac = TABLES["28nm"].logic.mac
    assert (round(mac.energy_pj, 3), round(mac.area_um2)) == (0.592, 369)


@pytest.mark.parametrize("held", HELD, ids=lambda one: "-".join(str(one[key]) for key in list(one)[:3]))
def test_what_lies_between_is_near_what_the_library_says(held: dict[str, float]) -> None:
    """Small SRAMs jump more from size to size: CACTI lays them out anew (docs/energy.md)."""
    found = TABLES[f"{held['node_nm']}nm"].macro(held["capacity_kib"], int(held["width_bits"]))
    within = 0.2 if held["capacity_kib"] < 16 else 0.1
    for name in Sram._fields:
        assert getattr(found, name) == pytest.approx(held[name], rel=within), name


@given(st.sampled_from(list(TABLES)), st.floats(1, 4096), st.sampled_from([32, 64, 100, 512]))
def test_larger_srams_leak_and_cover_more(name: str, kib: float, bits: int) -> None:
    small, large = TABLES[name].macro(kib, bits), TABLES[name].macro(4 * kib, bits)
    assert large.leakage_mw > small.leakage_mw
    assert large.area_mm2 > small.area_mm2
    if 4 * kib <= 4096:  # beyond, it is several of which one is accessed
        assert large.read_pj > small.read_pj
        assert large.write_pj > small.write_pj


@given(st.sampled_from(list(TABLES)), st.integers(2, 8), st.floats(4, 512))
def test_wide_ports_are_srams_side_by_side_and_large_ones_lie_behind_each_other(
    name: str, times: int, kib: float
) -> None:
    one, wide = TABLES[name].macro(kib, 512), TABLES[name].macro(times * kib, times * 512)
    assert wide == pytest.approx([times * value for value in one])
    largest, more = TABLES[name].macro(4096, 64), TABLES[name].macro(times * 4096, 64)
    assert more[:2] == pytest.approx(largest[:2])
    assert more[2:] == pytest.approx([times * value for value in largest[2:]])


def test_nodes_cost_less_the_smaller_they_are() -> None:
    macs = [TABLES[name].logic.mac.energy_pj for name in shipped_tables()]
    reads = [TABLES[name].macro(64, 64).read_pj for name in shipped_tables()]
    assert macs == sorted(macs)
    assert reads == sorted(reads)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    values = yaml.safe_load((FOLDER / "28nm.yaml").read_text())
    values["logic"]["mac"]["energy_pj"] = 0.25
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    own = load_hardware("asic-28nm", {"costs.table": str(path)})
    assert energy_costs(own).mac_pj == 0.25
    assert energy_costs(own).weight_read_pj == energy_costs(load_hardware("asic-28nm")).weight_read_pj


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["logic"].pop("mac"), "logic.mac: missing, expected a section"),
        (lambda v: v["sram"].update(read_pj=[[1, 2]]), "sram.read_pj: expected 13 rows"),
        (lambda v: v["sram"].update(width_bits=[64, 32]), "sram.width_bits: expected two or more ascending"),
        (lambda v: v["sram"].update(area_mm2=[["x"]]), "sram.area_mm2: expected a row of numbers"),
        (lambda v: v.update(nodenm=3), "nodenm: unknown key"),
        (
            lambda v: v["dram"].update(energy_pj_per_bit=-1),
            "dram.energy_pj_per_bit: expected a number from 0",
        ),
    ],
)
def test_bad_tables_are_refused_on_one_line(change: Any, message: str, tmp_path: Path) -> None:
    values = yaml.safe_load((FOLDER / "28nm.yaml").read_text())
    change(values)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(CgsimError) as caught:
        load_hardware("asic-28nm", {"costs.table": str(path)})
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_table_names_the_nearest() -> None:
    with pytest.raises(CgsimError, match=r"costs.table: expected 16nm.*got '27nm' \(did you mean '28nm'\?\)"):
        load_hardware("asic-28nm", {"costs.table": "27nm"})


def test_a_technology_without_table_has_no_costs() -> None:
    own = load_hardware("asic-28nm", {"technology": "7nm"})
    assert table_of(own) is None
    assert math.isnan(energy_costs(own).mac_pj)


class FakeSram:
    """As hwcomponents_cacti.SRAM: sizes in bits, nodes in metres, joules and watts and square metres."""

    asked: ClassVar[list[tuple[float, int, int]]] = []
    leak_power, area = 3e-3, 4e-6

    def __init__(self, tech_node: float, width: int, size: int) -> None:
        self.asked.append((round(tech_node * 1e9), width, size))

    def read(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(energy=1e-12)

    def write(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(energy=2e-12)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeSram]:
    module = types.ModuleType("hwcomponents_cacti")
    module.SRAM = FakeSram  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hwcomponents_cacti", module)
    monkeypatch.setattr(cacti, "version", lambda _: "1.0.40")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(FakeSram, "asked", [])
    cacti._cached.cache_clear()
    return FakeSram


def test_cacti_is_asked_for_exact_sizes_once(library: type[FakeSram], tmp_path: Path) -> None:
    own = load_hardware("asic-28nm", {"costs.table": "cacti", "buffers.activation_kib": 100})
    costs = energy_costs(own)
    assert costs.weight_read_pj == 1 / 32  # 1 pJ for 256 bits
    assert costs.leakage_weight_mw == pytest.approx(2 * 3)
    assert costs.accumulator_read_pj == pytest.approx(2 / 128)  # 1,024 bits are two of 512
    assert (28, 256, 144 * 8192) in library.asked  # half of 288 KiB, all columns
    assert (28, 256, round(100 / 16 * 8192)) in library.asked  # two halves of eight banks
    asked = len(library.asked)
    cacti._cached.cache_clear()  # as another process
    assert energy_costs(own) == costs
    assert len(library.asked) == asked
    assert (tmp_path / "cgsim" / "cacti" / "hwcomponents-cacti-1.0.40.json").is_file()


@pytest.mark.parametrize(
    "text", ['{"28 n', "[1, 2]", '{"28 nm, 8 KiB x 64": [1, 2]}', '{"a": ["x", 1, 2, 3]}']
)
def test_a_spoilt_cache_is_written_anew(library: type[FakeSram], tmp_path: Path, text: str) -> None:
    path = tmp_path / "cgsim" / "cacti" / "hwcomponents-cacti-1.0.40.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert cacti._cached(28, 8, 64) == Sram(1, 2, 3, 4)
    assert list(json.loads(path.read_text())) == ["28 nm, 8 KiB x 64"]


def test_a_cache_that_cannot_be_written_is_none(library: type[FakeSram], tmp_path: Path) -> None:
    (tmp_path / "cgsim" / "cacti" / "hwcomponents-cacti-1.0.40.json").mkdir(parents=True)
    assert cacti._cached(28, 8, 64) == Sram(1, 2, 3, 4)
    assert len(library.asked) == 1


def test_wide_srams_are_asked_for_as_several_of_512_bits(library: type[FakeSram]) -> None:
    wide = cacti.CactiTable(TABLES["28nm"]).macro(64, 2048)
    assert library.asked == [(28, 512, 16 * 8192)]
    assert wide == Sram(4, 8, 12, 16)


def test_cacti_that_fails_or_is_missing_is_told(
    library: type[FakeSram], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("CACTI executable not found")

    own = load_hardware("asic-28nm", {"costs.table": "cacti"})
    monkeypatch.setattr(library, "__init__", broken)
    with pytest.raises(CgsimError, match="'cacti': CACTI did not run: CACTI executable not found"):
        energy_costs(own)
    monkeypatch.undo()
    cacti._cached.cache_clear()
    if "hwcomponents_cacti" not in sys.modules:
        with pytest.raises(CgsimError, match=r"needs the library hwcomponents-cacti.*cgsim\[cacti\]"):
            energy_costs(own)
    with pytest.raises(CgsimError, match="'cacti' needs a technology of 16nm, 28nm"):
        load_hardware("asic-28nm", {"costs.table": "cacti", "technology": "7nm"})
