"""The comparison: every method against the same ungated network, on every accelerator."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import cgsim
from cgsim.errors import CgsimError
from cgsim.explore import Outcome, SerialExecutor
from cgsim.explore.comparisons import _constant
from cgsim.results.compared import COLUMNS, SAMPLE_COLUMNS
from tests.explore.comparable import GRANULARITY, write
from tests.explore.workers import Interrupted

TINY = 1 / 1024  # one byte, in KiB
compare = partial(cgsim.compare, workers=1)


def half():
    """Half as wide as edge-16x16."""
    return cgsim.load_hardware("edge-16x16", {"name": "half", "array.cols": 8})


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    told = {"dense": {"accuracy_gated": 0.91}, "cgnet": {"accuracy_gated": 0.9, "accuracy_ungated": 0.905}}
    return {
        method: write(folder / f"{method}.trace.parquet", method, **told.get(method, {}))
        for method in GRANULARITY
    }


@pytest.fixture(scope="module")
def compared(traces):
    return compare(list(traces.values()), ["edge-16x16", half()], check=True)


def rows_of(comparison, method, hardware="edge-16x16"):
    (row,) = [r for r in comparison.rows if (r["method"], r["hardware"]) == (method, hardware)]
    return row


def refusal(*arguments, **options) -> str:
    with pytest.raises(CgsimError) as caught:
        compare(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_row_for_each_trace_and_accelerator(compared):
    assert [(row["trace"], row["hardware"]) for row in compared.rows] == [
        (method, hardware) for method in GRANULARITY for hardware in ("edge-16x16", "half")
    ]
    for row in compared.rows:
        assert set(row) == {column.name for column in COLUMNS}
    assert {row["gates"] for row in compared.rows} == {"", *GRANULARITY.values()} - {"none"}


def test_all_rows_are_measured_against_the_dense_trace(compared, traces):
    for hardware in ("edge-16x16", half()):
        summary = cgsim.simulate(traces["dense"], hardware).summary()
        name = "half" if hardware != "edge-16x16" else hardware
        for row in (row for row in compared.rows if row["hardware"] == name):
            assert row["baseline"] == "dense"
            assert row["baseline_cycles"] == summary["dense_cycles_per_image"]
            assert row["baseline_offchip_bytes"] == summary["dense_offchip_bytes"] / 4
            own = cgsim.simulate(traces[row["method"]], hardware).summary()
            assert row["speedup"] == summary["dense_cycles"] / own["gated_cycles"]
            assert row["flop_reduction"] == summary["dense_macs"] / own["gated_macs"]
            assert row["offchip_reduction"] == pytest.approx(
                summary["dense_offchip_bytes"] / own["gated_offchip_bytes"]
            )
            assert row["efficiency"] == pytest.approx(row["speedup"] / row["flop_reduction"])


def test_the_ungated_network_saves_nothing(compared):
    row = rows_of(compared, "dense")
    for name in ("flop_reduction", "speedup", "efficiency", "offchip_reduction", "latency_spread"):
        assert row[name] == 1


@pytest.mark.parametrize("method", sorted(set(GRANULARITY) - {"dense"}))
def test_without_gates_every_trace_has_the_ungated_network(traces, compared, method):
    """Whatever its gates were: a trace alone is measured against the same as beside a dense trace."""
    (alone,) = compare(traces[method], "edge-16x16").rows
    beside = rows_of(compared, method)
    assert alone["baseline"] == method
    for name in ("baseline_macs", "baseline_cycles", "baseline_offchip_bytes", "speedup"):
        assert alone[name] == beside[name]


def test_samples_make_up_the_rows(compared):
    assert list(compared.samples) == [column.name for column in SAMPLE_COLUMNS]
    for row in compared.rows:
        own = compared.samples_of(row)
        assert list(own["id"]) == [f"image-{index}" for index in range(4)]
        assert set(own["trace"]) == {row["trace"]}
        assert own["macs"].mean() == row["macs"]
        assert own["latency_cycles"].mean() == row["cycles"]
        assert own["offchip_bytes"].mean() == row["offchip_bytes"]
        assert row["latency_ms_p99"] / row["latency_ms_mean"] == pytest.approx(
            np.percentile(own["latency_cycles"], 99) / own["latency_cycles"].mean()
        )
        assert own["speedup"] == pytest.approx(row["baseline_cycles"] / own["latency_cycles"])
    assert rows_of(compared, "cgnet")["latency_spread"] > 1  # its gates depend on the image
    assert rows_of(compared, "gate-decorator")["latency_spread"] == 1


def test_in_a_batch_every_image_waits_for_all(traces):
    hardware = cgsim.load_hardware("edge-16x16", {"mapping.batch": 2})
    one = compare(traces["cgnet"], hardware)
    latency = one.samples["latency_cycles"]
    assert latency[0] == latency[1] > one.rows[0]["cycles"]
    assert one.rows[0]["latency_ms_mean"] == pytest.approx(latency.mean() / (hardware.clock_mhz * 1e3))


def test_accuracy_and_what_is_not_known(compared):
    assert rows_of(compared, "dense")["accuracy"] == 0.91
    assert rows_of(compared, "cgnet")["accuracy"] == 0.9
    assert {row["baseline_accuracy"] for row in compared.rows} == {0.91}
    assert compared.notes == [
        "no accuracy is known of batch-shaping, gate-decorator, user: not in the plot of accuracy"
    ]


def test_own_ungated_accuracy_without_a_dense_trace(traces):
    (row,) = compare(traces["cgnet"], "edge-16x16").rows
    assert row["baseline_accuracy"] == 0.905


def test_swept_keys_make_accelerators(traces):
    grid = {"array.cols": [8, 16], "array.rows": 8}
    comparison = compare([traces["cgnet"]], "edge-16x16", grid)
    assert [row["hardware"] for row in comparison.rows] == [
        "edge-16x16, array.cols=8",
        "edge-16x16, array.cols=16",
    ]
    assert [row["array.cols"] for row in comparison.rows] == [8, 16]
    assert comparison.units["array.cols"] == "PEs"


def test_files(traces, tmp_path):
    both = [traces["cgnet"], traces["dense"]]
    comparison = compare(both, "edge-16x16", samples=2, output=tmp_path / "a", command="cgsim compare x")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "compare.json", "compare.parquet", "parts", "samples.parquet"
    ]  # fmt: skip
    table = pd.read_parquet(tmp_path / "a" / "compare.parquet")
    assert list(table.columns) == list(comparison.table.columns)
    assert list(table["speedup"]) == [row["speedup"] for row in comparison.rows]
    assert len(pd.read_parquet(tmp_path / "a" / "samples.parquet")) == 4
    about = json.loads((tmp_path / "a" / "compare.json").read_text())
    assert about["provenance"]["baselines"] == {"cgnet": "dense", "dense": "dense"}
    assert about["provenance"]["command"] == "cgsim compare x"
    assert about["provenance"]["samples"] == [0, 1]
    schema = pq.read_schema(tmp_path / "a" / "compare.parquet")
    assert schema.field("latency_ms_p99").metadata[b"unit"] == b"ms"


def test_processes_give_the_same(traces, compared):
    again = cgsim.compare(list(traces.values()), ["edge-16x16", half()], workers=2)
    pd.testing.assert_frame_equal(again.table, compared.table)


def test_a_given_baseline_serves_its_model_and_is_compared(traces, tmp_path):
    other = write(tmp_path / "other.trace.parquet", "cgnet", dataset="drawings", seed=3)
    comparison = compare([traces["user"], other], "edge-16x16", baselines=traces["cgnet"])
    assert {row["trace"]: row["baseline"] for row in comparison.rows} == {
        "user": "cgnet", "other": "other", "cgnet": "cgnet"
    }  # fmt: skip


def test_a_network_of_other_shapes_needs_its_ungated_one(traces, tmp_path):
    """As Mixture-of-Depths and merged Gate Decorator: the trace tells the MACs that it saves from."""
    macs = cgsim.load_trace(traces["dense"]).network.dense_macs
    small = write(tmp_path / "s.trace.parquet", "user", method_parameters={"reference_macs": 4 * macs})
    assert refusal(small, "edge-16x16") == (
        f"compare: {small}: its ungated network, model 'tiny' (data set 'photos'), has {4 * macs:,} MACs, "
        f"its own {macs:,}: give a trace of the ungated one (--baseline TRACE)"
    )
    assert refusal([small, traces["dense"]], "edge-16x16").endswith(f"; {traces['dense']} is another")
    assert refusal(small, "edge-16x16", baselines=[traces["dense"]]) == (
        f"compare: --baseline {traces['dense']}: its network has {macs:,} MACs, but the ungated one "
        f"of {small} has {4 * macs:,}"
    )
    large = write(tmp_path / "large.trace.parquet", "dense", size=12)
    fits = {"reference_macs": cgsim.load_trace(large).network.dense_macs}
    merged = write(tmp_path / "m.trace.parquet", "user", method_parameters=fits)
    assert refusal(merged, "edge-16x16", baselines=[large]) == (
        f"compare: --baseline {large}: its input is 3 × 12 × 12, that of {merged} is 3 × 6 × 6"
    )


@pytest.mark.parametrize("given", [True, False])
def test_savings_of_a_smaller_network_are_from_its_ungated_one(tmp_path, given):
    wide = write(tmp_path / "wide.trace.parquet", "dense", channels=16)
    macs = cgsim.load_trace(wide).network.dense_macs
    merged = write(tmp_path / "m.trace.parquet", "user", method_parameters={"reference_macs": macs})
    comparison = compare([merged] if given else [wide, merged], "edge-16x16", baselines=[wide] * given)
    row, ungated = rows_of(comparison, "user"), rows_of(comparison, "dense")
    assert row["baseline"] == "wide"
    assert row["baseline_macs"] == macs
    assert row["baseline_cycles"] == ungated["cycles"]
    assert row["flop_reduction"] == macs / row["macs"] > 1


@pytest.mark.parametrize("value", ["many", 0, True, 1.5])
def test_reference_macs_are_macs(tmp_path, value):
    trace = write(tmp_path / "t.trace.parquet", "user", method_parameters={"reference_macs": value})
    assert refusal(trace, "edge-16x16") == (
        f"{trace}: method parameter 'reference_macs': expected MACs, got {value!r}"
    )


def test_refused(traces, tmp_path):
    other = write(tmp_path / "other.trace.parquet", "dense", dataset="drawings")
    again = write(tmp_path / "again.trace.parquet", "dense", seed=1, notes="again")
    one, edge = traces["cgnet"], "edge-16x16"
    assert refusal(one, edge, baselines=[other]) == (
        f"compare: --baseline {other}: no trace of its model 'tiny' (data set 'drawings') is compared with it"
    )
    assert refusal([one, traces["dense"], again], edge) == (
        f"compare: {traces['dense']} and {again} are both ungated, of model 'tiny' (data set 'photos'): "
        "choose with --baseline"
    )
    assert refusal(one, edge, baselines=[traces["dense"], again]).endswith(
        "are both of model 'tiny' (data set 'photos'); give one"
    )
    assert refusal([one, one], edge) == f"compare: {one} is there twice"
    assert refusal([], edge) == "compare: expected at least one trace"
    assert refusal(one, []) == "compare: expected at least one accelerator"
    assert refusal(one, [edge, edge]) == "compare: hardware 'edge-16x16' is there twice"
    assert refusal(one, [edge, cgsim.load_hardware(edge, {"array.rows": 8})]) == (
        "compare: hardware 'edge-16x16' is the name of two accelerators; change `name` in one"
    )
    assert refusal(one, edge, {"array.rows": [8, 8]}) == "compare: array.rows: 8 is there twice"
    assert refusal(one, edge, workers=0) == "compare: workers: expected an integer of 1 or more, got 0"


def test_a_run_that_fails_is_told_and_the_others_stay(traces, tmp_path):
    grid = {"buffers.weight_kib": [144, TINY]}
    both = [traces["cgnet"], traces["dense"]]
    comparison = compare(both, "edge-16x16", grid, output=tmp_path)
    (cgnet, dense) = comparison.rows
    assert (cgnet["trace"], dense["trace"], cgnet["buffers.weight_kib"]) == ("cgnet", "dense", 144)
    assert [(one["trace"], one["hardware"]) for one in comparison.failed] == [
        ("cgnet", f"edge-16x16, buffers.weight_kib={TINY}"),
        ("dense", f"edge-16x16, buffers.weight_kib={TINY}"),
    ]
    assert all("buffers.weight_kib" in one["error"] for one in comparison.failed)
    assert json.loads((tmp_path / "compare.json").read_text())["failed"] == comparison.failed
    assert len(pd.read_parquet(tmp_path / "samples.parquet")) == 8


def test_without_its_baseline_a_run_has_no_row(traces):
    """The baseline's run fails, the other's does not."""

    class Broken(SerialExecutor):
        def run(self, function, tasks):
            dense = cgsim.load_trace(traces["dense"]).checksum
            for task in tasks:
                found = function(task)
                broken = task.checksum == dense
                yield [Outcome(one.key, None, "broken") for one in found] if broken else found

    with pytest.raises(CgsimError) as caught:
        compare([traces["cgnet"], traces["dense"]], "edge-16x16", executor=Broken())
    assert str(caught.value) == (
        "compare: every run failed: trace cgnet, edge-16x16: its baseline dense failed: broken"
    )
    other = compare([traces["dense"], traces["cgnet"]], "edge-16x16")
    assert other.failed == []


def test_where_every_run_fails_there_is_nothing_to_compare(traces, tmp_path):
    message = refusal([traces["cgnet"]], "edge-16x16", {"buffers.weight_kib": TINY}, output=tmp_path)
    assert message.startswith("compare: every run failed: trace cgnet, edge-16x16: ")
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_an_interrupted_comparison_goes_on_and_repeats_nothing(traces, tmp_path):
    executor = Interrupted(after=2)
    both = [traces["cgnet"], traces["dense"]]
    grid = {"array.rows": [8, 16]}
    whole = compare(both, "edge-16x16", grid)
    with pytest.raises(KeyboardInterrupt, match="2 of 4 runs done; the same command goes on"):
        compare(both, "edge-16x16", grid, executor=executor, output=tmp_path)
    again = compare(both, "edge-16x16", grid, executor=executor, output=tmp_path)
    assert sorted(executor.seen) == sorted(whole.table["row"])
    pd.testing.assert_frame_equal(again.table, whole.table)
    assert all((again.samples[name] == whole.samples[name]).all() for name in whole.samples)


def test_how_sure_a_speedup_is(compared, traces):
    """Images of the baseline are drawn together with the trace's own; here they take the same each."""
    for row in compared.rows:
        own = compared.samples_of(row)
        if row["method"] == "dense":
            assert row["speedup_low"] == row["speedup_high"] == 1
        else:
            assert own["speedup"].min() <= row["speedup_low"] <= row["speedup"] <= row["speedup_high"]
            assert row["speedup_high"] <= own["speedup"].max()
    (alone,) = compare(traces["cgnet"], "edge-16x16").rows
    own = cgsim.simulate(traces["cgnet"], "edge-16x16").confidence()["speedup"]
    assert (alone["speedup_low"], alone["speedup_high"]) == pytest.approx((own.low, own.high))


def test_images_of_another_name_are_not_paired():
    same, other = np.array([5, 5, 5]), np.array([5, 6, 5])
    assert list(_constant(same, 2)) == [5, 5]
    assert np.isnan(_constant(other, 2)).all()


def test_bits_that_differ_are_told(traces, tmp_path):
    from dataclasses import replace

    from cgsim.trace import Metadata, Network, Sample, TraceWriter, tiny_network

    plain = tiny_network(gated=False)
    wide = Network("tiny", tuple(replace(layer, weight_bits=16) for layer in plain.layers))
    path = tmp_path / "wide.trace.parquet"
    with TraceWriter(path, wide, Metadata("tiny", "dense", dataset="photos")) as writer:
        writer.append(Sample("x"), {})
    notes = compare([traces["cgnet"], path], "edge-16x16", samples=1).notes
    assert notes[0] == (
        "cgnet has 8/8 bits (weights/activations), its baseline wide 16/8: traffic differs for "
        "that reason, too"
    )
