"""Replays of whole streams: runs, the three policies, and the logs that they write."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.dram.command_log import read_log, write_log
from cgsim.dram.counters import LATENCY_BINS
from cgsim.dram.legal_timings import standard_timings
from cgsim.dram.legality import check, describe
from cgsim.dram.own_config import load_config
from cgsim.dram.replay import latency_at, memory_of, replay, summary
from cgsim.dram.settings import Config
from cgsim.dram.settings import check as check_config
from cgsim.dram.standards import STANDARDS
from cgsim.dram.streams import cut, open_stream
from cgsim.errors import CgsimError
from tests.dram.request_streams import DATA, request_stream

with (DATA / "results.csv").open() as file:
    RESULTS = {(row["config"], row["trace"]): row for row in csv.DictReader(file)}


def path_of(config):
    return DATA / "configs" / (config + (".yaml" if config.startswith("r_") else ".ini"))


def stream_of(folder, words):
    path = folder / "stream.bin"
    np.asarray(words, "<u8").tofile(path)
    return open_stream(path)


@given(st.lists(st.integers(0, 40), max_size=60))
def test_runs_are_the_stream(words):
    runs = cut(np.array(words, np.int64))
    again = [
        first + i * step | write
        for first, step, length, write in zip(*(part.tolist() for part in runs), strict=True)
        for i in range(length)
    ]
    assert again == words
    assert (runs.step >= 0).all()


def test_a_sequence_is_one_run():
    runs = cut(np.arange(0, 64_000, 64, dtype=np.int64) | 1)
    assert [part.tolist() for part in runs] == [[0], [64], [1000], [1]]


def test_chunks_do_not_change_what_is_counted(tmp_path, monkeypatch):
    config = load_config(path_of("d_ddr4_2400_1r"))
    stream = stream_of(tmp_path, request_stream("st3_aligned", 64, 3000))
    whole = replay(config, stream)
    monkeypatch.setattr("cgsim.dram.streams.CHUNK", 7)
    parts = replay(config, stream)
    assert parts[:3] == whole[:3]
    assert np.array_equal(parts.latency, whole.latency)


@pytest.mark.parametrize(
    ("size", "message"),
    [(0, "0 bytes, expected one or more requests of 8 bytes each"), (12, "12 bytes, expected one or more")],
)
def test_a_stream_of_no_whole_requests_is_refused(tmp_path, size, message):
    (tmp_path / "s.bin").write_bytes(b"\0" * size)
    with pytest.raises(CgsimError, match=message):
        open_stream(tmp_path / "s.bin")


def test_streams_that_cannot_be_read(tmp_path):
    with pytest.raises(CgsimError, match=r"s\.bin: cannot be read \(No such file or directory\)"):
        open_stream(tmp_path / "s.bin")
    with pytest.raises(CgsimError, match="a folder, expected a stream of requests"):
        open_stream(tmp_path)
    stream = stream_of(tmp_path, [0, 64, 128])
    stream.path.write_bytes(b"\0" * 8)
    with pytest.raises(CgsimError, match=r"s?\.bin: ends after 1 of 3 requests"):
        list(stream.chunks(1 << 30))


def test_an_address_that_the_memory_does_not_have_is_refused(tmp_path):
    config = load_config(path_of("d_ddr4_2400_1r"))
    assert memory_of(config).capacity_bytes == 8 << 30
    assert replay(config, stream_of(tmp_path, [(8 << 30) - 64])).counts["reads"] == 1
    with pytest.raises(CgsimError, match=r"stream\.bin: request 1: address 0x200000040 is beyond the"):
        replay(config, stream_of(tmp_path, [0, (8 << 30) + 65]))
    with pytest.raises(CgsimError, match="address 0xfffffffffffffffe is beyond"):
        replay(config, stream_of(tmp_path, [(1 << 64) - 1]))


@pytest.mark.parametrize(
    ("config", "capacity", "peak"),
    [
        ("d_ddr4_2400_preset", 16 << 30, 19.277),
        ("d_hbm2_8Gb_preset8ch", 8 << 30, 256.0),
        ("d_lpddr4_2400_1r", 4 << 30, 19.277),
        ("r_ddr4_3200AA_preset", 8 << 30, 25.6),
        ("r_hbm2_8Gb_2000_preset", 2 << 30, 32.0),
        ("r_lpddr5_6400_preset", 1 << 30, 12.8),
    ],
)
def test_capacity_and_peak(config, capacity, peak):
    memory = memory_of(load_config(path_of(config)))
    assert memory.capacity_bytes == capacity
    assert memory.peak_gbps == pytest.approx(peak, rel=1e-4)


NAMES = {
    "cycles": "total_cycles", "cycles_accepted": "cycles_accepted", "row_hits": "row_hits",
    "read_row_hits": "read_row_hits", "write_row_hits": "write_row_hits", "row_misses": "row_misses",
    "row_conflicts": "row_conflicts", "read_commands": "rd_cmds", "write_commands": "wr_cmds",
    "activates": "act", "precharges": "pre", "ondemand_precharges": "ondemand_pre", "refreshes": "ref",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "trace"),
    [("d_ddr4_2400_1r_close", "st3_aligned"), ("d_hbm2_8Gb_1ch_bglow", "stride8k"),
     ("r_ddr4_2400U_match_q1", "randrw"), ("r_hbm2_8Gb_2000_pcbglow", "seq")],
)  # fmt: skip
def test_a_replay_counts_what_the_tool_counts(tmp_path, name, trace):
    row = RESULTS[name, trace]
    stream = stream_of(tmp_path, request_stream(trace, int(row["req_bytes"]), int(row["n"])))
    found = replay(load_config(path_of(name)), stream, per_clock=int(row["inj"]))
    told = summary(found, path_of(name), stream)
    expected = {ours: row[theirs] for ours, theirs in NAMES.items() if row[theirs]}
    assert {key: told[key] for key in expected} == {key: int(value) for key, value in expected.items()}
    assert told["read_latency_mean_cycles"] == pytest.approx(float(row["avg_read_latency"]), abs=1e-3)
    assert told["bandwidth_gbps"] == pytest.approx(float(row["bandwidth_GBps"]), abs=1e-3)
    if row["energy_uJ"]:
        assert told["energy_pj"]["total"] / 1e6 == pytest.approx(float(row["energy_uJ"]), abs=1e-3)
    assert sum(found.latency) == told["reads"]


@pytest.mark.parametrize(
    ("name", "trace", "per_clock"),
    [("d_hbm2_8Gb_1ch", "randrw", 0), ("r_ddr4_2400U_match_closedcap1", "st3_aligned", 0),
     ("r_hbm2_8Gb_2000_preset", "seq", 4)],
)  # fmt: skip
def test_the_log_is_the_tools_own(tmp_path, name, trace, per_clock):
    config = load_config(path_of(name))
    stream = stream_of(tmp_path, request_stream(trace, memory_of(config).request_bytes, 5000))
    found = replay(config, stream, log=True, per_clock=per_clock)
    write_log(tmp_path / "log.csv", found.log, found.memory.policy, found.memory.standard)
    theirs = read_log(DATA / "commands" / f"{name}__{trace}_5000.csv.gz")
    ours = read_log(tmp_path / "log.csv")[: len(theirs)]  # some logs end with the last request
    assert np.array_equal(ours, theirs)


def test_a_log_larger_than_expected_is_complete(tmp_path, monkeypatch):
    stream = stream_of(tmp_path, request_stream("randrw", 64, 2000))
    config = Config(standard="DDR4-2400")
    whole = replay(config, stream, log=True)
    monkeypatch.setattr("cgsim.dram.replay._LOG_ROOM", -1)
    assert np.array_equal(replay(config, stream, log=True).log, whole.log)
    assert len(whole.log) == whole.counts["commands_logged"] > 2000
    assert len(replay(config, stream).log) == 0


def test_percentiles_of_latency():
    latency = np.zeros(LATENCY_BINS, np.int64)
    assert latency_at(latency, 0.5, 0) is None
    latency[5], latency[9] = 98, 2
    assert [latency_at(latency, share, 38) for share in (0, 0.5, 0.98, 0.99, 1)] == [23, 23, 23, 38, 38]
    latency[-1] = 50
    assert latency_at(latency, 0.99, 7000) == 7000


@st.composite
def memories(draw):
    """The standards as they are, with settings of any kind."""
    standard = draw(st.sampled_from(sorted(STANDARDS)))
    device = STANDARDS[standard]
    refreshes = ["all_bank", *(["per_bank"] if device.refipb else [])]
    return Config(
        standard=standard,
        channels=draw(st.sampled_from([1, 2])),
        ranks=1 if device.pseudo > 1 else draw(st.sampled_from([1, 2, 4])),
        mapping=draw(st.sampled_from(["streaming", "RoBaRaCoCh", "MOP4CLXOR", "rochrababgco"])),
        page_policy=draw(st.sampled_from(["open", "closed"])),
        queue_depth=draw(st.sampled_from([1, 4, 32])),
        refresh=draw(st.sampled_from(refreshes)),
        refresh_postponed=draw(st.integers(1, 8)),
        row_hit_cap=draw(st.sampled_from([1, 4, 64])),
        inj=draw(st.sampled_from([1, 4])),
    )


@settings(max_examples=25)
@given(memories(), st.integers(0, 2**32), st.sampled_from(["random", "stride", "mixed"]))
def test_the_default_policy_is_legal(tmp_path_factory, config, seed, kind):
    check_config(config)
    rng = np.random.default_rng(seed)
    n, unit = 4000, config.request_bytes
    place = {
        "random": rng.integers(0, config.capacity_bytes // unit, n),
        "stride": np.arange(n) * int(2 ** rng.integers(0, 12)) % (config.capacity_bytes // unit),
        "mixed": np.arange(n) % 64 + 4096 * rng.integers(0, 4, n // 50).repeat(50),
    }[kind]
    write = rng.random(n) < rng.choice([0, 0.3, 0.5, 1])
    stream = stream_of(tmp_path_factory.mktemp("s"), place.astype(np.uint64) * np.uint64(unit) | write)
    found = replay(config, stream, log=True)
    verdict = check(found.log, standard_timings(config), found.cycles)
    assert verdict.legal, [describe(v, found.log) for v in verdict.violations[:3]]
    columns = found.counts["read_commands"] + found.counts["write_commands"]
    assert columns + found.counts["forwarded_reads"] + found.counts["merged_writes"] == n
    lost = sum(count for name, count in found.counts.items() if name.startswith("lost_"))
    assert found.counts["data_cycles"] + lost == found.cycles * found.memory.buses
