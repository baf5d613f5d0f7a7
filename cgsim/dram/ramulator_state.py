"""State of `policy: ramulator2`: arrays that the kernel changes, and how a configuration becomes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.counters import ACT, COUNTERS, LATENCY_BINS, PRE, PREA, RD, RDA, REF, REFB, TAGS, WR, WRA
from cgsim.dram.ramulator_config import Config

ACT2, CAS_RD, CAS_WR = 9, 10, 11
"""LPDDR5's further commands, as logged: the second activate, the start of WCK. Its first activate is ACT."""
KINDS = 12
_CODES = {
    "ACT": ACT,
    "ACT1": ACT,
    "ACT2": ACT2,
    "PREpb": PRE,
    "PREab": PREA,
    "CAS_RD": CAS_RD,
    "CAS_WR": CAS_WR,
    "RD": RD,
    "WR": WR,
    "RDA": RDA,
    "WRA": WRA,
    "REFab": REF,
    "REFpb": REFB,
}
DDR4, HBM2, LPDDR5 = range(3)

NEVER = 1 << 62
CLOSED, ACTIVATING = -1, -2
"""Values of OPEN that are no row."""

# One array `m` holds settings and state; a thing in it is known by the index of its first field, 0: none.
# The settings, from index 0; those that begin with AT_ are indices.
(STANDARD, CHANNELS, RANKS, GROUPS, PER_GROUP, BANKS, INJ, LIMIT, QUEUE_R, QUEUE_W) = range(10)
(ENTER_WRITES, LEAVE_WRITES, ROW_HIT_FIRST, CAP, PER_BANK, REFRESH_INTERVAL, REFRESH_SPREAD) = range(10, 17)
(READ_LATENCY, BURST, CL, CWL, ACTIVATE_WINDOW, WCK_ALWAYS_ON, WCK_AFTER, PRIORITY_SIZE) = range(17, 25)
(LOG_SIZE, WINDOWS, AT_MAPPING, AT_RULES, AT_WINDOWS, AT_CHANNELS, AT_RANKS, AT_BANKS) = range(25, 33)
(AT_RETURNED, AT_COUNTS, AT_LATENCY, AT_LOG, NOW, USED, SETTINGS) = range(33, 40)
# A rank (or pseudo-channel), a bank group and a bank begin with the clocks from which each command may issue
# there, and the place of their rings in the windows (the channel's is place 0).
PLACE = KINDS
(OPEN_BANKS, OPEN_SINCE, LOG_RANK, FIRST_OF_RANK, RANK_FIELDS) = range(KINDS + 1, KINDS + 6)
GROUP_FIELDS = KINDS + 1
# A bank. Fields with _R stand for the reads, the next ones for the writes.
(RANK, GROUP, LOG_GROUP, LOG_BANK, OPEN, ACTIVE, HEAD_R, HEAD_W) = range(KINDS + 1, KINDS + 9)
(TAIL_R, TAIL_W, HIT_R, HIT_W, MISS_R, MISS_W, PLACE_R, PLACE_W) = range(KINDS + 9, KINDS + 17)
(ACCESSES, INJECTED, DEADLINE, BANK_FIELDS) = range(KINDS + 17, KINDS + 21)
# A request. NEXT and BEFORE link those of a bank and kind, oldest first, and NEXT those that are unused.
(ADDRESS, BANK, ROW, COLUMN, ARRIVE, ORDER, TAG, WRITE, COUNTED, NEXT, BEFORE, SLOT_FIELDS) = range(12)
# A channel. QUIET: nothing can issue before; STARTED: the request between its first and its second activate,
# AFTER_CAS: that between CAS and column command; lists: LISTED_R banks with waiting reads, ACTIVES requests
# whose bank was opened for them, MAINTENANCE (command, its rank or bank), WAITING clocks at which data come.
(LOG_CHANNEL, FIRST_RANK, FIRST_BANK, TICKED, QUIET, WRITE_MODE, N_READS, N_WRITES) = range(8)
(N_BANKS_R, N_BANKS_W, LISTED_R, LISTED_W, N_ACTIVE, ACTIVES, STARTED, N_MAINTENANCE) = range(8, 16)
(FIRST_MAINTENANCE, MAINTENANCE, NEXT_REFRESH, NEXT_TARGET, FREE, ORDERED, LAST_WRITE) = range(16, 23)
(WCK_UNTIL, AFTER_CAS, CAS_FROM, N_CAPPED, N_WAITING, FIRST_WAITING, WAITING, UNISSUED) = range(23, 31)
CHANNEL_FIELDS = 31
# At AT_RULES per command the bounds of its rules by where they hold; a rule is (command, clocks).
OWN_RANK, OTHER_RANKS, OWN_GROUP, OWN_BANK, RULE_KINDS = range(5)
# At AT_WINDOWS; its rings hold a count and then the last `length` clocks of `before`, per place.
(LEVEL, BEFORE_IT, AFTER_IT, CLOCKS, LENGTH, RINGS, RING_SIZE, WINDOW_FIELDS) = range(8)
# At AT_MAPPING shifts and masks; SWAP (MOP4CLXOR): the column is in two parts, and XORed with the rest.
(CH_SHIFT, CH_BITS, TX_BITS, SWAP, RA_SHIFT, RA_MASK, BG_SHIFT, BG_MASK, BA_SHIFT, BA_MASK) = range(10)
(RO_SHIFT, RO_MASK, CO_SHIFT, CO_MASK, CO2_SHIFT, CO2_MASK, BG_XOR, BA_XOR, RO_XOR, XOR_ROWS) = range(10, 20)
MAP_FIELDS = 20
LOG_FIELDS = 9


