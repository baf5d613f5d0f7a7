"""`cgsim dram replay` and `cgsim dram check`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[1] / "data" / "dram"
OURS = """dram:
  policy: default
  standard: DDR4-2400
  channels: 2
  ranks: 2
  mapping: streaming
  page_policy: open
  queue_depth: 32
  refresh: all_bank
"""
LEGAL = DATA / "commands" / "d_ddr4_2400_1r_rtrs2__seq_5000.csv.gz"
BROKEN = DATA / "commands" / "d_ddr4_2400_1r_close__seq_5000.csv.gz"


@pytest.fixture
def files(tmp_path):
    words = np.arange(4000, dtype=np.uint64) * np.uint64(64)
    words[1000:1500] |= np.uint64(1)
    words.astype("<u8").tofile(tmp_path / "stream.bin")
    (tmp_path / "ours.yaml").write_text(OURS)
    for name in ("d_ddr4_2400_1r_rtrs2.ini", "r_ddr4_2400U_match.yaml", "r_hbm2_8Gb_2000_preset.yaml"):
        (tmp_path / name).write_bytes((DATA / "configs" / name).read_bytes())
    return tmp_path


CONFIGS = ["ours.yaml", "d_ddr4_2400_1r_rtrs2.ini", "r_ddr4_2400U_match.yaml", "r_hbm2_8Gb_2000_preset.yaml"]


@pytest.mark.parametrize("config", CONFIGS)
def test_replay_prints_a_table_of_80_columns(cgsim, files, config):
    answer = cgsim("dram", "replay", "stream.bin", "--config", config)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "stream    stream.bin"
    for word in ("bandwidth", "read latency", "lost: ", "GB/s", "energy", "commands"):
        if word == "lost: " and config[0] in "dr":
            word = "lost"
        assert word in answer.out
    assert sorted(path.name for path in files.iterdir()) == sorted([*CONFIGS, "stream.bin"])


def test_replay_in_json_has_what_the_table_has(cgsim, files):
    answer = cgsim("dram", "replay", "stream.bin", "--config", "ours.yaml", "--json")
    told = json.loads(answer.out)
    assert (told["requests"], told["reads"], told["writes"]) == (4000, 3500, 500)
    assert (told["policy"], told["standard"], told["buses"]) == ("default", "DDR4-2400", 2)
    assert told["data_cycles"] + sum(told["lost_cycles"].values()) == told["cycles"] * 2
    assert told["bandwidth_gbps"] == pytest.approx(4000 * 64 / (told["cycles"] * 0.833))
    assert 0 < told["peak_share"] < 1
    assert told["read_latency_median_cycles"] <= told["read_latency_p99_cycles"]
    assert told["energy_pj"]["total"] == pytest.approx(
        sum(value for key, value in told["energy_pj"].items() if key != "total")
    )
    assert "VDD" in told["energy_scope"]
    assert sorted(path.name for path in files.iterdir()) == sorted([*CONFIGS, "stream.bin"])


@pytest.mark.parametrize(
    ("config", "head"),
    [
        ("ours.yaml", "clock,command,channel,rank,bank_group,bank,row,column,write"),
        ("d_ddr4_2400_1r_rtrs2.ini", "cycle,cmd,rank,bg,bank,row,col"),
        ("r_ddr4_2400U_match.yaml", "clock,command,Channel,Rank,BankGroup,Bank,Row,Column,type,source"),
    ],
)
def test_the_log_has_the_form_of_the_tool_and_can_be_checked(cgsim, files, config, head):
    answer = cgsim(
        "dram", "replay", "stream.bin", "--config", config, "--commands", "out/log.csv.gz", "--json"
    )
    assert json.loads(answer.out)["commands"] == "out/log.csv.gz"
    assert gzip.decompress((files / "out" / "log.csv.gz").read_bytes()).decode().splitlines()[0] == head
    answer = cgsim("dram", "check", "out/log.csv.gz", "--config", config)
    assert answer.out.startswith("out/log.csv.gz: ok, ")
    assert (answer.code, answer.err) == (0, "")


def test_more_requests_per_clock(cgsim, files):
    slow, fast = (
        json.loads(cgsim("dram", "replay", "stream.bin", "--config", "r_hbm2_8Gb_2000_preset.yaml",
                         "--per-clock", count, "--json").out)["cycles"]
        for count in (1, 4)
    )  # fmt: skip
    assert fast < slow


def test_check_tells_every_violation(cgsim):
    config = DATA / "configs" / "d_ddr4_2400_1r_close.ini"
    answer = cgsim("dram", "check", BROKEN, "--config", config)
    assert answer.code == 2
    assert answer.err == f"cgsim: error: {BROKEN}: 26 violations of tRC, auto-precharge\n"
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == ["tRC", "13"]
    told = " ".join(answer.out.split())
    assert (
        "tRC: ACT at 9317 (channel 0 rank 0 bank 1.0 row 0), then REF at 9360 (channel 0 rank 0): needs 56 "
        "clocks, found 43"
    ) in told
    assert lines[-1] == "note: 6 more; --json tells the first 26"


def test_check_in_json(cgsim):
    config = DATA / "configs" / "d_ddr4_2400_1r_close.ini"
    answer = cgsim("dram", "check", BROKEN, "--config", config, "--json")
    assert answer.code == 2
    told = json.loads(answer.out)
    assert (told["legal"], told["commands"]) == (False, 10_037)
    assert told["broken"] == {"tRC": 13, "auto-precharge": 13}
    assert told["violations"][0]["needed"] == 56
    assert told["timings"]["trc"] == 56
    told = json.loads(cgsim("dram", "check", LEGAL, "--config", config, "--json").out)
    assert (told["legal"], told["broken"], told["violations"]) == (True, {}, [])


def test_check_with_fewer_postponed_refreshes(cgsim):
    config = DATA / "configs" / "d_ddr4_2400_1r_rtrs2.ini"
    assert cgsim("dram", "check", LEGAL, "--config", config, "--postponed", 1).code == 0
    assert cgsim("dram", "check", LEGAL, "--config", config, "--postponed", 0).code == 2


def test_errors_are_one_line_and_leave_nothing(cgsim, files):
    def refused(*words):
        answer = cgsim("dram", *words)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.count("\n") == 1
        return answer.err.removeprefix("cgsim: error: ").rstrip("\n")

    replay = ("replay", "stream.bin", "--config")
    assert refused("replay", "no.bin", "--config", "ours.yaml") == (
        "no.bin: cannot be read (No such file or directory)"
    )
    assert refused(*replay, "no.yaml") == "no.yaml: cannot be read (No such file or directory)"
    (files / "bad.yaml").write_text(OURS.replace("ranks", "rnks"))
    assert refused(*replay, "bad.yaml") == "bad.yaml: dram.rnks: unknown key (did you mean 'ranks'?)"
    (files / "bad.ini").write_text((files / "d_ddr4_2400_1r_rtrs2.ini").read_text() + "colour = 3\n")
    assert "colour: unknown key" in refused(*replay, "bad.ini")
    text = (files / "r_ddr4_2400U_match.yaml").read_text()
    (files / "bad.json").write_text(text.replace('"frontend"', '"frontends": {}, "frontend"', 1))
    assert refused(*replay, "bad.json") == "bad.json: frontends: unknown key (did you mean 'frontend'?)"
    assert refused(*replay, "ours.yaml", "--commands", "stream.bin/log.csv") == (
        "stream.bin: cannot be made a folder, 'stream.bin' is not one"
    )
    assert refused(*replay, "ours.yaml", "--commands", ".") == ".: a folder, expected the name of a file"
    assert refused("check", "stream.bin", "--config", "ours.yaml").startswith("stream.bin: line 1: not a ")
    (files / "odd.bin").write_bytes(b"123")
    assert refused("replay", "odd.bin", "--config", "ours.yaml").startswith("odd.bin: 3 bytes, expected ")
    np.array([1 << 60], "<u8").tofile(files / "far.bin")
    far = ("replay", "far.bin", "--config", "ours.yaml", "--commands", "log.csv")
    assert refused(*far).startswith("far.bin: request 0: address 0x1000000000000000 is beyond the memory's ")
    assert not (files / "log.csv").exists()


def test_interrupted_while_the_log_is_written(cgsim, files, monkeypatch):
    def interrupt(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr("gzip.compress", interrupt)
    answer = cgsim("dram", "replay", "stream.bin", "--config", "ours.yaml", "--commands", "log.csv.gz")
    assert (answer.code, answer.out) == (130, "")
    assert not [path for path in files.iterdir() if "log" in path.name]
