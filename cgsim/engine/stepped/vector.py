"""A layer of the vector unit cycle by cycle: one channel to memory, one set of lanes, parts of a buffer."""

from __future__ import annotations

from collections import Counter
from math import ceil

from cgsim.engine.stepped.layout import Piece, whole_regions
from cgsim.engine.stepped.memory import NEVER, Memory, Transfer, memory
from cgsim.hardware import Hardware


def run_vector_layer(
    tiles: list[tuple[int, int, int]],
    hardware: Hardware,
    dram: Memory | None = None,
    reads: list[list[Piece]] | None = None,
    operands: int = 0,
) -> Counter[str]:
    """Execute tiles of (bytes loaded, lane operations, bytes stored); counts under the pipeline's names.

    Operands lie in the order in which they are loaded; or tile i loads the pieces `reads[i]` of a tensor of
    `operands` bits. Results lie behind them as they are stored. `dram` is idle.
    """
    dram = dram or memory(hardware)
    parts = 2 if hardware.buffers.double_buffered else 1
    requests: list[tuple[str, int]] = []
    for tile in range(len(tiles)):
        requests += [("store", tile - parts)] if tile >= parts else []
        requests.append(("load", tile))
    requests += [("store", tile) for tile in range(max(0, len(tiles) - parts), len(tiles))]
    sizes = {(kind, tile): tiles[tile][0 if kind == "load" else 2] for kind, tile in requests}
    requests = [request for request in requests if sizes[request]]

    there = [NEVER if load else 0 for load, _, _ in tiles]
    done, stored = ([NEVER] * len(tiles) for _ in range(2))
    counts: Counter[str] = Counter()
    loaded = 8 * sum(size for size, _, _ in tiles) if reads is None else operands
    place = {"load": 0, "store": whole_regions(loaded)}
    under_way: list[tuple[str, int, Transfer]] = []
    now, current, busy_until = 0, 0, 0
    while True:
        changed = True
        while changed:
            changed = False
            room = current < parts or (current < len(tiles) and stored[current - parts] <= now)
            if room and current < len(tiles) and max(busy_until, there[current]) <= now:
                busy_until = now + ceil(tiles[current][1] / hardware.vector_unit.lanes)
                done[current] = busy_until
                if not tiles[current][2]:
                    stored[current] = busy_until
                current += 1
                changed = True
            kind, tile = requests[0] if requests else ("", 0)
            free = tile < parts or stored[tile - parts] <= now
            if kind and (free if kind == "load" else done[tile] <= now):
                size = sizes[requests.pop(0)]
                pieces = [(place[kind], place[kind] + 8 * size)]
                place[kind] += 8 * size
                if kind == "load" and reads is not None:
                    pieces = reads[tile]
                transfer = dram.submit(kind == "store", size, pieces, now)
                under_way.append((kind, tile, transfer))
                name = "activations_read" if kind == "load" else "activations_write"
                counts[name] += size
                counts[f"{name}_bursts"] += len(transfer.bursts)
                changed = True
            dram.turn(now)
            for kind, tile, transfer in list(under_way):
                if transfer.done < NEVER:
                    under_way.remove((kind, tile, transfer))
                    (there if kind == "load" else stored)[tile] = transfer.done
                    changed = True
        if max(stored) <= now:
            break
        if busy_until > now:
            counts["vector"] += 1
        else:
            counts["activation_load_stall" if current < len(tiles) else "store_stall"] += 1
        now += 1
    counts["cycles"] = now
    dram.drain(now)
    return counts