class Ramulator(NamedTuple):
    """One memory system: `m` with all of it, views of `m`, and `m` as it was at clock 0.

    counts int64 [COUNTERS], latency int64 [LATENCY_BINS], log int64 [capacity, LOG_FIELDS].
    """

    m: np.ndarray
    counts: np.ndarray
    latency: np.ndarray
    log: np.ndarray
    fresh: np.ndarray


def controller(config: Config, log_capacity: int = 0) -> Ramulator:
    """Return a memory system at clock 0: all banks closed, nothing waiting."""
    fresh = np.array(_Layout(config, log_capacity).memory, np.int64)
    return renew(Ramulator(fresh, fresh, fresh, fresh.reshape(1, -1), fresh))


@njit(cache=True)
def renew(c: Ramulator) -> Ramulator:
    """Return a memory system with the settings of another, at clock 0."""
    m = c.fresh.copy()
    counts = m[m[AT_COUNTS] : m[AT_COUNTS] + COUNTERS]
    latency = m[m[AT_LATENCY] : m[AT_LATENCY] + LATENCY_BINS]
    log = m[m[AT_LOG] : m[AT_LOG] + m[LOG_SIZE] * LOG_FIELDS].reshape((m[LOG_SIZE], LOG_FIELDS))
    return Ramulator(m, counts, latency, log, c.fresh)


