"""Time in `policy: ramulator2`: one channel's controller, from event to event.

A controller ticks once per clock. Between two events - a command, an acceptance, a refresh falling due, a row
reaching its cap - its ticks change nothing, so they are skipped. In a tick the order is: refreshes that fall
due, precharges of rows at their cap, then commands: of requests whose bank was opened for them, else
maintenance, else (if no maintenance waits) of the read or the write queue.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import ramulator_state as s
from cgsim.dram.counters import ACT, RD
from cgsim.dram.ramulator_choose import first_active, first_maintenance, first_queued, set_write_mode
from cgsim.dram.ramulator_lpddr5 import advance_lpddr5
from cgsim.dram.ramulator_state import N_MAINTENANCE, NEVER, ORDER, QUIET, TICKED
from cgsim.dram.ramulator_ticks import due, issue_active, issue_maintenance, issue_queued, reached


@njit(cache=True)
def advance(channel: int, until: int, goal: int, tag: int, m: np.ndarray) -> None:
    """Let a channel tick up to a clock, or until after the tick in which `goal` is reached."""
    if m[channel + TICKED] >= until or reached(goal, tag, channel, m):
        return
    if until < m[channel + QUIET] and until < m[channel + s.NEXT_REFRESH] and m[channel + s.N_CAPPED] == 0:
        m[channel + TICKED] = until
        return
    if m[s.STANDARD] == s.DDR4:
        _advance_ddr4(channel, until, goal, tag, m)
    elif m[s.STANDARD] == s.HBM2:
        _advance_hbm2(channel, until, goal, tag, m)
    else:
        advance_lpddr5(channel, until, goal, tag, m)


@njit(cache=True)
def _advance_ddr4(channel: int, until: int, goal: int, tag: int, m: np.ndarray) -> None:
    """One command per clock."""
    clock = m[channel + TICKED]
    quiet = 0
    while clock < until:
        now = clock + 1
        event = due(now, channel, m)
        active_at, place, command = first_active(now, True, True, channel, m)
        at, slot, other = NEVER, 0, ACT
        maintenance = m[channel + N_MAINTENANCE] > 0
        if active_at > now:
            if maintenance:
                at, other = first_maintenance(now, channel, m)
            else:
                kind = set_write_mode(channel, m)
                column_at, column, at, slot, other = first_queued(kind, now, True, channel, m)
                if column_at < at or (column_at == at < NEVER and m[column + ORDER] < m[slot + ORDER]):
                    at, slot, other = column_at, column, RD + kind
        now = min(active_at, at)
        if now >= event or now > until:
            if event == NEVER and until == NEVER:
                raise ValueError("nothing can be issued any more: Ramulator 2.1 would wait forever")
            clock = min(event - 1, until)
            quiet = now
            continue
        clock = now
        quiet = 0
        if active_at == now:
            issue_active(command, place, True, now, channel, m)
        elif maintenance:
            issue_maintenance(other, now, channel, m)
        else:
            issue_queued(other, slot, True, now, channel, m)
        if reached(goal, tag, channel, m):
            break
    m[channel + TICKED] = clock
    m[channel + QUIET] = quiet


@njit(cache=True)
def _advance_hbm2(channel: int, until: int, goal: int, tag: int, m: np.ndarray) -> None:
    """One column command and then one row command per clock."""
    clock = m[channel + TICKED]
    quiet = 0
    while clock < until:
        now = clock + 1
        event = due(now, channel, m)
        active_at, place, command = first_active(now, False, False, channel, m)
        maintenance = m[channel + N_MAINTENANCE] > 0
        kind, column_at, column, row_at, slot, row = 0, NEVER, 0, NEVER, 0, ACT
        if maintenance:
            row_at, row = first_maintenance(now, channel, m)
        elif active_at > now:
            kind = set_write_mode(channel, m)
            column_at, column, row_at, slot, row = first_queued(kind, now, True, channel, m)
        now = min(active_at, column_at, row_at)
        if now >= event or now > until:
            if event == NEVER and until == NEVER:
                raise ValueError("nothing can be issued any more: Ramulator 2.1 would wait forever")
            clock = min(event - 1, until)
            quiet = now
            continue
        clock = now
        quiet = 0
        if active_at == now or column_at == now:
            if active_at == now:
                issue_active(command, place, True, now, channel, m)
            else:
                issue_queued(RD + kind, column, True, now, channel, m)
            if maintenance:
                row_at, row = first_maintenance(now, channel, m)
            else:
                kind = set_write_mode(channel, m)
                _, _, row_at, slot, row = first_queued(kind, now, True, channel, m)
        if row_at == now:
            if maintenance:
                issue_maintenance(row, now, channel, m)
            else:
                issue_queued(row, slot, True, now, channel, m)
        if reached(goal, tag, channel, m):
            break
    m[channel + TICKED] = clock
    m[channel + QUIET] = quiet
