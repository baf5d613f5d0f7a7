"""What a run accesses and what it costs: by hand on a small layer, and conserved on all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cgsim
from cgsim.engine.accesses import shared
from cgsim.engine.columns import ACCESSES, ENERGIES, MODES
from cgsim.engine.run import run
from cgsim.hardware import energy_costs
from cgsim.trace import Trace, load_trace
from cgsim.trace.metadata import Metadata, Sample
from cgsim.trace.network import INPUT
from cgsim.trace.networks import Builder
from cgsim.trace.writer import TraceWriter
from tests.engine.machines import hardware

DATAFLOWS = ("ws", "is", "os")


def traced(folder: Path, gates: np.ndarray) -> Trace:
    """One convolution of 1 x 1 with 8 inputs, 4 of them base, and 4 outputs of 3 x 3; gates [S, 4, 9]."""
    make = Builder((8, 3, 3))
    make.conv("a", INPUT, 4, kernel=1, p=2)
    network = make.network("one")
    path = folder / "one.trace.parquet"
    with TraceWriter(path, network, Metadata(model="one", method="synthetic")) as writer:
        for index, own in enumerate(gates):
            writer.append(Sample(str(index)), {"a": own})
    return load_trace(path)


def machine(**changes: Any) -> cgsim.Hardware:
    small = {"rows": 4, "cols": 4, "column_groups": 2, "group_sync": "fold", "scan_bits_per_cycle": 2}
    return hardware(**small | changes)


def test_accesses_by_hand(tmp_path: Path) -> None:
    """`ws`, 4 x 4, two groups of two columns.

    Base: 2 groups x 9 vectors of 4 of 8 inputs. Gates of the first two channels are on at the 3 pixels of the
    first row, of the others nowhere.
    """
    gates = np.zeros((1, 4, 9), bool)
    gates[0, :2, :3] = True
    counts = run(traced(tmp_path, gates), machine(), check=True)
    columns = counts.columns
    gated = {name: int(columns[f"gated_{name}"][0]) for name in ACCESSES}
    tiles = next(one["pixel_tiles"] for one in counts.mapping if one["mode"] == "gated")
    assert (gated["base_macs"], gated["conditional_macs"], gated["deciding_macs"]) == (144, 24, 0)
    # 2 groups x 9 base and 1 group x 3 conditional vectors, each through 4 rows x 2 columns of PEs
    slots = (18 + 3) * 8
    assert gated["clock_gated_pe_cycles"] == slots - 168
    assert gated["idle_pe_cycles"] == columns["gated_cycles"][0] * 16 - slots
    assert gated["decisions"] == 36
    assert gated["scanned_bits"] == 2 * 9 * 2  # both groups, nine pixels, two columns
    assert gated["fifo_entries"] == 3
    assert gated["gate_buffer_write_bytes"] == round(36 / 8)
    # stationary operands of 4 rows x 2 columns: 2 groups of the base in each tile, 1 of the conditional path
    assert gated["weight_buffer_read_bytes"] == (2 * tiles + 1) * 8
    # sums: 4 columns x 9 of the base, 2 x 3 of the conditional path, 4 bytes each
    assert gated["accumulator_read_bytes"] == gated["accumulator_write_bytes"] == 4 * (36 + 6)
    assert gated["vector_operations"] == 36
    assert gated["register_bytes"] == 21 * 4 * 2 + (36 + 6) * 4 * 4 + (2 * tiles + 1) * 8 * 2.5


def test_the_base_groups_read_their_own_activations_and_equal_ones_once(tmp_path: Path) -> None:
    gates = np.zeros((1, 4, 9), bool)
    columns = run(traced(tmp_path, gates), machine()).columns
    stored = columns["gated_activations_write_bytes"][0]
    assert columns["gated_activation_buffer_read_bytes"][0] == 2 * 9 * 4 + stored  # two blocks of the base
    assert columns["dense_activation_buffer_read_bytes"][0] == 2 * 9 * 4 + stored  # two row folds


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("batch", [1, 2])
def test_pe_cycles_and_macs_are_conserved(dataflow: str, batch: int, tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((5, 4, 9)) < 0.4
    trace, own = traced(tmp_path, gates), machine(dataflow=dataflow, batch=batch)
    columns = run(trace, own, check=True).columns  # conservation is checked inside
    for mode in MODES:
        parts = [columns[f"{mode}_{name}"] for name in ("base_macs", "conditional_macs", "deciding_macs")]
        assert (sum(parts) == columns[f"{mode}_macs"]).all()
        spent = sum(columns[f"{mode}_{name}_energy_pj"] for name in ENERGIES)
        assert columns[f"{mode}_energy_pj"] == pytest.approx(spent, nan_ok=True)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_energy_is_accesses_times_costs(dataflow: str, tmp_path: Path) -> None:
    gates = np.random.default_rng(1).random((2, 4, 9)) < 0.4
    own = machine(dataflow=dataflow).override({"technology": "28nm"})
    columns, costs = run(traced(tmp_path, gates), own).columns, energy_costs(own)
    for mode in MODES:
        used = {name: columns[f"{mode}_{name}"] for name in ACCESSES}
        expected = {
            "base_macs": used["base_macs"] * costs.mac_pj,
            "weight_buffer": used["weight_buffer_read_bytes"] * costs.weight_read_pj
            + used["weight_buffer_write_bytes"] * costs.weight_write_pj,
            "dram": columns[f"{mode}_offchip_bytes"] * 64,
            "leakage": columns[f"{mode}_cycles"] / own.clock_mhz * 1e3 * costs.leakage_mw,
        }
        for name, values in expected.items():
            assert columns[f"{mode}_{name}_energy_pj"] == pytest.approx(values), name
    assert columns["dense_gate_unit_energy_pj"].sum() == 0
    assert columns["gated_gate_unit_energy_pj"].min() > 0


def test_a_command_level_dram_has_its_own_energy(tmp_path: Path) -> None:
    gates = np.ones((1, 4, 9), bool)
    own = machine(dram={"standard": "DDR4-2400"}).override({"technology": "28nm"})
    columns = run(traced(tmp_path, gates), own).columns
    assert columns["gated_dram_energy_pj"][0] > 64 * columns["gated_offchip_bytes"][0]
    unknown = machine().override({"technology": "XCU250"})
    assert math.isnan(run(traced(tmp_path, gates), unknown).columns["gated_energy_pj"][0])


@pytest.mark.parametrize("batch", [1, 3])
def test_a_host_takes_its_time_for_each_layer_and_batch(batch: int, tmp_path: Path) -> None:
    gates = np.ones((4, 4, 9), bool)
    trace = traced(tmp_path, gates)
    bare, slow = (
        run(trace, machine(batch=batch).override({"host.call_us": call}), check=True).columns
        for call in (0, 7)
    )
    calls = math.ceil(4 / batch)
    cycles = round(7 * machine().clock_mhz)
    for mode in MODES:
        assert slow[f"{mode}_host_cycles"].sum() == calls * cycles
        more = slow[f"{mode}_cycles"] - bare[f"{mode}_cycles"]
        assert (more == slow[f"{mode}_host_cycles"]).all()


def test_shares_of_a_batch_keep_the_sum() -> None:
    values = np.array([5, -1, 3, 10, 1])
    assert shared(values, 1) is values
    assert shared(values, 3).tolist() == [3, 2, 2, 6, 5]