class _Layout:
    """Builds `m` part by part."""

    def __init__(self, config: Config, log_capacity: int) -> None:
        self.memory = [0] * SETTINGS
        self.config = config
        self._settings(log_capacity)
        m = self.memory
        m[AT_MAPPING] = self.add(_mapping(config))
        self._rules()
        self._windows()
        groups = config.ranks * config.bank_groups
        banks = groups * config.banks
        m[AT_RANKS] = self.add([0] * (RANK_FIELDS * config.ranks * config.channels))
        at_groups = self.add([0] * (GROUP_FIELDS * groups * config.channels))
        m[AT_BANKS] = self.add([0] * (BANK_FIELDS * banks * config.channels))
        m[AT_CHANNELS] = self.add([0] * (CHANNEL_FIELDS * config.channels))
        for channel in range(config.channels):
            self._channel(channel)
            for rank in range(config.ranks):
                place = m[AT_RANKS] + (channel * config.ranks + rank) * RANK_FIELDS
                m[place + PLACE], m[place + LOG_RANK] = 1 + rank, rank
                first = (channel * config.ranks + rank) * config.bank_groups * config.banks
                m[place + FIRST_OF_RANK] = m[AT_BANKS] + first * BANK_FIELDS
            for group in range(groups):
                m[at_groups + (channel * groups + group) * GROUP_FIELDS + PLACE] = 1 + config.ranks + group
            for bank in range(banks):
                place = m[AT_BANKS] + (channel * banks + bank) * BANK_FIELDS
                group = bank // config.banks
                rank = channel * config.ranks + group // config.bank_groups
                m[place + PLACE] = 1 + config.ranks + groups + bank
                m[place + RANK] = m[AT_RANKS] + rank * RANK_FIELDS
                m[place + GROUP] = at_groups + (channel * groups + group) * GROUP_FIELDS
                m[place + LOG_GROUP], m[place + LOG_BANK] = group % config.bank_groups, bank % config.banks
                m[place + OPEN] = CLOSED
        m[AT_RETURNED] = self.add([0] * TAGS)
        m[AT_COUNTS] = self.add([0] * COUNTERS)
        m[AT_LATENCY] = self.add([0] * LATENCY_BINS)
        m[AT_LOG] = self.add([0] * (log_capacity * LOG_FIELDS))

    def add(self, values: Iterable[int]) -> int:
        """Append a part; return its index."""
        place = len(self.memory)
        self.memory.extend(int(value) for value in values)
        return place

    def _settings(self, log_capacity: int) -> None:
        config, timing, m = self.config, self.config.timing, self.memory
        standard = ("DDR4", "HBM2", "LPDDR5").index(config.standard)
        interval = {"AllBank": "nREFI", "PerBank": "nREFIpb"}.get(config.refresh)
        burst = timing["nBL_min" if standard == LPDDR5 else "nBL"]
        m[STANDARD], m[CHANNELS], m[RANKS] = standard, config.channels, config.ranks
        m[GROUPS], m[PER_GROUP] = config.bank_groups, config.banks
        m[BANKS] = config.ranks * config.bank_groups * config.banks
        m[INJ], m[LIMIT] = config.inj, config.max_outstanding
        m[QUEUE_R], m[QUEUE_W], m[PRIORITY_SIZE] = (
            config.read_queue,
            config.write_queue,
            config.priority_queue,
        )
        m[ENTER_WRITES], m[LEAVE_WRITES] = config.enter_writes, config.leave_writes
        m[ROW_HIT_FIRST], m[CAP] = config.scheduler == "FRFCFS-RowHit", config.cap
        m[PER_BANK] = config.refresh == "PerBank"
        m[REFRESH_INTERVAL] = timing[interval] if interval else 0
        m[REFRESH_SPREAD] = config.scatter_interval
        m[READ_LATENCY], m[BURST] = config.read_latency, burst
        m[CL], m[CWL] = timing["nCL"], timing["nCWL"]
        if standard == LPDDR5:
            m[ACTIVATE_WINDOW], m[WCK_AFTER] = timing["nAAD"], burst + timing["nWCKPST"]
        m[WCK_ALWAYS_ON] = config.wck_always_on
        m[LOG_SIZE] = log_capacity

    def _channel(self, channel: int) -> None:
        config, m = self.config, self.memory
        place = m[AT_CHANNELS] + channel * CHANNEL_FIELDS
        m[place + LOG_CHANNEL] = channel
        m[place + FIRST_RANK] = m[AT_RANKS] + channel * config.ranks * RANK_FIELDS
        m[place + FIRST_BANK] = m[AT_BANKS] + channel * m[BANKS] * BANK_FIELDS
        m[place + LISTED_R] = self.add([0] * m[BANKS])
        m[place + LISTED_W] = self.add([0] * m[BANKS])
        m[place + ACTIVES] = self.add([0] * m[BANKS])
        m[place + MAINTENANCE] = self.add([0] * (2 * config.priority_queue))
        m[place + WAITING] = self.add([0] * config.max_outstanding)
        m[place + UNISSUED] = self.add([0] * TAGS)
        m[place + NEXT_REFRESH] = config.scatter_interval or m[REFRESH_INTERVAL] or NEVER
        for _ in range(config.read_queue + config.write_queue + m[BANKS] + 1):
            slot = self.add([0] * SLOT_FIELDS)
            m[slot + NEXT] = m[place + FREE]
            m[place + FREE] = slot

    def _rules(self) -> None:
        rules, bounds = _rules(self.config)
        self.memory[AT_RULES] = len(self.memory)
        first = len(self.memory) + bounds.size
        self.add((first + 2 * bounds).ravel())
        self.add(rules.ravel())

    def _windows(self) -> None:
        found, config = _windows(self.config), self.config
        places = 1 + config.ranks * (1 + config.bank_groups * (1 + config.banks))
        at = len(self.memory)
        self.memory[AT_WINDOWS], self.memory[WINDOWS] = at, len(found)
        self.add([0] * (WINDOW_FIELDS * len(found)))
        for index, (level, before, after, clocks, length) in enumerate(found):
            place = at + index * WINDOW_FIELDS
            rings = self.add([0] * (config.channels * places * (length + 1)))
            self.memory[place : place + WINDOW_FIELDS] = [
                int(value) for value in (level, before, after, clocks, length, rings, places * (length + 1))
            ]


