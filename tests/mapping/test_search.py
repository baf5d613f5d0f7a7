"""The search for tilings: held against trying every tiling there is, and its bounds against the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cgsim.engine.mapped import Calibration, Mapped, mapped
from cgsim.engine.metrics import BYTES, CYCLES
from cgsim.engine.search import Search
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.mapping.candidates import FEW_FOLDS, SMALL
from cgsim.mapping.keep import Residency
from cgsim.mapping.operations import Operation
from cgsim.mapping.parts import parts, row_folds
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import ORDERS, Tiling, Tilings, fits, needs
from cgsim.trace.network import Layer
from cgsim.trace.pack import bytes_to_words, pack_bits
from tests.conftest import VALIDATE
from tests.engine.machine_cases import gates_of
from tests.engine.machines import accelerators, hardware, layers

SIZES = [0.125, 0.25, 0.5, 1, 4]
SOMEWHERE = Tiling(1, 1, 1, 1, "weights_outer", False)
OBJECTIVES = ["balanced", "cycles", "traffic"]
UNLIMITED = 10**12


@dataclass(frozen=True)
class Case:
    """An operation, dense or with gates of one batch, and what of it is kept on chip."""

    operation: Operation
    hardware: Hardware
    groups: int
    calibration: Calibration | None
    residency: Residency

    def mapped(self, tiling: Tiling | None = SOMEWHERE) -> Mapped:
        return Mapped(self.operation, self.hardware, self.groups, self.calibration, tiling, self.residency)

    def costs(self, tilings: list[Tiling]) -> np.ndarray:
        """Cycles and bytes as a run counts them, int64 [tilings, 2]."""
        own = self.mapped()
        found = []
        for tiling in tilings:
            if self.calibration is None:
                counts = own.dense(self.hardware.mapping.batch, tiling)
            else:
                counts = own.gated(self.calibration.gates, tiling)[0]
            found.append((counts[CYCLES], counts[BYTES].sum()))
        return np.array(found, np.int64).reshape(-1, 2)


@st.composite
def cases(draw: st.DrawFn, largest: int = 4, **changes: object) -> Case:
    kind = draw(st.sampled_from(["none", "none", "activation", "activation", "pixel"]))
    layer: Layer = draw(layers(kind == "activation", largest=largest))
    if kind == "pixel":
        layer = Layer(**{**layer.to_json(), "gate": "pixel"})
    batch = draw(st.sampled_from([1, 1, 1, 2, 3]))
    sizes = {key: draw(st.sampled_from(SIZES)) for key in ("activation_kib", "weight_kib", "accumulator_kib")}
    target: Hardware = draw(accelerators(batch, **{**sizes, **changes}))
    residuals = draw(st.sampled_from([0, 0, 1, 2]))
    operation = Operation(layer, residuals=residuals)
    residency = Residency(
        draw(st.sampled_from([0, 0, 64])),
        draw(st.sampled_from([False, False, False, True])),
        draw(st.integers(0, residuals)),
        draw(st.sampled_from([False, False, False, True])),
    )
    if kind == "none":
        groups = draw(st.sampled_from([1, target.array.column_groups]))
        return Case(operation, target, groups, None, residency)
    gates = draw(gates_of(batch, 1 if kind == "pixel" else layer.out_channels, layer.pixels))
    packed = bytes_to_words(pack_bits(gates))[None]
    return Case(
        operation, target, target.array.column_groups, Calibration("", packed, float(gates.mean())), residency
    )


def all_tilings(case: Case) -> list[Tiling]:
    """Every tiling that fits, of all sizes, listed without the search."""
    layer, target, batch = case.operation.layer, case.hardware, case.hardware.mapping.batch
    _, height, width = layer.out_shape
    layout = slots(layer, target.array.cols, case.groups)
    phases = parts(layer, target.array.dataflow)
    chunks = max(row_folds(phase, target.array.rows) for phase in phases)
    shapes = [(rows, width, 1) for rows in range(1, height + 1)]
    shapes += [(1, columns, 1) for columns in range(1, width)]
    shapes += [(height, width, samples) for samples in range(2, batch + 1)]
    gated = layer.conditional_reduction > 0
    assume(chunks <= FEW_FOLDS and layout.column_folds <= SMALL and max(height, width) <= SMALL)
    both = (False, True) if gated and target.buffers.double_buffered else (False,)
    found = [
        Tiling(rows, columns, folds, chunk, order, interleaved, samples)
        for rows, columns, samples in shapes
        for folds in range(1, layout.column_folds + 1)
        for order in ORDERS
        for chunk in (range(1, chunks + 1) if order == "activations_outer" else (1,))
        for interleaved in both
    ]
    needed = needs(layer, layout, target, Tilings.of(*found), case.operation.residuals, gated, case.residency)
    return [tiling for tiling, fit in zip(found, fits(needed, target), strict=True) if fit]


def best_cost(costs: np.ndarray, objective: str) -> tuple[int, int]:
    """(cycles, bytes) of the best tiling."""
    pairs = [(int(cycles), int(size)) for cycles, size in costs]
    if objective == "cycles":
        return min(pairs)
    most = min(pairs)[0] * 1.02 if objective == "balanced" else float("inf")
    return min((pair for pair in pairs if pair[0] <= most), key=lambda pair: (pair[1], pair[0]))


def check_best(case: Case) -> None:
    """Chosen is what trying every tiling finds; no bound is above what the pipeline takes."""
    every = all_tilings(case)
    if not every:
        with pytest.raises(CgsimError, match="no tile of layer 'layer' fits the buffers"):
            case.mapped(None)
        return
    costs = case.costs(every)
    found, search = case.mapped().search(case.calibration, 0)
    actual = case.costs([found.tiling(index) for index in range(len(found))])
    assert (search.cycles <= actual[:, 0]).all()
    assert (search.bytes <= actual[:, 1]).all()
    for objective in OBJECTIVES:
        found, search = case.mapped().search(case.calibration, UNLIMITED)
        chosen = case.costs([found.tiling(search.best(objective))])[0]  # type: ignore[arg-type]
        assert tuple(chosen.tolist()) == best_cost(costs, objective), objective


@given(cases())
@settings(max_examples=3000 if VALIDATE else 60, deadline=None)
def test_nothing_is_better_than_what_is_chosen(case: Case) -> None:
    check_best(case)


def test_a_search_whose_budget_is_spent_takes_the_best_it_tried() -> None:
    costs = [(100, 50), (90, 60), (80, 70), (81, 65)]
    least = np.array([[70, 40], [71, 41], [72, 42], [73, 43]], np.int64)
    for budget, tried, best in ((0, 1, 0), (1, 1, 0), (2, 2, 1), (3, 3, 2), (4, 4, 3)):
        search = Search(least[:, 0], least[:, 1], np.ones(4, np.int64), budget, costs.__getitem__)
        assert search.best("balanced") == best
        assert search.tried.sum() == tried
        assert search.proven == (budget == 4)


def test_only_what_matters_makes_a_new_search() -> None:
    """A sweep over names, clocks, gate units or batches of energy figures maps a dense layer once."""
    layer = Layer("l", "conv2d", (4, 6, 6), (4, 6, 6), (3, 3), padding=(1, 1))
    target = hardware()
    first = mapped(Operation(layer), target, 1)
    for changes in (
        {"name": "other"},
        {"clock_mhz": 200},
        {"gate_unit.scan_bits_per_cycle": 8},
        {"array.column_groups": 2},
        {"dma.conditional_fetch": "eager"},
        {"mapping.channel_order": "clustered"},
        {"buffers.gate_kib": 1},
    ):
        assert mapped(Operation(layer), target.override(changes), 1) is first, changes
    renamed = Operation(replace(layer, name="m", producers=("a",)), ("b",))
    assert mapped(renamed, target, 1) is first
    for changes in (
        {"buffers.weight_kib": 32},
        {"dram.bytes_per_cycle": 8},
        {"mapping.objective": "traffic"},
        {"array.rows": 8},
        {"mapping.batch": 2},
    ):
        assert mapped(Operation(layer), target.override(changes), 1) is not first, changes
    assert mapped(Operation(layer), target, 1, residency=Residency(16)) is not first


def test_equal_gates_are_equal_calibrations() -> None:
    gates = np.arange(8, dtype=np.uint64).reshape(1, 1, 4, 2)
    assert Calibration("a", gates, 0.5) == Calibration("b", gates.copy(), 0.5)
    assert Calibration("a", gates, 0.5) != Calibration("a", gates[:, :, ::-1], 0.5)
    assert Calibration("a", gates, 0.5) != Calibration("a", gates.reshape(1, 2, 2, 2), 0.5)


@given(cases(standard="DDR4-2400", bytes_per_cycle=None, latency_cycles=None, clock_mhz=800, burst_bytes=64))
@settings(max_examples=300 if VALIDATE else 15, deadline=None)
def test_nothing_is_better_with_a_command_level_dram(case: Case) -> None:
    check_best(case)
