"""Figures from tables: what is drawn, against slow and obvious computations of the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from cgsim import figures
from cgsim.engine.columns import MODES
from cgsim.errors import CgsimError
from cgsim.results.statistics import intervals, layer_intervals, ratio_intervals, sample_counts
from tests.results.conftest import make_columns


def points(axes, label):
    return next(c for c in axes.collections if c.get_label() == label).get_offsets()


def bars(axes):
    """Ends of all error bars: a set of ((x, y), (x, y)), rounded."""
    found = [
        segment
        for c in axes.collections
        if isinstance(c, LineCollection)
        for segment in c.get_segments()
        if len(segment) == 2
    ]
    return {tuple(map(tuple, np.round(segment, 9).tolist())) for segment in found}


def cross(x, y):
    """What a cross of two bars looks like, from (value, low, high) of both."""
    across = ((x[1], y[0]), (x[2], y[0]))
    up = ((x[0], y[1]), (x[0], y[2]))
    return {tuple(map(tuple, np.round(ends, 9).tolist())) for ends in (across, up)}


# Speedup against FLOP reduction, per layer.


def test_points_and_bars_of_layers(run):
    table = run.layers
    axes = figures.speedup_vs_flops(table).axes[0]
    sums = table.groupby("layer", sort=False)[["dense_cycles", "gated_cycles", "dense_macs", "gated_macs"]]
    expected = [
        (s["dense_macs"] / s["gated_macs"], s["dense_cycles"] / s["gated_cycles"])
        for _, s in sums.sum().iterrows()
        if s["dense_macs"] > 0
    ]
    assert np.allclose(points(axes, "layer (area: share of MACs)"), expected)
    assert len(points(axes, "one image, whole network")) == 3
    drawn = bars(axes)
    x, y = (np.stack(layer_intervals(table, name), axis=1) for name in ("flop_reduction", "speedup"))
    for place, name in enumerate(run.by_layer()["layer"]):
        assert (cross(x[place], y[place]) <= drawn) == (name != "pool")
    whole = intervals(sample_counts(run))
    both = [(whole[n].value, whole[n].low, whole[n].high) for n in ("flop_reduction", "speedup")]
    assert cross(*both) <= drawn


def test_the_dataframe_and_the_run_give_the_same_figure(run, tmp_path):
    run.plot.speedup_vs_flops(tmp_path / "run.svg")
    figures.speedup_vs_flops(run.layers, tmp_path / "table.svg", title="resnet20-cgnet on asic-28nm")
    assert (tmp_path / "run.svg").read_bytes() == (tmp_path / "table.svg").read_bytes()


def test_only_four_columns_are_needed(run):
    names = ["sample", "layer", "dense_cycles", "gated_cycles", "dense_macs", "gated_macs"]
    figures.speedup_vs_flops(run.layers[names])
    with pytest.raises(CgsimError, match=r"^speedup_vs_flops: column 'gated_macs' is missing \(did you mean"):
        figures.speedup_vs_flops(run.layers[names[:-1]])


def test_one_sample_has_no_bars(make_run):
    run = make_run(make_columns(["a", "b"], 1))
    axes = figures.speedup_vs_flops(run.layers).axes[0]
    assert bars(axes) == set()
    assert not any("confidence" in text.get_text() for text in axes.figure.legends[0].get_texts())


def test_samples_of_a_batch_are_drawn_together(make_run):
    table = make_run(make_columns(["a", "b"], 8)).layers
    drawn = bars(figures.speedup_vs_flops(table, batch=4).axes[0])
    x, y = (np.stack(layer_intervals(table, n, batch=4), axis=1) for n in ("flop_reduction", "speedup"))
    assert cross(x[0], y[0]) <= drawn


def test_rows_out_of_order_are_refused(run):
    with pytest.raises(CgsimError, match="sample by sample"):
        figures.speedup_vs_flops(run.layers.sort_values("layer"))


# Speedup against FLOP reduction, per network.


@pytest.fixture
def sweep():
    """A table as a sweep has it, and its samples; the last run failed."""
    rng = np.random.default_rng(3)
    rows, samples = [], []
    for number, (trace, size) in enumerate([("a", 8), ("a", 16), ("b", 8), ("b", 16)]):
        head = {"row": f"r{number}", "trace": trace, "hardware": "hw", "array.rows": size, "array.cols": 8}
        own = pd.DataFrame(
            {
                "dense_cycles": np.full(12, 3000),
                "gated_cycles": rng.integers(1000, 2000, 12),
                "dense_macs": np.full(12, 9000),
                "gated_macs": rng.integers(3000, 4000, 12),
            }
        )
        own["gated_latency_cycles"] = own["gated_cycles"]
        own["dense_latency_cycles"] = own["dense_cycles"]
        total = own.sum()
        rows.append(
            head
            | {"speedup": total["dense_cycles"] / total["gated_cycles"]}
            | {"flop_reduction": total["dense_macs"] / total["gated_macs"]}
        )
        samples.append(own.assign(**head))
    rows[-1] |= {"speedup": np.nan, "flop_reduction": np.nan}
    return pd.DataFrame(rows), pd.concat(samples[:-1], ignore_index=True)


def test_points_and_bars_of_networks(sweep):
    table, samples = sweep
    axes = figures.speedup_of_networks(table, samples).axes[0]
    for trace, count in (("a", 2), ("b", 1)):
        own = table[(table["trace"] == trace) & table["speedup"].notna()]
        assert len(own) == count
        assert np.allclose(points(axes, trace), own[["flop_reduction", "speedup"]])
    drawn = bars(axes)
    assert len(drawn) == 6
    for row in ("r0", "r1", "r2"):
        own = samples[samples["row"] == row]
        x = ratio_intervals(own[["dense_macs"]].to_numpy(), own[["gated_macs"]].to_numpy())
        y = ratio_intervals(own[["dense_cycles"]].to_numpy(), own[["gated_cycles"]].to_numpy())
        for ends in cross([float(v[0]) for v in x], [float(v[0]) for v in y]):
            assert any(np.allclose(ends, other, atol=1e-6) for other in drawn)
    assert {text.get_text() for text in axes.texts} >= {"rows 8", "rows 16"}


def test_bars_of_a_comparison_are_around_its_values(sweep):
    """Its samples have the cycles of one network; the ungated one is the same for all of them."""
    _, samples = sweep
    own = samples[samples["row"] == "r0"]
    table = pd.DataFrame(
        {"row": ["r0"], "trace": ["a"], "method": ["cgnet"], "speedup": [1.5], "flop_reduction": [2.0]}
    )
    told = pd.DataFrame({"row": "r0", "macs": own["gated_macs"], "latency_cycles": own["gated_cycles"]})
    axes = figures.speedup_of_networks(table, told).axes[0]
    dense = np.ones((12, 1))
    value, low, high = ratio_intervals(dense, told[["latency_cycles"]].to_numpy())
    expected = [[2.0, 1.5 * low[0] / value[0]], [2.0, 1.5 * high[0] / value[0]]]
    assert any(np.allclose(expected, segment, atol=1e-6) for segment in bars(axes))
    assert np.allclose(points(axes, "cgnet"), [[2.0, 1.5]])


def test_bounds_of_the_table_are_the_bars(sweep):
    table, samples = sweep
    table = table.assign(speedup_low=table["speedup"] - 0.1, speedup_high=table["speedup"] + 0.2)
    for axes in (
        figures.speedup_of_networks(table, samples).axes[0],
        figures.speedup_vs_array(table).axes[0],
    ):
        up = {(low[1], high[1]) for low, high in bars(axes) if low[0] == high[0]}
        expected = {(round(v - 0.1, 9), round(v + 0.2, 9)) for v in table["speedup"][:3]}
        assert up == expected


def test_networks_of_a_comparison_have_its_looks_and_short_names():
    rows = [
        ("cifar-none", "dense", "", 1.0, 1.0),
        ("cifar-cgnet-0.8", "cgnet", "activation", 2.0, 1.5),
        ("cifar-gate-decorator-2", "gate-decorator", "static", 2.5, 1.8),
        ("cifar-gate-decorator-2-merged", "gate-decorator", "", 2.6, 2.0),
    ]
    table = pd.DataFrame(rows, columns=["trace", "method", "gates", "flop_reduction", "speedup"])
    axes = figures.speedup_of_networks(table.assign(baseline="cifar-none")).axes[0]
    labels = [c.get_label() for c in axes.collections]
    assert labels == ["ungated network", "cgnet", "gate-decorator", "gate-decorator, merged"]
    assert len(axes.collections[-1].get_facecolors()) == 0  # hollow
    assert {t.get_text() for t in axes.texts if "kept" not in t.get_text()} == {
        "none",
        "0.8",
        "2",
        "2-merged",
    }


def test_without_samples_there_are_no_bars(sweep):
    assert bars(figures.speedup_of_networks(sweep[0]).axes[0]) == set()


def test_no_run_with_figures_is_refused(sweep):
    with pytest.raises(CgsimError, match="no run has a finite speedup"):
        figures.speedup_of_networks(sweep[0].iloc[3:])
    with pytest.raises(CgsimError, match="column 'speedup' is missing"):
        figures.speedup_of_networks(sweep[0].drop(columns="speedup"))


# Cycles and roofline.


def test_stacked_cycles_of_a_dataframe(run):
    axes = figures.cycles(run.layers).axes[0]
    for row, name in enumerate(run.by_layer()["layer"]):
        for mode, shift in zip(MODES, (-0.2, 0.2), strict=True):
            own = run.layers[run.layers["layer"] == name]
            bars_there = [p for p in axes.patches if abs(p.get_y() + p.get_height() / 2 - row - shift) < 0.01]
            assert sum(p.get_width() for p in bars_there) == pytest.approx(own[f"{mode}_cycles"].mean())
            stalls = sum(p.get_width() for p in bars_there if p.get_hatch())
            expected = sum(own[c].mean() for c in own if c.startswith(mode) and c.endswith("_stall_cycles"))
            assert stalls == pytest.approx(expected)


def test_a_missing_phase_is_named(run):
    table = run.layers.drop(columns="gated_store_stall_cycles")
    with pytest.raises(CgsimError, match="cycles: column 'gated_store_stall_cycles' is missing"):
        figures.cycles(table)


def test_stacked_energy_of_a_dataframe(run):
    axes = figures.energy(run.layers).axes[0]
    layers = run.by_layer()
    for row in range(len(layers["layer"])):
        for mode, shift in zip(MODES, (-0.2, 0.2), strict=True):
            bars = [p for p in axes.patches if abs(p.get_y() + p.get_height() / 2 - row - shift) < 0.01]
            total = layers[f"{mode}_energy_pj"][row] / run.samples / 1e6
            assert sum(p.get_width() for p in bars) == pytest.approx(total)
    gains = [t.get_text().split()[-1] for t in axes.texts if "×" in t.get_text()]
    assert gains == [f"{gain:.2f}×" for gain in layers["energy_reduction"]]


def test_energy_that_is_not_known_is_not_drawn(run):
    table = run.layers.copy()
    for name in table:
        if name.endswith("_energy_pj"):
            table[name] = np.nan
    with pytest.raises(CgsimError, match="energy: not known of this accelerator"):
        figures.energy(table)


@pytest.fixture
def spread():
    """Runs of two traces; of each, some that another beats in latency and energy."""
    rows = [
        ("a", 1, 5.0, 1.5),
        ("a", 2, 3.0, 2.0),
        ("a", 3, 4.0, 3.0),
        ("b", 4, 1.0, 4.0),
        ("b", 5, 2.0, np.nan),
    ]
    names = ("trace", "gated_latency_ms_mean", "gated_energy_uj_per_image", "area_mm2")
    return pd.DataFrame(rows, columns=names).assign(speedup=[1.0, 2.0, 3.0, 4.0, 5.0], lut=np.nan)


def test_energy_against_latency_joins_what_nothing_beats(spread):
    axes = figures.energy_vs_latency(spread).axes[0]
    assert np.allclose(points(axes, "a"), [(1, 5), (2, 3), (3, 4)])
    assert np.allclose(points(axes, "b"), [(4, 1), (5, 2)])
    fronts = [line.get_xydata().tolist() for line in axes.lines if len(line.get_xydata())]
    assert fronts == [[[1, 5], [2, 3]], [[4, 1]]]
    assert axes.get_ylabel() == "energy per image (µJ)"


def test_energy_of_a_comparison_is_in_the_same_unit(spread):
    names = {"gated_latency_ms_mean": "latency_ms_mean", "gated_energy_uj_per_image": "energy_pj"}
    table = spread.rename(columns=names).assign(energy_pj=spread["gated_energy_uj_per_image"] * 1e6)
    assert np.allclose(points(figures.energy_vs_latency(table).axes[0], "b"), [(4, 1), (5, 2)])


def test_speedup_against_what_is_known_of_the_size(spread):
    axes = figures.speedup_vs_area(spread).axes[0]
    assert axes.get_xlabel() == "area (mm²)"
    assert np.allclose(points(axes, "b"), [(4, 4)])  # the other has no area
    fpga = spread.assign(lut=[10.0, 20, 30, 40, 50], area_mm2=np.nan)
    assert figures.speedup_vs_area(fpga).axes[0].get_xlabel() == "LUTs"
    with pytest.raises(CgsimError, match="size: expected one of area_mm2, lut"):
        figures.speedup_vs_area(spread, size="weight")
    with pytest.raises(CgsimError, match="no run has both figures"):
        figures.speedup_vs_area(spread, size="lut")


def test_roofline_of_a_dataframe(run):
    axes = figures.roofline(run.layers, run.provenance["hardware"]).axes[0]
    own = run.layers[run.layers["gated_macs"] > 0].groupby("layer", sort=False).sum(numeric_only=True)
    expected = [
        (s["gated_macs"] / s["gated_offchip_bytes"], s["gated_macs"] / s["gated_cycles"])
        for _, s in own.iterrows()
    ]
    assert np.allclose(points(axes, "gated, a layer"), expected)
    roof = axes.lines[0].get_xydata()
    assert roof[1].tolist() == [16.0, 256.0]  # 16 x 16 PEs, 16 bytes per cycle
    assert roof[2][1] == 256


# Heat map.


@pytest.fixture
def grid():
    """Speedups over rows x cols without 16 x 4, and with a failed run at 4 x 16."""
    rows = [
        {"trace": "a", "hardware": "hw", "array.rows": r, "array.cols": c, "speedup": 100.0 * r + c}
        for r in (16, 4)
        for c in (16, 4, 8)
        if (r, c) != (16, 4)
    ]
    table = pd.DataFrame(rows)
    table.loc[(table["array.rows"] == 4) & (table["array.cols"] == 16), "speedup"] = np.nan
    return table


def cells(figure):
    return np.ma.filled(figure.axes[0].images[0].get_array().astype(float), np.nan)


def test_cells_of_a_heat_map(grid):
    figure = figures.heatmap(grid)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("array.cols", "array.rows")
    assert [t.get_text() for t in axes.get_xticklabels()] == ["4", "8", "16"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["4", "16"]
    assert np.array_equal(cells(figure), [[404, 408, np.nan], [np.nan, 1608, 1616]], equal_nan=True)
    assert axes.get_ylim() == (-0.5, 1.5)  # small below
    texts = {(t.get_position(), t.get_text()) for t in axes.texts}
    assert texts == {((0, 0), "404"), ((1, 0), "408"), ((1, 1), "1.61k"), ((2, 1), "1.62k")}
    hatched = {(p.get_x() + 0.5, p.get_y() + 0.5) for p in axes.patches if isinstance(p, Rectangle)}
    assert hatched == {(2, 0), (0, 1)}
    assert {p.get_hatch() for p in axes.patches} == {"/////"}


def test_axes_and_value_of_a_heat_map_can_be_told(grid):
    figure = figures.heatmap(grid, "array.rows", "array.cols", "speedup")
    assert np.array_equal(cells(figure), [[404, np.nan], [408, 1608], [np.nan, 1616]], equal_nan=True)


def test_text_goes_by_its_order(grid):
    grid["hardware"] = ["one", "two", "two", "one", "one"]
    figure = figures.heatmap(grid.iloc[[0, 1]], "hardware", "array.cols")
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["one", "two"]


def test_empty_cells_are_a_value_of_their_own(grid):
    grid["dram.ranks"] = [np.nan, 2.0, np.nan, 2.0, np.nan]
    figure = figures.heatmap(grid.iloc[[0, 1, 3]], "dram.ranks", "array.rows")
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["-", "2"]


def test_numbers_on_dark_cells_are_white(grid):
    colours = {t.get_text(): t.get_color() for t in figures.heatmap(grid).axes[0].texts}
    assert colours["404"] == "white"
    assert colours["1.62k"] == "black"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("array.colls", "array.rows"), r"column 'array.colls' is missing \(did you mean 'array.cols'\?\)"),
        (("array.cols", "array.rows", "speedups"), r"'speedups' is missing \(did you mean 'speedup'\?\)"),
        (("array.cols", "array.rows", "trace"), "column 'trace' holds 'a', expected numbers"),
        (("array.cols", "array.cols"), "x and y are both 'array.cols'"),
    ],
)
def test_heat_map_refuses(grid, arguments, message):
    with pytest.raises(CgsimError, match=message):
        figures.heatmap(grid, *arguments)


def test_pairs_with_several_values_are_refused(grid):
    twice = pd.concat([grid, grid.assign(trace="b", speedup=1.0)], ignore_index=True)
    message = (
        "heatmap: rows with array.cols 16, array.rows 16 differ in 'speedup'; the rows differ in trace: "
        "keep one value of each"
    )
    with pytest.raises(CgsimError, match=message):
        figures.heatmap(twice)
    assert np.array_equal(
        cells(figures.heatmap(pd.concat([grid, grid]))), cells(figures.heatmap(grid)), equal_nan=True
    )


def test_what_varies_is_told_if_axes_are_not_plain(grid):
    with pytest.raises(CgsimError, match=r"those that vary in the table: array.rows$"):
        figures.heatmap(grid[grid["array.cols"] == 16])


# Latencies.


def steps(values):
    """Share of the values that are not above each of them, in order."""
    return [(v, sum(other <= v for other in values) / len(values)) for v in sorted(values)]


def test_distribution_median_and_percentile(sweep):
    _, samples = sweep
    axes = figures.latency(samples, clock_mhz=100.0).axes[0]
    curves = [line.get_xydata() for line in axes.lines if len(line.get_xdata()) > 2]
    marks = [tuple(line.get_xydata()[0]) for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(curves) == 6
    place = 0
    for row in ("r0", "r1", "r2"):
        for mode in ("gated", "dense"):
            own = (samples[samples["row"] == row][f"{mode}_latency_cycles"] / 100e3).tolist()
            drawn = {(round(x, 12), round(y, 9)) for x, y in curves[place]}
            assert {(round(x, 12), round(y, 9)) for x, y in steps(own)} <= drawn
            assert marks[2 * place] == pytest.approx((np.median(own), 0.5))
            assert marks[2 * place + 1] == pytest.approx((np.percentile(own, 99), 0.99))
            place += 1
    assert axes.get_xlabel() == "latency of an image (ms)"
    told = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert told[0].startswith("a, rows 8 gated: median ")


def test_a_clock_for_each_row_and_none(sweep):
    _, samples = sweep
    own = samples[samples["row"].isin(["r0", "r1"])].reset_index(drop=True)
    clock = np.where(own["row"] == "r0", 100.0, 200.0)
    scaled = figures.latency(own, clock_mhz=clock).axes[0]
    plain = figures.latency(own).axes[0]
    assert plain.get_xlabel() == "latency of an image (cycles)"
    for line, other, per_ms in zip(scaled.lines, plain.lines, [100e3] * 6 + [200e3] * 6, strict=True):
        finite = np.isfinite(other.get_xdata())
        assert np.allclose(np.asarray(line.get_xdata())[finite] * per_ms, other.get_xdata()[finite])


def test_a_run_has_its_latencies(run):
    axes = run.plot.latency().axes[0]
    told = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    middle, high = (run.summary()[f"gated_latency_ms_{name}"] for name in ("median", "p99"))
    assert told[0] == f"gated: median {middle:#.3g}, p99 {high:#.3g} ms"
    assert axes.get_title(loc="left") == "resnet20-cgnet on asic-28nm"


def test_too_many_runs_and_missing_latencies(sweep):
    _, samples = sweep
    many = samples.assign(row=[str(n) for n in range(len(samples))])
    with pytest.raises(CgsimError, match="latency: 36 runs, expected 14 or fewer"):
        figures.latency(many)
    with pytest.raises(CgsimError, match="latency: column 'gated_latency_cycles' is missing"):
        figures.latency(samples[["row", "trace"]])


# All of them.


def test_speedup_vs_array_names_the_nearest_column_and_leaves_out_failures(sweep):
    table, _ = sweep
    with pytest.raises(CgsimError, match=r"column 'array.cols' is missing \(did you mean 'array.col'\?\)"):
        figures.speedup_vs_array(table.rename(columns={"array.cols": "array.col"}))
    axes = figures.speedup_vs_array(table).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "b")
    assert line.get_ydata().tolist() == [table["speedup"][2]]
    with pytest.raises(CgsimError, match="no run has a speedup"):
        figures.speedup_vs_array(table.iloc[3:])


@pytest.mark.parametrize("extension", ["png", "svg", "pdf"])
def test_files(sweep, grid, run, tmp_path, extension):
    table, samples = sweep
    made = {
        "a": lambda path: figures.speedup_of_networks(table, samples, path),
        "b": lambda path: figures.heatmap(grid, path=path),
        "c": lambda path: figures.latency(samples, path),
        "d": lambda path: figures.cycles(run.layers, path),
    }
    for name, make in made.items():
        make(tmp_path / f"{name}.{extension}")
        assert (tmp_path / f"{name}.{extension}").stat().st_size > 3000
    with pytest.raises(CgsimError, match="cannot be written as 'jpg'"):
        figures.heatmap(grid, path=tmp_path / "x.jpg")


def test_public_names():
    assert dir(figures) == sorted(figures.__all__)
    for name in figures.__all__:
        assert getattr(figures, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'heat'"):
        _ = figures.heat
