from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.engine.columns import PHASES, STALLS
from cgsim.errors import CgsimError
from cgsim.hardware import load_hardware
from cgsim.results.phase_colours import PHASE_COLOURS, STALL_COLOURS
from cgsim.results.tables import compact, describe_hardware, percent, ratio_text
from cgsim.shorten import shorten
from tests.results.conftest import HARDWARE, PROVENANCE, make_columns, with_dram


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (999, "999"), (1000, "1.00k"), (12345, "12.3k"), (999_499, "999k"),
     (999_500, "1.00M"), (12_300_000, "12.3M"), (5e9, "5.00G"), (math.nan, "-"), (math.inf, "inf")],
)  # fmt: skip
def test_compact(value, text):
    assert compact(value) == text


@given(st.integers(0, 10**18))
def test_compact_is_short_and_right(value):
    text = compact(value)
    assert len(text) <= 5
    scale = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
    number = float(text[:-1]) * scale[text[-1]] if text[-1] in scale else float(text)
    assert number == pytest.approx(value, rel=6e-3)


@given(st.text(min_size=1, max_size=60), st.integers(3, 30))
def test_shorten_keeps_both_ends(name, width):
    short = shorten(name, width)
    assert len(short) <= max(width, 3)
    assert short == name or (short[0] == name[0] and short[-1] == name[-1] and "…" in short)


def test_table_fits_80_columns_and_names_every_layer(run):
    table = run.table()
    assert max(map(len, table.splitlines())) <= 80
    for name in ("conv1", "layer3.2.conv2", "pool", "fc", "total"):
        assert any(line.startswith(name) for line in table.splitlines()), name
    for word in (
        "dense",
        "gated",
        "speed-",
        "FLOP",
        "effi-",
        "off-chip",
        "utilization",
        "latency",
        "accuracy",
    ):
        assert word in table


def test_long_names_are_shortened_in_the_middle(make_run):
    names = [f"backbone.stage{i}.block.residual_branch.convolution_{i}" for i in range(3)]
    table = make_run(make_columns(names, 2)).table()
    assert max(map(len, table.splitlines())) <= 80
    assert "…" in table
    assert "tion_2" in table


@pytest.mark.parametrize("width", [72, 80, 120])
def test_table_fits_any_width(make_run, width):
    names = [f"backbone.stage{i}.block.residual_branch.convolution_{i}" for i in range(3)]
    table = make_run(make_columns(names, 2)).table(width)
    assert max(map(len, table.splitlines())) <= width


def test_too_narrow_a_table_is_refused(run):
    with pytest.raises(CgsimError, match=r"^table: width 40 is too small, expected 72 or more$"):
        run.table(40)


def test_huge_figures_fit(make_run):
    data = make_columns(["conv"], 1)
    for name in data:
        if name.endswith(("_cycles", "_bytes", "_macs")):
            data[name] = data[name] * 10**10
    assert max(map(len, make_run(data).table().splitlines())) <= 80


def test_total_line_holds_the_totals(run):
    total = run.summary()
    line = next(line for line in run.table().splitlines() if line.startswith("total"))
    assert line.split() == [
        "total",
        compact(total["dense_cycles"] / 3),
        compact(total["gated_cycles"] / 3),
        ratio_text(total["speedup"]),
        ratio_text(total["flop_reduction"]),
        ratio_text(total["efficiency"]),
        compact(total["dense_offchip_bytes"] / 3),
        compact(total["gated_offchip_bytes"] / 3),
        percent(total["dense_utilization"]),
        percent(total["utilization"]),
    ]


def test_what_dense_execution_is_gets_told_where_it_is_not_plain(make_run):
    data = make_columns(["conv", "sum"], 2)
    assert "Dense " not in make_run(data).table()
    data["operator"] = np.where(data["layer"] == "sum", "add", data["operator"])
    for name in data:
        if name.startswith("dense_") and name.endswith("_cycles"):
            data[name] = np.where(data["layer"] == "sum", 0, data[name])
    metadata = PROVENANCE["trace"]["metadata"] | {"method_parameters": {"reference_macs": 40_800_000}}
    table = make_run(data, trace=PROVENANCE["trace"] | {"metadata": metadata}).table()
    assert max(map(len, table.splitlines())) <= 80
    told = " ".join(table.split())
    assert "The ungated one it stands for has 40.8M" in told
    assert "Dense executes additions of 0 cycles with a convolution" in told


