"""`cgsim plot`: every figure from its sources, the list, refusals."""

from __future__ import annotations

from json import loads

import numpy as np
import pandas as pd
import pytest

import cgsim as library
from cgsim import figures
from cgsim.errors import CgsimError
from cgsim.results.figures.catalogue import CATALOGUE


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folders of simulate (two), sweep, compare and optimize, of tiny traces."""
    from cgsim.trace import synthesize, tiny_network

    folder = tmp_path_factory.mktemp("results")
    traces = [
        str(synthesize(tiny_network(), folder / f"{name}.trace.parquet", samples=4, density=density))
        for name, density in (("sparse", 0.1), ("dense", 0.7))
    ]
    for name, trace in zip(("run", "run2"), traces, strict=True):
        library.simulate(library.load_trace(trace), library.load_hardware("edge-16x16")).save(folder / name)
    grid = {"array.rows": [4, 8], "array.cols": [8, 16]}
    library.sweep(traces, "edge-16x16", grid, workers=1, output=folder / "sweep")
    library.compare(traces, ["edge-16x16"], workers=1, output=folder / "compare")
    search = {"traces": traces[0], "hardware": "edge-16x16", "objectives": ["latency", "pes"], "trials": 4}
    library.optimize(search | {"vary": {"array.rows": [4, 8]}, "sampler": "grid"}, workers=1,
                     output=folder / "search")  # fmt: skip
    return folder


SOURCES = {
    "speedup_vs_flops": ["run"],
    "speedup_vs_array": ["sweep"],
    "heatmap": ["sweep"],
    "cycles": ["run"],
    "energy": ["run"],
    "energy_vs_latency": ["sweep"],
    "speedup_vs_area": ["compare"],
    "roofline": ["run2"],
    "latency": ["run", "run2"],
    "density": ["sparse.trace.parquet"],
    "pareto": ["search"],
}


def test_there_is_a_source_for_every_figure():
    assert SOURCES.keys() == CATALOGUE.keys()


@pytest.mark.parametrize("name", SOURCES)
def test_every_figure_is_drawn(cgsim, results, tmp_path, name):
    where = ("--where", "trace=sparse") if name == "heatmap" else ()
    answer = cgsim("plot", name, *(results / source for source in SOURCES[name]), *where, "-o", "new/x.png")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{name} written to new/x.png\n"
    assert (tmp_path / "new" / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("source", ["sweep", "compare"])
@pytest.mark.parametrize("name", ["speedup_vs_flops", "latency"])
def test_tables_of_many_runs(cgsim, results, tmp_path, name, source):
    answer = cgsim("plot", name.replace("_", "-"), results / source, "--title", "T", "-o", "x.svg")
    assert (answer.code, answer.err) == (0, "")
    assert ">T</text>" in (tmp_path / "x.svg").read_text()


def test_json_and_the_usual_file(cgsim, results, tmp_path):
    answer = cgsim("plot", "cycles", results / "run", "--json")
    assert loads(answer.out) == {
        "figure": "cycles", "sources": [str(results / "run")], "written": "out/cycles.png"
    }  # fmt: skip
    assert (tmp_path / "out" / "cycles.png").is_file()


def test_list(cgsim):
    answer = cgsim("plot", "--list")
    assert (answer.code, answer.err) == (0, "")
    assert [line for line in answer.out.splitlines() if not line.startswith(" ")] == list(CATALOGUE)
    assert max(map(len, answer.out.splitlines())) <= 80
    told = loads(cgsim("plot", "--list", "--json").out)
    assert [one["figure"] for one in told] == list(CATALOGUE)
    assert next(one for one in told if one["figure"] == "heatmap")["options"] == ["x", "y", "value"]


def test_rows_are_kept_by_value(results):
    table = pd.read_parquet(results / "sweep" / "sweep.parquet")
    where = {"trace": ["sparse"], "array.rows": ["8"]}
    axes = figures.draw("speedup_vs_flops", [results / "sweep"], where=where).axes[0]
    own = table[(table["trace"] == "sparse") & (table["array.rows"] == 8)]
    assert len(own) == 2
    drawn = next(c for c in axes.collections if c.get_label() == "sparse").get_offsets()
    assert np.allclose(drawn, own[["flop_reduction", "speedup"]])


def test_cells_are_those_of_the_sweep(results):
    table = pd.read_parquet(results / "sweep" / "sweep.parquet")
    own = table[table["trace"] == "dense"]
    figure = figures.draw("heatmap", [results / "sweep"], where={"trace": ["dense"]}, value="gated_cycles")
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    for y, rows in enumerate((4, 8)):
        for x, cols in enumerate((8, 16)):
            cell = own[(own["array.rows"] == rows) & (own["array.cols"] == cols)]
            assert drawn[y, x] == cell["gated_cycles"].iloc[0]
    assert figure.axes[1].get_ylabel() == "gated_cycles [cycles]"


def test_a_sweep_latency_is_in_ms(results):
    run = library.Run.load(results / "run")
    clock = run.provenance["hardware"]["clock_mhz"]
    samples = pd.read_parquet(results / "sweep" / "samples.parquet")
    where = {"trace": ["sparse"], "array.rows": ["8"], "array.cols": ["16"]}
    axes = figures.draw("latency", [results / "sweep"], where=where).axes[0]
    own = samples[(samples["trace"] == "sparse") & (samples["array.rows"] == 8)]
    own = own[own["array.cols"] == 16]["gated_latency_cycles"] / (clock * 1e3)
    curve = axes.lines[0].get_xdata()
    assert np.allclose(np.unique(curve[np.isfinite(curve)]), np.unique(own))
    assert axes.get_xlabel() == "latency of an image (ms)"


def test_several_runs_are_networks(results):
    axes = figures.draw("speedup_vs_flops", [results / "run", results / "run2"]).axes[0]
    for name, folder in (("sparse", "run"), ("dense", "run2")):
        total = library.Run.load(results / folder).summary()
        drawn = next(c for c in axes.collections if c.get_label() == name).get_offsets()
        assert np.allclose(drawn, [[total["flop_reduction"], total["speedup"]]])


def test_a_table_may_be_csv(cgsim, results, tmp_path):
    pd.read_parquet(results / "sweep" / "sweep.parquet").to_csv(tmp_path / "t.csv", index=False)
    pd.read_parquet(results / "run" / "layers.parquet").to_csv(tmp_path / "l.csv", index=False)
    assert cgsim("plot", "heatmap", "t.csv", "--where", "trace=sparse").code == 0
    assert cgsim("plot", "speedup_vs_flops", "l.csv").code == 0
    assert cgsim("plot", "cycles", "l.csv").code == 0


def test_density_takes_sample_layer_and_image(cgsim, results, tmp_path):
    np.save(tmp_path / "i.npy", np.zeros((6, 6)))
    trace = results / "sparse.trace.parquet"
    options = ("--sample", "synthetic-0-2", "--layer", "a", "--layer", "b", "--image", "i.npy")
    assert cgsim("plot", "density", trace, *options, "-o", "x.svg").code == 0
    assert "sample 2 (synthetic-0-2)" in (tmp_path / "x.svg").read_text()
    assert "6 × 6" in (tmp_path / "x.svg").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected a figure, one of speedup_vs_flops, "),
        (("heatmaps", "{}/sweep"), "unknown figure 'heatmaps' (did you mean 'heatmap'?)"),
        (("heatmap",), "figure 'heatmap': expected a source: folders of cgsim sweep"),
        (("heatmap", "{}/none"), "/none: no such file or folder"),
        (("heatmap", "{}"), ": no results in this folder, expected one of layers.parquet, "),
        (("heatmap", "{}/run"), "/run: is of kind 'simulate'; heatmap is of folders of cgsim sweep"),
        (("cycles", "{}/run", "{}/run2"), "figure 'cycles': 2 sources, expected one: a folder of"),
        (("latency", "{}/run", "{}/sweep"), "figure 'latency': expected sources of one kind, got simulate, "),
        (("heatmap", "{}/sweep"), "the rows differ in trace: keep one value of each (--where trace=VALUE)"),
        (
            ("heatmap", "{}/sweep", "--where", "trace=sparse", "--value", "speedp"),
            "heatmap: column 'speedp' is missing (did you mean 'speedup'?)",
        ),
        (("heatmap", "{}/sweep", "--where", "tracee=x"), "--where tracee: no such column (did you"),
        (("heatmap", "{}/sweep", "--where", "trace=x"), "--where trace=x: no row, there are sparse, dense"),
        (("heatmap", "{}/sweep", "--where", "array.rows=x"), "--where array.rows=x: no row, there are 4, 8"),
        (("heatmap", "{}/sweep", "--where", "trace"), "--where trace: expected COLUMN=VALUE, such as"),
        (("cycles", "{}/run", "--x", "array.rows"), "'x' is no option of it, only of heatmap"),
        (("cycles", "{}/run", "-o", "x.jpg"), "x.jpg: a plot cannot be written as 'jpg'"),
        (("density", "{}/run"), "/run: is of kind 'simulate'; density is of a trace"),
        (("cycles", "{}/sparse.trace.parquet"), "is of kind 'trace'; cycles is of a folder of"),
        (("latency", "{}/run", "--where", "layer=a"), "/run: --where: this figure is of whole runs"),
        (("latency", "{}/run/layers.parquet"), "a table of layers, expected a folder of cgsim simulate"),
        (("density", "{}/none.trace.parquet"), "/none.trace.parquet: "),
        (("--list", "x"), "--list: takes no figure"),
        (("pareto", "{}/sweep"), "/sweep: is of kind 'sweep'; pareto is of a folder of cgsim optimize"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(cgsim, results, tmp_path, words, message):
    answer = cgsim("plot", *(word.format(results) for word in words))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("cgsim: error: ")
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_trace_may_have_any_name(cgsim, results, tmp_path):
    (tmp_path / "gates.parquet").write_bytes((results / "sparse.trace.parquet").read_bytes())
    assert cgsim("plot", "density", "gates.parquet").code == 0


def test_layers_can_be_chosen(results):
    axes = figures.draw("cycles", [results / "run"], where={"layer": ["b", "a"]}).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]


def test_damaged_tables(cgsim, tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "x.csv").write_bytes(b"")
    (tmp_path / "x.txt").write_bytes(b"")
    for name, message in (
        ("x.parquet", "x.parquet: damaged, or not a Parquet file"),
        ("x.csv", "x.csv: damaged, or not a CSV file"),
        ("x.txt", "x.txt: expected a results folder, a table (.parquet or .csv) or a trace"),
    ):
        answer = cgsim("plot", "heatmap", name)
        assert answer.code == 2
        assert message in answer.err


def test_options_are_checked_in_python_too(results):
    with pytest.raises(CgsimError, match="figure 'cycles': 'valeu' is no option of it"):
        figures.draw("cycles", [results / "run"], valeu=3)
