"""Plots and files of a comparison made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cgsim.errors import CgsimError
from cgsim.results import style
from cgsim.results.certainty import BOUNDS
from cgsim.results.compare import Comparison
from cgsim.results.compare_methods import Look, is_ungated, looks, method_of
from cgsim.results.compared import COLUMNS, row_figures, sample_figures
from cgsim.results.static import STATIC_COLUMNS

METHODS = (
    ("dense", "", (1.0,)),
    ("cgnet", "activation", (1.6, 2.1, 3.2)),
    ("batch-shaping", "channel", (1.3, 2.0)),
    ("mixture-of-depths", "channel", (1.4, 2.2)),
    ("gate-decorator", "static", (1.5, 2.6)),
    ("gate-decorator", "", (1.5, 2.6)),
)
"""Method, gates, FLOP reductions. Half of each saving becomes speed."""
SUBJECTS = (("CIFAR-10", "resnet20"), ("Fashion-MNIST", "resnet20"), ("CIFAR-10", "vgg16-cifar"))
MACS, CYCLES, BYTES, CLOCK = 40_000_000, 60_000.0, 800_000.0, 800.0


def made(
    hardware: tuple[str, ...] = ("wide", "narrow"), subjects: Any = SUBJECTS[:1], samples: int = 50
) -> Comparison:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    parts = []
    for dataset, model in subjects:
        for method, gates, reductions in METHODS:
            for reduction in reductions:
                for name in hardware:
                    spread = rng.lognormal(0, 0.05, samples) if gates in ("activation", "channel") else 1.0
                    images = np.broadcast_to(reduction * spread, samples)
                    counts = {
                        "macs": np.round(MACS / images).astype(np.int64),
                        "latency_cycles": np.round(CYCLES / (1 + (images - 1) / 2)).astype(np.int64),
                        "offchip_bytes": np.round(BYTES / (1 + (images - 1) / 4)).astype(np.int64),
                    }
                    trace = f"{model}-{method}{'' if gates else '-merged'}-{reduction}"
                    row = {"row": f"{dataset} {trace} {name}", "trace": trace, "dataset": dataset}
                    row |= {"model": model, "method": method, "gates": gates, "hardware": name}
                    row |= {"baseline": f"{model}-dense-merged-1.0"} | figures(counts, samples)
                    row |= {"accuracy": 0.92 - 0.004 * (reduction - 1), "baseline_accuracy": 0.92}
                    rows.append(row)
                    told = {key: np.full(samples, row[key], object) for key in ("row", "trace", "hardware")}
                    told |= {"sample": np.arange(samples), "id": np.full(samples, "x", object)}
                    parts.append(told | sample_figures(counts, row, CLOCK))
    return Comparison(rows, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def figures(counts: dict[str, np.ndarray], samples: int) -> dict[str, Any]:
    latency = counts["latency_cycles"] / (CLOCK * 1e3)
    own = {"samples": samples, "gated_macs": counts["macs"].sum(), "utilization": 0.5}
    own |= {"gated_cycles_per_image": counts["latency_cycles"].mean(), "gated_images_per_second": 1.0}
    told = {"mean": latency.mean(), "median": np.median(latency), "max": latency.max()}
    told["p99"] = np.percentile(latency, 99)
    own |= {f"gated_latency_ms_{name}": value for name, value in told.items()}
    ungated = {"samples": 1, "dense_cycles_per_image": CYCLES, "dense_latency_ms_mean": CYCLES / CLOCK / 1e3}
    own["gated_offchip_bytes"], ungated["dense_offchip_bytes"] = counts["offchip_bytes"].sum(), BYTES
    for name in ("offchip_bursts", "energy_pj", "dram_energy_pj"):
        own[f"gated_{name}"], ungated[f"dense_{name}"] = 0, 0
    own |= {column.name: np.nan for column in STATIC_COLUMNS}
    return row_figures(own, ungated, MACS) | dict.fromkeys(BOUNDS, np.nan)


@pytest.fixture(scope="module")
def comparison():
    return made()


def lines_of(axes, label: str) -> list[Any]:
    """The lines with marks in the look of a method."""
    look = {"cgnet": "o", "gate-decorator": "s", "batch-shaping": "^", "mixture-of-depths": "D"}
    hollow = label.endswith("merged")
    return [
        line for line in axes.lines
        if line.get_marker() == look[label.removesuffix(", merged")]
        and (line.get_markerfacecolor() == "none") == hollow
    ]  # fmt: skip


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_row_has_the_columns_and_ratios_of_means(comparison):
    assert set(comparison.rows[0]) == {column.name for column in COLUMNS}
    for row in comparison.rows:
        own = comparison.samples_of(row)
        assert row["flop_reduction"] == pytest.approx(MACS / own["macs"].mean())
        assert row["speedup"] == pytest.approx(CYCLES / own["latency_cycles"].mean())
        assert row["speedup_p99"] == pytest.approx(CYCLES / np.percentile(own["latency_cycles"], 99))
        assert np.isnan(row["dram_energy_reduction"])


@pytest.mark.parametrize(("plot", "key"), [("speedup", "speedup"), ("offchip", "offchip_reduction")])
def test_savings_join_the_strengths_of_a_method(comparison, plot, key):
    figure = getattr(comparison.plot, plot)()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "CIFAR-10, resnet20\nwide", "CIFAR-10, resnet20\nnarrow"
    ]  # fmt: skip
    for axes, name in zip(figure.axes, ("wide", "narrow"), strict=True):
        for method in (
            "cgnet",
            "batch-shaping",
            "mixture-of-depths",
            "gate-decorator",
            "gate-decorator, merged",
        ):
            (line,) = lines_of(axes, method)
            own = [r for r in comparison.rows if (method_of(r), r["hardware"]) == (method, name)]
            assert line.get_xydata().tolist() == [[r["flop_reduction"], r[key]] for r in own]
        stars = [line for line in axes.lines if line.get_marker() == "*"]
        assert [line.get_xydata().tolist() for line in stars] == [[[1, 1]]]
    assert {"cgnet", "gate-decorator, merged", "ungated network", "one image"} <= set(legend(figure))
    assert "dense" not in legend(figure)


def test_every_image_of_input_dependent_gates_is_a_point(comparison):
    axes = comparison.plot.speedup().axes[0]
    clouds = [points.get_offsets() for points in axes.collections]
    assert sorted(map(len, clouds)) == [50] * 7  # not of static gates and networks without gates
    assert len(made(samples=5000).plot.speedup().axes[0].collections[0].get_offsets()) == 400


def test_accuracy_against_cycles(comparison):
    figure = comparison.plot.accuracy()
    (line,) = lines_of(figure.axes[0], "cgnet")
    own = [r for r in comparison.rows if r["method"] == "cgnet" and r["hardware"] == "wide"]
    assert line.get_xydata().tolist() == [[r["cycles"], 100 * r["accuracy"]] for r in own]
    stars = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
    assert [line.get_xydata().tolist() for line in stars] == [[[CYCLES, 92]]]
    (below,) = [line for line in figure.axes[0].lines if line.get_color() == style.GREY]
    assert list(below.get_ydata()) == [91, 91]


def test_traces_without_accuracy_are_left_out():
    comparison = made()
    for row in comparison.rows:
        if row["method"] == "cgnet":
            row["accuracy"] = None
    figure = comparison.plot.accuracy()
    assert lines_of(figure.axes[0], "cgnet") == []
    assert "cgnet" not in legend(figure)
    for row in comparison.rows:
        row["accuracy"] = None
    with pytest.raises(CgsimError, match="no trace tells its accuracy"):
        comparison.plot.accuracy()


def test_latency_has_a_line_per_trace_with_median_and_99th_percentile(comparison):
    axes = comparison.plot.latency().axes[0]
    rows = [row for row in comparison.rows if row["hardware"] == "wide"]
    assert [text.get_text() for text in axes.get_yticklabels()] == [row["trace"] for row in rows]
    for place, row in enumerate(rows):
        here = [line for line in axes.lines if len(line.get_ydata()) == 1 and line.get_ydata()[0] == place]
        p99, median = (line.get_xdata()[0] for line in here)
        assert p99 == pytest.approx(row["latency_ms_p99"])
        assert median == pytest.approx(row["latency_ms_median"])
    beside = [text.get_text() for text in axes.texts]
    assert beside[:-1] == [f"{row['latency_spread']:.3f}" for row in rows]
    shapes = [shape for shape in axes.collections if hasattr(shape, "get_paths") and shape.get_alpha()]
    assert len(shapes) == 7


def test_networks_and_data_sets_have_panels_of_their_own():
    figure = made(hardware=("a", "b", "c", "d"), subjects=SUBJECTS).plot.speedup()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [f"{', '.join(subject)}\n{name}" for subject in SUBJECTS for name in "abcd"]
    labelled = [bool(axes.get_ylabel()) for axes in figure.axes]
    assert labelled == [True, False, False, True] * 3  # three panels beside each other


@pytest.mark.parametrize("samples", [1, 2])
def test_one_image_can_be_drawn(samples):
    comparison = made(samples=samples)
    for name in ("speedup", "offchip", "accuracy", "latency"):
        getattr(comparison.plot, name)()


def test_nothing_executed_can_be_drawn():
    comparison = made()
    for row in comparison.rows:
        row["flop_reduction"] = np.inf
    comparison.samples["flop_reduction"][:] = np.inf
    comparison.plot.speedup()


def test_equal_plots_are_equal_files(comparison, tmp_path):
    for name in ("a", "b"):
        comparison.plot.latency(tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_every_method_has_a_colour_and_a_mark_of_its_own(comparison):
    found = looks(comparison.rows)
    assert list(found) == [
        "cgnet", "gate-decorator", "gate-decorator, merged", "batch-shaping", "mixture-of-depths"
    ]  # fmt: skip
    solid = [look for look in found.values() if not look.hollow]
    assert len({look.colour for look in solid}) == len({look.mark for look in solid}) == len(solid)
    assert found["gate-decorator, merged"] == Look(style.VERMILLION, "s", hollow=True, size=8.0)


def test_synthetic_gates_are_told_apart():
    rows = [
        {"method": "synthetic", "gates": gates, "trace": gates, "baseline": "x"}
        for gates in ("activation", "channel", "pixel", "static")
    ]
    assert [method_of(row) for row in rows] == [f"synthetic, {row['gates']}" for row in rows]
    assert len({look.mark for look in looks(rows).values()}) == 4
    assert is_ungated({"method": "dense", "gates": "", "trace": "a", "baseline": "a"})
    assert not is_ungated({"method": "dense", "gates": "", "trace": "a", "baseline": "b"})


def test_unknown_figures_are_kept_as_such(comparison, tmp_path):
    some = made()
    some.rows[0]["accuracy"] = None
    assert some.save(tmp_path) == ["compare.parquet", "samples.parquet", "compare.json"]
    table = pd.read_parquet(tmp_path / "compare.parquet")
    assert np.isnan(table["accuracy"][0])
    assert table["accuracy"][1] == some.rows[1]["accuracy"]
    data = some.to_json()
    assert data["rows"][0]["accuracy"] is None
    assert data["rows"][0]["dram_energy_reduction"] is None
    assert repr(comparison) == "Comparison(12 traces on 2 accelerators)"
