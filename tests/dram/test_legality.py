"""The checker: silent on legal logs, and every rule seen when it is broken by one clock, and only then."""

from __future__ import annotations

import csv
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.dram.command_log import read_log
from cgsim.dram.counters import ACT, PRE, PREA, RD, RDA, REF, REFB, WR, WRA
from cgsim.dram.legal_timings import Timings, load_timings, standard_timings
from cgsim.dram.legality import RULES, check, describe
from cgsim.dram.settings import Config
from cgsim.dram.standards import STANDARDS
from cgsim.errors import CgsimError
from tests.dram.request_streams import DATA

# Every distance has another length, so that none hides behind another.
T = Timings(
    channels=2, ranks=2, bank_groups=2, banks=2, pseudo_channels=0, command_buses=1, activate_clocks=1,
    activate_shift=0, burst=4, burst_group=5, read_latency=17, write_latency=12, write_extra=1,
    read_to_write_gap=2, trcd_read=15, trcd_write=13, trp=16, trp_all=18, tras=40, trc=58, trrd_s=5,
    trrd_l=7, tfaw=33, tccd_s=5, tccd_l=6, tccd_s_write=7, tccd_l_write=8, twtr_s=3, twtr_l=9, trtp=10,
    twr=19, trtrs=3, tppd=2, trfc=200, trfc_bank=90, trrefd=11, trefresh_gap=14, trefi=1000, postponed=8,
    pulled_in=8,
)  # fmt: skip
HBM = T._replace(ranks=1, command_buses=2, activate_clocks=2, activate_shift=1)
NONE = T._replace(trefi=0)


def log_of(*commands):
    """(clock, command, then channel, rank, bank group, bank, row: 0 where left out) -> a log."""
    rows = []
    for clock, command, *place in commands:
        channel, rank, group, bank, row = (*place, *[0] * (5 - len(place)))
        if command in (PREA, REF):
            group = bank = row = -1
        rows.append((clock, command, channel, rank, group, bank, row, 0, -1))
    return np.array(rows, dtype=np.int64).reshape(-1, 9)


def broken(log, t=NONE, **keywords):
    return set(check(log, t, **keywords).broken)


READ = (0, 0, 0, 0, 0)
OTHER_GROUP = (0, 0, 1, 0, 0)
SAME_GROUP = (0, 0, 0, 1, 0)
OTHER_RANK = (0, 1, 0, 0, 0)
OPEN_ALL = [(0, ACT, *READ), (200, ACT, *OTHER_GROUP), (400, ACT, *SAME_GROUP), (600, ACT, *OTHER_RANK)]
W_END = T.write_latency + T.burst + T.write_extra


def after(*commands):
    """Commands once all banks used here are open for long."""
    return [*OPEN_ALL, *commands]


