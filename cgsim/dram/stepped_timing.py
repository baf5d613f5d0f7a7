"""When a command may follow others, as one table of distances, and what was issued so far."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import NamedTuple

from cgsim.dram.counters import ACT, PRE, PREA, RD, RDA, REF, REFB, WR, WRA
from cgsim.dram.standards import Standard

READS = (RD, RDA)
WRITES = (WR, WRA)
CLOSES = (PRE, PREA)


class Place(NamedTuple):
    """Where a command goes in its channel: `group` counts in the rank, `bank` in the group."""

    rank: int
    group: int = -1
    bank: int = -1


class Rule(NamedTuple):
    """`then` comes at least `clocks` after the `nth` last of `first` in the same scope.

    scope: "bank", "group" or "rank" that both are in, or "others": the other ranks on the data bus.
    """

    scope: str
    first: int
    then: int
    clocks: int
    nth: int = 1


def rules(t: Standard) -> Iterator[Rule]:
    """Every distance of a standard, from the first clock of a command to the first of the next."""

    def each(scope: str, first: tuple[int, ...], then: tuple[int, ...], clocks: int) -> Iterator[Rule]:
        return (Rule(scope, a, b, clocks) for a in first for b in then)

    shift = t.act_shift
    written = t.cwl + t.burst + t.wr
    yield Rule("bank", ACT, ACT, t.rc)
    yield Rule("group", ACT, ACT, t.rrdl)
    yield Rule("rank", ACT, ACT, t.rrds)
    yield Rule("rank", ACT, ACT, t.faw, nth=4)
    yield from each("bank", (ACT,), READS, t.rcdr + shift)
    yield from each("bank", (ACT,), WRITES, t.rcdw + shift)
    yield Rule("bank", ACT, PRE, t.ras + shift)
    yield Rule("rank", ACT, REF, t.rc + shift)
    yield Rule("bank", ACT, REFB, t.rc + shift)
    yield Rule("rank", ACT, REFB, t.rrds + shift)

    yield Rule("bank", PRE, ACT, t.rp - shift)
    yield Rule("rank", PRE, REF, t.rp)
    yield Rule("bank", PRE, REFB, t.rp)
    yield Rule("rank", PREA, ACT, t.rpab - shift)
    yield Rule("rank", PREA, REF, t.rpab)
    yield Rule("rank", PREA, REFB, t.rpab)
    yield from each("rank", CLOSES, CLOSES, t.ppd)

    yield Rule("bank", RD, PRE, t.rtp)
    yield Rule("bank", WR, PRE, written)
    for command, clocks in ((RDA, t.rtp + t.rp), (WRA, written + t.rp)):
        yield Rule("bank", command, ACT, clocks - shift)
        yield Rule("rank", command, REF, clocks)
        yield Rule("bank", command, REFB, clocks)

    yield Rule("rank", REF, ACT, t.rfc - shift)
    yield Rule("rank", REF, REF, t.rfc)
    yield Rule("bank", REFB, ACT, t.rfcpb - shift)
    yield Rule("bank", REFB, REFB, t.rfcpb)
    yield Rule("rank", REFB, ACT, t.pbact - shift)
    yield Rule("rank", REFB, REFB, t.pbpb)

    for same in (READS, WRITES):
        yield from each("rank", same, same, t.ccds)
        yield from each("group", same, same, t.ccdl)
        yield from each("others", same, same, t.burst + t.cs)
    yield from each("rank", READS, WRITES, t.rtw)
    yield from each("rank", WRITES, READS, t.cwl + t.burst + t.wtrs)
    yield from each("group", WRITES, READS, t.cwl + t.burst_max + t.wtrl)
    yield from each("others", READS, WRITES, t.cl + t.burst + t.cs - t.cwl)
    yield from each("others", WRITES, READS, max(1, t.cwl + t.burst + t.cs - t.cl, t.wrrdcs))


class Past:
    """The commands of a channel so far, and when the next of each kind may come."""

    def __init__(self, t: Standard, buses: list[list[int]]) -> None:
        """`buses`: the ranks of the channel on each data bus."""
        table = list(rules(t))
        self.rules = {first: [rule for rule in table if rule.first == first] for first in range(REFB + 1)}
        self.others = {own: [rank for rank in bus if rank != own] for bus in buses for own in bus}
        # By (command, rank), (command, rank, group) and (command, rank, group, bank):
        self.clocks: dict[tuple[int, ...], deque[int]] = defaultdict(lambda: deque(maxlen=4))
        """Clocks of the last commands."""
        self.free: dict[tuple[int, ...], int] = defaultdict(int)
        """First clock of the next that keeps the rules of this scope."""

    def note(self, command: int, place: Place, clock: int) -> None:
        """A command was issued."""
        for depth in (1, 2, 3):
            self.clocks[command, *place[:depth]].append(clock)
        for rule in self.rules[command]:
            depth = {"bank": 3, "group": 2}.get(rule.scope, 1)
            clocks = self.clocks[command, *place[:depth]]
            if len(clocks) < rule.nth:
                continue
            same = [place[:depth]]
            for where in same if rule.scope != "others" else [(rank,) for rank in self.others[place.rank]]:
                key = (rule.then, *where)
                self.free[key] = max(self.free[key], clocks[-rule.nth] + rule.clocks)

    def earliest(self, command: int, place: Place) -> int:
        """First clock at which a command keeps all rules; the command bus is not among them."""
        return max(self.free[command, *place[:depth]] for depth in (1, 2, 3))

    def group_bound(self, command: int, place: Place) -> int:
        """First clock at which a column command keeps the rules of its bank group."""
        return self.free[command, *place[:2]]

    def last(self, command: int, place: Place) -> int | None:
        """Clock of the last such command at a place, None if there was none."""
        clocks = self.clocks[command, *place]
        return clocks[-1] if clocks else None

    def distance(self, scope: str, first: int, then: int) -> int:
        """Clocks that a rule between two column commands asks for."""
        (clocks,) = (rule.clocks for rule in self.rules[first] if (rule.scope, rule.then) == (scope, then))
        return clocks
