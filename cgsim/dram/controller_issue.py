"""What a command of the default controller does to the state (docs/dram.md, Default policy)."""

from __future__ import annotations

from numba import njit

from cgsim.dram.controller_state import (
    ACTIVATE,
    AGE,
    ARRIVED,
    BANK_REFRESH_NEXT,
    BUSY,
    CAUSE,
    COLUMN_BUS,
    DEBT,
    DEBTS,
    END,
    FAW,
    FAW_PLACE,
    FORCED,
    FREE,
    HEAD,
    HIT,
    KIND,
    LAST_CLOCK,
    LAST_KIND,
    LAST_RANK,
    LAST_WRITE,
    MODE,
    NEXT,
    NONE,
    OPEN,
    OPEN_BANKS,
    OPENED,
    PLACE,
    PRECHARGE,
    PREVIOUS,
    PRIORITY,
    QUEUED,
    RANK_WAITING,
    READ,
    READS_WAITING,
    REFRESH_END,
    REFRESH_NEXT,
    REFRESHED,
    ROUND,
    ROW_BUS,
    SERVED,
    SINCE,
    TAG,
    TAIL,
    TURN,
    WAITING,
    WORD,
    WRITE,
    Controller,
)
from cgsim.dram.counters import (
    ACT,
    ACTIVATES,
    ACTIVE_CYCLES,
    BANK_REFRESHES,
    COMMANDS_LOGGED,
    DATA_CYCLES,
    IDLE_CYCLES,
    LAST_RETURN,
    LATENCY_BINS,
    LATENCY_MAX,
    LATENCY_SUM,
    LOST_ACTIVATE,
    LOST_BANK_GROUP,
    LOST_NO_REQUEST,
    LOST_QUEUE,
    LOST_RANK,
    LOST_REFRESH,
    LOST_TURNAROUND,
    ONDEMAND_PRECHARGES,
    PRE,
    PREA,
    PRECHARGES,
    RD,
    RDA,
    READ_COMMANDS,
    READ_ROW_HITS,
    REF,
    REFB,
    REFRESHES,
    ROW_CONFLICTS,
    ROW_HITS,
    ROW_MISSES,
    WR,
    WRA,
    WRITE_COMMANDS,
    WRITE_ROW_HITS,
)

OWN, OTHER = 2 << 56, 3 << 56
"""Priority of a row command for a request of the mode, of the other mode; its age is added."""


@njit(cache=True)
def candidate(c: Controller, at: int, mode: int) -> None:
    """Decide the command that bank `at` wants next (KIND, PRIORITY)."""
    bank = c.bank[at]
    head = bank[HEAD + mode]
    if head != NONE:
        hit = bank[HIT + mode]
        if hit != NONE and (bank[SERVED] < c.settings.cap or hit == head):
            bank[KIND] = mode
            bank[PRIORITY] = (-1 if c.settings.dual else 1) * (1 << 56) + c.entry[hit, AGE]
        else:
            bank[KIND] = ACTIVATE if bank[OPEN] == NONE else PRECHARGE
            bank[PRIORITY] = OWN + c.entry[head, AGE]
        return
    head = bank[HEAD + 1 - mode]
    if head == NONE or bank[HIT + 1 - mode] != NONE:
        bank[KIND] = NONE
        return
    bank[KIND] = ACTIVATE if bank[OPEN] == NONE else PRECHARGE
    bank[PRIORITY] = OTHER + c.entry[head, AGE]


@njit(cache=True)
def later(row, column, clock):  # type: ignore[no-untyped-def]
    """No such command before `clock`."""
    if row[column] < clock:
        row[column] = clock


@njit(cache=True)
def write_log(c: Controller, clock: int, code: int, rank: int, at: int, word: int, write: int) -> None:
    """Log a command: of bank `at` (NONE: of the rank), row and column of `word` (NONE: none)."""
    place = c.counts[COMMANDS_LOGGED]
    c.counts[COMMANDS_LOGGED] += 1
    if place >= len(c.log):
        return
    s = c.settings
    row = c.log[place]
    row[:] = -1
    row[0], row[1], row[2], row[3] = clock, code, rank // s.ranks, rank % s.ranks
    if at != NONE:
        row[4], row[5] = at // s.banks % s.groups, at % s.banks
    if word != NONE:
        row[6] = (word >> s.column_bits) & ((1 << s.row_bits) - 1)
        if code in (RD, WR, RDA, WRA):
            row[7] = word & ((1 << s.column_bits) - 1)
    row[8] = write


@njit(cache=True)
def _find(c: Controller, at: int, page: int) -> int:
    """The first of the entries from `at` on that has the page."""
    while at != NONE and c.entry[at, WORD] >> c.settings.column_bits != page:
        at = c.entry[at, NEXT]
    return at