# rule, timings, the commands up to the last but one, the last without its clock, its first legal clock
PAIRS = [
    ("command bus", NONE, [(0, ACT, 0, 0, 0, 0), ], (ACT, 0, 1, 0, 0), 1),
    ("command bus", HBM._replace(trefi=0, trrd_s=1), [(0, ACT, 0, 0, 0, 0)], (PRE, 0, 0, 1, 0), 2),
    ("tRCD", NONE, [(0, ACT, *READ)], (RD, *READ), 15),
    ("tRCD", NONE, [(0, ACT, *READ)], (WR, *READ), 13),
    ("tRCD", HBM._replace(trefi=0), [(0, ACT, *READ)], (RD, *READ), 16),
    ("tRAS", NONE, [(0, ACT, *READ)], (PRE, *READ), 40),
    ("tRAS", NONE, [(0, ACT, *READ)], (PREA, 0, 0), 40),
    ("tRP", NONE, [(0, ACT, *READ), (100, PRE, *READ)], (ACT, *READ), 116),
    ("tRP", HBM._replace(trefi=0), [(0, ACT, *READ), (100, PRE, *READ)], (ACT, *READ), 115),
    ("tRP", NONE, [(0, ACT, *READ), (100, PREA, 0, 0)], (ACT, *READ), 118),
    ("tRP", NONE, [(0, ACT, *READ), (100, PRE, *READ)], (REF, 0, 0), 116),
    ("tRP", NONE, [(0, ACT, *READ), (100, PREA, 0, 0)], (REF, 0, 0), 118),
    ("tRP", NONE, [(0, ACT, *READ), (100, PRE, *READ)], (REFB, *READ), 116),
    ("tRC", NONE, [(0, ACT, *READ), (40, PRE, *READ)], (ACT, *READ), 58),
    ("tRC", NONE, [(0, ACT, *READ), (40, PRE, *READ)], (REF, 0, 0), 58),
    ("tRC", NONE, [(0, ACT, *READ), (40, PRE, *READ)], (REFB, *READ), 58),
    ("tRRD_S", NONE, [(0, ACT, *READ)], (ACT, *OTHER_GROUP), 5),
    ("tRRD_S", NONE, [(0, ACT, *READ)], (REFB, *OTHER_GROUP), 5),
    ("tRRD_L", NONE, [(0, ACT, *READ)], (ACT, *SAME_GROUP), 7),
    ("tCCD_S", NONE, after((800, RD, *READ)), (RD, *OTHER_GROUP), 805),
    ("tCCD_L", NONE, after((800, RD, *READ)), (RD, *SAME_GROUP), 806),
    ("tCCD_S", NONE, after((800, WR, *READ)), (WR, *OTHER_GROUP), 807),
    ("tCCD_L", NONE, after((800, WR, *READ)), (WR, *SAME_GROUP), 808),
    ("tWTR_S", NONE, after((800, WR, *READ)), (RD, *OTHER_GROUP), 800 + W_END + 3),
    ("tWTR_L", NONE, after((800, WR, *READ)), (RD, *SAME_GROUP), 800 + W_END + 1 + 9),
    ("tRTP", NONE, after((800, RD, *READ)), (PRE, *READ), 810),
    ("tRTP", NONE, after((800, RD, *READ)), (PREA, 0, 0), 810),
    ("tWR", NONE, after((800, WR, *READ)), (PRE, *READ), 800 + W_END + 19),
    ("read to write", NONE, after((800, RD, *READ)), (WR, *OTHER_GROUP), 800 + 17 + 4 + 2 - 12),
    ("rank switch", NONE, after((800, RD, *READ)), (RD, *OTHER_RANK), 800 + 4 + 3),
    ("rank switch", NONE, after((800, RD, *READ)), (WR, *OTHER_RANK), 800 + 17 + 4 + 3 - 12),
    ("rank switch", NONE, after((800, WR, *READ)), (RD, *OTHER_RANK), 800 + 12 + 4 + 3 - 17),
    ("data bus", NONE, after((800, WR, *READ)), (WR, *OTHER_RANK), 804),
    ("auto-precharge", NONE._replace(trc=0), [(0, ACT, *READ), (15, RDA, *READ)], (ACT, *READ), 56),
    ("auto-precharge", NONE, [(0, ACT, *READ), (50, RDA, *READ)], (ACT, *READ), 50 + 10 + 16),
    ("auto-precharge", NONE, [(0, ACT, *READ), (50, WRA, *READ)], (ACT, *READ), 50 + W_END + 19 + 16),
    ("auto-precharge", NONE, [(0, ACT, *READ), (50, RDA, *READ)], (REF, 0, 0), 76),
    ("auto-precharge", NONE, [(0, ACT, *READ), (50, RDA, *READ)], (REFB, *READ), 76),
    ("tPPD", NONE, after((800, PRE, *READ)), (PRE, *SAME_GROUP), 802),
    ("tRFC", NONE, [(0, REF, 0, 0)], (ACT, *READ), 200),
    ("tRFC", NONE, [(0, REF, 0, 0)], (REF, 0, 0), 200),
    ("tRFC", NONE, [(0, REF, 0, 0)], (PRE, *READ), 200),
    ("tRFC of a bank", NONE, [(0, REFB, *READ)], (ACT, *READ), 90),
    ("tRFC of a bank", NONE, [(0, REFB, *READ)], (REF, 0, 0), 90),
    ("tRREFD", NONE, [(0, REFB, *READ)], (ACT, *OTHER_GROUP), 11),
    ("tRREFD", NONE, [(0, REFB, *READ)], (REFB, *OTHER_GROUP), 14),
]  # fmt: skip
IDS = [f"{rule} {pair[0]}" for rule, _, _, pair, _ in PAIRS]


@pytest.mark.parametrize(("rule", "t", "before", "last", "first"), PAIRS, ids=IDS)
def test_a_clock_too_early_breaks_the_rule_and_no_clock_too_early_none(rule, t, before, last, first):
    command, *place = last
    assert broken(log_of(*before, (first, command, *place)), t) == set()
    early = log_of(*before, (first - 1, command, *place))
    verdict = check(early, t)
    assert rule in verdict.broken
    found = next(v for v in verdict.violations if v.rule == rule)
    assert found.later == len(early) - 1
    assert early[found.later, 0] - early[found.earlier, 0] == first - 1 - early[found.earlier, 0]
    assert found.needed == found.found + 1
    assert rule in describe(found, early)


def test_five_activates_in_the_window():
    group = [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 1, 1)]
    t = NONE._replace(bank_groups=4)
    before = [(7 * i, ACT, *place) for i, place in enumerate(group)]
    assert broken(log_of(*before, (33, ACT, 0, 0, 2, 0)), t) == set()
    assert broken(log_of(*before, (32, ACT, 0, 0, 2, 0)), t) == {"tFAW"}
    assert broken(log_of(*before, (32, ACT, 0, 1, 2, 0)), t) == set()  # each rank has its own window


@pytest.mark.parametrize(
    ("rule", "commands"),
    [
        ("bank closed", [(0, RD, *READ)]),
        ("bank closed", [(0, ACT, *READ), (100, PRE, *READ), (200, WR, *READ)]),
        ("bank closed", [(0, ACT, *READ), (100, RDA, *READ), (200, RD, *READ)]),
        ("other row", [(0, ACT, *READ), (100, RD, 0, 0, 0, 0, 7)]),
        ("bank open", [(0, ACT, *READ), (100, ACT, *READ)]),
        ("refresh with open banks", [(0, ACT, *READ), (100, REF, 0, 0)]),
        ("refresh with open banks", [(0, ACT, *READ), (100, REFB, *READ)]),
        ("order", [(100, ACT, *READ), (50, PRE, 1, 0, 0, 0)]),
        ("address", [(0, ACT, 2, 0, 0, 0)]),
        ("address", [(0, ACT, 0, 2, 0, 0)]),
        ("address", [(0, ACT, 0, 0, 2, 0)]),
        ("address", [(0, ACT, 0, 0, 0, -1)]),
        ("address", [(0, 77, *READ)]),
        ("refresh round", [(0, REFB, *READ), (100, REFB, *OTHER_GROUP), (300, REFB, *READ)]),
    ],
)
def test_a_bank_in_the_wrong_state(rule, commands):
    assert broken(log_of(*commands)) == {rule}


def test_a_round_of_refreshes_ends_when_all_banks_had_theirs():
    banks = [(0, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 1, 1)]
    assert broken(log_of(*((100 * i, REFB, *banks[i % 4]) for i in range(12)))) == set()
    after_all = [(0, REFB, *banks[0]), (100, REF, 0, 0), (400, REFB, *banks[0])]
    assert broken(log_of(*after_all)) == set()


def test_pseudo_channels_share_the_command_bus_only():
    t = HBM._replace(ranks=2, pseudo_channels=1, trefi=0, trrd_s=2)
    opened = [(0, ACT, 0, 0, 0, 0), (2, ACT, 0, 1, 0, 0)]
    assert broken(log_of(*opened, (100, RD, 0, 0, 0, 0), (101, RD, 0, 1, 0, 0)), t) == set()
    assert broken(log_of(*opened, (100, RD, 0, 0, 0, 0), (100, RD, 0, 1, 0, 0)), t) == {"command bus"}
    one = [(0, ACT, 0, 0, 0, 0), (100, RD, 0, 0, 0, 0), (100, PRE, 0, 1, 0, 0)]
    assert broken(log_of(*one), t) == set()  # the row bus and the column bus


def refreshes(*clocks, rank=0):
    return [(clock, REF, 0, rank) for clock in clocks]


ONE_RANK = T._replace(channels=1, ranks=1)


@pytest.mark.parametrize(
    ("clocks", "end", "legal"),
    [
        (range(1000, 20_000, 1000), -1, True),
        ([9000], -1, True),  # eight are postponed
        ([9001], -1, False),
        ([*range(1000, 5000, 1000), 13_000], -1, True),  # nine intervals between two
        ([*range(1000, 5000, 1000), 13_001], -1, False),
        ([], 9000, True),
        ([], 9001, False),
        ([1000], 10_000, True),
        ([1000], 10_001, False),
        # Eight ahead of time, and then none for nine intervals: the eight are used up.
        ([200 * i for i in range(1, 9)], 1600 + 9000, True),
        ([200 * i for i in range(1, 9)], 1600 + 9001, False),
        # Twenty ahead of time count as eight.
        ([200 * i for i in range(1, 21)] + [12_000, 20_000], 20_000, True),
        ([200 * i for i in range(1, 21)] + [12_000, 20_000], 29_001, False),
        # Postponed by eight throughout: the debt must not grow.
        ([9000 + 1000 * i for i in range(10)], -1, True),
        ([9000 + 1001 * i for i in range(10)], -1, False),
    ],
)
def test_refreshes_missing_or_late(clocks, end, legal):
    found = check(log_of(*refreshes(*clocks)), ONE_RANK, end)
    assert found.broken == ({} if legal else {"tREFI": found.broken.get("tREFI")})


def test_what_is_missed_is_told_once():
    clocks = [*range(1000, 5000, 1000), *range(30_000, 60_000, 1000)]
    found = check(log_of(*refreshes(*clocks)), ONE_RANK)
    assert found.broken == {"tREFI": 1}
    assert found.violations == [("tREFI", 3, 4, 9000, 26_000)]
    assert describe(found.violations[0], log_of(*refreshes(*clocks))) == (
        "tREFI: REF at 4000 (channel 0 rank 0), then REF at 30000 (channel 0 rank 0): at most 9000 clocks, "
        "found 26000"
    )


def test_every_rank_and_every_bank_must_be_refreshed():
    both = sorted(refreshes(*range(1000, 30_000, 1000)) + refreshes(*range(1500, 30_000, 1000), rank=1))
    t = T._replace(channels=1)
    assert broken(log_of(*both), t) == set()
    assert check(log_of(*refreshes(*range(1000, 30_000, 1000))), t).broken == {"tREFI": 1}
    banks = [(0, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 1, 1)]
    turns = [(250 * i, REFB, *banks[i % 4]) for i in range(1, 200)]
    assert broken(log_of(*turns), ONE_RANK) == set()
    one_left_out = [command for command in turns if command[2:] != banks[3]]
    assert "tREFI" in broken(log_of(*one_left_out), ONE_RANK)


def test_logs_of_another_form_are_refused():
    with pytest.raises(CgsimError, match=r"command log: expected 9 columns, got an array of shape \(3, 8\)"):
        check(np.zeros((3, 8), np.int64), T)


def test_violations_beyond_those_kept_are_counted():
    found = check(log_of(*((i, RD, *READ) for i in range(0, 900, 9))), NONE, keep=7)
    assert found.broken == {"bank closed": 100}
    assert len(found.violations) == 7
    assert not found.legal


# Where the tools themselves break JEDEC (docs/dram.md), and how often in these logs.
BREAKING = {
    "d_ddr4_2400_1r_close__randrw_5000": {"read to write": 373},
    "d_ddr4_2400_1r_close__seq_5000": {"tRC": 13, "auto-precharge": 13},
    "d_ddr4_2400_1r_close__st3_aligned_5000": {"tRC": 10, "auto-precharge": 10, "read to write": 26},
    "d_hbm2_8Gb_1ch__randrw_5000": {"tRTP": 214},
    "d_hbm2_8Gb_1ch__st3_aligned_5000": {"tRTP": 104},
    "d_lpddr4_2400_1r__randrw_5000": {"tWTR_S": 448, "tWTR_L": 347, "tWR": 1438, "read to write": 469},
    "d_lpddr4_2400_1r__st3_aligned_5000": {"tWTR_S": 27, "tWR": 54, "read to write": 1},
    "r_ddr4_2400U_match_closedcap1__randrw_5000": {"tRFC": 21},
    "r_ddr4_2400U_match_closedcap1__seq_5000": {"tRFC": 10},
    "r_ddr4_2400U_match_closedcap1__st3_aligned_5000": {"tRFC": 7},
    "r_ddr4_2400U_match_closedcap1__stride8k_5000": {"tRFC": 18},
}
LOGS = sorted(path.name.removesuffix(".csv.gz") for path in (DATA / "commands").iterdir())


def config_of(name):
    stem = name.partition("__")[0]
    return DATA / "configs" / (stem + (".yaml" if stem.startswith("r_") else ".ini"))


@pytest.mark.parametrize("name", LOGS)
def test_the_tools_logs_are_legal_but_for_what_is_known(name):
    log = read_log(DATA / "commands" / f"{name}.csv.gz")
    assert len(log) > 5000
    assert check(log, load_timings(config_of(name))).broken == BREAKING.get(name, {})


def test_every_breaking_log_is_there():
    assert set(BREAKING) <= set(LOGS)


@pytest.mark.parametrize(
    "name", ["r_ddr4_2400U_match__randrw_5000", "r_hbm2_8Gb_2000_preset__st3_aligned_5000"]
)
def test_a_command_left_out_of_a_tools_log_is_missed(name):
    log = read_log(DATA / "commands" / f"{name}.csv.gz")
    t = load_timings(config_of(name))
    for command, rules in ((ACT, {"bank closed", "other row"}), (PRE, {"bank open"}), (PREA, {"bank open"})):
        for line in np.flatnonzero(log[:, 1] == command)[:20]:
            assert rules & broken(np.delete(log, line, axis=0), t)
    refreshes_gone = log[log[:, 1] != REF]
    assert "tREFI" in broken(refreshes_gone, t._replace(postponed=1))


# Tightness: the checker asks for no more than the tools do.
SEEN = {
    "r_ddr4_2400U_match__randrw_5000": "tRCD tRP tRAS tRRD_S tRRD_L tCCD_S tCCD_L tWTR_S tWTR_L tRTP tWR "
    "tFAW tRFC",
    "d_ddr4_2400_1r_rtrs2__randrw_5000": "tRCD tRP tRAS tRRD_S tCCD_S tWTR_S tRTP tWR tFAW",
}


@pytest.mark.parametrize("name", SEEN)
def test_each_timing_longer_by_a_clock_is_broken_by_the_tools_logs(name):
    log = read_log(DATA / "commands" / f"{name}.csv.gz")
    t = load_timings(config_of(name))
    fields = {"tRCD": "trcd_read"}
    for rule in SEEN[name].split():
        field = fields.get(rule, rule.lower())
        assert rule in broken(log, t._replace(**{field: getattr(t, field) + 1})), rule


def test_the_standards_ask_for_what_the_tools_files_ask():
    """Each distance of our standards, against the files that they come from, as the checker reads them."""
    sources = {
        "DDR4-2400": "r_ddr4_2400U_match.yaml",
        "DDR4-3200": "r_ddr4_3200AA_match.yaml",
        "LPDDR4-2400": "d_lpddr4_2400_1r.ini",
        "LPDDR5-6400": "r_lpddr5_6400_preset.yaml",
        "HBM2-2000": "r_hbm2_8Gb_2000_preset.yaml",
    }
    assert sources.keys() == STANDARDS.keys()
    for name, source in sources.items():
        ours, theirs = standard_timings(Config(standard=name)), load_timings(DATA / "configs" / source)
        for key, rule in DISTANCES.items():
            if key in OF_BANKS and not ours.trfc_bank:
                continue  # this standard of ours refreshes whole ranks only
            assert rule(ours) >= rule(theirs), (name, key)
        assert (ours.bank_groups, ours.banks, ours.ranks) == (theirs.bank_groups, theirs.banks, theirs.ranks)
        assert ours.activate_shift == theirs.activate_shift
        assert ours.trefi <= theirs.trefi + 4  # the match files round 7.8 us in another way


OF_BANKS = ("trfc_bank", "trrefd", "trefresh_gap")
DISTANCES = {
    **{
        name: lambda t, name=name: getattr(t, name)
        for name in ("trcd_read", "trcd_write", "trp", "trp_all", "tras", "trc", "trrd_s", "trrd_l", "tfaw",
                     "trtp", "tppd", "trfc", "trfc_bank", "trrefd", "trefresh_gap", "trtrs", "read_latency",
                     "write_latency", "burst")
    },
    "read to read": lambda t: max(t.tccd_s, t.burst),
    "read to read, same group": lambda t: max(t.tccd_l, t.burst),
    "write to read": lambda t: t.write_latency + t.burst + t.write_extra + t.twtr_s,
    "write to read, same group": lambda t: t.write_latency + t.burst_group + t.write_extra + t.twtr_l,
    "write to precharge": lambda t: t.write_latency + t.burst + t.write_extra + t.twr,
    "read to write": lambda t: t.read_latency + t.burst + t.read_to_write_gap - t.write_latency,
}  # fmt: skip


