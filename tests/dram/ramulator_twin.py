"""Ramulator 2.1's controllers in plain Python, one loop turn per clock: the twin of cgsim/dram/ramulator.py.

Written from the rules and the tree of nodes that the constraints speak of, without any shortcut: every
clock every queue is scanned, every constraint is looked up where it was put.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cgsim.dram.ramulator_config import STANDARDS, Config

CHANNEL, RANK, GROUP, BANK, ROW, COLUMN = range(6)
CLOSED, ACTIVATING, OPEN = range(3)
CLOSING = {"PREpb", "PREab", "RDA", "WRA"}
READS = {"RD", "RDA"}
COLUMNS = {"RD", "WR", "RDA", "WRA"}


@dataclass(eq=False)
class Request:
    where: list[int]  # channel, rank, group, bank, row, column; -1: all
    final: str
    address: int = -1
    write: int = -1  # -1: maintenance
    arrive: int = -1
    tag: int = -1
    command: str = ""
    counted: bool = False


class Node:
    """A node of the tree: when each command may issue next, and when each issued last."""

    def __init__(self, config: Config, level: int, index: int) -> None:
        self.level, self.index = level, index
        self.constraints = [c for c in config.constraints if c.level == level]
        self.ready: dict[str, int] = {}
        self.history: dict[str, list[int]] = {}
        counts = (1, config.ranks, config.bank_groups, config.banks)
        self.children = []
        if level < BANK:
            self.children = [Node(config, level + 1, i) for i in range(counts[level + 1])]
        self.state, self.row = CLOSED, -1

    def issued(self, command: str, where: list[int], clock: int) -> None:
        if where[self.level] not in (-1, self.index):
            for c in self.constraints:
                if c.sibling and command in c.preceding:
                    self._forbid(c.following, clock + c.latency)
            return
        history = self.history.setdefault(command, [])
        history.insert(0, clock)
        del history[64:]
        for c in self.constraints:
            if not c.sibling and command in c.preceding and len(history) >= c.window:
                self._forbid(c.following, history[c.window - 1] + c.latency)
        for child in self.children:
            child.issued(command, where, clock)

    def _forbid(self, commands: tuple[str, ...], until: int) -> None:
        for command in commands:
            self.ready[command] = max(self.ready.get(command, -1), until)

    def may(self, command: str, where: list[int], clock: int) -> bool:
        if clock < self.ready.get(command, -1):
            return False
        if not self.children:
            return True
        index = where[self.level + 1]
        children = self.children if index == -1 else [self.children[index]]
        return all(child.may(command, where, clock) for child in children)


@dataclass
class Counts:
    values: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, amount: int = 1) -> None:
        self.values[name] = self.values.get(name, 0) + amount


class Controller:
    """One channel."""

    def __init__(self, config: Config, channel: int, counts: Counts, log: list) -> None:
        self.config, self.channel, self.counts, self.log = config, channel, counts, log
        self.clock = 0
        self.root = Node(config, CHANNEL, channel)
        self.banks = [b for r in self.root.children for g in r.children for b in g.children]
        self.reads: list[Request] = []
        self.writes: list[Request] = []
        self.priority: list[Request] = []
        self.active: list[Request] = []
        self.active_in = [0] * len(self.banks)
        self.pending: deque[tuple[int, Request]] = deque()
        self.write_mode = False
        self.last_write = 0
        self.returned: list[tuple[int, Request]] = []
        self.accesses = [0] * len(self.banks)
        self.injected = [False] * len(self.banks)
        self.next_bank = 0
        # LPDDR5
        self.activating: list[Request] = []
        self.deadline: dict[int, int] = {}
        self.wck_expiry = 0
        self.after_cas: tuple[Request, list[Request]] | None = None
        t = config.timing
        if config.refresh == "PerBank":
            self.refresh_at = [t["nREFIpb"]]
        elif config.refresh == "AllBank":
            spread = config.scatter_interval
            self.refresh_at = [(r + 1) * spread if spread else t["nREFI"] for r in range(config.ranks)]
        else:
            self.refresh_at = []

    # -- what a request needs next

    def flat(self, where: list[int]) -> int:
        return (where[RANK] * self.config.bank_groups + where[GROUP]) * self.config.banks + where[BANK]

    def targets(self, command: str, where: list[int]) -> list[int]:
        if command in ("PREab", "REFab"):
            per_rank = len(self.banks) // self.config.ranks
            return list(range(where[RANK] * per_rank, (where[RANK] + 1) * per_rank))
        return [self.flat(where)]

    def next_command(self, request: Request) -> str:
        final = request.final
        if final == "REFab":
            open_ = any(self.banks[b].state != CLOSED for b in self.targets(final, request.where))
            return "PREab" if open_ else final
        bank = self.banks[self.flat(request.where)]
        if final == "REFpb":
            return "PREpb" if bank.state != CLOSED else final
        if final == "PREpb":
            return final
        if bank.state == CLOSED:
            return "ACT1" if self.config.standard == "LPDDR5" else "ACT"
        if bank.state == ACTIVATING:
            return "ACT2"
        return final if bank.row == request.where[ROW] else "PREpb"

    def may(self, command: str, where: list[int]) -> bool:
        return self.root.may(command, where, self.clock)

    def closes_active(self, request: Request) -> bool:
        if request.command not in CLOSING:
            return False
        return any(self.active_in[b] > 0 for b in self.targets(request.command, request.where))

    def hit(self, request: Request) -> bool:
        bank = self.banks[self.flat(request.where)]
        return bank.state == OPEN and bank.row == request.where[ROW]

    # -- choosing

    def best(self, queue: list[Request], allowed) -> Request | None:
        for request in queue:
            request.command = self.next_command(request)
        oldest_hit: dict[int, int] = {}
        if self.config.scheduler == "FRFCFS-RowHit":
            for request in queue:
                bank = self.flat(request.where)
                if self.hit(request):
                    oldest_hit[bank] = min(oldest_hit.get(bank, request.arrive), request.arrive)
        chosen = None
        for request in queue:
            if not allowed(request):
                continue
            if request.command == "PREpb":
                bank = self.flat(request.where)
                if bank in oldest_hit and oldest_hit[bank] <= request.arrive:
                    continue
            if not self.may(request.command, request.where):
                continue
            if chosen is None or request.arrive < chosen.arrive:
                chosen = request
        return chosen

    def from_priority(self, allowed) -> Request | None:
        if not self.priority:
            return None
        head = self.priority[0]
        head.command = self.next_command(head)
        ready = self.may(head.command, head.where) and not self.closes_active(head)
        return head if ready and allowed(head) else None

    def from_queues(self, allowed) -> tuple[Request | None, list[Request]]:
        c = self.config
        if not self.write_mode:
            if len(self.writes) > c.enter_writes or not self.reads:
                self.write_mode = True
        elif len(self.writes) < c.leave_writes and self.reads:
            self.write_mode = False
        queue = self.writes if self.write_mode else self.reads
        return self.best(queue, lambda r: not self.closes_active(r) and allowed(r)), queue

    def choose(self, allowed, active=True) -> tuple[Request | None, list[Request]]:
        chosen = self.best(self.active, allowed) if active else None
        if chosen:
            return chosen, self.active
        chosen = self.from_priority(allowed)
        if chosen:
            return chosen, self.priority
        if not self.priority:
            return self.from_queues(allowed)
        return None, self.priority

    # -- issuing

    def count_row(self, request: Request) -> None:
        if request.counted or request.write < 0:
            return
        request.counted = True
        if self.hit(request):
            self.counts.add("row_hits")
            self.counts.add("write_row_hits" if request.write else "read_row_hits")
        elif self.banks[self.flat(request.where)].state == OPEN:
            self.counts.add("row_conflicts")
        else:
            self.counts.add("row_misses")

    def issue(self, command: str, request: Request) -> None:
        self.root.issued(command, request.where, self.clock)
        for index in self.targets(command, request.where):
            bank = self.banks[index]
            if command == "ACT1":
                bank.state = ACTIVATING
            elif command in ("ACT", "ACT2"):
                bank.state, bank.row = OPEN, request.where[ROW]
            elif command in CLOSING:
                bank.state, bank.row = CLOSED, -1
                self.accesses[index], self.injected[index] = 0, False
            if command in ("RD", "WR"):
                self.accesses[index] += 1
        self.log.append((self.clock, command, *request.where, request.write))
        self.counts.add(command)
        if command == "PREpb" and request.write >= 0:
            self.counts.add("ondemand_precharges")

    def upgrade(self, request: Request) -> None:
        if self.config.row_policy != "ClosedCAP" or request.command not in ("RD", "WR"):
            return
        if self.accesses[self.flat(request.where)] < self.config.cap:
            return
        if self.may(request.command + "A", request.where):
            request.command = request.final = request.command + "A"

    def issue_request(self, request: Request, queue: list[Request]) -> None:
        self.upgrade(request)
        self.count_row(request)
        self.issue(request.command, request)
        if request.command == request.final:
            self.retire(request, queue)
        elif request.command == "ACT":
            self.promote(request, queue)

    def retire(self, request: Request, queue: list[Request]) -> None:
        if queue is self.active:
            self.active_in[self.flat(request.where)] -= 1
        if request.write == 0:
            self.pending.append((self.clock + self.config.read_latency, request))
        elif request.write == 1:
            self.last_write = self.clock
        queue.remove(request)

    def promote(self, request: Request, queue: list[Request]) -> None:
        if len(self.active) < len(self.banks):
            self.active.append(request)
            self.active_in[self.flat(request.where)] += 1
            queue.pop(next(i for i, other in enumerate(queue) if other is request))

    # -- one clock

    def send(self, request: Request) -> bool:
        if request.write == 0:
            request.final = "RD"
            if any(write.address == request.address for write in self.writes):
                request.arrive = self.clock
                self.pending.append((self.clock + 1, request))
                self.counts.add("forwarded_reads")
                return True
            queue, size = self.reads, self.config.read_queue
        else:
            request.final = "WR"
            if any(write.address == request.address for write in self.writes):
                self.counts.add("merged_writes")
                return True
            queue, size = self.writes, self.config.write_queue
        if len(queue) >= size:
            return False
        request.arrive = self.clock
        queue.append(request)
        return True

    def tick(self) -> None:
        self.clock += 1
        while self.pending and self.pending[0][0] <= self.clock:
            when, request = self.pending.popleft()
            self.returned.append((when, request))
            self.counts.add("latency_sum", when - request.arrive)
        self.refresh()
        self.cap_rows()
        if self.config.standard == "DDR4":
            request, queue = self.choose(lambda r: True)
            if request:
                self.issue_request(request, queue)
        elif self.config.standard == "HBM2":
            for column in (True, False):
                request, queue = self.choose(
                    lambda r, column=column: (r.command in COLUMNS) == column, active=column
                )
                if request:
                    self.issue_request(request, queue)
        else:
            self.tick_lpddr5()

    def refresh(self) -> None:
        t = self.config.timing
        for index, when in enumerate(self.refresh_at):
            if when != self.clock:
                continue
            if self.config.refresh == "AllBank":
                self.refresh_at[index] += t["nREFI"]
                self.priority.append(Request([self.channel, index, -1, -1, -1, -1], "REFab"))
            else:
                self.refresh_at[index] += t["nREFIpb"]
                self.priority.append(Request(self.address_of(self.next_bank), "REFpb"))
                self.next_bank = (self.next_bank + 1) % len(self.banks)

    def address_of(self, bank: int) -> list[int]:
        c = self.config
        rank, rest = divmod(bank, c.bank_groups * c.banks)
        return [self.channel, rank, rest // c.banks, rest % c.banks, -1, -1]

    def cap_rows(self) -> None:
        if self.config.row_policy != "ClosedCAP":
            return
        for index in range(len(self.banks)):
            if self.accesses[index] < self.config.cap or self.injected[index]:
                continue
            where = self.address_of(index)
            if self.may("PREpb", where) and len(self.priority) < self.config.priority_queue:
                self.priority.append(Request(where, "PREpb"))
                self.injected[index] = True

    # -- LPDDR5: two activate commands, and CAS before a column command when WCK is not running

    def tick_lpddr5(self) -> None:
        urgent = self.pending_act2(urgent=True)
        if self.after_cas:
            assert urgent is None
            request, queue = self.after_cas
            if self.may(request.command, request.where):
                self.after_cas = None
                self.extend_wck(request.command)
                self.count_row(request)
                self.issue(request.command, request)
                if request.command == request.final:
                    self.retire(request, queue)
            return
        if urgent:
            self.issue_act2(urgent)
            return
        request, queue = self.choose(self.allowed_lpddr5)
        if request is None:
            deferred = self.pending_act2(urgent=False)
            if deferred:
                self.issue_act2(deferred)
            return
        command = request.command
        if command in COLUMNS and not self.config.wck_always_on and self.clock >= self.wck_expiry:
            if any(deadline <= self.clock + 1 for deadline in self.deadline.values()):
                self.issue_act2(self.pending_act2(urgent=False))
                return
            cas = "CAS_RD" if command in READS else "CAS_WR"
            if self.may(cas, request.where):
                self.issue(cas, request)
                self.after_cas = request, queue
            return
        self.upgrade(request)
        if command in COLUMNS:
            self.extend_wck(request.command)
        self.count_row(request)
        self.issue(request.command, request)
        if command == "ACT1":
            self.activating.append(request)
            queue.remove(request)
            self.deadline[self.flat(request.where)] = self.clock + self.config.timing["nAAD"]
        elif request.command == request.final:
            self.retire(request, queue)

    def allowed_lpddr5(self, request: Request) -> bool:
        if request.command == "ACT2":
            return False
        if not self.deadline:
            return True
        if request.command == "ACT1":
            return False
        if request.command in COLUMNS and request.command not in CLOSING:
            return True
        return not any(b in self.deadline for b in self.targets(request.command, request.where))

    def pending_act2(self, urgent: bool) -> Request | None:
        best, best_key = None, None
        for request in self.activating:
            deadline = self.deadline[self.flat(request.where)]
            if urgent and deadline > self.clock:
                continue
            if not self.may("ACT2", request.where):
                continue
            if best is None or (deadline, request.arrive) < best_key:
                best, best_key = request, (deadline, request.arrive)
        return best

    def issue_act2(self, request: Request) -> None:
        self.count_row(request)
        self.issue("ACT2", request)
        del self.deadline[self.flat(request.where)]
        self.activating.remove(request)
        self.active.append(request)
        self.active_in[self.flat(request.where)] += 1

    def extend_wck(self, command: str) -> None:
        t = self.config.timing
        latency = t["nCL"] if command in READS else t["nCWL"]
        self.wck_expiry = max(self.wck_expiry, self.clock + latency + t["nBL_min"] + t["nWCKPST"])

    @property
    def idle(self) -> bool:
        return not (self.reads or self.writes or self.active or self.activating or self.pending)


class Twin:
    """All channels, and the requests offered to them in order."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.counts = Counts()
        self.log: list[tuple] = []
        self.channels = [Controller(config, i, self.counts, self.log) for i in range(config.channels)]
        self.clock = self.used = self.accepted = 0
        self.returns: dict[int, int] = {}

    def locate(self, address: int) -> list[int]:
        c = self.config
        bits = lambda count: count.bit_length() - 1  # noqa: E731
        shift = bits(c.request_bytes) + c.interleave_bits
        channel = address >> shift & c.channels - 1
        address = (address >> shift + bits(c.channels) << shift) | address & (1 << shift) - 1
        rest = address >> bits(c.request_bytes)

        def take(count: int) -> int:
            nonlocal rest
            value = rest % count
            rest //= count
            return value

        columns = c.columns // c.prefetch
        if c.mapper == "RoBaRaCoCh":
            column = take(columns)
            rank, group, bank = take(c.ranks), take(c.bank_groups), take(c.banks)
            row = take(c.rows)
        elif c.mapper == "ChRaBaRoCo":
            column, row = take(columns), take(c.rows)
            bank, group, rank = take(c.banks), take(c.bank_groups), take(c.ranks)
        elif c.mapper == "MOP4CLXOR":
            column = take(4)
            rank, group, bank = take(c.ranks), take(c.bank_groups), take(c.banks)
            column += take(columns // 4) * 4
            row = rest
            rank ^= column % c.ranks
            group ^= column // c.ranks % c.bank_groups
            bank ^= column // c.ranks // c.bank_groups % c.banks
            row ^= column // c.ranks // c.bank_groups // c.banks % c.rows
        else:
            rank = take(c.ranks) if c.standard == "HBM2" else 0
            group, column = take(c.bank_groups), take(columns)
            rank = rank if c.standard == "HBM2" else take(c.ranks)
            bank, row = take(c.banks), take(c.rows)
        return [channel, rank, group, bank, row, column]

    def tick(self) -> None:
        for channel in self.channels:
            channel.tick()
            for when, request in channel.returned:
                self.returns[request.tag] = when
            channel.returned.clear()
        self.clock += 1
        self.used = 0

    def waiting(self) -> int:
        """Reads accepted whose data have not come."""
        return sum(
            len(c.reads) + len(c.pending) + sum(r.write == 0 for r in c.active + c.activating)
            for c in self.channels
        )

    def serve(self, address: int, write: int, tag: int = -1, ready: int = 0) -> int:
        while True:
            if self.used >= self.config.inj or self.clock < ready:
                self.tick()
                continue
            where = self.locate(address)
            limit = self.config.max_outstanding
            blocked = limit and self.waiting() >= limit
            request = Request(where, "", address, write, tag=tag)
            if not blocked and self.channels[where[0]].send(request):
                self.used += 1
                self.accepted = self.clock
                self.counts.add("writes" if write else "reads")
                return self.clock
            self.tick()

    def drain(self) -> int:
        while not all(channel.idle for channel in self.channels):
            self.tick()
        return max(max(self.returns.values(), default=0), *(c.last_write for c in self.channels))


assert set(STANDARDS) == {"DDR4", "HBM2", "LPDDR5"}
