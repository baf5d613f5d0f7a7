from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.engine.columns import COLUMNS, MODES, PHASES, STALLS, TENSORS
from cgsim.errors import CgsimError
from cgsim.results import Run, derive
from tests.results.conftest import PROVENANCE, RESNET20, make_columns, with_dram


def test_ratios_are_those_of_each_row(run):
    frame = run.layers
    row = frame.iloc[5]
    assert row["speedup"] == row["dense_cycles"] / row["gated_cycles"]
    assert row["flop_reduction"] == row["dense_macs"] / row["gated_macs"]
    assert row["efficiency"] == pytest.approx(row["speedup"] / row["flop_reduction"])
    assert row["offchip_reduction"] == row["dense_offchip_bytes"] / row["gated_offchip_bytes"]
    assert row["utilization"] == row["gated_macs"] / (row["gated_cycles"] * 256)
    assert row["dense_utilization"] == row["dense_macs"] / (row["dense_cycles"] * 256)


def test_totals_are_sums_of_rows_and_ratios_are_of_totals(run):
    total, frame = run.summary(), run.layers
    for name in derive.ADDITIVE:
        assert total[name] == pytest.approx(frame[name].sum(), rel=1e-12), name
        assert type(total[name]) is (float if name.endswith("_pj") else int)
    assert total["speedup"] == total["dense_cycles"] / total["gated_cycles"]
    assert total["efficiency"] == pytest.approx(total["speedup"] / total["flop_reduction"])


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_sums_conserve(layers, samples, seed):
    run = Run(make_columns([f"conv{i}" for i in range(layers)], samples, seed), provenance=PROVENANCE)
    total, by_layer, by_sample = run.summary(), run.by_layer(), run.by_sample()
    for name in derive.ADDITIVE:
        exact = 0 if name.endswith("_pj") else None
        sums = [by_layer[name].sum(), total[name], by_sample[name].sum()]
        assert sums == pytest.approx([sums[1]] * 3, rel=1e-12 if exact is not None else 0, abs=0), name
    for mode in MODES:
        parts = [f"{mode}_{n}_cycles" for n in PHASES] + [f"{mode}_{n}_stall_cycles" for n in STALLS]
        assert sum(total[name] for name in parts) == total[f"{mode}_cycles"]
        assert sum(total[f"{mode}_{n}_bytes"] for n in TENSORS) == total[f"{mode}_offchip_bytes"]


def test_latency_follows_from_cycles_and_clock(run):
    total, samples = run.summary(), run.by_sample()
    for mode in MODES:
        latency = samples[f"{mode}_cycles"] / 800e3
        assert total[f"{mode}_latency_ms_mean"] == pytest.approx(latency.mean())
        assert total[f"{mode}_latency_ms_median"] == pytest.approx(np.median(latency))
        assert total[f"{mode}_latency_ms_max"] == latency.max()
        assert total[f"{mode}_latency_ms_mean"] <= total[f"{mode}_latency_ms_p99"] <= latency.max()
        assert total[f"{mode}_images_per_second"] == pytest.approx(1e3 / latency.mean())
    assert total["speedup_min"] <= total["speedup_median"] <= total["speedup_max"]


def test_every_figure_has_a_unit(run):
    assert set(run.summary()) <= set(run.units)
    assert set(run.layers.columns) == set(derive.UNITS)


def test_layers_without_macs_have_no_flop_reduction(run):
    pool = run.layers[run.layers["layer"] == "pool"].iloc[0]
    assert math.isnan(pool["flop_reduction"])
    assert math.isnan(pool["efficiency"])
    assert pool["speedup"] > 0


def test_all_work_skipped_is_an_infinite_reduction_without_a_warning(columns, make_run):
    data = columns(["conv"], 1)
    for name in data:
        if name.startswith("gated_"):
            data[name] = np.zeros_like(data[name])
    total = make_run(data).summary()
    assert math.isinf(total["speedup"])
    assert math.isinf(total["flop_reduction"])
    assert total["gated_images_per_second"] == math.inf
    make_run(data).table()
    assert make_run(data).to_json()["summary"]["speedup"] is None


