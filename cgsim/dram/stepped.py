"""The default DRAM controller once more, in plain Python: one turn of the loop is one DRAM clock.

Written from the rules in docs/dram.md, not from the kernels, which are tested against it.
"""

from __future__ import annotations

from collections import Counter

from cgsim.dram.counters import COUNTS, LATENCY_BINS
from cgsim.dram.settings import Config
from cgsim.dram.stepped_channel import Channel
from cgsim.dram.stepped_mapping import place_of
from cgsim.dram.stepped_state import Request


class SteppedController:
    """Serves what cgsim.dram.controller serves, and counts and logs the same.

    Attributes:
        counts: by the names of cgsim.dram.counters.COUNTS.
        latency: reads by latency, as in cgsim.dram.counters.LATENCY_BINS.
        log: every command as (clock, command, channel, rank, group, bank, row, column, write), -1 where none.
        accepted: clock of every acceptance, in order.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self.latency = [0] * LATENCY_BINS
        self.log: list[tuple[int, ...]] = []
        self.accepted: list[int] = []
        self.channels = [Channel(config, i, self.counts, self.log) for i in range(config.channels)]
        self.now = 0  # the offers of this clock are being made, its tick is still to come
        self.tried = 0  # offers made in this clock
        self.reads: list[Request] = []  # all whose data are not back, or whose tag was not asked for
        self.numbers = 0

    def serve(self, first: int, step: int, count: int, write: bool, tag: int = -1, ready: int = 0) -> int:
        """Offer `count` requests at byte addresses first + i step, none before clock `ready`.

        Returns the clock of the last acceptance.
        """
        self._advance(ready)
        for i in range(count):
            while not self.offer(first + i * step, write, tag):
                self.tick()
        self.counts["clock"] = self.now
        return self.now

    def finish(self, tag: int) -> int:
        """Advance until the last read with this tag has returned; return that clock (0: there was none)."""
        own = [request for request in self.reads if request.tag == tag >= 0]
        while any(request.back is None for request in own):
            self.tick()
        last = max((request.back or 0 for request in own), default=0)
        self._advance(last)
        for request in own:
            request.tag = -1
        self.counts["clock"] = self.now
        return last

    def drain(self) -> int:
        """Advance until nothing waits and all data are over; return that clock."""
        while any(channel.waiting[write] for channel in self.channels for write in (False, True)):
            self.tick()
        self._advance(max(self.counts["last_return"], *(channel.last_data for channel in self.channels)))
        for channel in self.channels:
            for bus in channel.buses:
                bus.settle(self.now)
        self.counts["clock"] = self.now
        return self.now

    def _advance(self, clock: int) -> None:
        while self.now < clock:
            self.tick()

    def tick(self) -> None:
        """The rest of this clock, once the offers have been made."""
        for channel in self.channels:
            for request in channel.tick(self.now):
                if not request.write:
                    self._returned(request)
        self.now += 1
        self.tried = 0
        self.reads = [r for r in self.reads if r.tag >= 0 or r.back is None or r.back > self.now]

    def offer(self, address: int, write: bool, tag: int = -1) -> bool:
        """Offer one request in this clock; True if it is accepted (a read is then the last of `reads`)."""
        if self.tried == self.config.inj:
            return False
        if not self._accept(address, write, tag):
            self.tried = self.config.inj  # nothing overtakes a refused request
            return False
        self.tried += 1
        self.accepted.append(self.now)
        self.counts["writes" if write else "reads"] += 1
        self.counts["last_accepted"] = self.now
        return True

    def _accept(self, address: int, write: bool, tag: int) -> bool:
        limit = self.config.max_outstanding
        if limit and sum(r.back is None or r.back > self.now for r in self.reads) >= limit:
            return False
        index, place, row, column = place_of(self.config, address)
        channel = self.channels[index]
        request = Request(self.numbers, write, self.now, place, row, column, tag)
        if any(request.same_burst(waiting) for waiting in channel.waiting[True]):
            if write:
                self.counts["merged_writes"] += 1
            else:
                self.counts["forwarded_reads"] += 1
                request.back = self.now + 1
                self.reads.append(request)
                self._returned(request)
            return True
        if write and any(request.same_burst(waiting) for waiting in channel.waiting[False]):
            return False
        if len(channel.waiting[write]) == self.config.queue_depth:
            return False
        self.numbers += 1
        channel.waiting[write].append(request)
        if not write:
            self.reads.append(request)
        return True

    def _returned(self, read: Request) -> None:
        """The clock at which a read's data are back has become known."""
        assert read.back is not None
        latency = read.back - read.arrival
        self.latency[min(latency // 4, LATENCY_BINS - 1)] += 1
        self.counts["latency_sum"] += latency
        self.counts["latency_max"] = max(self.counts["latency_max"], latency)
        self.counts["last_return"] = max(self.counts["last_return"], read.back)
