from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from cgsim.engine.columns import MODES
from cgsim.errors import CgsimError
from cgsim.results.plots import speedup_vs_array
from tests.results.conftest import make_columns


def sweep_records(rows=(8, 16), cols=(8, 16), traces=("a", "b"), **extra):
    return [
        {"trace": t, "hardware": "hw", "array.rows": r, "array.cols": c, "speedup": 2.0 - 0.01 * r,
         "flop_reduction": 2.5 + i, **extra}
        for (i, t), r, c in itertools.product(enumerate(traces), rows, cols)
    ]  # fmt: skip


def labels(axes):
    return [artist.get_label() for artist in (*axes.lines, *axes.collections)]


def test_speedup_vs_flops_shows_layers_total_samples_and_the_ideal(run):
    axes = run.plot.speedup_vs_flops().axes[0]
    found = labels(axes)
    for name in ("ideal: speedup = FLOP reduction", "one image, whole network",
                 "layer (area: share of MACs)", "whole network"):  # fmt: skip
        assert name in found
    points = next(c for c in axes.collections if c.get_label().startswith("layer"))
    assert len(points.get_offsets()) == 20  # all but the pool, which has no MACs
    total = next(c for c in axes.collections if c.get_label() == "whole network")
    assert np.allclose(total.get_offsets()[0], [run.summary()["flop_reduction"], run.summary()["speedup"]])
    ideal = axes.lines[0].get_xydata()
    assert (ideal[:, 0] == ideal[:, 1]).all()
    named = {text.get_text() for text in axes.texts}
    assert named & {str(name) for name in run.layers["layer"]}
    assert axes.get_xlabel() == "FLOP reduction (dense MACs / executed MACs)"


def test_cycles_bars_add_up_to_the_cycles_of_each_layer(run):
    figure = run.plot.cycles()
    axes = figure.axes[0]
    lengths: dict[float, float] = {}
    for bar in axes.patches:
        middle = round(bar.get_y() + bar.get_height() / 2, 3)
        lengths[middle] = lengths.get(middle, 0) + bar.get_width()
    layers = run.by_layer()
    for row in range(len(layers["layer"])):
        for mode, shift in zip(MODES, (-0.2, 0.2), strict=True):
            assert lengths[round(row + shift, 3)] == pytest.approx(layers[f"{mode}_cycles"][row] / 3)
    shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"base", "conditional", "weight load stall", "group imbalance stall"} <= shown


def test_one_layer_one_sample_can_be_drawn(make_run):
    run = make_run(make_columns(["conv"], 1))
    run.plot.cycles()
    run.plot.speedup_vs_flops()


def test_nothing_with_macs_can_be_drawn(make_run):
    run = make_run(make_columns(["pool"], 1))
    run.plot.cycles()
    with pytest.raises(CgsimError, match="no layer with MACs"):
        run.plot.speedup_vs_flops()


def test_infinite_reductions_are_left_out(make_run):
    data = make_columns(["a", "b"], 2)
    for name in ("gated_macs", "gated_cycles"):
        data[name] = np.where(data["layer"] == "a", 0, data[name])
    points = make_run(data).plot.speedup_vs_flops().axes[0].collections
    assert len(next(c for c in points if c.get_label().startswith("layer")).get_offsets()) == 1