def test_missing_column_is_named(columns):
    data = columns()
    del data["gated_macs"]
    with pytest.raises(CgsimError, match=r"^result: column 'gated_macs' is missing$"):
        Run(data, provenance=PROVENANCE)


def test_short_column_is_named(columns):
    data = columns(["conv"], 2)
    data["density"] = data["density"][:1]
    with pytest.raises(CgsimError, match=r"^result: column 'density' has 1 rows, expected 2$"):
        Run(data, provenance=PROVENANCE)


def test_rows_out_of_order_are_refused(columns):
    data = columns()
    order = np.arange(len(data["sample"]))
    order[[0, 1]] = order[[1, 0]]
    shuffled = {name: values[order] for name, values in data.items()}
    with pytest.raises(CgsimError, match="the same layers for each"):
        Run(shuffled, provenance=PROVENANCE)


def test_no_samples_are_refused(columns):
    empty = {name: values[:0] for name, values in columns().items()}
    with pytest.raises(CgsimError, match="it holds no samples"):
        Run(empty, provenance=PROVENANCE)


def test_fixture_has_every_column(columns):
    assert list(columns()) == [column.name for column in COLUMNS]
    assert list(columns()["layer"][: len(RESNET20)]) == RESNET20


def test_a_sample_of_a_batch_waits_for_all_of_it(columns, make_run):
    data = columns(["a", "b"], 5)
    hardware = PROVENANCE["hardware"] | {"mapping": {"batch": 2}}
    run, alone = make_run(data, hardware=hardware), make_run(data)
    assert (run.batch, alone.batch) == (2, 1)
    total, single, samples = run.summary(), alone.summary(), run.by_sample()
    shares = {mode: samples[f"{mode}_cycles"] for mode in MODES}
    whole = {}
    for mode in MODES:
        a, b, c, d, e = shares[mode].tolist()
        whole[mode] = np.array([a + b, a + b, c + d, c + d, e])  # the last batch has one sample
        latency = whole[mode] / 800e3
        assert total[f"{mode}_latency_ms_mean"] == pytest.approx(latency.mean())
        assert total[f"{mode}_latency_ms_median"] == pytest.approx(np.median(latency))
        assert total[f"{mode}_latency_ms_p99"] == pytest.approx(np.percentile(latency, 99))
        assert total[f"{mode}_latency_ms_max"] == pytest.approx(latency.max())
        # Throughput knows no latency: five images in the time of all three batches.
        assert total[f"{mode}_images_per_second"] == pytest.approx(5 * 800e6 / shares[mode].sum())
        assert total[f"{mode}_images_per_second"] == single[f"{mode}_images_per_second"]
        assert total[f"{mode}_cycles_per_image"] == shares[mode].mean()
    assert total["speedup_min"] == (whole["dense"] / whole["gated"]).min()
    assert total["speedup_max"] == (whole["dense"] / whole["gated"]).max()
    for name in ("speedup", "flop_reduction", "efficiency", "utilization", "dense_cycles", "gated_macs"):
        assert total[name] == single[name]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30), st.integers(1, 40))
def test_latencies_of_batches(cycles, batch):
    expected = [sum(cycles[i // batch * batch : i // batch * batch + batch]) for i in range(len(cycles))]
    assert derive.latency_cycles(np.array(cycles), batch).tolist() == expected


def test_what_the_dram_counted_becomes_rates(run, make_run):
    total = make_run(with_dram(make_columns())).summary()
    for mode in MODES:
        accesses = sum(total[f"{mode}_dram_row_{kind}"] for kind in ("hits", "misses", "conflicts"))
        assert accesses == total[f"{mode}_offchip_bursts"]
        assert total[f"{mode}_row_hit_rate"] == total[f"{mode}_dram_row_hits"] / accesses
        assert total[f"{mode}_bus_utilization"] == pytest.approx(4 / 7.5, rel=1e-3)
    assert total["burst_reduction"] == total["dense_offchip_bursts"] / total["gated_offchip_bursts"]
    assert total["dram_energy_reduction"] == pytest.approx(total["burst_reduction"])
    assert math.isnan(run.summary()["gated_row_hit_rate"])