@njit(cache=True)
def _opened(c: Controller, rank: int, clock: int, change: int) -> None:
    """Banks of the rank open (change > 0) or close."""
    row = c.rank[rank]
    if row[OPEN_BANKS] == 0:
        c.counts[IDLE_CYCLES] += clock - row[SINCE]
        row[SINCE] = clock
    row[OPEN_BANKS] += change
    if row[OPEN_BANKS] == 0:
        c.counts[ACTIVE_CYCLES] += clock - row[SINCE]
        row[SINCE] = clock


@njit(cache=True)
def _close(c: Controller, at: int) -> None:
    bank = c.bank[at]
    bank[OPEN] = NONE
    bank[HIT] = NONE
    bank[HIT + WRITE] = NONE


@njit(cache=True)
def activate(c: Controller, channel: int, at: int, clock: int) -> None:
    """ACT for the oldest request that bank `at` is to serve."""
    s, bank = c.settings, c.bank[at]
    rank = at // (s.groups * s.banks)
    row, group = c.rank[rank], c.group[at // s.banks]
    mode = c.channel[channel, MODE]
    kind = mode if bank[HEAD + mode] != NONE else 1 - mode
    head = bank[HEAD + kind]
    page = c.entry[head, WORD] >> s.column_bits
    if c.entry[head, CAUSE] == 0:
        c.entry[head, CAUSE] = 1
    bank[OPEN] = page
    bank[SERVED] = 0
    bank[OPENED] = clock
    bank[HIT + kind] = head
    bank[HIT + 1 - kind] = _find(c, bank[HEAD + 1 - kind], page)
    _opened(c, rank, clock, 1)
    shifted = clock + s.act_shift
    later(bank, READ, shifted + s.rcdr)
    later(bank, WRITE, shifted + s.rcdw)
    later(bank, ACTIVATE, clock + s.rc)
    later(bank, PRECHARGE, shifted + s.ras)
    later(group, ACTIVATE, clock + s.rrdl)
    place = row[FAW_PLACE]
    row[FAW + place] = clock
    place = (place + 1) & 3
    row[FAW_PLACE] = place
    later(row, ACTIVATE, max(clock + s.rrds, row[FAW + place] + s.faw))
    later(row, REFRESH_NEXT, shifted + s.rc)
    later(row, BANK_REFRESH_NEXT, shifted + s.rrds)
    c.channel[channel, ROW_BUS] = clock + s.act_clocks
    if not s.dual:
        c.channel[channel, COLUMN_BUS] = clock + s.act_clocks
    c.counts[ACTIVATES] += 1
    write_log(c, clock, ACT, rank, at, page << s.column_bits, kind)
    candidate(c, at, mode)


@njit(cache=True)
def precharge(c: Controller, channel: int, at: int, clock: int, refreshing: bool) -> None:
    """PRE of bank `at`, for its oldest request or for a refresh."""
    s, bank = c.settings, c.bank[at]
    rank = at // (s.groups * s.banks)
    row = c.rank[rank]
    mode = c.channel[channel, MODE]
    kind = 0
    if not refreshing:
        kind = mode if bank[HEAD + mode] != NONE else 1 - mode
        c.entry[bank[HEAD + kind], CAUSE] = 2
        c.counts[ONDEMAND_PRECHARGES] += 1
    c.counts[PRECHARGES] += 1
    write_log(c, clock, PRE, rank, at, bank[OPEN] << s.column_bits, kind)
    _close(c, at)
    _opened(c, rank, clock, -1)
    later(bank, ACTIVATE, clock + s.rp - s.act_shift)
    later(row, PRECHARGE, clock + s.ppd)
    later(row, REFRESH_NEXT, clock + s.rp)
    _hold(c, channel, clock)
    candidate(c, at, mode)


@njit(cache=True)
def precharge_all(c: Controller, channel: int, rank: int, clock: int) -> None:
    """PREA: close all banks of the rank."""
    s, row = c.settings, c.rank[rank]
    banks = s.groups * s.banks
    c.counts[PRECHARGES] += row[OPEN_BANKS]
    write_log(c, clock, PREA, rank, NONE, NONE, 0)
    _opened(c, rank, clock, -row[OPEN_BANKS])
    for at in range(rank * banks, (rank + 1) * banks):
        if c.bank[at, OPEN] != NONE:
            _close(c, at)
            candidate(c, at, c.channel[channel, MODE])
    later(row, ACTIVATE, clock + s.rpab - s.act_shift)
    later(row, PRECHARGE, clock + s.ppd)
    later(row, REFRESH_NEXT, clock + s.rpab)
    later(row, BANK_REFRESH_NEXT, clock + s.rpab)
    _hold(c, channel, clock)


@njit(cache=True)
def refresh_rank(c: Controller, channel: int, rank: int, clock: int) -> None:
    """REF."""
    s, row = c.settings, c.rank[rank]
    later(row, ACTIVATE, clock + s.rfc - s.act_shift)
    later(row, REFRESH_NEXT, clock + s.rfc)
    row[REFRESH_END] = clock + s.rfc
    c.counts[REFRESHES] += 1
    write_log(c, clock, REF, rank, NONE, NONE, 0)
    _paid(c, channel, rank, clock)


@njit(cache=True)
def refresh_bank(c: Controller, channel: int, at: int, clock: int) -> None:
    """REFB of bank `at`."""
    s = c.settings
    banks = s.groups * s.banks
    rank = at // banks
    row = c.rank[rank]
    later(c.bank[at], ACTIVATE, clock + s.rfcpb - s.act_shift)
    later(row, ACTIVATE, clock + s.pbact - s.act_shift)
    later(row, BANK_REFRESH_NEXT, clock + s.pbpb)
    c.bank[at, REFRESHED] = clock + s.rfcpb
    row[ROUND] |= 1 << (at % banks)
    if row[ROUND] == (1 << banks) - 1:
        row[ROUND] = 0
    c.counts[BANK_REFRESHES] += 1
    write_log(c, clock, REFB, rank, at, NONE, 0)
    _paid(c, channel, rank, clock)


@njit(cache=True)
def _hold(c: Controller, channel: int, clock: int) -> None:
    """A command on the row bus."""
    c.channel[channel, ROW_BUS] = clock + 1
    if not c.settings.dual:
        c.channel[channel, COLUMN_BUS] = clock + 1


@njit(cache=True)
def _paid(c: Controller, channel: int, rank: int, clock: int) -> None:
    row = c.rank[rank]
    row[DEBT] -= 1
    c.channel[channel, DEBTS] -= 1
    if row[DEBT] == 0:
        row[FORCED] = 0
    _hold(c, channel, clock)


@njit(cache=True)
def column(c: Controller, channel: int, at: int, clock: int) -> None:
    """RD or WR (in the closed policy RDA, WRA) for the oldest row hit of bank `at`."""
    s, bank, counts = c.settings, c.bank[at], c.counts
    kind = bank[KIND]
    slot = bank[HIT + kind]
    entry = c.entry[slot]
    rank = at // (s.groups * s.banks)
    row, group = c.rank[rank], c.group[at // s.banks]
    here = c.channel[channel]
    bus = c.bus[rank if s.own_bus else channel]
    delay = s.cl if kind == READ else s.cwl
    if clock + delay > bus[END]:
        _lost(c, at, rank, kind, clock, entry[ARRIVED], bus, group)
    end = clock + delay + s.burst
    bus[END], bus[LAST_KIND], bus[LAST_CLOCK], bus[LAST_RANK] = end, kind, clock, rank
    counts[DATA_CYCLES] += s.burst
    if entry[CAUSE] == 0:
        counts[ROW_HITS] += 1
        counts[READ_ROW_HITS if kind == READ else WRITE_ROW_HITS] += 1
    else:
        counts[ROW_MISSES if entry[CAUSE] == 1 else ROW_CONFLICTS] += 1

    word, page = entry[WORD], bank[OPEN]
    following = entry[NEXT]
    _leave(c, channel, at, kind, slot)
    hit = _find(c, following, page)
    bank[HIT + kind] = hit
    bank[SERVED] += 1
    row[RANK_WAITING] -= 1
    if here[TURN] < s.depth:
        here[TURN] += 1

    later(row, kind, clock + s.ccds)
    later(group, kind, clock + s.ccdl)
    if kind == READ:
        counts[READ_COMMANDS] += 1
        later(row, WRITE, clock + s.rtw)
        closing = clock + s.rtp
        c.clock[READS_WAITING] -= 1
        returned(c, end, end - entry[ARRIVED], entry[TAG])
        if entry[TAG] >= 0:
            c.tags[entry[TAG], channel] -= 1
    else:
        counts[WRITE_COMMANDS] += 1
        later(row, READ, clock + s.cwl + s.burst + s.wtrs)
        later(group, READ, clock + s.cwl + s.burst_max + s.wtrl)
        closing = clock + s.cwl + s.burst + s.wr
        c.clock[LAST_WRITE] = max(c.clock[LAST_WRITE], end)
    if s.ranks > 1 and not s.own_bus:
        _other_ranks(c, channel, rank, kind, clock)
    code = RD if kind == READ else WR
    if s.closed and hit == NONE and bank[HIT + 1 - kind] == NONE:
        code += RDA - RD
        later(bank, ACTIVATE, closing + s.rp - s.act_shift)
        later(row, REFRESH_NEXT, closing + s.rp)
        _close(c, at)
        _opened(c, rank, clock, -1)
    else:
        later(bank, PRECHARGE, closing)
    here[COLUMN_BUS] = clock + 1
    if not s.dual:
        here[ROW_BUS] = clock + 1
    write_log(c, clock, code, rank, at, word, kind)
    candidate(c, at, here[MODE])


@njit(cache=True)
def returned(c: Controller, end: int, latency: int, tag: int) -> None:
    """A read's data come at clock `end`."""
    counts = c.counts
    counts[LATENCY_SUM] += latency
    counts[LATENCY_MAX] = max(counts[LATENCY_MAX], latency)
    counts[LAST_RETURN] = max(counts[LAST_RETURN], end)
    c.latency[min(latency >> 2, LATENCY_BINS - 1)] += 1
    if tag >= 0:
        last = c.tags.shape[1] - 1
        c.tags[tag, last] = max(c.tags[tag, last], end)
    if c.settings.outstanding > 0:  # in the place of one that has returned
        place = 0
        for at in range(len(c.returns)):
            if c.returns[at] < c.returns[place]:
                place = at
        c.returns[place] = end


@njit(cache=True)
def _leave(c: Controller, channel: int, at: int, kind: int, slot: int) -> None:
    """Take an entry out of its bank's list and give it back to its queue."""
    bank, here = c.bank[at], c.channel[channel]
    previous, following = c.entry[slot, PREVIOUS], c.entry[slot, NEXT]
    if previous == NONE:
        bank[HEAD + kind] = following
    else:
        c.entry[previous, NEXT] = following
    if following == NONE:
        bank[TAIL + kind] = previous
    else:
        c.entry[following, PREVIOUS] = previous
    bank[WAITING + kind] -= 1
    here[QUEUED + kind] -= 1
    c.entry[slot, NEXT] = here[FREE + kind]
    here[FREE + kind] = slot
    if bank[HEAD] == NONE and bank[HEAD + WRITE] == NONE:
        here[BUSY] -= 1
        moved = c.busy[channel, here[BUSY]]
        c.busy[channel, bank[PLACE]] = moved
        c.bank[moved, PLACE] = bank[PLACE]
        bank[PLACE] = NONE


@njit(cache=True)
def _other_delay(c: Controller, last: int, kind: int) -> int:
    """Clocks between column commands of two ranks on one data bus."""
    s = c.settings
    if last == kind:
        return s.burst + s.cs
    if last == READ:
        return s.cl + s.burst + s.cs - s.cwl
    return max(1, s.cwl + s.burst + s.cs - s.cl, s.wrrdcs)


@njit(cache=True)
def _other_ranks(c: Controller, channel: int, rank: int, kind: int, clock: int) -> None:
    for other in range(channel * c.settings.ranks, (channel + 1) * c.settings.ranks):
        if other != rank:
            later(c.rank[other], READ, clock + _other_delay(c, kind, READ))
            later(c.rank[other], WRITE, clock + _other_delay(c, kind, WRITE))


@njit(cache=True)
def _lost(c, at, rank, kind, clock, arrived, bus, group):  # type: ignore[no-untyped-def]
    """Share out the clocks in which the data bus waits for the command at `clock`."""
    s, counts = c.settings, c.counts
    x = bus[END] - (s.cl if kind == READ else s.cwl)
    x = _share(counts, LOST_NO_REQUEST, x, clock, arrived)
    if x < clock:
        x = _share(counts, LOST_REFRESH, x, clock, max(c.rank[rank, REFRESH_END], c.bank[at, REFRESHED]))
        open_from = c.bank[at, OPENED] + s.act_shift + (s.rcdr if kind == READ else s.rcdw)
        x = _share(counts, LOST_ACTIVATE, x, clock, open_from)
    if x < clock and bus[LAST_KIND] != NONE:
        same = bus[LAST_RANK] == rank
        if bus[LAST_KIND] != kind:
            if not same:
                delay = _other_delay(c, bus[LAST_KIND], kind)
            else:
                delay = s.rtw if kind == WRITE else s.cwl + s.burst + s.wtrs
            x = _share(counts, LOST_TURNAROUND, x, clock, bus[LAST_CLOCK] + delay)
        elif not same:
            x = _share(counts, LOST_RANK, x, clock, bus[LAST_CLOCK] + s.burst + s.cs)
        x = _share(counts, LOST_BANK_GROUP, x, clock, group[kind])
    counts[LOST_QUEUE] += clock - x


@njit(cache=True)
def _share(counts, cause, x, clock, bound):  # type: ignore[no-untyped-def]
    """Give clocks [x, min(clock, bound)) to the cause; where the rest begins."""
    until = min(clock, bound)
    if until > x:
        counts[cause] += until - x
        return until
    return x
