"""Replays a stream of requests through the controller that a configuration describes."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.dram.counters import COMMANDS_LOGGED, COUNTS, LATENCY_BINS
from cgsim.dram.energy import Currents, dramsim_currents, energy_pj, standard_currents
from cgsim.dram.streams import Stream
from cgsim.errors import CgsimError

if TYPE_CHECKING:
    from cgsim.dram.own_config import AnyConfig

_MODULES = {"default": "controller", "ramulator2": "ramulator", "dramsim3": "dramsim"}
_LATENCY_STEP = 4
_LOG_ROOM = 4
"""Commands per request for which a log has room at first."""

ENERGY_SCOPE = "all devices, core supply (VDD) alone: without VPP, I/O and termination"

LOST = ("refresh", "activate", "bank_group", "turnaround", "rank", "queue", "no_request")
"""Causes of clocks in which a data bus carries nothing."""


class Memory(NamedTuple):
    """What a configuration of any kind says of its memory.

    buses: data buses, one for each channel or pseudo-channel. burst: clocks that a request takes on one.
    """

    policy: str
    standard: str
    tck_ns: float
    channels: int
    ranks: int
    buses: int
    request_bytes: int
    burst: int
    capacity_bytes: int

    @property
    def peak_gbps(self) -> float:
        """All data buses full, in 1e9 bytes per second."""
        return self.buses * self.request_bytes / (self.burst * self.tck_ns)


class Replay(NamedTuple):
    """What a replay counted.

    cycles: until the last read has its data and the last write is done, as the policy's tool defines it.
    counts: by name, as in counters.COUNTS. latency: reads by latency, in bins of four clocks. log: the
    commands, int64[commands, 9], sorted by clock; empty unless asked for. energy_pj: by what it is spent on;
    None where the configuration has no currents.
    """

    memory: Memory
    cycles: int
    counts: dict[str, int]
    latency: np.ndarray
    log: np.ndarray
    energy_pj: dict[str, float] | None


def memory_of(config: AnyConfig) -> Memory:
    """The memory that a configuration describes."""
    from cgsim.dram import dramsim_ini, ramulator_config

    if isinstance(config, dramsim_ini.Config):
        requests = config.columns // config.burst_length
        burst, pseudo, tck = config.burst_cycles, False, config.tck_ns
        groups, banks, rows, ranks = config.bank_groups, config.banks, config.rows, config.ranks
        name, policy = config.standard, "dramsim3"
    elif isinstance(config, ramulator_config.Config):
        requests = config.columns // config.prefetch
        burst = config.timing.get("nBL", config.timing.get("nBL_min", 0))
        pseudo, tck = config.standard == "HBM2", config.tck_ns
        groups, banks, rows, ranks = config.bank_groups, config.banks, config.rows, config.ranks
        name, policy = config.standard, "ramulator2"
    else:
        device = config.device
        requests, burst, pseudo, tck = device.columns, device.burst, device.pseudo > 1, device.tck_ps / 1000
        groups, banks, rows = device.groups, device.banks, device.rows
        ranks = config.ranks * device.pseudo
        name, policy = device.name, "default"
    rank_bytes = groups * banks * rows * requests * config.request_bytes
    return Memory(
        policy=policy,
        standard=name,
        tck_ns=tck,
        channels=config.channels,
        ranks=ranks,
        buses=config.channels * (ranks if pseudo else 1),
        request_bytes=config.request_bytes,
        burst=burst,
        capacity_bytes=config.channels * ranks * rank_bytes,
    )


def currents_of(config: AnyConfig) -> Currents | None:
    """The currents in a configuration; None where it has none (Ramulator's, some standards of ours)."""
    from cgsim.dram import dramsim_ini, settings

    if isinstance(config, dramsim_ini.Config):
        power, timing = config.power, config.timing
        return dramsim_currents(power, timing, config.devices, config.burst_cycles, config.tck_ns)
    return standard_currents(config.device) if isinstance(config, settings.Config) else None


def replay(config: AnyConfig, stream: Stream, *, log: bool = False, per_clock: int = 0) -> Replay:
    """Offer a stream, in order and as fast as it is accepted, and run until it is served.

    Args:
        config: of `own_config.load_config`.
        stream: of `streams.open_stream`.
        log: whether to keep every command.
        per_clock: requests offered per DRAM clock at most; 0: as the configuration says.

    Raises:
        CgsimError: the stream is damaged or goes beyond the memory, the log does not fit in memory, or the
            tool's rules come to a stop.
    """
    memory = memory_of(config)
    if per_clock:
        config = dataclasses.replace(config, inj=per_clock)
    module = importlib.import_module(f"cgsim.dram.{_MODULES[memory.policy]}")
    offer = getattr(importlib.import_module("cgsim.dram.offer"), memory.policy)
    room = int(_LOG_ROOM * stream.requests) + 4096 if log else 0
    while True:
        found = _run(module, offer, config, memory, stream, room)
        logged = found.counts[COUNTS[COMMANDS_LOGGED]]
        if logged <= room or not log:
            return found
        room = logged


def _run(
    module: Any, offer: Callable[..., None], config: AnyConfig, memory: Memory, stream: Stream, room: int
) -> Replay:
    try:
        c = module.controller(config, room)
    except (MemoryError, ValueError) as error:
        raise CgsimError(f"{stream.path}: a log of {room} commands does not fit in memory") from error
    try:
        for runs in stream.chunks(memory.capacity_bytes):
            offer(c, *runs)
        cycles = int(module.drain(c))
    except RuntimeError as error:  # DRAMsim3's rules can stop for ever
        raise CgsimError(f"{stream.path}: {error}") from error
    currents = currents_of(config)
    log = c.log[: min(room, int(c.counts[COMMANDS_LOGGED]))]
    return Replay(
        memory,
        cycles,
        dict(zip(COUNTS, (int(value) for value in c.counts), strict=True)),
        np.array(c.latency),
        log[np.argsort(log[:, 0], kind="stable")],
        energy_pj(currents, c.counts) if currents else None,
    )


def latency_at(latency: np.ndarray, share: float, largest: int) -> int | None:
    """Clocks that `share` of the reads take at most, on the bins' grid of four clocks; None without reads."""
    reads = int(latency.sum())
    if reads == 0:
        return None
    place = int(np.searchsorted(np.cumsum(latency), max(1, int(np.ceil(share * reads)))))
    return largest if place == LATENCY_BINS - 1 else min(_LATENCY_STEP * place + _LATENCY_STEP - 1, largest)


def summary(found: Replay, config: str | os.PathLike[str], stream: Stream) -> dict[str, Any]:
    """What a replay says, as plain values with units in their names.

    `cycles` are DRAM clocks. Latency is counted from a read's acceptance to the return of its last data.
    Lost clocks are of the data buses and, with `data_cycles`, add up to `cycles` times `buses`; they are None
    where the policy does not attribute them.
    """
    memory, n = found.memory, found.counts
    nanoseconds = found.cycles * memory.tck_ns
    requests = n["reads"] + n["writes"]
    gbps = requests * memory.request_bytes / nanoseconds if nanoseconds else 0.0
    lost = {cause: n[f"lost_{cause}"] for cause in LOST}
    return {
        "stream": str(stream.path),
        "config": str(config),
        "policy": memory.policy,
        "standard": memory.standard,
        "tck_ns": memory.tck_ns,
        "channels": memory.channels,
        "ranks": memory.ranks,
        "buses": memory.buses,
        "request_bytes": memory.request_bytes,
        "requests": requests,
        **{name: n[name] for name in ("reads", "writes")},
        "cycles": found.cycles,
        "cycles_accepted": n["last_accepted"],
        "time_us": nanoseconds / 1000,
        "bandwidth_gbps": gbps,
        "peak_gbps": memory.peak_gbps,
        "peak_share": gbps / memory.peak_gbps,
        **{name: n[name] for name in COUNTS[COUNTS.index("forwarded_reads") : COUNTS.index("latency_sum")]},
        **({"row_misses": None, "row_conflicts": None} if memory.policy == "dramsim3" else {}),
        "read_latency_mean_cycles": n["latency_sum"] / n["reads"] if n["reads"] else None,
        "read_latency_median_cycles": latency_at(found.latency, 0.5, n["latency_max"]),
        "read_latency_p99_cycles": latency_at(found.latency, 0.99, n["latency_max"]),
        "read_latency_max_cycles": n["latency_max"] if n["reads"] else None,
        "energy_pj": found.energy_pj,
        "mean_power_mw": found.energy_pj["total"] / nanoseconds if found.energy_pj and nanoseconds else None,
        "energy_scope": ENERGY_SCOPE,
        "data_cycles": n["data_cycles"],
        "lost_cycles": lost if any(lost.values()) else None,
        **{name: n[name] for name in ("active_cycles", "idle_cycles", "self_refresh_cycles")},
    }
