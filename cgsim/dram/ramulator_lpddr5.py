"""LPDDR5 in `policy: ramulator2`: activation in two commands, and CAS where WCK is not running."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import ramulator_state as s
from cgsim.dram.counters import RD, RDA
from cgsim.dram.ramulator_choose import first_active, first_maintenance, first_queued, set_write_mode
from cgsim.dram.ramulator_issue import constrain, earliest, issue_row, log_command
from cgsim.dram.ramulator_state import AFTER_CAS, BANK, DEADLINE, NEVER, ORDER, STARTED, WCK_UNTIL, WRITE
from cgsim.dram.ramulator_ticks import activate, due, issue_active, issue_maintenance, issue_queued, reached

_ACTIVE, _MAINTENANCE, _QUEUE = range(3)


@njit(cache=True)
def advance_lpddr5(channel: int, until: int, goal: int, tag: int, m: np.ndarray) -> None:
    """One command per clock. A CAS reserves the next clocks for the column command that it is for."""
    clock = m[channel + s.TICKED]
    while clock < until:
        now = clock + 1
        event = due(now, channel, m)
        at, source, command, which = NEVER, _ACTIVE, RD, 0
        second_at = urgent_at = NEVER
        after_cas = m[channel + AFTER_CAS]
        if after_cas != 0:
            at = max(now, earliest(RD + m[after_cas + WRITE], m[after_cas + BANK], m))
        else:
            if m[channel + STARTED] != 0:
                bank = m[m[channel + STARTED] + BANK]
                second_at = max(now, earliest(s.ACT2, bank, m))
                urgent_at = max(second_at, m[bank + DEADLINE])
            at, source, command, which = _candidate(now, channel, m)
        now = min(at, second_at)
        if now >= event or now > until:
            if event == NEVER and until == NEVER:
                raise ValueError("nothing can be issued any more: Ramulator 2.1 would wait forever")
            clock = min(event - 1, until)
            continue
        clock = now
        if after_cas != 0:
            m[channel + AFTER_CAS] = 0
            _issue_column(after_cas, m[channel + s.CAS_FROM], False, now, channel, m)
        elif urgent_at <= now or at > now:
            _issue_second(now, channel, m)
        elif source == _MAINTENANCE:
            issue_maintenance(command, now, channel, m)
        elif RD <= command < RDA:
            slot = m[which] if source == _ACTIVE else which
            if not _start_wck(slot, source, now, channel, m):
                _issue_column(slot, source, True, now, channel, m)
        elif source == _ACTIVE:
            issue_active(command, which, True, now, channel, m)
        else:
            issue_queued(command, which, True, now, channel, m)
        if reached(goal, tag, channel, m):
            break
    m[channel + s.TICKED] = clock


@njit(cache=True)
def _candidate(now: int, channel: int, m: np.ndarray) -> tuple[int, int, int, int]:
    """Return (clock, source, command, place or slot) of what comes first but for second activates."""
    idle = m[channel + STARTED] == 0
    at, place, command = first_active(now, True, idle, channel, m)
    if at == now:
        return at, _ACTIVE, command, place
    if m[channel + s.N_MAINTENANCE] > 0:
        other_at, other = first_maintenance(now, channel, m)
        if other_at < at:
            return other_at, _MAINTENANCE, other, 0
        return at, _ACTIVE, command, place
    kind = set_write_mode(channel, m)
    column_at, column, row_at, slot, row = first_queued(kind, now, idle, channel, m)
    if column_at < row_at or (column_at == row_at < NEVER and m[column + ORDER] < m[slot + ORDER]):
        row_at, slot, row = column_at, column, RD + kind
    if row_at < at:
        return row_at, _QUEUE, row, slot
    return at, _ACTIVE, command, place


@njit(cache=True)
def _issue_second(now: int, channel: int, m: np.ndarray) -> None:
    """Issue the second activate of the request that has had its first."""
    slot = m[channel + STARTED]
    m[channel + STARTED] = 0
    issue_row(s.ACT2, slot, m[slot + BANK], now, channel, m)
    activate(slot, m[slot + BANK], channel, m)


@njit(cache=True)
def _start_wck(slot: int, source: int, now: int, channel: int, m: np.ndarray) -> bool:
    """If WCK is to be started first: spend this clock on that, or on a second activate; return True."""
    if m[s.WCK_ALWAYS_ON] != 0 or now < m[channel + WCK_UNTIL]:
        return False
    if m[channel + STARTED] != 0 and m[m[m[channel + STARTED] + BANK] + DEADLINE] <= now + 1:
        _issue_second(now, channel, m)
        return True
    bank, cas = m[slot + BANK], s.CAS_RD + m[slot + WRITE]
    if earliest(cas, bank, m) <= now:
        constrain(cas, bank, now, channel, m)
        log_command(now, cas, channel, m[bank + s.RANK], bank, slot, m)
        m[channel + AFTER_CAS] = slot
        m[channel + s.CAS_FROM] = source
    return True


@njit(cache=True)
def _issue_column(slot: int, source: int, upgrade: bool, now: int, channel: int, m: np.ndarray) -> None:
    """Issue a column command, which keeps WCK running; right after a CAS it is not upgraded."""
    write = m[slot + WRITE]
    until = now + (m[s.CWL] if write != 0 else m[s.CL]) + m[s.WCK_AFTER]
    m[channel + WCK_UNTIL] = max(m[channel + WCK_UNTIL], until)
    if source != _ACTIVE:
        issue_queued(RD + write, slot, upgrade, now, channel, m)
        return
    place = m[channel + s.ACTIVES]
    while m[place] != slot:
        place += 1
    issue_active(RD + write, place, upgrade, now, channel, m)