def _windows(config: Config) -> np.ndarray:
    found = []
    for rule in config.constraints:
        if rule.window > 1:
            pairs = [(before, after) for before in rule.preceding for after in rule.following]
            found += [(rule.level, _CODES[b], _CODES[a], rule.latency, rule.window) for b, a in pairs]
    return np.array(found, np.int64).reshape(-1, 5)


def _rules(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Return the constraints without a window, per command and kind; those of a channel go to its ranks."""
    longest: dict[tuple[int, int, int], int] = {}
    for rule in config.constraints:
        if rule.window > 1:
            continue
        if rule.level == 0:
            kinds: tuple[int, ...] = (OWN_RANK, OTHER_RANKS)
        elif rule.sibling:
            kinds = (OTHER_RANKS,)
        else:
            kinds = ((OWN_RANK, OWN_GROUP, OWN_BANK)[rule.level - 1],)
        if config.ranks == 1:
            kinds = tuple(kind for kind in kinds if kind != OTHER_RANKS)
        for before in rule.preceding:
            for after in rule.following:
                for kind in kinds:
                    key = _CODES[before], kind, _CODES[after]
                    longest[key] = max(longest.get(key, 0), rule.latency)
    unused = {"AllBank": {REFB}, "PerBank": {REF, PREA}, "NoRefresh": {REF, REFB, PREA}}[config.refresh]
    if config.row_policy == "Open":
        unused = unused | {RDA, WRA}
    rules: list[tuple[int, int]] = []
    at = np.zeros((KINDS, RULE_KINDS + 1), np.int64)
    for command in range(KINDS):
        for kind in range(RULE_KINDS):
            at[command, kind] = len(rules)
            for (first, where, then), clocks in sorted(longest.items()):
                if first == command and where == kind and not unused & {first, then}:
                    rules.append((then, clocks))
        at[command, RULE_KINDS] = len(rules)
    return np.array(rules, np.int64).reshape(-1, 2), at


def _mapping(config: Config) -> np.ndarray:
    """Return where the fields of an address lie, counted after the channel's bits are taken out."""
    columns = config.columns // config.prefetch
    sizes = {"ra": config.ranks, "bg": config.bank_groups, "ba": config.banks, "ro": config.rows}
    mop = config.mapper == "MOP4CLXOR"
    order = {
        "RoBaRaCoCh": "co ra bg ba ro",
        "ChRaBaRoCo": "co ro ba bg ra",
        "MOP4CLXOR": "co ra bg ba co2 ro",
        "PassThroughAddrMapper": "ra bg co ba ro" if config.standard == "HBM2" else "bg co ra ba ro",
    }[config.mapper]
    sizes |= {"co": 4, "co2": columns // 4} if mop else {"co": columns, "co2": 1}
    result = np.zeros(MAP_FIELDS, np.int64)
    tx = config.request_bytes.bit_length() - 1
    result[CH_SHIFT] = tx + config.interleave_bits
    result[CH_BITS] = config.channels.bit_length() - 1
    result[TX_BITS] = tx
    names = {"ra": RA_SHIFT, "bg": BG_SHIFT, "ba": BA_SHIFT, "ro": RO_SHIFT, "co": CO_SHIFT, "co2": CO2_SHIFT}
    shift = 0
    for name in order.split():
        result[names[name]], result[names[name] + 1] = shift, sizes[name] - 1
        shift += sizes[name].bit_length() - 1
    if mop:
        result[SWAP] = 1
        result[XOR_ROWS] = result[RO_MASK]
        result[RO_MASK] = NEVER - 1
        result[BG_XOR] = sizes["ra"].bit_length() - 1
        result[BA_XOR] = result[BG_XOR] + sizes["bg"].bit_length() - 1
        result[RO_XOR] = result[BA_XOR] + sizes["ba"].bit_length() - 1
    return result
