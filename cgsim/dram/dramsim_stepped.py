"""The rules of DRAMsim3 once more, one turn of a loop per clock, in plain Python: the twin of `dramsim`.

A clock is `tick`, then `offer` up to `inj` requests, in order. It is slow and meant to be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cgsim.dram.counters import (
    ACT,
    ACTIVATES,
    ACTIVE_CYCLES,
    BANK_REFRESHES,
    COUNTERS,
    DATA_CYCLES,
    FORWARDED_READS,
    IDLE_CYCLES,
    LAST_RETURN,
    LATENCY_MAX,
    LATENCY_SUM,
    MERGED_READS,
    MERGED_WRITES,
    ONDEMAND_PRECHARGES,
    PRE,
    PRECHARGES,
    RD,
    RDA,
    READ_COMMANDS,
    READ_ROW_HITS,
    READS,
    REF,
    REFB,
    REFRESHES,
    ROW_HITS,
    WR,
    WRA,
    WRITE_COMMANDS,
    WRITE_ROW_HITS,
    WRITES,
)
from cgsim.dram.dramsim_ini import Config

COLUMNS = (RD, WR, RDA, WRA)
HIT_CAP = 4
"""Column commands to a row after which the oldest request may close it although others hit it."""


@dataclass
class Request:
    """One access on its way: where it goes, and who waits for it: (clock of acceptance, tag)."""

    address: int
    write: bool
    rank: int
    group: int
    bank: int
    row: int
    column: int
    waiting: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Bank:
    """State of a bank: open row (-1: closed), column commands since ACT, earliest clock of each command."""

    row: int = -1
    served: int = 0
    earliest: list[int] = field(default_factory=lambda: [0] * (REFB + 1))

    def wait(self, command: int, clock: int) -> None:
        """`command` not before `clock`."""
        self.earliest[command] = max(self.earliest[command], clock)


class Channel:
    """A channel: its queues, banks and refresh, one clock at a time."""

    def __init__(self, config: Config, number: int, counts: np.ndarray, log: list[tuple[int, ...]]) -> None:
        self.config, self.number, self.counts, self.log = config, number, counts, log
        self.per_rank = config.queue_structure == "PER_RANK"
        size = config.ranks * config.bank_groups * config.banks
        self.banks = [Bank() for _ in range(size)]
        self.queues: list[list[Request]] = [[] for _ in range(config.ranks if self.per_rank else size)]
        self.reads: list[Request] = []  # or the unified queue
        self.writes: list[Request] = []
        self.pending_reads: dict[int, Request] = {}
        self.pending_writes: set[int] = set()
        self.returns: list[tuple[int, int, int]] = []  # (clock of the data, clock of acceptance, tag)
        self.activates: list[list[int]] = [[] for _ in range(config.ranks)]
        self.due: list[int] = []  # ranks, or banks, to refresh
        self.refreshed = 0  # number of the next refresh
        self.blocked: set[int] | None = None  # queues that a refresh blocks
        self.served, self.draining, self.clock = 0, 0, 0
        self.last: dict[int, int] = {}  # tag -> clock of its last data

    def tick(self) -> None:
        """One clock."""
        config, timing = self.config, self.config.timing
        kind = config.refresh_policy
        interval = timing["tREFIb"] if kind == "BANK_LEVEL_STAGGERED" else timing["tREFI"]
        if kind == "RANK_LEVEL_STAGGERED":
            interval //= config.ranks
        if self.clock and self.clock % interval == 0:
            self._refresh_due(kind)
        self.returns = [data for data in self.returns if self._on_the_way(*data)]
        found = self._refresh() if self.due else None
        if found is None:
            found = self._next()
        if found is not None:
            self._issue(*found)
            if config.hbm_dual_cmd:
                second = self._next()
                if second is not None and (second[0] in COLUMNS) != (found[0] in COLUMNS):
                    self._issue(*second)
        per_rank = config.bank_groups * config.banks
        for rank in range(config.ranks):
            banks = self.banks[rank * per_rank : (rank + 1) * per_rank]
            active = any(bank.row >= 0 for bank in banks)
            self.counts[ACTIVE_CYCLES if active else IDLE_CYCLES] += 1
        self._schedule()
        self.clock += 1

    def offer(self, request: Request, tag: int) -> bool:
        """Accept a request if there is room."""
        config, address, limit = self.config, request.address, self.config.trans_queue_size
        queue = self.reads if config.unified_queue or not request.write else self.writes
        if len(queue) >= limit:
            return False
        self.counts[WRITES if request.write else READS] += 1
        if request.write:
            if address in self.pending_writes:
                self.counts[MERGED_WRITES] += 1
            else:
                self.pending_writes.add(address)
                queue.append(request)
        elif address in self.pending_writes:
            self.counts[FORWARDED_READS] += 1
            self.returns.append((self.clock + 1, self.clock, tag))
        elif address in self.pending_reads:
            self.counts[MERGED_READS] += 1
            self.pending_reads[address].waiting.append((self.clock, tag))
        else:
            request.waiting.append((self.clock, tag))
            self.pending_reads[address] = request
            queue.append(request)
        return True

    def awaited(self, tag: int | None = None) -> int:
        """Reads, all or those of a tag, that have not got their data by this clock."""
        tags = [of for request in self.pending_reads.values() for _, of in request.waiting]
        tags += [of for at, _, of in self.returns if at > self.clock]
        return len(tags) if tag is None else tags.count(tag)

    def busy(self) -> bool:
        """Something is queued that will still be served: up to 8 writes may stay."""
        return bool(any(self.queues) or self.reads or self.draining or len(self.writes) > 8)

    def _on_the_way(self, at: int, accepted: int, tag: int) -> bool:
        if self.clock < at:
            return True
        latency = self.clock - accepted
        self.counts[LATENCY_SUM] += latency
        self.counts[LATENCY_MAX] = max(self.counts[LATENCY_MAX], latency)
        self.counts[LAST_RETURN] = max(self.counts[LAST_RETURN], self.clock)
        self.last[tag] = max(self.last.get(tag, 0), self.clock)
        return False

    def _queue(self, bank: int) -> int:
        return bank // (self.config.bank_groups * self.config.banks) if self.per_rank else bank

    def _bank(self, request: Request) -> int:
        config = self.config
        return (request.rank * config.bank_groups + request.group) * config.banks + request.bank

    def _refresh_due(self, kind: str) -> None:
        config, number = self.config, self.refreshed
        self.refreshed += 1
        if kind == "RANK_LEVEL_SIMULTANEOUS":
            self.due.append(0)  # the tool's loop over ranks ends after the first
        elif kind == "RANK_LEVEL_STAGGERED":
            self.due.append(number % config.ranks)
        else:  # bank groups first, then banks, then ranks
            group, rest = number % config.bank_groups, number // config.bank_groups
            bank, rank = rest % config.banks, rest // config.banks % config.ranks
            self.due.append((rank * config.bank_groups + group) * config.banks + bank)

    def _refresh(self) -> tuple[int, int, Request | None] | None:
        """The next command of the refresh at hand: (command, bank, no request)."""
        per_rank = self.config.bank_groups * self.config.banks
        by_bank = self.config.refresh_policy == "BANK_LEVEL_STAGGERED"
        target = self.due[0]
        if by_bank:
            at = [target]
            self.blocked = self.blocked or {self._queue(target)}
        else:
            at = list(range(target * per_rank, (target + 1) * per_rank))
            self.blocked = self.blocked or {self._queue(bank) for bank in at}
        command = REFB if by_bank else REF
        for bank in at:
            if self.banks[bank].row >= 0 and self.clock >= self.banks[bank].earliest[PRE]:
                return PRE, bank, None
        if any(self.banks[bank].row >= 0 or self.clock < self.banks[bank].earliest[command] for bank in at):
            return None
        self.due.pop(0)
        self.blocked = None
        return command, at[0], None

    def _next(self) -> tuple[int, int, Request | None] | None:
        """The next command of the queues, round robin; a column command leaves its queue."""
        for _ in self.queues:
            self.served = (self.served + 1) % len(self.queues)
            if self.blocked is not None and self.served in self.blocked:
                continue
            queue = self.queues[self.served]
            for at, request in enumerate(queue):
                command = self._ready(queue, at)
                if command is not None:
                    if command in COLUMNS:
                        del queue[at]
                    return command, self._bank(request), request
        return None

    def _ready(self, queue: list[Request], at: int) -> int | None:
        """The command that request `at` of a queue may issue now."""
        request, clock = queue[at], self.clock
        number = self._bank(request)
        bank = self.banks[number]
        if bank.row < 0:
            window = self.activates[request.rank]
            late = len(window) >= 4 and clock < window[-4] + self.config.timing["tFAW"]
            return None if late or clock < bank.earliest[ACT] else ACT
        if bank.row == request.row:
            closing = self.config.row_buf_policy == "CLOSE_PAGE"
            command = (WRA if closing else WR) if request.write else (RDA if closing else RD)
            if clock < bank.earliest[command]:
                return None
            place = (request.row, request.column, number)
            if request.write and any(
                not other.write and (other.row, other.column, self._bank(other)) == place
                for other in queue[:at]
            ):
                return None
            return command
        if clock < bank.earliest[PRE] or any(self._bank(other) == number for other in queue[:at]):
            return None
        hit = any(self._bank(other) == number and other.row == bank.row for other in queue[at:])
        if hit and bank.served < HIT_CAP:
            return None
        self.counts[ONDEMAND_PRECHARGES] += 1
        return PRE

    def _schedule(self) -> None:
        """Move one transaction to a command queue."""
        config = self.config
        if self.draining == 0 and not config.unified_queue:
            waiting = len(self.writes)
            if waiting >= config.trans_queue_size or (waiting > 8 and not any(self.queues)):
                self.draining = waiting
        queue = self.writes if self.draining > 0 else self.reads
        for at, request in enumerate(queue):
            target = self.queues[self._queue(self._bank(request))]
            if len(target) >= config.cmd_queue_size:
                continue
            if request.write and not config.unified_queue:
                if request.address in self.pending_reads:
                    self.draining = 0
                    return
                self.draining -= 1
            target.append(request)
            del queue[at]
            return

    def _issue(self, command: int, number: int, request: Request | None) -> None:
        config, counts, clock = self.config, self.counts, self.clock
        per_rank = config.bank_groups * config.banks
        bank, rank = self.banks[number], number // per_rank
        whole = command == REF
        group = number % per_rank // config.banks
        place = (-1, -1) if whole else (group, number % config.banks)
        of = (-1, -1, -1) if request is None else (request.row, request.column, int(request.write))
        self.log.append((clock, command, self.number, rank, *place, *of))
        if request and command in COLUMNS:
            self._column(command, number, request)
        elif request and command == ACT:
            counts[ACTIVATES] += 1
            bank.row = request.row
            self.activates[rank].append(clock)
        elif command == PRE:
            counts[PRECHARGES] += 1
            bank.row, bank.served = -1, 0
        else:
            counts[REFRESHES if whole else BANK_REFRESHES] += 1
        self._constrain(command, number)

    def _column(self, command: int, number: int, request: Request) -> None:
        config, counts, bank = self.config, self.counts, self.banks[number]
        read = command in (RD, RDA)
        counts[READ_COMMANDS if read else WRITE_COMMANDS] += 1
        counts[DATA_CYCLES] += config.burst_cycles
        if bank.served:
            counts[ROW_HITS] += 1
            counts[READ_ROW_HITS if read else WRITE_ROW_HITS] += 1
        if command in (RDA, WRA):
            bank.row, bank.served = -1, 0
        else:
            bank.served += 1
        if not read:
            self.pending_writes.remove(request.address)
            return
        delay = config.timing["AL"] + config.timing["CL"] + config.burst_cycles
        for accepted, tag in self.pending_reads.pop(request.address).waiting:
            self.returns.append((self.clock + delay, accepted, tag))

    def _constrain(self, command: int, number: int) -> None:
        """Earliest clocks of what follows, at every bank of the channel."""
        config, clock = self.config, self.clock
        per_rank = config.bank_groups * config.banks
        for other, bank in enumerate(self.banks):
            if other == number:
                relation = "bank"
            elif other // config.banks == number // config.banks:
                relation = "group"
            elif other // per_rank == number // per_rank:
                relation = "rank"
            else:
                relation = "channel"
            for follower, delay in constraints(config, command, relation):
                bank.wait(follower, clock + delay)


def constraints(config: Config, command: int, relation: str) -> list[tuple[int, int]]:
    """(follower, clocks) after `command`, for a bank that stands in `relation` to the command's.

    relation: "bank" the same, "group" another of its group, "rank" of its rank, "channel" of another rank.
    """
    t, burst = config.timing, config.burst_cycles
    RL, WL = t["AL"] + t["CL"], t["AL"] + t["CWL"]
    one = "_S" if config.bank_groups == 1 or relation == "rank" else "_L"
    if command in COLUMNS:
        read = command in (RD, RDA)
        if relation == "channel":
            same = burst + t["tRTRS"] if read else burst
            turn = RL + burst + t["tRTRS"] - WL if read else WL + burst + t["tRTRS"] - RL
        else:
            same = max(burst, t["tCCD" + one])
            turn = RL + burst - WL + t["tRTRS"] if read else WL + burst + t["tWTR" + one]
        found = []
        if relation != "bank" or command in (RD, WR):
            found = [(RD, same), (RDA, same), (WR, turn), (WRA, turn)]
            if not read:
                found = [(RD, turn), (RDA, turn), (WR, same), (WRA, same)]
        if relation == "bank":
            close = t["AL"] + t["tRTP"] if read else WL + burst + t["tWR"]
            again = close + t["tRP"]
            if command in (RD, WR):
                found.append((PRE, close))
            else:
                found += [(ACT, again + burst if read else again), (REF, again), (REFB, again)]
        return found
    if command == ACT:
        if relation == "bank":
            split = config.hbm
            read_delay = t["tRCDRD"] if split else t["tRCD"] - t["AL"]
            write_delay = t["tRCDWR"] if split else t["tRCD"] - t["AL"]
            found = [(RD, read_delay), (RDA, read_delay), (WR, write_delay), (WRA, write_delay)]
            return [*found, (ACT, t["tRAS"] + t["tRP"]), (PRE, t["tRAS"])]
        return [] if relation == "channel" else [(ACT, t["tRRD" + one]), (REFB, t["tRAS"] + t["tRP"])]
    if command == PRE:
        if relation == "bank":
            return [(ACT, t["tRP"]), (REF, t["tRP"]), (REFB, t["tRP"])]
        return [(PRE, t["tPPD"])] if config.standard == "LPDDR4" and relation != "channel" else []
    if command == REF:
        return [] if relation == "channel" else [(ACT, t["tRFC"]), (REF, t["tRFC"])]
    if command == REFB and relation in ("group", "rank"):  # the tool never blocks the bank itself
        return [(ACT, t["tRFC"]), (REFB, t["tREFI"])]
    return []


class Stepped:
    """All channels of a memory, offered requests in order."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.counts = np.zeros(COUNTERS, np.int64)
        self.log: list[tuple[int, ...]] = []
        self.channels = [Channel(config, at, self.counts, self.log) for at in range(config.channels)]
        self.clock, self.offered, self.accepted = 0, 0, 0  # clocks done; accepted in this one; last one
        self.tick()

    def tick(self) -> None:
        """One clock of all channels."""
        for channel in self.channels:
            channel.tick()
        self.clock += 1
        self.offered = 0

    def serve(self, first: int, step: int, count: int, write: int, tag: int, ready: int) -> int:
        """Offer a run of requests, none before clock `ready`; returns the clock of the last acceptance."""
        done = 0
        while True:
            if self.clock >= ready:
                while done < count and self._offer(first + done * step, bool(write), tag):
                    done += 1
                if done >= count:
                    return self.clock
            self.tick()

    def finish(self, tag: int) -> int:
        """Wait for the reads of a tag; returns the clock of the last of their data."""
        while any(channel.awaited(tag) for channel in self.channels):
            self.tick()
        last = 0
        for channel in self.channels:
            data = [at for at, _, of in channel.returns if of == tag]
            last = max([last, channel.last.pop(tag, 0), *data])
            channel.returns = [(at, when, -1 if of == tag else of) for at, when, of in channel.returns]
        return last

    def drain(self) -> int:
        """Wait for everything; returns the clocks up to the last data or acceptance."""
        while any(channel.busy() or channel.returns for channel in self.channels):
            self.tick()
        last = int(self.counts[LAST_RETURN])
        return max(last + 1 if last else 0, self.accepted)

    def _offer(self, address: int, write: bool, tag: int) -> bool:
        config = self.config
        if self.offered == config.inj:
            return False
        limit = config.max_outstanding
        if limit and sum(channel.awaited() for channel in self.channels) >= limit:
            return False
        place = {
            key: address // config.request_bytes >> at & ((1 << width) - 1)
            for key, (at, width) in config.fields().items()
        }
        request = Request(address, write, place["ra"], place["bg"], place["ba"], place["ro"], place["co"])
        if not self.channels[place["ch"]].offer(request, tag):
            return False
        self.offered += 1
        self.accepted = self.clock
        return True
