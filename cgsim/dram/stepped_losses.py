"""Where the clocks of a data bus go: carrying data, or lost to the first cause that explains them."""

from __future__ import annotations

from collections import Counter
from math import inf

from cgsim.dram.counters import ACT, RD, REF, REFB, WR
from cgsim.dram.standards import Standard
from cgsim.dram.stepped_timing import Past, Place


class DataBus:
    """One data bus: of a channel or, where it has pseudo-channels, of one of them."""

    def __init__(self, t: Standard, past: Past, counts: Counter[str]) -> None:
        self.standard, self.past, self.counts = t, past, counts
        self.end = 0  # clock after the last data
        self.last: tuple[int, bool, int] | None = None  # clock, write and rank of the last column command

    def transfer(self, clock: int, write: bool, place: Place, arrival: int) -> None:
        """A column command is issued; `arrival` is the clock at which its request was accepted."""
        latency = self.standard.cwl if write else self.standard.cl
        at: float = self.end - latency  # the command would have come here, had nothing held it up
        for cause, bound in self._bounds(write, place, arrival):
            until = min(clock, bound)
            if until > at:
                self.counts[cause] += int(until - at)
                at = until
        self.counts["data_cycles"] += self.standard.burst
        self.end = clock + latency + self.standard.burst
        self.last = (clock, write, place.rank)

    def _bounds(self, write: bool, place: Place, arrival: int) -> list[tuple[str, float]]:
        """Until which clock each cause held the column command up, in the order in which they are blamed."""
        t, past = self.standard, self.past
        rank_refresh = past.last(REF, Place(place.rank))
        bank_refresh = past.last(REFB, place)
        activate = past.last(ACT, place)
        assert activate is not None
        bounds: list[tuple[str, float]] = [
            ("lost_no_request", arrival),
            ("lost_refresh", -inf if rank_refresh is None else rank_refresh + t.rfc),
            ("lost_refresh", -inf if bank_refresh is None else bank_refresh + t.rfcpb),
            ("lost_activate", activate + (t.rcdw if write else t.rcdr) + t.act_shift),
        ]
        command = WR if write else RD
        if self.last:
            clock, last_write, rank = self.last
            if last_write != write:
                scope = "rank" if rank == place.rank else "others"
                bounds.append(
                    ("lost_turnaround", clock + past.distance(scope, WR if last_write else RD, command))
                )
            elif rank != place.rank:
                bounds.append(("lost_rank", clock + past.distance("others", command, command)))
        bounds.append(("lost_bank_group", past.group_bound(command, place)))
        bounds.append(("lost_queue", inf))
        return bounds

    def settle(self, clock: int) -> None:
        """The simulation ends at `clock`: nobody asked for what is left."""
        self.counts["lost_no_request"] += max(0, clock - self.end)
        self.end = max(clock, self.end)
