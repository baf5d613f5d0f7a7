"""LPDDR5 in `policy: ramulator2`: activation in two commands, and CAS where WCK is not running."""

from __future__ import annotations

from numba import njit

from cgsim.dram import ramulator_state as s
from cgsim.dram.counters import RD, RDA
from cgsim.dram.ramulator_choose import first_active, first_priority, first_queued, set_write_mode
from cgsim.dram.ramulator_issue import constrain, earliest, issue_row, log_command
from cgsim.dram.ramulator_state import (
    ACT2,
    BANK,
    CAS_RD,
    DEADLINE,
    N_ACTIVE,
    N_BANKS_R,
    N_PRIORITY,
    NEVER,
    STARTED,
    WCK_UNTIL,
    WRITE,
    Ramulator,
)
from cgsim.dram.ramulator_ticks import (
    activate,
    due,
    issue_active,
    issue_priority,
    issue_queued_column,
    issue_queued_row,
    reached,
)


@njit(cache=True)
def advance_lpddr5(channel: int, until: int, goal: int, tag: int, c: Ramulator) -> None:
    """One command per clock. A CAS reserves the next clocks for the column command that it is for."""
    chan = c.channels[channel]
    clock = chan[s.TICKED]
    while clock < until:
        now = clock + 1
        event = due(now, channel, c)
        if chan[s.AFTER_CAS] >= 0:
            slot = chan[s.AFTER_CAS]
            now = max(now, earliest(RD + c.slots[slot, WRITE], c.slots[slot, BANK], c.ready, c.banks))
            if now >= event or now > until:
                clock = min(event - 1, until)
                continue
            clock = now
            chan[s.AFTER_CAS] = -1
            _issue_column(slot, chan[s.CAS_FROM] == 1, False, now, channel, c)
        else:
            second_at = urgent_at = NEVER
            if chan[STARTED] >= 0:
                bank = c.slots[chan[STARTED], BANK]
                second_at = max(now, earliest(ACT2, bank, c.ready, c.banks))
                urgent_at = max(second_at, c.banks[bank, DEADLINE])
            at, kind, command, which = _candidate(now, channel, c)
            now = min(at, second_at)
            if now >= event or now > until:
                if event == NEVER and until == NEVER:
                    raise ValueError("nothing can be issued any more: Ramulator 2.1 would wait forever")
                clock = min(event - 1, until)
                continue
            clock = now
            if urgent_at <= now or at > now:
                _issue_second(now, channel, c)
            elif not _start_wck(kind, command, which, now, channel, c):
                _issue(kind, command, which, now, channel, c)
        if reached(goal, tag, channel, c):
            break
    chan[s.TICKED] = clock


FROM_ACTIVE, FROM_PRIORITY, FROM_QUEUE = range(3)


@njit(cache=True)
def _candidate(now: int, channel: int, c: Ramulator) -> tuple[int, int, int, int]:
    """Return (clock, where from, command, place or slot) of what comes first but for second activates."""
    chan = c.channels[channel]
    idle = chan[STARTED] < 0
    at, place, command = first_active(now, chan[N_ACTIVE], c.active[channel], True, idle, c)
    if at == now:
        return at, FROM_ACTIVE, command, place
    if chan[N_PRIORITY] > 0:
        other_at, other = first_priority(now, channel, c)
        if other_at < at:
            return other_at, FROM_PRIORITY, other, -1
        return at, FROM_ACTIVE, command, place
    kind = set_write_mode(channel, c)
    column_at, column, row_at, slot, row = first_queued(
        kind,
        chan[N_BANKS_R + kind],
        now,
        idle,
        c.row_hit_first,
        c.listed[channel, kind],
        c.banks,
        c.slots,
        c.ready,
    )
    if column_at < row_at or (
        column_at == row_at < NEVER and c.slots[column, s.ORDER] < c.slots[slot, s.ORDER]
    ):
        row_at, slot, row = column_at, column, RD + kind
    if row_at < at:
        return row_at, FROM_QUEUE, row, slot
    return at, FROM_ACTIVE, command, place


@njit(cache=True)
def _issue_second(now: int, channel: int, c: Ramulator) -> None:
    """Issue the second activate of the request that has had its first."""
    slot = c.channels[channel, STARTED]
    bank = c.slots[slot, BANK]
    c.channels[channel, STARTED] = -1
    issue_row(ACT2, slot, bank, now, channel, c)
    activate(slot, bank, channel, c)


@njit(cache=True)
def _start_wck(kind: int, command: int, which: int, now: int, channel: int, c: Ramulator) -> bool:
    """If a column command needs WCK started: spend this clock on that, or on a second activate; return True."""
    chan = c.channels[channel]
    if command < RD or command >= RDA or kind == FROM_PRIORITY or c.wck_always_on or now < chan[WCK_UNTIL]:
        return False
    if chan[STARTED] >= 0 and c.banks[c.slots[chan[STARTED], BANK], DEADLINE] <= now + 1:
        _issue_second(now, channel, c)
        return True
    slot = c.active[channel, which] if kind == FROM_ACTIVE else which
    bank, cas = c.slots[slot, BANK], CAS_RD + c.slots[slot, WRITE]
    if earliest(cas, bank, c.ready, c.banks) <= now:
        constrain(cas, bank, now, channel, c)
        log_command(now, cas, channel, bank // (c.groups * c.per_group), bank, slot, c)
        chan[s.AFTER_CAS] = slot
        chan[s.CAS_FROM] = int(kind == FROM_ACTIVE)
    return True


@njit(cache=True)
def _issue(kind: int, command: int, which: int, now: int, channel: int, c: Ramulator) -> None:
    if kind == FROM_PRIORITY:
        issue_priority(command, now, channel, c)
    elif RD <= command < RDA:
        slot = c.active[channel, which] if kind == FROM_ACTIVE else which
        _issue_column(slot, kind == FROM_ACTIVE, True, now, channel, c)
    elif kind == FROM_ACTIVE:
        issue_active(command, which, True, now, channel, c)
    else:
        issue_queued_row(command, which, now, channel, c)


@njit(cache=True)
def _issue_column(slot: int, active: bool, upgrade: bool, now: int, channel: int, c: Ramulator) -> None:
    """Issue a column command, which keeps WCK running; right after a CAS it is not upgraded."""
    chan, write = c.channels[channel], c.slots[slot, WRITE]
    until = now + (c.cwl if write else c.cl) + c.wck_after
    chan[WCK_UNTIL] = max(chan[WCK_UNTIL], until)
    if not active:
        issue_queued_column(slot, upgrade, now, channel, c)
        return
    for place in range(chan[N_ACTIVE]):
        if c.active[channel, place] == slot:
            issue_active(RD + write, place, upgrade, now, channel, c)
            return


