"""A layer of the vector unit cycle by cycle: one channel to memory, one set of lanes, parts of a buffer."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil

from cgsim.hardware import Hardware

NEVER = 1 << 60


def run_vector_layer(tiles: list[tuple[int, int, int]], hardware: Hardware) -> Counter[str]:
    """Execute tiles of (bytes loaded, lane operations, bytes stored); counts under the pipeline's names."""
    rate = Fraction(hardware.dram.bytes_per_cycle)
    parts = 2 if hardware.buffers.double_buffered else 1
    requests: list[tuple[str, int]] = []
    for tile in range(len(tiles)):
        requests += [("store", tile - parts)] if tile >= parts else []
        requests.append(("load", tile))
    requests += [("store", tile) for tile in range(max(0, len(tiles) - parts), len(tiles))]

    there, done, stored = ([NEVER] * len(tiles) for _ in range(3))
    counts: Counter[str] = Counter()
    now, channel_free, current, busy_until = 0, 0, 0, 0
    while requests or max(stored) > now:
        if current < len(tiles) and max(busy_until, there[current]) <= now:
            busy_until = now + ceil(tiles[current][1] / hardware.vector_unit.lanes)
            done[current] = busy_until
            current += 1
        kind, tile = requests[0] if requests else ("", 0)
        free = tile < parts or stored[tile - parts] <= now
        if kind and channel_free <= now and (free if kind == "load" else done[tile] <= now):
            requests.pop(0)
            size = tiles[tile][0 if kind == "load" else 2]
            channel_free = now + ceil(size / rate)
            if kind == "load":
                there[tile] = channel_free + hardware.dram.latency_cycles
                counts["activations_read"] += size
            else:
                stored[tile] = channel_free
                counts["activations_write"] += size
        if busy_until > now:
            counts["vector"] += 1
        else:
            counts["activation_load_stall" if current < len(tiles) else "store_stall"] += 1
        now += 1
    counts["cycles"] = now
    return counts