def test_run_prints_itself(run):
    assert str(run) == run.table()
    assert repr(run).startswith("Run('resnet20-cgnet' on 'asic-28nm': 3 images, speedup ")


def test_hardware_is_described_in_one_line():
    assert describe_hardware(HARDWARE) == (
        "16 x 16 ws array, overlapped, 16 column groups, 800 MHz, ideal DRAM 16 B/cycle"
    )
    mapping = {"batch": 4, "pixel_order": "block", "channel_order": "clustered"}
    told = describe_hardware(HARDWARE | {"mapping": mapping})
    assert "16 column groups, batch 4, block pixel order, clustered channel order, 800 MHz" in told
    mapping = {"batch": 1, "pixel_order": "raster", "channel_order": "natural"}
    assert describe_hardware(HARDWARE | {"mapping": mapping}) == describe_hardware(HARDWARE)


@pytest.mark.parametrize(
    ("dataflow", "name"),
    [("ws", "load weights"), ("is", "load stationary inputs"), ("os", "load row addresses")],
)
def test_what_is_loaded_is_named_by_the_dataflow(make_run, dataflow, name):
    hardware = HARDWARE | {"array": HARDWARE["array"] | {"dataflow": dataflow}}
    run = make_run(hardware=hardware)
    assert f"{name} " in " ".join(run.table().split())
    legend = run.plot.cycles().legends[0]
    assert name in {text.get_text() for text in legend.get_texts()}


def test_every_stall_is_told_and_drawn_apart(run):
    assert "bank conflict stall" in " ".join(run.table(200).split())
    assert "bank conflict stall" in {t.get_text() for t in run.plot.cycles().legends[0].get_texts()}
    assert set(STALL_COLOURS) == set(STALLS)
    assert set(PHASE_COLOURS) == set(PHASES)
    assert len(set(STALL_COLOURS.values())) == len(STALLS)
    assert len(set(PHASE_COLOURS.values())) == len(PHASES)


def test_off_chip_traffic_is_told_by_tensor(run, make_run):
    table = run.table()
    lines = {line[:26].strip(): line[26:].split() for line in table.splitlines()}
    total = run.summary()
    paths = {
        path: [total[f"{mode}_{path}_weights_read_bytes"] for mode in ("dense", "gated")]
        for path in ("base", "conditional")
    }
    for path, (dense, gated) in paths.items():
        assert lines[f"{path} path"] == [compact(dense / 3), compact(gated / 3), "B"]
    dense, gated = (sum(both) for both in zip(*paths.values(), strict=True))
    assert lines["weights read"] == [compact(dense / 3), compact(gated / 3), "B", ratio_text(dense / gated)]
    assert lines["all"][-1] == ratio_text(total["offchip_reduction"])
    assert "DRAM: " not in table
    reduction = ratio_text(total["energy_reduction"])
    assert lines["chip and DRAM"][-2:] == ["µJ", reduction]
    assert lines["power"][-1] == "mW"
    table = make_run(with_dram(make_columns())).table()
    assert max(map(len, table.splitlines())) <= 80
    for word in (
        "DRAM: rows opened",
        "DRAM: row hits",
        "gated DRAM bus: data 53%, no request",
    ):
        assert word in table


@pytest.mark.parametrize(
    ("hardware", "line"),
    [
        ("asic-28nm", "area: 1.76 mm², of which gating 0.150 mm² (9.3% more)"),
        ("fpga-zcu102", "FPGA: "),
        ("dpacs-basicblock-serial", ""),
    ],
)
def test_what_the_accelerator_takes_is_told(make_run, hardware, line):
    table = make_run(hardware=load_hardware(hardware).to_dict()).table()
    assert line in table
    assert max(map(len, table.splitlines())) <= 80
    assert bool(line) == ("area: " in table or "FPGA: " in table)


def test_memories_are_described():
    dram = {"standard": "DDR4-2400", "bytes_per_cycle": None, "channels": 1, "ranks": 2}
    assert describe_hardware(HARDWARE | {"dram": dram}).endswith(", DDR4-2400 DRAM, 2 ranks")
