"""What happened when, on one sample, as slices of time on tracks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.engine import events as record
from cgsim.engine.columns import MODES, PHASES, STALLS, TENSORS
from cgsim.engine.events import Part
from cgsim.results.dram_tracks import Clocks, Moved, closings, openings, refreshes, traffic
from cgsim.results.naming import shown

if TYPE_CHECKING:
    from cgsim.hardware import Hardware

BINS = 400
"""Points of a layer's curve of bytes per cycle, at most."""

_KINDS = ("", *PHASES, *STALLS, *TENSORS)
_FIRST_STALL, _FIRST_TENSOR = 1 + len(PHASES), 1 + len(PHASES) + len(STALLS)
_LAYER, _ARRAY, _UNIT, _DMA, _REFRESH, _BANKS = 1, 100, 2000, 3000, 20_000, 40_000
"""Numbers of the tracks, which give their order."""


@dataclass(frozen=True)
class Slice:
    """Something that takes time on a track: cycles [start, end) from the beginning of its process."""

    track: str
    number: int
    name: str
    category: str
    start: float
    end: float
    details: Mapping[str, Any]


class Tracks:
    """A few layers on one sample, dense and gated; the base of what `cgsim.timeline` gives.

    Dense and gated execution have a time of their own, which begins at 0; layers follow each other, each when
    the one before is done, posted writes included.
    """

    def __init__(self, parts: Sequence[Part], hardware: Hardware, origin: Mapping[str, Any]) -> None:
        """`origin`: what the file says about where it comes from (trace, sample, command...)."""
        self.parts, self.hardware, self.origin = tuple(parts), hardware, dict(origin)
        self.clocks = Clocks.of(hardware)

    @cached_property
    def spans(self) -> list[tuple[float, float]]:
        """For each part, cycles from the beginning of its mode to its own, and to its last write's end."""
        found: list[tuple[float, float]] = []
        ends = dict.fromkeys(MODES, 0)
        for part in self.parts:
            start = ends[part.mode]
            tail = math.ceil(self.clocks.end(part.commands))
            ends[part.mode] = start + max(part.cycles, tail)
            found.append((start, ends[part.mode]))
        return found

    def slices(self, mode: str) -> Iterator[Slice]:
        """Everything that takes time, part by part."""
        for part, (start, end) in zip(self.parts, self.spans, strict=True):
            if part.mode == mode:
                yield from self._layer(part, start, end)
                yield from self._array(part, start)
                yield from self._transfers(part, start)
                yield from self._banks(part, start, end)

    def bandwidth(self, mode: str, bins: int = BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bytes per cycle on the DRAM's data bus: edges of bins [n + 1] in cycles, read [n], written [n].

        A part has up to `bins` bins.
        """
        edges = [np.zeros(1)]
        read: list[np.ndarray] = []
        written: list[np.ndarray] = []
        for part, (start, end) in zip(self.parts, self.spans, strict=True):
            if part.mode != mode or end == start:
                continue
            own = np.linspace(0, end - start, min(bins, int(end - start)) + 1)
            edges.append(own[1:] + start)
            for moved, out in zip(self._moved(part), (read, written), strict=True):
                out.append(_spread(moved, own) / np.diff(own))
        none = [np.zeros(0)]
        return np.concatenate(edges), np.concatenate(read or none), np.concatenate(written or none)

    def _layer(self, part: Part, start: float, end: float) -> Iterator[Slice]:
        name = f"{part.layer}: {part.what}" if part.what else part.layer
        done = start + part.cycles
        if part.cycles:
            yield Slice("layer", _LAYER, name, "layer", start, done, part.counts)
        if end > done:
            yield Slice("layer", _LAYER, "writes that the DRAM has accepted", "layer", done, end, {})

    def _array(self, part: Part, start: float) -> Iterator[Slice]:
        hardware = self.hardware.to_dict()
        events = part.events[part.events[:, record.KIND] < _FIRST_TENSOR]
        lanes = len(np.unique(events[events[:, record.LANE] != record.UNIT, record.LANE]))
        for event in events.tolist():
            kind, lane = event[record.KIND], event[record.LANE]
            name = shown(_KINDS[kind], hardware)
            begin, end = start + event[record.START], start + event[record.END]
            details: dict[str, Any] = {"layer": part.layer, "tile": event[record.TILE]}
            details |= {"start_cycle": event[record.START], "cycles": event[record.END] - event[record.START]}
            if lane == record.UNIT:
                yield Slice("vector unit", _UNIT, f"tile {event[record.TILE]}", "vector", begin, end, details)
                continue
            split = dict(zip(record.SPLIT, event[record.AMOUNTS :], strict=False))
            details |= {f"{key}_cycles": value for key, value in split.items() if value}
            track = f"array, column group {lane}" if lanes > 1 else "array"
            stall = kind >= _FIRST_STALL
            name = f"{name} stall" if stall else f"{name}, tile {event[record.TILE]}"
            yield Slice(track, _ARRAY + lane, name, "stall" if stall else "phase", begin, end, details)

    def _transfers(self, part: Part, start: float) -> Iterator[Slice]:
        """Transfers of a tensor; those that overlap (one on its way, one asked for) on tracks beside."""
        for number, tensor in enumerate(TENSORS):
            events = part.events[part.events[:, record.KIND] == _FIRST_TENSOR + number]
            events = events[np.argsort(events[:, record.START], kind="stable")]
            free: list[int] = []
            for event in events.tolist():
                begin, end = event[record.START], event[record.END]
                row = next((row for row, since in enumerate(free) if since <= begin), len(free))
                free[row : row + 1] = [end]
                track = f"DMA: {tensor.replace('_', ' ')}" + (f" ({row + 1})" if row else "")
                size, bursts = event[record.BYTES_MOVED], event[record.BURSTS_MOVED]
                details = {
                    "layer": part.layer, "tile": event[record.TILE], "start_cycle": begin,
                    "cycles": end - begin, "bytes": size, "bursts": bursts,
                }  # fmt: skip
                place = _DMA + 100 * number + row
                yield Slice(track, place, f"{size} B, tile {event[record.TILE]}", "dma", start + begin,
                            start + end, details)  # fmt: skip

    def _banks(self, part: Part, start: float, end: float) -> Iterator[Slice]:
        if len(part.commands) == 0:
            return
        clocks = self.clocks
        closed = closings(part.commands, clocks, (end - start) / clocks.cycles)
        for one in openings(part.commands, closed, clocks):
            channel, rank, group, number = one.bank
            name, place = f"DRAM {channel}.{rank} bank {group}.{number}", _BANKS + clocks.place(one.bank)
            writes = int(one.writes.sum())
            details = {
                "layer": part.layer, "row": one.row, "start_clock": one.begin, "clocks": one.end - one.begin,
                "reads": len(one.writes) - writes, "writes": writes,
                "bytes": len(one.writes) * clocks.request_bytes,
            }  # fmt: skip
            begin, stop = start + one.begin * clocks.cycles, start + one.end * clocks.cycles
            yield Slice(name, place, f"row {one.row}", "bank", begin, stop, details)
            for first, last, count, write in one.bursts(clocks.burst):
                what = "write" if write else "read"
                details = {
                    "layer": part.layer, "start_clock": first, "clocks": last - first, f"{what}s": count,
                    "bytes": count * clocks.request_bytes,
                }  # fmt: skip
                begin, stop = start + first * clocks.cycles, start + last * clocks.cycles
                yield Slice(name, place, f"{what} {count}", "access", begin, stop, details)
        for where, begin, stop in refreshes(part.commands, clocks):
            channel, rank = where[:2]
            name, place = f"DRAM {channel}.{rank} refresh", _REFRESH + clocks.place((channel, rank, 0, 0))
            if len(where) > 2:
                name, place = (
                    f"DRAM {channel}.{rank} bank {where[2]}.{where[3]}",
                    _BANKS + clocks.place(where),
                )
            details = {"layer": part.layer, "start_clock": begin, "clocks": stop - begin}
            after = min(start + stop * clocks.cycles, end)
            if after > start + begin * clocks.cycles:
                yield Slice(name, place, "refresh", "refresh", start + begin * clocks.cycles, after, details)

    def _moved(self, part: Part) -> list[Moved]:
        """Data on the bus, read and written."""
        if self.clocks.tck_ps:
            return [traffic(part.commands, self.clocks, write) for write in (False, True)]
        events = part.events[part.events[:, record.KIND] >= _FIRST_TENSOR]
        writes = events[:, record.KIND] == _FIRST_TENSOR + list(TENSORS).index("activations_write")
        found = []
        for own in (events[~writes], events[writes]):
            begin, size = own[:, record.START], own[:, record.BYTES_MOVED]
            end = begin + np.ceil(size / self.hardware.dram_bytes_per_cycle)
            found.append((begin + 0.0, end, size + 0.0))
        return found


def _spread(moved: Moved, edges: np.ndarray) -> np.ndarray:
    """Bytes in each bin between `edges`, those of a transfer spread evenly over its time; [n]."""
    begin, end, size = moved
    rate = size / np.maximum(end - begin, 1e-9)
    total = np.zeros(len(edges))
    for times, sign in ((begin, 1), (end, -1)):  # bytes moved up to each edge: a sum of ramps
        order = np.argsort(times, kind="stable")
        at, slopes = times[order], rate[order]
        place = np.searchsorted(at, edges, side="right")
        slope = np.concatenate([[0.0], np.cumsum(slopes)])[place]
        offset = np.concatenate([[0.0], np.cumsum(slopes * at)])[place]
        total += sign * (slope * edges - offset)
    return np.maximum(np.diff(total), 0.0)
