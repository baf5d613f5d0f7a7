"""State of `policy: ramulator2`: arrays that the kernel changes, and how a configuration becomes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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

# Fields of `banks`: those with _R exist twice, for the reads and, one further, for the writes.
(OPEN, ACTIVE, RANK, GROUP, NODE, HEAD_R, HEAD_W, TAIL_R, TAIL_W, HIT_R, HIT_W, MISS_R, MISS_W) = range(13)
(PLACE_R, PLACE_W, ACCESSES, INJECTED, DEADLINE, BANK_FIELDS) = range(13, 19)
# Fields of `slots`: a request. NEXT and BEFORE link those of a bank and kind, oldest first.
(ADDRESS, BANK, ROW, COLUMN, ARRIVE, ORDER, TAG, WRITE, COUNTED, NEXT, BEFORE, SLOT_FIELDS) = range(12)
# Fields of `channels`. N_BANKS_R: banks with reads; QUIET: nothing can issue before this clock; STARTED: the
# slot between its first and its second activate, AFTER_CAS: that between CAS and column command, or -1.
(TICKED, QUIET, WRITE_MODE, N_READS, N_WRITES, N_BANKS_R, N_BANKS_W, N_ACTIVE, STARTED) = range(9)
(N_PRIORITY, FIRST_PRIORITY, NEXT_REFRESH, NEXT_BANK, N_FREE, ORDERED, LAST_WRITE, WCK_UNTIL) = range(9, 17)
(AFTER_CAS, CAS_FROM, N_CAPPED, N_WAITING, FIRST_WAITING, CHANNEL_FIELDS) = range(17, 23)
# Kinds of `rules`, of which RULE_KINDS + 1 bounds per command stand in `rules_at`.
OWN_RANK, OTHER_RANKS, OWN_GROUP, OWN_BANK, RULE_KINDS = range(5)
# Fields of `now`: clock of the offers, offers made in it, whether drained.
NOW, USED, NOW_FIELDS = range(3)
# Fields of `mapping`: shifts and masks; SWAP (MOP4CLXOR): the column is in two parts, and XORed with the rest.
(CH_SHIFT, CH_BITS, TX_BITS, SWAP, RA_SHIFT, RA_MASK, BG_SHIFT, BG_MASK, BA_SHIFT, BA_MASK) = range(10)
(RO_SHIFT, RO_MASK, CO_SHIFT, CO_MASK, CO2_SHIFT, CO2_MASK, BG_XOR, BA_XOR, RO_XOR, XOR_ROWS) = range(10, 20)
MAP_FIELDS = 20


class Ramulator(NamedTuple):
    """Settings and state of one memory system. C channels, B banks in a channel, all times in clocks.

    banks int64 [C*B, BANK_FIELDS]; slots int64 [C*S, SLOT_FIELDS]; channels int64 [C, CHANNEL_FIELDS].
    ready int64 [KINDS, C*nodes]: earliest clock of a command at a node (ranks, then bank groups, then banks
        of a channel); a command waits for the latest of its bank, bank group and rank.
    rules int64 [rules, 2]: (command, clocks) that a command forbids; `rules_at` tells which are whose.
    windows int64 [windows, 5]: (level, before, after, clocks, window); rings int64 [windows, nodes, 1+65]
        holds the last clocks of `before`.
    listed int64 [C, 2, B]: banks with waiting reads, with waiting writes. active int64 [C, B]: slots of
        requests whose bank was opened for them. priority int64 [C, P, 2]: (REF and
        rank, REFB or PRE and bank) in the order in which they are served. free int64 [C, S]: unused slots.
    unissued int64 [C, TAGS], returned int64 [TAGS]: reads not yet issued, clock of the last return.
    waiting int64 [C, limit]: clocks at which data come, for `limit`. opened int64 [C*R, 2]: open banks of a
        rank, clock since when there is one.
    """

    standard: int
    ranks: int
    groups: int
    per_group: int
    inj: int
    limit: int
    read_queue: int
    write_queue: int
    enter_writes: int
    leave_writes: int
    row_hit_first: bool
    cap: int
    per_bank: bool
    refresh_interval: int
    refresh_spread: int
    read_latency: int
    burst: int
    cl: int
    cwl: int
    activate_window: int
    wck_always_on: bool
    wck_after: int
    mapping: np.ndarray
    rules: np.ndarray
    rules_at: np.ndarray
    windows: np.ndarray
    rings: np.ndarray
    ready: np.ndarray
    banks: np.ndarray
    slots: np.ndarray
    channels: np.ndarray
    listed: np.ndarray
    active: np.ndarray
    priority: np.ndarray
    free: np.ndarray
    unissued: np.ndarray
    returned: np.ndarray
    waiting: np.ndarray
    opened: np.ndarray
    now: np.ndarray
    counts: np.ndarray
    latency: np.ndarray
    log: np.ndarray


def controller(config: Config, log_capacity: int = 0) -> Ramulator:
    """Return a memory system at clock 0: all banks closed, nothing waiting."""
    timing, standard = config.timing, ("DDR4", "HBM2", "LPDDR5").index(config.standard)
    ranks, groups, per_group = config.ranks, config.bank_groups, config.banks
    banks = ranks * groups * per_group
    nodes = ranks + ranks * groups + banks
    channels = config.channels
    slots = config.read_queue + config.write_queue + banks + 1
    rules, rules_at = _rules(config)
    windows = _windows(config)
    interval = {"AllBank": "nREFI", "PerBank": "nREFIpb"}.get(config.refresh)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.int64)

    result = Ramulator(
        standard=standard,
        ranks=ranks,
        groups=groups,
        per_group=per_group,
        inj=config.inj,
        limit=config.max_outstanding,
        read_queue=config.read_queue,
        write_queue=config.write_queue,
        enter_writes=config.enter_writes,
        leave_writes=config.leave_writes,
        row_hit_first=config.scheduler == "FRFCFS-RowHit",
        cap=config.cap,
        per_bank=config.refresh == "PerBank",
        refresh_interval=timing[interval] if interval else 0,
        refresh_spread=config.scatter_interval,
        read_latency=config.read_latency,
        burst=timing["nBL_min" if standard == LPDDR5 else "nBL"],
        cl=timing["nCL"],
        cwl=timing["nCWL"],
        activate_window=timing["nAAD"] if standard == LPDDR5 else 0,
        wck_always_on=config.wck_always_on,
        wck_after=timing["nBL_min"] + timing["nWCKPST"] if standard == LPDDR5 else 0,
        mapping=_mapping(config),
        rules=rules,
        rules_at=rules_at,
        windows=windows,
        rings=zeros(max(1, len(windows)), channels * (nodes + 1), 66),
        ready=zeros(KINDS, channels * nodes),
        banks=zeros(channels * banks, BANK_FIELDS),
        slots=zeros(channels * slots, SLOT_FIELDS),
        channels=zeros(channels, CHANNEL_FIELDS),
        listed=zeros(channels, 2, banks),
        active=zeros(channels, banks),
        priority=zeros(channels, config.priority_queue, 2),
        free=zeros(channels, slots),
        unissued=zeros(channels, TAGS),
        returned=zeros(TAGS),
        waiting=zeros(channels, max(1, config.max_outstanding)),
        opened=zeros(channels * ranks, 2),
        now=zeros(NOW_FIELDS),
        counts=zeros(COUNTERS),
        latency=zeros(LATENCY_BINS),
        log=zeros(log_capacity, 9),
    )
    _reset(result)
    return result


def renew(c: Ramulator) -> Ramulator:
    """Return a memory system with the settings of another, as `controller` makes it, with room for its log."""
    state = ("rings", "ready", "banks", "slots", "channels", "listed", "active", "priority")
    state += ("free", "unissued", "returned", "waiting", "opened", "now", "counts", "latency", "log")
    result = c._replace(**{name: np.zeros_like(getattr(c, name)) for name in state})
    _reset(result)
    return result


def _reset(c: Ramulator) -> None:
    channels, ranks, groups = len(c.channels), c.ranks, c.groups
    banks = ranks * groups * c.per_group
    nodes = ranks + ranks * groups + banks
    index = np.arange(channels * banks)
    channel, bank = np.divmod(index, banks)
    group = bank // c.per_group
    c.banks[:, :] = -1
    c.banks[:, RANK] = channel * nodes + group // groups
    c.banks[:, GROUP] = channel * nodes + ranks + group
    c.banks[:, NODE] = channel * nodes + ranks + ranks * groups + bank
    c.banks[:, [ACTIVE, ACCESSES, INJECTED]] = 0
    c.channels[:, [AFTER_CAS, STARTED]] = -1
    c.channels[:, NEXT_REFRESH] = c.refresh_spread or c.refresh_interval or NEVER
    slots = c.free.shape[1]
    c.channels[:, N_FREE] = slots
    c.free[:, :] = np.arange(channels)[:, None] * slots + np.arange(slots)


def _windows(config: Config) -> np.ndarray:
    found = []
    for rule in config.constraints:
        if rule.window > 1:
            for before in rule.preceding:
                for after in rule.following:
                    found.append((rule.level, _CODES[before], _CODES[after], rule.latency, rule.window))
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
    unused = set() if config.row_policy == "ClosedCAP" else {RDA, WRA}
    unused |= {"AllBank": {REFB}, "PerBank": {REF, PREA}, "NoRefresh": {REF, REFB, PREA}}[config.refresh]
    rules: list[tuple[int, int]] = []
    at = np.zeros((KINDS, RULE_KINDS + 1), np.int64)
    for command in range(KINDS):
        for kind in range(RULE_KINDS):
            at[command, kind] = len(rules)
            for (before, found, after), clocks in sorted(longest.items()):
                if before == command and found == kind and not unused & {before, after}:
                    rules.append((after, clocks))
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
