"""Time in `policy: ramulator2`: one channel's controller, from event to event.

A controller ticks once per clock. Between two events - a command, an acceptance, a refresh falling due, a row
reaching its cap - its ticks change nothing, so they are skipped. In a tick the order is: refreshes that fall
due, precharges of rows at their cap, then commands: of requests whose bank was opened for them, else
maintenance, else (if no maintenance waits) of the read or the write queue.
"""

from __future__ import annotations

from numba import njit

from cgsim.dram import ramulator_state as s
from cgsim.dram.counters import ACT, RD
from cgsim.dram.ramulator_choose import first_active, first_priority, first_queued, set_write_mode
from cgsim.dram.ramulator_lpddr5 import advance_lpddr5
from cgsim.dram.ramulator_state import N_ACTIVE, N_BANKS_R, N_PRIORITY, NEVER, QUIET, TICKED, Ramulator
from cgsim.dram.ramulator_ticks import (
    due,
    issue_active,
    issue_priority,
    issue_queued_column,
    issue_queued_row,
    reached,
)


@njit(cache=True)
def advance(channel: int, until: int, goal: int, tag: int, c: Ramulator) -> None:
    """Let a channel tick up to a clock, or until after the tick in which `goal` is reached."""
    chan = c.channels[channel]
    if chan[TICKED] >= until or reached(goal, tag, channel, c):
        return
    if until < chan[QUIET] and until < chan[s.NEXT_REFRESH] and chan[s.N_CAPPED] == 0:
        chan[TICKED] = until
        return
    if c.standard == s.DDR4:
        _advance_ddr4(channel, until, goal, tag, c)
    elif c.standard == s.HBM2:
        _advance_hbm2(channel, until, goal, tag, c)
    else:
        advance_lpddr5(channel, until, goal, tag, c)


@njit(cache=True)
def _advance_ddr4(channel: int, until: int, goal: int, tag: int, c: Ramulator) -> None:
    """One command per clock."""
    chan = c.channels[channel]
    clock = chan[TICKED]
    quiet = 0
    while clock < until:
        now = clock + 1
        event = due(now, channel, c)
        active_at, place, command = first_active(now, chan[N_ACTIVE], c.active[channel], True, True, c)
        other_at, slot, other = NEVER, -1, 0
        maintenance = chan[N_PRIORITY] > 0
        if active_at > now:
            if maintenance:
                other_at, other = first_priority(now, channel, c)
            else:
                kind = set_write_mode(channel, c)
                column_at, column, other_at, slot, other = first_queued(
                    kind,
                    chan[N_BANKS_R + kind],
                    now,
                    True,
                    c.row_hit_first,
                    c.listed[channel, kind],
                    c.banks,
                    c.slots,
                    c.ready,
                )
                if column_at < other_at or (
                    column_at == other_at < NEVER and c.slots[column, s.ORDER] < c.slots[slot, s.ORDER]
                ):
                    other_at, slot, other = column_at, column, RD
        now = min(active_at, other_at)
        if now >= event or now > until:
            if event == NEVER and until == NEVER:
                raise ValueError("nothing can be issued any more: Ramulator 2.1 would wait forever")
            clock = min(event - 1, until)
            quiet = now
            continue
        clock = now
        quiet = 0
        if active_at == now:
            issue_active(command, place, True, now, channel, c)
        elif maintenance:
            issue_priority(other, now, channel, c)
        elif other == RD:
            issue_queued_column(slot, True, now, channel, c)
        else:
            issue_queued_row(other, slot, now, channel, c)
        if reached(goal, tag, channel, c):
            break
    chan[TICKED] = clock
    chan[QUIET] = quiet


@njit(cache=True)
def _advance_hbm2(channel: int, until: int, goal: int, tag: int, c: Ramulator) -> None:
    """One column command and then one row command per clock."""
    chan = c.channels[channel]
    clock = chan[TICKED]
    quiet = 0
    while clock < until:
        now = clock + 1
        event = due(now, channel, c)
        active_at, place, command = first_active(now, chan[N_ACTIVE], c.active[channel], False, False, c)
        maintenance = chan[N_PRIORITY] > 0
        column_at, column, row_at, slot, row = NEVER, -1, NEVER, -1, ACT
        if maintenance:
            row_at, row = first_priority(now, channel, c)
        elif active_at > now:
            kind = set_write_mode(channel, c)
            column_at, column, row_at, slot, row = first_queued(
                kind,
                chan[N_BANKS_R + kind],
                now,
                True,
                c.row_hit_first,
                c.listed[channel, kind],
                c.banks,
                c.slots,
                c.ready,
            )
        now = min(active_at, min(column_at, row_at))
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
                issue_active(command, place, True, now, channel, c)
            else:
                issue_queued_column(column, True, now, channel, c)
            if maintenance:
                row_at, row = first_priority(now, channel, c)
            else:
                kind = set_write_mode(channel, c)
                _, _, row_at, slot, row = first_queued(
                    kind,
                    chan[N_BANKS_R + kind],
                    now,
                    True,
                    c.row_hit_first,
                    c.listed[channel, kind],
                    c.banks,
                    c.slots,
                    c.ready,
                )
        if row_at == now:
            if maintenance:
                issue_priority(row, now, channel, c)
            else:
                issue_queued_row(row, slot, now, channel, c)
        if reached(goal, tag, channel, c):
            break
    chan[TICKED] = clock
    chan[QUIET] = quiet