@pytest.mark.parametrize(("extension", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_plots_are_written_by_extension(run, tmp_path, extension, magic):
    path = tmp_path / "new" / f"plot.{extension}"
    run.plot.speedup_vs_flops(path)
    assert path.read_bytes().startswith(magic)
    assert path.stat().st_size > 3000
    assert list(path.parent.iterdir()) == [path]


def test_equal_plots_are_equal_files(run, tmp_path):
    run.plot.cycles(tmp_path / "a.svg")
    run.plot.cycles(tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_unknown_extension_is_refused(run, tmp_path):
    with pytest.raises(
        CgsimError, match=r"plot\.pgn: a plot cannot be written as 'pgn' \(did you mean 'png'\?\)"
    ):
        run.plot.cycles(tmp_path / "plot.pgn")
    assert list(tmp_path.iterdir()) == []


def test_pyplot_is_left_alone(run):
    import matplotlib.pyplot as plt

    run.plot.cycles()
    run.plot.speedup_vs_flops()
    assert plt.get_fignums() == []


def test_figures_show_in_notebooks(run):
    assert run.plot.cycles()._repr_png_().startswith(b"\x89PNG")


def test_sweep_plot_has_a_line_and_a_dashed_reduction_for_each_trace(tmp_path):
    figure = speedup_vs_array(sweep_records(), tmp_path / "s.png")
    axes = figure.axes[0]
    found = labels(axes)
    for name in ("a", "b", "a: FLOP reduction 2.50", "b: FLOP reduction 3.50"):
        assert name in found
    line = next(line for line in axes.lines if line.get_label() == "a")
    assert list(line.get_ydata()) == pytest.approx([1.92, 1.84])  # 8x8 and 16x16
    dashed = next(line for line in axes.lines if line.get_label() == "a: FLOP reduction 2.50")
    assert dashed.get_linestyle() == "--"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["8×8", "8×16", "16×8", "16×16"]


def test_sweep_plot_takes_frames_and_other_keys():
    import pandas as pd

    records = sweep_records(cols=(8,), **{"array.column_groups": 1})
    records += sweep_records(cols=(8,), **{"array.column_groups": 4})
    found = labels(speedup_vs_array(pd.DataFrame(records)).axes[0])
    assert "a, column_groups 1" in found
    assert "b, column_groups 4" in found


def test_sweep_plot_of_one_point_works():
    speedup_vs_array(sweep_records(rows=(8,), cols=(8,), traces=("a",)))


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_sweep_plot_without_a_finite_reduction_has_no_dashed_line(value):
    records = [record | {"flop_reduction": value} for record in sweep_records()]
    axes = speedup_vs_array(records).axes[0]
    assert "a" in labels(axes)
    assert not any("FLOP reduction" in str(label) for label in labels(axes))
    assert axes.get_ylim()[1] == pytest.approx(1.1 * 1.92)


def test_sweep_plot_names_what_is_missing():
    with pytest.raises(CgsimError, match="the table is empty"):
        speedup_vs_array([])
    with pytest.raises(CgsimError, match=r"column 'array\.rows' is missing"):
        speedup_vs_array([{"trace": "a"}])


def test_roofline_has_both_roofs_and_a_dense_and_a_gated_point_per_layer(run):
    axes = run.plot.roofline().axes[0]
    roof = axes.lines[0].get_xydata()
    assert roof[1].tolist() == [16, 256]  # 256 MACs per cycle over 16 bytes per cycle
    assert roof[2, 1] == 256
    assert roof[0, 1] == pytest.approx(16 * roof[0, 0])
    layers, total = run.by_layer(), run.summary()
    for mode in MODES:
        points = next(c for c in axes.collections if c.get_label() == f"{mode}, a layer").get_offsets()
        assert len(points) == 20  # all but the pool
        assert points[0, 0] == layers[f"{mode}_macs"][0] / layers[f"{mode}_offchip_bytes"][0]
        assert points[0, 1] == layers[f"{mode}_macs"][0] / layers[f"{mode}_cycles"][0]
        whole = next(c for c in axes.collections if c.get_label() == f"{mode}, whole network").get_offsets()
        assert whole[0, 1] == pytest.approx(total[f"{mode}_macs"] / total[f"{mode}_cycles"])


def test_roofline_of_layers_without_macs_is_refused(make_run):
    with pytest.raises(CgsimError, match="no layer with MACs and off-chip bytes"):
        make_run(make_columns(["pool"], 1)).plot.roofline()
