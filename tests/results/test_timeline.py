"""The file for Perfetto and Chrome, and the plots over time."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import numpy as np
import pytest

import cgsim
from cgsim.engine.columns import TENSORS
from cgsim.errors import CgsimError
from cgsim.trace import build_network, synthesize

CHANGES = {
    "ideal": {},
    "DDR4-2400": {"dram.standard": "DDR4-2400", "dram.ranks": 2},
    "HBM2-2000": {"dram.standard": "HBM2-2000", "dram.channels": 2, "dram.refresh": "per_bank"},
    "groups": {"dram.standard": "DDR4-2400", "gate_unit.group_sync": "layer", "dram.page_policy": "closed"},
}


@pytest.fixture(scope="module", params=CHANGES)
def made(request, tmp_path_factory):
    """A timeline of the whole network, its file, and the run that it belongs to."""
    folder = tmp_path_factory.mktemp("timeline")
    trace = cgsim.load_trace(synthesize(build_network("tiny", "channel" if request.param == "ideal" else
                             "activation"), folder / "t.trace.parquet", 2, density=0.4))  # fmt: skip
    small = {"array.rows": 8, "array.cols": 8, "array.column_groups": 2, "buffers.weight_kib": 4}
    own = cgsim.load_hardware("edge-16x16", small | CHANGES[request.param])
    timeline = cgsim.timeline(trace, own, sample=1, layers=":")
    timeline.write(folder / "out.json")
    with (folder / "out.json").open() as file:
        data = json.load(file, parse_constant=lambda name: pytest.fail(name))
    return timeline, data, cgsim.simulate(trace, own, samples=[1])


def slices(data, mode):
    """Complete events of a mode by track."""
    process = 1 + ("dense", "gated").index(mode)
    names = {
        e["tid"]: e["args"]["name"]
        for e in data["traceEvents"]
        if e["name"] == "thread_name" and e["pid"] == process
    }
    found: dict[str, list] = {name: [] for name in names.values()}
    for event in data["traceEvents"]:
        if event["ph"] == "X" and event["pid"] == process:
            found[names[event["tid"]]].append(event)
    return found


@pytest.mark.parametrize("mode", ["dense", "gated"])
def test_events_of_a_track_do_not_overlap(made, mode):
    tracks = slices(made[1], mode)
    assert {"layer", "array", "vector unit"} <= tracks.keys() | {
        re.sub(", column group .*", "", name) for name in tracks
    }
    for name, events in tracks.items():
        events = sorted(events, key=lambda event: event["ts"])
        accesses = [event for event in events if event["cat"] == "access"]
        events = [event for event in events if event["cat"] != "access"]
        for one, after in pairwise(accesses):
            assert one["ts"] + one["dur"] <= after["ts"] + 1e-3
        for event in accesses:  # within a row
            row = [e for e in events if e["cat"] == "bank" and e["ts"] <= event["ts"]][-1]
            assert event["ts"] + event["dur"] <= row["ts"] + row["dur"] + 1e-3
        for one, after in pairwise(events):
            assert one["ts"] + one["dur"] <= after["ts"] + 1e-3, (name, one, after)
        assert all(event["dur"] > 0 for event in events)


@pytest.mark.parametrize("mode", ["dense", "gated"])
def test_every_event_lies_in_its_layer(made, mode):
    timeline, data, _ = made
    tracks = slices(data, mode)
    own = [(p.layer, s) for p, s in zip(timeline.parts, timeline.spans, strict=True) if p.mode == mode]
    for name, events in tracks.items():
        for event in events:
            if name == "layer":
                continue
            inside = [s for layer, s in own if layer == event["args"]["layer"]]
            ends = event["ts"], event["ts"] + event["dur"]
            assert any(a - 1e-3 <= ends[0] and ends[1] <= b + 1e-3 for a, b in inside), (name, event, inside)


@pytest.mark.parametrize("mode", ["dense", "gated"])
def test_the_file_adds_up_to_the_columns(made, mode):
    _, data, run = made
    tracks, columns = slices(data, mode), run.by_layer()
    names = [str(name) for name in columns["layer"]]
    cycles = dict(zip(names, columns[f"{mode}_cycles"].tolist(), strict=True))
    layers = [event for event in tracks["layer"] if event["cat"] == "layer" and "cycles" in event["args"]]
    for layer in names:
        own = [event for event in layers if event["name"].partition(":")[0] == layer]
        assert sum(event["dur"] for event in own) == cycles[layer]
        assert sum(event["args"]["cycles"] for event in own) == cycles[layer]
    array = [events for name, events in tracks.items() if name.startswith("array")]
    for layer in names:
        spent = [sum(e["dur"] for e in events if e["args"]["layer"] == layer) for events in array]
        assert max(spent, default=0) == cycles[layer]  # phases and stalls, of the lane that ends last
    for tensor in TENSORS:
        track = f"DMA: {tensor.replace('_', ' ')}"
        moved = [e for name, events in tracks.items() if name.startswith(track) for e in events]
        for what in ("bytes", "bursts"):
            told = sum(event["args"][what] for event in moved)
            assert told == columns[f"{mode}_{tensor}_{what}"].sum()
    rows = [e for events in tracks.values() for e in events if e["cat"] == "bank"]
    assert len(rows) == columns[f"{mode}_dram_activates"].sum()
    for what in ("reads", "writes", "bytes"):
        told = sum(
            e["args"].get(what, 0) for events in tracks.values() for e in events if e["cat"] == "access"
        )
        assert told == sum(e["args"][what] for e in rows)
    assert sum(e["args"]["reads"] for e in rows) == columns[f"{mode}_dram_read_commands"].sum()
    assert sum(e["args"]["writes"] for e in rows) == columns[f"{mode}_dram_write_commands"].sum()


@pytest.mark.parametrize("mode", ["dense", "gated"])
def test_bytes_per_cycle_add_up_and_stay_below_the_peak(made, mode):
    timeline, data, run = made
    for bins in (1, 7, 400):
        edges, read, written = timeline.bandwidth(mode, bins)
        assert (np.diff(edges) > 0).all()
        moved = {
            what: (np.diff(edges) * values).sum() for what, values in (("read", read), ("write", written))
        }
        total = run.summary()
        if timeline.hardware.dram.standard == "ideal":
            assert moved["write"] == pytest.approx(total[f"{mode}_activations_write_bytes"])
            assert sum(moved.values()) == pytest.approx(total[f"{mode}_offchip_bytes"])
        else:
            size = timeline.clocks.request_bytes
            assert moved["read"] == pytest.approx(size * total[f"{mode}_dram_read_commands"])
            assert moved["write"] == pytest.approx(size * total[f"{mode}_dram_write_commands"])
        assert (read + written).max() <= timeline.hardware.dram_bytes_per_cycle * (1 + 1e-6)
    counters = [e for e in data["traceEvents"] if e["ph"] == "C"]
    assert {e["name"] for e in counters} == {"DRAM bytes/cycle"}
    assert all(set(e["args"]) == {"read", "write"} for e in counters)


def test_plots_over_time(made, tmp_path):
    timeline = made[0]
    figure = timeline.plot.bandwidth(tmp_path / "b.png")
    assert [axes.get_title(loc="left").split(":")[0] for axes in figure.axes] == ["dense", "gated"]
    figure = timeline.plot.tracks(tmp_path / "t.svg")
    shown = {text.get_text() for text in figure.axes[1].get_yticklabels()}
    assert {"layer", "vector unit", "DMA: activations read"} <= shown
    assert (tmp_path / "b.png").stat().st_size > 1000
    assert (tmp_path / "t.svg").stat().st_size > 1000


def test_the_file_says_where_it_comes_from(made):
    data = made[1]
    assert set(data) == {"traceEvents", "displayTimeUnit", "otherData"}
    told = data["otherData"]
    assert (told["trace"], told["sample"], told["time"]) == ("t", 1, "1 us is one cycle")
    names = [e["args"]["name"] for e in data["traceEvents"] if e["name"] == "process_name"]
    assert names == ["dense: t", "gated: t"]


def test_too_much_to_look_at_is_refused(made, monkeypatch, tmp_path):
    monkeypatch.setattr("cgsim.results.timeline.MOST_EVENTS", 20)
    with pytest.raises(CgsimError, match="more than 20 events, expected fewer layers"):
        made[0].write(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []
