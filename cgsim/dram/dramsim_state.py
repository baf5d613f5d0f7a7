"""State and settings of the DRAMsim3 policy: arrays of int64, all times in DRAM clocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.dram.counters import COUNTERS, LATENCY_BINS, TAGS
from cgsim.dram.dramsim_ini import FIELDS, REFRESHES, Config

NEVER = 1 << 60
"""A clock that does not come."""
WAITERS = 1 << 14
"""Merged reads that can wait for data at the same time."""
BUCKETS = 1 << 10
"""Buckets of the table of pending requests."""

STAGGERED, SIMULTANEOUS, BANK_STAGGERED = range(len(REFRESHES))

# Fields of `channels`. NEXT: the next clock in which something may happen; READ/WRITE: lists of transactions.
(
    NEXT,
    SERVED,
    DRAINING,
    DUE,
    REFRESHED,
    NEXT_REFRESH,
    BLOCKED,
    UNBLOCKED,
    QUEUED,
    HEAD,
    WRITE_HEAD,
    TAIL,
    WRITE_TAIL,
    COUNT,
    WRITE_COUNT,
    SEEN,
    WRITE_SEEN,
) = range(17)
CHANNEL_FIELDS = 17
# Fields of `ranks`: earliest commands; FAW: the last four ACTs + tFAW, OLDEST of them first to end.
RANK_ACT, RANK_RD, RANK_WR, RANK_PRE, RANK_REF, OPEN, SINCE, OLDEST, FAW = range(9)
RANK_FIELDS = 12 + 1
# Fields of `groups` and `banks`: earliest commands, open row (-1: closed), column commands since ACT.
GROUP_ACT, GROUP_RD, GROUP_WR = range(3)
GROUP_FIELDS = 4
BANK_ACT, BANK_RD, BANK_WR, BANK_PRE, BANK_REF, BANK_REFB, ROW, HITS = range(8)
BANK_FIELDS = 8
# Fields of `pool`: requests on their way. LINK: next of its transaction list; CHAIN: of its bucket;
# WAITER: first merged read.
ADDRESS, BANK, REQUEST_ROW, COLUMN, WRITE, ACCEPTED, TAG, LINK, CHAIN, WAITER, QUEUE = range(11)
POOL_FIELDS = 12
# Fields of `scalars`.
CLOCK_NOW, OFFERED, FREE, FREE_WAITER, ARRIVED, COLLECTED, ACCEPTED_LAST = range(7)
SCALARS = 8


class Dramsim(NamedTuple):
    """A memory under the DRAMsim3 policy. `scalars` to `log` change, the rest are settings."""

    scalars: np.ndarray
    channels: np.ndarray
    """[channels, CHANNEL_FIELDS]"""
    ranks: np.ndarray
    """[channels x ranks, RANK_FIELDS]"""
    groups: np.ndarray
    """[channels x ranks x bank groups, GROUP_FIELDS]"""
    banks: np.ndarray
    """[channels x ranks x bank groups x banks, BANK_FIELDS]"""
    slots: np.ndarray
    """[channels x queues, depth]: requests in command queues, oldest first."""
    lengths: np.ndarray
    """[channels x queues]"""
    times: np.ndarray
    """[channels x queues]: no command of the queue can issue before."""
    pool: np.ndarray
    """[requests, POOL_FIELDS]"""
    buckets: np.ndarray
    """[BUCKETS]: first pending request of each bucket; -1: none."""
    waiters: np.ndarray
    """[WAITERS, 3]: clock of acceptance, tag, next."""
    tags: np.ndarray
    """[TAGS, 2]: reads that have not issued, clock of the last data."""
    arrivals: np.ndarray
    """[power of two]: reads whose data arrive in a clock, modulo the length."""
    counts: np.ndarray
    """[COUNTERS]"""
    latency: np.ndarray
    """[LATENCY_BINS]"""
    log: np.ndarray
    """[capacity, 9]"""
    layout: np.ndarray
    """[6, 2]: position and mask of ch, ra, bg, ba, ro, co in an address."""
    shift: int
    ranks_each: int
    groups_each: int
    banks_each: int
    rank_banks: int
    queues: int
    depth: int
    room: int
    inj: int
    max_outstanding: int
    unified: bool
    per_rank: bool
    close: bool
    dual: bool
    tppd_holds: bool
    refresh: int
    interval: int
    burst: int
    read_delay: int
    rd_rd_l: int
    rd_rd_s: int
    rd_rd_o: int
    rd_wr: int
    rd_wr_o: int
    wr_rd_l: int
    wr_rd_s: int
    wr_rd_o: int
    wr_wr_o: int
    rd_pre: int
    wr_pre: int
    act_act: int
    act_act_l: int
    act_act_s: int
    act_rd: int
    act_wr: int
    act_pre: int
    faw: int
    pre_act: int
    pre_pre: int
    ref_act: int
    refb_refb: int


def controller(config: Config, log_capacity: int = 0) -> Dramsim:
    """A controller at clock 0: all banks closed, all queues empty."""
    t, burst = config.timing, config.burst_cycles
    RL, WL = t["AL"] + t["CL"], t["AL"] + t["CWL"]
    one = "_S" if config.bank_groups == 1 else "_L"
    refresh = REFRESHES.index(config.refresh_policy)
    interval = t["tREFIb"] if refresh == BANK_STAGGERED else t["tREFI"]
    if refresh == STAGGERED:
        interval //= config.ranks
    rank_banks = config.bank_groups * config.banks
    per_rank = config.queue_structure == "PER_RANK"
    queues = config.ranks if per_rank else config.ranks * rank_banks
    requests = config.channels * (2 * config.trans_queue_size + queues * config.cmd_queue_size)
    fields = config.fields()
    layout = [
        [at, (1 << width) - 1] for at, width in (fields[f] for f in ("ch", "ra", "bg", "ba", "ro", "co"))
    ]
    state = Dramsim(
        scalars=np.zeros(SCALARS, np.int64),
        channels=np.zeros((config.channels, CHANNEL_FIELDS), np.int64),
        ranks=np.zeros((config.channels * config.ranks, RANK_FIELDS), np.int64),
        groups=np.zeros((config.channels * config.ranks * config.bank_groups, GROUP_FIELDS), np.int64),
        banks=np.zeros((config.channels * config.ranks * rank_banks, BANK_FIELDS), np.int64),
        slots=np.zeros((config.channels * queues, config.cmd_queue_size), np.int64),
        lengths=np.zeros(config.channels * queues, np.int64),
        times=np.full(config.channels * queues, NEVER, np.int64),
        pool=np.zeros((requests, POOL_FIELDS), np.int64),
        buckets=np.full(BUCKETS, -1, np.int64),
        waiters=np.zeros((WAITERS, 3), np.int64),
        tags=np.zeros((TAGS, 2), np.int64),
        arrivals=np.zeros(1 << (RL + burst + 2).bit_length(), np.int64),
        counts=np.zeros(COUNTERS, np.int64),
        latency=np.zeros(LATENCY_BINS, np.int64),
        log=np.full((log_capacity, 9), -1, np.int64),
        layout=np.array(layout, np.int64),
        shift=config.request_bytes.bit_length() - 1,
        ranks_each=config.ranks,
        groups_each=config.bank_groups,
        banks_each=config.banks,
        rank_banks=rank_banks,
        queues=queues,
        depth=config.cmd_queue_size,
        room=config.trans_queue_size,
        inj=config.inj,
        max_outstanding=config.max_outstanding,
        unified=config.unified_queue,
        per_rank=per_rank,
        close=config.row_buf_policy == "CLOSE_PAGE",
        dual=config.hbm_dual_cmd,
        tppd_holds=config.standard == "LPDDR4",
        refresh=refresh,
        interval=max(1, interval),
        burst=burst,
        read_delay=RL + burst,
        rd_rd_l=max(burst, t["tCCD" + one]),
        rd_rd_s=max(burst, t["tCCD_S"]),
        rd_rd_o=burst + t["tRTRS"],
        rd_wr=RL + burst - WL + t["tRTRS"],
        rd_wr_o=RL + burst + t["tRTRS"] - WL,
        wr_rd_l=WL + burst + t["tWTR" + one],
        wr_rd_s=WL + burst + t["tWTR_S"],
        wr_rd_o=WL + burst + t["tRTRS"] - RL,
        wr_wr_o=burst,
        rd_pre=t["AL"] + t["tRTP"],
        wr_pre=WL + burst + t["tWR"],
        act_act=t["tRAS"] + t["tRP"],
        act_act_l=t["tRRD" + one],
        act_act_s=t["tRRD_S"],
        act_rd=t["tRCDRD"] if config.hbm else t["tRCD"] - t["AL"],
        act_wr=t["tRCDWR"] if config.hbm else t["tRCD"] - t["AL"],
        act_pre=t["tRAS"],
        faw=t["tFAW"],
        pre_act=t["tRP"],
        pre_pre=t["tPPD"],
        ref_act=t["tRFC"],
        refb_refb=t["tREFI"],
    )
    _clear(state)
    return state


def _clear(c: Dramsim) -> None:
    """Empty lists and queues; all arrays are zero or as `controller` made them."""
    c.channels[:, (HEAD, WRITE_HEAD, TAIL, WRITE_TAIL, SEEN, WRITE_SEEN)] = -1
    c.channels[:, NEXT] = c.channels[:, NEXT_REFRESH] = c.interval
    c.banks[:, ROW] = -1
    c.scalars[CLOCK_NOW] = 1  # the tool ticks before it offers: nothing happens in tick 0
    c.pool[:, LINK] = np.append(np.arange(1, len(c.pool)), -1)
    c.waiters[:, 2] = np.append(np.arange(1, len(c.waiters)), -1)
