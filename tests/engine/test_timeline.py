"""What a timeline tells of a sample is what a run counts for it."""

from __future__ import annotations

import numpy as np
import pytest

from cgsim.engine.columns import PHASES, STALLS
from cgsim.engine.events import BURSTS_MOVED, BYTES_MOVED, END, KIND, LANE, START, UNIT
from cgsim.engine.listener import listening
from cgsim.engine.run import run
from cgsim.engine.timeline import record
from cgsim.errors import CgsimError
from cgsim.hardware import load_hardware
from cgsim.trace import build_network, load_trace, synthesize

DDR4 = {"dram.standard": "DDR4-2400"}
TENSOR = 1 + len(PHASES) + len(STALLS)
SMALL = {"array.rows": 8, "array.cols": 8, "array.column_groups": 2, "buffers.weight_kib": 4}


def tiny(tmp_path, gate="activation"):
    path = synthesize(build_network("tiny", gate), tmp_path / "t.trace.parquet", 3, density=0.4)
    return load_trace(path)


def hardware(changes=None):
    return load_hardware("edge-16x16", SMALL | (changes or {}))


def rows(trace, own, samples):
    counts = run(trace, own, samples).columns
    order = {name: at for at, name in enumerate(counts["layer"])}
    return {name: {key: values[at] for key, values in counts.items()} for name, at in order.items()}, counts


@pytest.mark.parametrize("gate", ["activation", "pixel", "channel", "static"])
@pytest.mark.parametrize("changes", [{}, DDR4], ids=["ideal", "DDR4-2400"])
def test_parts_add_up_to_the_columns(tmp_path, gate, changes):
    trace, own = tiny(tmp_path, gate), hardware(changes)
    expected, _ = rows(trace, own, [1])
    found: dict[tuple[str, str], dict[str, int]] = {}
    for part in record(trace, own, 1, ":"):
        total = found.setdefault((part.layer, part.mode), dict.fromkeys(part.counts, 0))
        for name, value in part.counts.items():
            total[name] += value
    assert {layer for layer, _ in found} <= set(expected)
    for (layer, mode), total in found.items():
        for name, value in total.items():
            assert expected[layer][f"{mode}_{name}"] == value, (layer, mode, name)
    assert sum(total["cycles"] for total in found.values()) == sum(
        row[f"{mode}_cycles"] for row in expected.values() for mode in ("dense", "gated")
    )


@pytest.mark.parametrize("sync", ["fold", "tile", "layer"])
@pytest.mark.parametrize("changes", [{}, DDR4], ids=["ideal", "DDR4-2400"])
def test_events_fill_the_time_and_move_all_bytes(tmp_path, sync, changes):
    trace, own = tiny(tmp_path), hardware({"gate_unit.group_sync": sync, **changes})
    for part in record(trace, own, 0, ":"):
        events = part.events
        assert (events[:, START] >= 0).all()
        assert (events[:, END] <= part.cycles).all()
        array = events[(events[:, KIND] < TENSOR) & (events[:, LANE] != UNIT)]
        last = array[array[:, END] == part.cycles, LANE][0]
        lane = array[array[:, LANE] == last]
        assert (lane[1:, START] == lane[:-1, END]).all()
        assert (lane[:, END] - lane[:, START]).sum() == part.cycles
        moved = events[events[:, KIND] >= TENSOR]
        assert moved[:, BYTES_MOVED].sum() == part.counts["offchip_bytes"]
        assert moved[:, BURSTS_MOVED].sum() == part.counts["offchip_bursts"]
        phases = lane[np.isin(lane[:, KIND], (2, 4)) & (lane[:, BYTES_MOVED] > 0)]
        split = phases[:, BYTES_MOVED : BYTES_MOVED + 6].sum(axis=1)
        assert (split == phases[:, END] - phases[:, START]).all()
        commands = part.commands
        if not changes:
            assert len(commands) == 0
        elif part.counts["offchip_bursts"]:
            assert (np.diff(commands[:, 0]) >= 0).all()
            columns = np.isin(commands[:, 1], (3, 4, 5, 6))
            assert columns.sum() == part.counts["dram_read_commands"] + part.counts["dram_write_commands"]


def test_a_batch_is_shown_whole(tmp_path):
    trace, own = tiny(tmp_path), hardware({"mapping.batch": 2})
    _, counts = rows(trace, own, [0, 1, 2])
    for sample, batch in ((1, [0, 1]), (2, [2])):
        chosen = np.isin(counts["sample"], batch)
        for mode in ("dense", "gated"):
            parts = [part for part in record(trace, own, sample, ":") if part.mode == mode]
            assert sum(part.cycles for part in parts) == counts[f"{mode}_cycles"][chosen].sum()


def test_a_journal_that_is_too_small_is_made_larger(tmp_path, monkeypatch):
    trace, own = tiny(tmp_path), hardware(DDR4)
    whole = record(trace, own, 0, ":")
    monkeypatch.setattr("cgsim.engine.listener._ROOM", 3)
    for part, again in zip(whole, record(trace, own, 0, ":"), strict=True):
        assert (part.events == again.events).all()
        assert (part.commands == again.commands).all()
    monkeypatch.setattr("cgsim.engine.listener.MOST", 10)
    with pytest.raises(CgsimError, match=r"^timeline: a layer has \d+ events, expected at most 10$"):
        record(trace, own, 0, ":")


def test_layers_are_chosen_by_name_and_range(tmp_path):
    trace, own = tiny(tmp_path), hardware()
    names = list(dict.fromkeys(part.layer for part in record(trace, own, 0, ":")))

    def chosen(layers):
        return list(dict.fromkeys(part.layer for part in record(trace, own, 0, layers)))

    assert chosen(f"{names[0]}:{names[2]}") == names[:3]
    assert chosen(f"{names[2]}, {names[0]}") == [names[0], names[2]]
    assert chosen(f":{names[1]},{names[-1]}") == [*names[:2], names[-1]]
    (first,) = chosen(None)
    assert trace.network.by_name[first].gate != "none"
    for layers, message in (
        ("no", "timeline: unknown layer 'no'"),
        (f"{names[2]}:{names[0]}", "expected FIRST:LAST in the order of execution"),
        ("a:b:c", "timeline: layers 'a:b:c', expected NAME or FIRST:LAST"),
        ("", "timeline: layers '', expected FIRST:LAST"),
    ):
        with pytest.raises(CgsimError, match=message):
            record(trace, own, 0, layers)
    with pytest.raises(CgsimError, match="sample 3 is not in the trace, which has samples 0 to 2"):
        record(trace, own, 3)


def test_nobody_listens_in_a_search(tmp_path):
    trace, own = tiny(tmp_path), hardware()
    record(trace, own, 0, ":")
    with listening() as heard:
        run(trace, own.override({"clock_mhz": 123.0}), [0])
    assert heard
    assert len(heard) < 60  # every layer once, dense and gated: no tiling that was only tried