# The walk's twin: every pair of commands, looked at by itself.
def every_pair(log, t):
    """Rules broken between two commands: {(rule, line of the later)}; not those of banks' states."""
    found = set()
    shift = [t.activate_shift if row[1] == ACT else 0 for row in log]
    for j, later in enumerate(log):
        for i, earlier in enumerate(log[:j]):
            distance = later[0] + shift[j] - earlier[0] - shift[i]
            for rule, needed in distances(earlier, later, t):
                if distance < needed:
                    found.add((rule, j))
        activates = [i for i in range(j) if log[i][1] == ACT and (log[i][2:4] == later[2:4]).all()]
        if later[1] == ACT and len(activates) >= 4 and later[0] - log[activates[-4]][0] < t.tfaw:
            found.add(("tFAW", j))
    return found


def distances(a, b, t):
    """Yield (rule, clocks) between command a and a later b of a log, without those that depend on state."""
    reads, writes, columns = (RD, RDA), (WR, WRA), (RD, RDA, WR, WRA)
    if a[2] != b[2]:
        return
    rank = a[3] == b[3]
    group = rank and a[4] == b[4]
    bank = group and a[5] == b[5]
    latency = {**dict.fromkeys(reads, t.read_latency), **dict.fromkeys(writes, t.write_latency)}
    if a[1] == b[1] == ACT and rank:
        yield "tRRD_S", t.trrd_s
        if group:
            yield "tRRD_L", t.trrd_l
        if bank:
            yield "tRC", t.trc
    if a[1] == PRE and b[1] == ACT and bank:
        yield "tRP", t.trp
    if a[1] == PREA and b[1] == ACT and rank:
        yield "tRP", t.trp_all
    if a[1] in (PRE, PREA) and b[1] in (PRE, PREA) and rank:
        yield "tPPD", t.tppd
    if a[1] == REF and rank:
        yield "tRFC", t.trfc
    if a[1] in columns and b[1] in columns:
        after_data = latency[a[1]] + t.burst - latency[b[1]]
        yield "data bus", after_data
        if not rank and not (a[1] in writes and b[1] in writes):
            yield "rank switch", after_data + t.trtrs
    if not rank:
        return
    if a[1] in reads and b[1] in reads:
        yield "tCCD_S", t.tccd_s
        if group:
            yield "tCCD_L", t.tccd_l
    if a[1] in writes and b[1] in writes:
        yield "tCCD_S", t.tccd_s_write
        if group:
            yield "tCCD_L", t.tccd_l_write
    if a[1] in writes and b[1] in reads:
        yield "tWTR_S", t.write_latency + t.burst + t.write_extra + t.twtr_s
        if group:
            yield "tWTR_L", t.write_latency + t.burst_group + t.write_extra + t.twtr_l
    if a[1] in reads and b[1] in writes:
        yield "read to write", t.read_latency + t.burst + t.read_to_write_gap - t.write_latency


TWIN_RULES = {
    "tRRD_S", "tRRD_L", "tRC", "tRP", "tPPD", "tRFC", "data bus", "rank switch", "tCCD_S", "tCCD_L", "tWTR_S",
    "tWTR_L", "read to write", "tFAW",
}  # fmt: skip


@st.composite
def logs(draw):
    clock, rows = 0, []
    for _ in range(draw(st.integers(0, 40))):
        clock += draw(st.integers(1, 12))
        command = draw(st.sampled_from([ACT, ACT, PRE, PREA, RD, RDA, WR, WRA, REF]))
        place = [draw(st.integers(0, 1)) for _ in range(4)]
        rows.append((clock, command, *place))
    return log_of(*rows)


@given(logs(), st.booleans())
def test_the_walk_finds_what_looking_at_every_pair_finds(log, shifted):
    t = NONE._replace(activate_shift=int(shifted))
    verdict = check(log, t)
    found = {(v.rule, v.later) for v in verdict.violations if v.rule in TWIN_RULES}
    # A refresh with open banks is told as such; the rules of activates before it are not looked at.
    expected = {(rule, line) for rule, line in every_pair(log, t)}
    at_refresh = {line for line in range(len(log)) if log[line, 1] == REF}
    assert {item for item in found if item[1] not in at_refresh} == {
        item for item in expected if item[1] not in at_refresh
    }


def test_rules_have_distinct_names():
    assert len(set(RULES)) == len(RULES)


def test_the_table_of_results_names_all_configurations():
    with (DATA / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["config"] for row in rows} == {path.stem for path in (DATA / "configs").iterdir()}
    assert Counter(math.isfinite(float(row["total_cycles"])) for row in rows) == {True: len(rows)}
