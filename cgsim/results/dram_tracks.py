"""From a DRAM's command log to rows that are open, refreshes and data on the bus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cgsim.engine.events import ACT, PRE, PREA, RD, RDA, REF, REFB, WR, WRA

if TYPE_CHECKING:
    from cgsim.hardware import Hardware

Bank = tuple[int, ...]
"""Channel, rank or pseudo-channel, bank group, bank."""
Moved = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Transfers: cycles [from, to) and bytes of each."""
_CLOCK, _COMMAND, _CHANNEL, _RANK, _GROUP, _BANK, _ROW = range(7)
_CLOSE = 8
"""Bursts between two accesses of a row up to which they are shown as one."""


@dataclass(frozen=True)
class Clocks:
    """What a timeline needs of a DRAM. `cycles`: the accelerator's, in a DRAM clock; the rest in clocks.

    `tck_ps` is 0 for `standard: ideal`, which has no commands.
    """

    tck_ps: int
    cycles: float
    request_bytes: int
    ranks: int
    groups: int
    banks: int
    read_latency: int
    write_latency: int
    burst: int
    read_to_close: int
    write_to_close: int
    refresh: int
    bank_refresh: int
    activate: int
    """From an ACT in the log to the clock at which it counts."""

    @classmethod
    def of(cls, hardware: Hardware) -> Clocks:
        """Of an accelerator's DRAM."""
        if hardware.dram.standard == "ideal":
            return cls(*(0,) * 14)
        config = hardware.dram.controller(hardware.dma)
        device = config.device
        return cls(
            device.tck_ps, device.tck_ps / round(hardware.cycle_ns * 1000), device.request_bytes,
            config.ranks * device.pseudo, device.groups, device.banks, device.cl, device.cwl, device.burst,
            device.rtp, device.cwl + device.burst + device.wr, device.rfc, device.rfcpb, device.act_shift,
        )  # fmt: skip

    def place(self, bank: Bank) -> int:
        """The number of a bank among all of them."""
        channel, rank, group, number = bank
        return ((channel * self.ranks + rank) * self.groups + group) * self.banks + number

    def end(self, commands: np.ndarray) -> float:
        """Cycles from the beginning to the last data of a log, int64 [n, 9]; 0 if it is empty."""
        moving = commands[np.isin(commands[:, _COMMAND], (RD, WR, RDA, WRA))]
        if len(moving) == 0:
            return 0.0
        writes = np.isin(moving[:, _COMMAND], (WR, WRA))
        latency = np.where(writes, self.write_latency, self.read_latency)
        return float((moving[:, _CLOCK] + latency).max() + self.burst) * self.cycles


def closings(commands: np.ndarray, clocks: Clocks, last: float) -> dict[Bank, list[tuple[int, float]]]:
    """For each bank, (place of the ACT in the log, clock at which its row is closed), up to clock `last`."""
    opened: dict[Bank, int] = {}
    found: dict[Bank, list[tuple[int, float]]] = {}

    def close(bank: Bank, clock: float) -> None:
        if bank in opened:
            found.setdefault(bank, []).append((opened.pop(bank), min(clock, last)))

    for place, line in enumerate(commands.tolist()):
        clock, command, bank = line[_CLOCK], line[_COMMAND], tuple(line[_CHANNEL : _BANK + 1])
        if command == ACT:
            opened[bank] = place
        elif command == PRE:
            close(bank, clock)
        elif command == PREA:
            for other in [one for one in opened if one[:2] == bank[:2]]:
                close(other, clock)
        elif command in (RDA, WRA):
            close(bank, clock + (clocks.read_to_close if command == RDA else clocks.write_to_close))
    for bank in list(opened):
        close(bank, last)
    return found


@dataclass(frozen=True)
class Opening:
    """A row that was open: clocks [begin, end), and its accesses: clock of the command, 1 if it writes."""

    bank: Bank
    row: int
    begin: int
    end: float
    clocks: np.ndarray
    writes: np.ndarray

    def bursts(self, burst: int) -> Iterator[tuple[int, float, int, bool]]:
        """Accesses that follow each other closely: clocks [from, to), how many, whether they write."""
        if len(self.clocks) == 0:
            return
        cut = (np.diff(self.clocks) > _CLOSE * burst) | (np.diff(self.writes) != 0)
        edges = [0, *(np.flatnonzero(cut) + 1).tolist(), len(self.clocks)]
        for first, after in pairwise(edges):
            begin, end = int(self.clocks[first]), int(self.clocks[after - 1]) + burst
            if after < len(self.clocks):
                end = min(end, int(self.clocks[after]))
            yield begin, min(end, self.end), after - first, bool(self.writes[first])


def openings(
    commands: np.ndarray, closed: dict[Bank, list[tuple[int, float]]], clocks: Clocks
) -> Iterator[Opening]:
    """Rows that were open within the time, bank by bank."""
    columns = commands[np.isin(commands[:, _COMMAND], (RD, WR, RDA, WRA))]
    places = _places(columns, clocks)
    for bank, rows in closed.items():
        own = columns[places == clocks.place(bank)]
        writes = np.isin(own[:, _COMMAND], (WR, WRA)).astype(np.int64)
        begins = [int(commands[place, _CLOCK]) for place, _ in rows]
        edges = np.searchsorted(own[:, _CLOCK], [*begins, np.iinfo(np.int64).max]).tolist()
        for (place, end), (first, after) in zip(rows, pairwise(edges), strict=True):
            begin, row = int(commands[place, _CLOCK]) + clocks.activate, int(commands[place, _ROW])
            if end > begin:
                yield Opening(bank, row, begin, end, own[first:after, _CLOCK], writes[first:after])


def refreshes(commands: np.ndarray, clocks: Clocks) -> Iterator[tuple[Bank, int, int]]:
    """Refreshes: (channel, rank) or a bank, clocks [from, to)."""
    for line in commands[np.isin(commands[:, _COMMAND], (REF, REFB))].tolist():
        clock = line[_CLOCK]
        if line[_COMMAND] == REF:
            yield tuple(line[_CHANNEL : _RANK + 1]), clock, clock + clocks.refresh
        else:
            yield tuple(line[_CHANNEL : _BANK + 1]), clock, clock + clocks.bank_refresh


def traffic(commands: np.ndarray, clocks: Clocks, write: bool) -> Moved:
    """Data on the bus: accesses that read, or write."""
    own = commands[np.isin(commands[:, _COMMAND], (WR, WRA) if write else (RD, RDA)), _CLOCK]
    begin = own + (clocks.write_latency if write else clocks.read_latency)
    size = np.full(len(own), float(clocks.request_bytes))
    return begin * clocks.cycles, (begin + clocks.burst) * clocks.cycles, size


def _places(commands: np.ndarray, clocks: Clocks) -> np.ndarray:
    channel, rank, group, bank = (commands[:, column] for column in range(_CHANNEL, _BANK + 1))
    return ((channel * clocks.ranks + rank) * clocks.groups + group) * clocks.banks + bank
