"""DMA and off-chip memory as the stepped machine sees them: transfers in program order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from cgsim.dram.stepped import SteppedController
from cgsim.dram.stepped_state import Request
from cgsim.engine.stepped.layout import Piece, bursts
from cgsim.hardware import Hardware

NEVER = 1 << 60


@dataclass(eq=False)
class Transfer:
    """Bytes on their way between DRAM and a buffer.

    `bursts` are numbers of bursts. `done`: cycle from which the data are there, or stored; NEVER: not known.
    """

    write: bool
    size: int
    bursts: list[int]
    ready: int = NEVER
    begun: int = NEVER
    """Cycle in which the DMA turned to it."""
    end: int = NEVER
    """Cycle in which it has left the channel to memory."""
    through: int = 0
    """Cycle in which it is through the buffers' port."""
    done: int = NEVER
    requests: list[int] = field(default_factory=list)
    """Byte addresses that have still to be offered."""
    accepted: list[Request] = field(default_factory=list)


class Memory(ABC):
    """Takes transfers in the order in which they are submitted."""

    def __init__(self, hardware: Hardware) -> None:
        """An idle memory at cycle 0."""
        self.hardware = hardware
        self.burst_bytes = hardware.dma.burst_bytes
        self.counts: Counter[str] = Counter()
        self._port_free = 0

    def submit(self, write: bool, size: int, pieces: list[Piece], now: int) -> Transfer:
        """Take a transfer of `size` bytes that is ready in cycle `now`."""
        transfer = Transfer(write, size, bursts(pieces, self.burst_bytes), ready=now)
        port = self.hardware.buffers.bytes_per_cycle
        if port != "ideal":
            self._port_free = transfer.through = max(self._port_free, now) + ceil(size / int(port))
        self._take(transfer)
        return transfer

    @abstractmethod
    def _take(self, transfer: Transfer) -> None:
        """Queue a transfer behind those before."""

    @abstractmethod
    def turn(self, now: int) -> None:
        """Let everything happen that happens up to cycle `now`."""

    @abstractmethod
    def drain(self, end: int) -> None:
        """The layer ends in cycle `end`: finish what memory still has to do, if later."""


class IdealMemory(Memory):
    """A channel of a fixed bandwidth and latency."""

    def __init__(self, hardware: Hardware) -> None:
        """An idle memory at cycle 0."""
        super().__init__(hardware)
        assert hardware.dram.bytes_per_cycle is not None
        self.rate = Fraction(hardware.dram.bytes_per_cycle)
        self.latency = hardware.dram.latency_cycles or 0
        self._free = 0
        self._waiting: list[Transfer] = []

    def _take(self, transfer: Transfer) -> None:
        self._waiting.append(transfer)

    def turn(self, now: int) -> None:
        """Start the next transfer if the channel is free."""
        if self._waiting and self._free <= now:
            transfer = self._waiting.pop(0)
            transfer.begun = now
            self._free = transfer.end = now + ceil(transfer.size / self.rate)
            arrival = self._free + (0 if transfer.write else self.latency)
            transfer.done = max(arrival, transfer.through)

    def drain(self, end: int) -> None:
        """Nothing is left to do."""


class DramMemory(Memory):
    """A command-level DRAM with a clock of its own."""

    def __init__(self, hardware: Hardware) -> None:
        """An idle memory at cycle 0."""
        super().__init__(hardware)
        config = hardware.dram.controller(hardware.dma)
        self.controller = SteppedController(config)
        self.request_bytes, self.tck = config.request_bytes, config.tck_ps
        self.period = round(1_000_000 / hardware.clock_mhz)
        self.crossing = hardware.dram.crossing_cycles
        self._offering: list[Transfer] = []  # not accepted to the end
        self._returning: list[Transfer] = []  # accepted, data not back

    def _take(self, transfer: Transfer) -> None:
        size = self.burst_bytes
        transfer.requests = [
            address
            for burst in transfer.bursts
            for address in range(burst * size, (burst + 1) * size, self.request_bytes)
        ]
        self._offering.append(transfer)

    def turn(self, now: int) -> None:
        """Turn the DRAM's clock to the last one that begins not after cycle `now`."""
        last = now * self.period // self.tck
        while True:
            self._offer()
            self._look_for_data()
            if self.controller.now >= last:
                return
            self.controller.tick()

    def _offer(self) -> None:
        """What is offered in the DRAM's clock."""
        clock = self.controller.now
        while self._offering:
            transfer = self._offering[0]
            if clock < self._clock(transfer.ready) + self.crossing:
                return
            transfer.begun = min(transfer.begun, self._cycle(clock))
            if not self.controller.offer(transfer.requests[0], transfer.write):
                return
            del transfer.requests[0]
            if not transfer.write:
                transfer.accepted.append(self.controller.reads[-1])
            if not transfer.requests:
                self._offering.pop(0)
                if transfer.write:
                    transfer.end = self._cycle(clock) + self.crossing
                    transfer.done = max(transfer.end, transfer.through)
                else:
                    self._returning.append(transfer)

    def _look_for_data(self) -> None:
        """Transfers whose data are back in the DRAM's clock."""
        for transfer in list(self._returning):
            back = [request.back for request in transfer.accepted]
            if all(clock is not None and clock <= self.controller.now for clock in back):
                last = max(clock for clock in back if clock is not None)
                transfer.end = self._cycle(last) + self.crossing
                transfer.done = max(transfer.end, transfer.through)
                self._returning.remove(transfer)

    def _clock(self, cycle: int) -> int:
        """The first DRAM clock that begins not before a machine cycle."""
        return ceil(Fraction(cycle * self.period, self.tck))

    def _cycle(self, clock: int) -> int:
        """The first machine cycle that begins not before a DRAM clock."""
        return ceil(Fraction(clock * self.tck, self.period))

    def drain(self, end: int) -> None:
        """Finish the transfers, idle until the layer's end, and let waiting writes be written."""
        while True:
            self._offer()
            self._look_for_data()
            if not self._offering and not self._returning:
                break
            self.controller.tick()
        while self.controller.now < self._clock(end):
            self.controller.tick()
        self.controller.drain()
        self.counts = self.controller.counts


def memory(hardware: Hardware) -> Memory:
    """The memory of `hardware`."""
    return IdealMemory(hardware) if hardware.dram.standard == "ideal" else DramMemory(hardware)
