"""Policy `ramulator2` against what Ramulator 2.1 counted and logged: every figure and every command."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from numba import njit

from cgsim.dram import counters as n
from cgsim.dram import ramulator
from cgsim.dram.ramulator_yaml import load
from tests.conftest import VALIDATE
from tests.dram.request_streams import DATA, request_stream

_TABLE = (DATA / "results.csv").read_text().splitlines()
ROWS = [row for row in csv.DictReader(_TABLE) if row["sim"] == "ramulator2.1"]
LOGS = sorted(path.name for path in (DATA / "commands").glob("r_*.csv.gz"))
CODES = {"PREpb": n.PRE, "PREab": n.PREA, "REFab": n.REF} | {
    name: n.COMMANDS.index(name) for name in ("ACT", "RD", "WR", "RDA", "WRA")
}


@njit
def serve_all(c, words):
    """Offer a stream, cut into runs; return clocks of the last acceptance and of the end."""
    begin = 0
    while begin < len(words):
        write, first = words[begin] & 1, words[begin] & -2
        step = words[begin + 1] - words[begin] if begin + 1 < len(words) else 0
        end = begin + 1
        if (step & 1) == 0:
            while end < len(words) and words[end] - words[end - 1] == step:
                end += 1
        ramulator.serve(c, first, step, end - begin, write, -1, 0)
        begin = end
    return c.counts[n.LAST_ACCEPTED], ramulator.drain(c)


def replay(config: str, trace: str, count: int, log_capacity: int = 0):
    settings = load(DATA / "configs" / f"{config}.yaml")
    controller = ramulator.controller(settings, log_capacity)
    words = request_stream(trace, settings.request_bytes, count).astype(np.int64)
    return controller, *serve_all(controller, words)


def test_reference_is_complete():
    assert (len(ROWS), len(LOGS)) == (59, 28)


@pytest.mark.parametrize(
    "row", ROWS if VALIDATE else ROWS[::4], ids=lambda row: f"{row['config']}-{row['trace']}"
)
def test_counts(row):
    c, accepted, total = replay(row["config"], row["trace"], int(row["n"]))
    counts = dict(zip(n.COUNTS, c.counts.tolist(), strict=True))
    names = {
        "reads": "reads",
        "writes": "writes",
        "row_hits": "row_hits",
        "read_row_hits": "read_row_hits",
        "write_row_hits": "write_row_hits",
        "row_misses": "row_misses",
        "row_conflicts": "row_conflicts",
        "rd_cmds": "read_commands",
        "wr_cmds": "write_commands",
        "act": "activates",
        "pre": "precharges",
        "ondemand_pre": "ondemand_precharges",
        "ref": "refreshes",
    }
    found = {name: counts[counter] for name, counter in names.items()}
    found |= {"cycles_accepted": accepted, "total_cycles": total}
    assert found == {name: int(row[name]) for name in found}
    assert counts["latency_sum"] / counts["read_commands"] == pytest.approx(
        float(row["avg_read_latency"]), abs=6e-4, rel=5e-6
    )
    assert c.latency.sum() == counts["reads"]


@pytest.mark.parametrize("name", LOGS if VALIDATE else LOGS[::3])
def test_commands(name):
    config, trace = name.removesuffix("_5000.csv.gz").split("__")
    with gzip.open(DATA / "commands" / name, "rt") as file:
        rows = list(csv.reader(file))[1:]
    expected = [[int(row[0]), CODES[row[1]], *map(int, row[2:9])] for row in rows]
    c, _, _ = replay(config, trace, 5000, log_capacity=len(rows) + 100)
    assert c.counts[n.COMMANDS_LOGGED] == len(rows)
    np.testing.assert_array_equal(c.log[: len(rows)], expected)


def test_log_overflows_without_harm():
    c, _, total = replay("r_ddr4_2400U_match", "seq", 500, log_capacity=10)
    whole, _, same_total = replay("r_ddr4_2400U_match", "seq", 500, log_capacity=1000)
    assert total == same_total
    assert c.counts[n.COMMANDS_LOGGED] == whole.counts[n.COMMANDS_LOGGED] > 10
    np.testing.assert_array_equal(c.log, whole.log[:10])
