"""One channel of the stepped controller: queues, banks, and the choice of each clock's commands."""

from __future__ import annotations

from collections import Counter, defaultdict

from cgsim.dram.counters import ACT, PRE, PREA, RD, RDA, REF, REFB, WR, WRA
from cgsim.dram.settings import Config
from cgsim.dram.standards import standard
from cgsim.dram.stepped_losses import DataBus
from cgsim.dram.stepped_state import COLUMN, REFRESH, ROW, ROW_OF_OTHERS, Bank, Candidate, Rank, Request
from cgsim.dram.stepped_timing import Past, Place

_KEPT = 4
"""For how many tRC a row is kept open for requests whose direction does not have its turn."""


class Channel:
    """Counts into `counts`, appends to `log`."""

    def __init__(self, config: Config, index: int, counts: Counter[str], log: list[tuple[int, ...]]) -> None:
        self.config, self.index, self.counts, self.log = config, index, counts, log
        self.standard = t = standard(config.standard)
        ranks = config.ranks * t.pseudo
        self.interval = {"all_bank": t.refi, "per_bank": t.refipb, "none": 0}[config.refresh]
        # The refreshes of ranks take turns, those of pseudo-channels fall due together.
        turns = [0] * t.pseudo if t.pseudo > 1 else range(ranks)
        self.ranks = [Rank(self.interval * (2 * turn + 1) // (2 * config.ranks)) for turn in turns]
        self.banks = {
            Place(rank, group, bank): Bank()
            for rank in range(ranks)
            for group in range(t.groups)
            for bank in range(t.banks)
        }
        buses = [[rank] for rank in range(ranks)] if t.pseudo > 1 else [list(range(ranks))]
        self.of_rank = [
            {place: bank for place, bank in self.banks.items() if place.rank == rank} for rank in range(ranks)
        ]
        self.past = Past(t, buses)
        self.buses = [DataBus(t, self.past, counts) for _ in buses]
        self.row_bus_free = self.column_bus_free = 0  # the same bus unless the standard has two
        self.waiting: dict[bool, list[Request]] = {False: [], True: []}  # reads, writes; oldest first
        self.writing = False
        self.turn = config.queue_depth  # column commands since reads or writes have their turn
        self.last_data = 0  # end of the last data of a write

    def tick(self, now: int) -> list[Request]:
        """One clock: at most one command per command bus. Returns the request that got its column command."""
        self._owe_refreshes(now)
        self._choose_direction()
        served: list[Request] = []
        if self.standard.dual:
            self._issue([c for c in self._ready(now) if c.urgency == COLUMN], now, served)
            self._issue([c for c in self._ready(now) if c.urgency != COLUMN], now, served)
        else:
            self._issue(self._ready(now), now, served)
        for rank in self.ranks:
            self.counts["active_cycles" if rank.open else "idle_cycles"] += 1
        return served

    def _owe_refreshes(self, now: int) -> None:
        for rank in self.ranks:
            if self.interval and rank.due <= now:
                rank.debt += 1
                rank.due += self.interval
            if rank.debt >= self.config.refresh_postponed:
                rank.forced = True

    def _choose_direction(self) -> None:
        reads, writes = len(self.waiting[False]), len(self.waiting[True])
        had_its_turn = self.turn >= self.config.queue_depth
        if not self.writing:
            change = writes > 0 and (reads == 0 or (writes >= self.config.high and had_its_turn))
        else:
            change = writes == 0 or (reads > 0 and (writes <= self.config.low or had_its_turn))
        if change:
            self.writing, self.turn = not self.writing, 0

    # Candidates

    def _ready(self, now: int) -> list[Candidate]:
        """All that may be issued in this clock."""
        return [candidate for candidate in self._candidates() if self._may_issue(candidate, now)]

    def _may_issue(self, candidate: Candidate, now: int) -> bool:
        command, place = candidate.command, candidate.place
        column_bus = self.standard.dual and candidate.urgency == COLUMN
        if (self.column_bus_free if column_bus else self.row_bus_free) > now:
            return False
        if command == PREA and any(self.past.earliest(PRE, at) > now for at in self.ranks[place.rank].open):
            return False
        if command == PRE and candidate.urgency != REFRESH and self._kept(place, now):
            return False
        return self.past.earliest(command, place) <= now

    def _kept(self, place: Place, now: int) -> bool:
        """True if the open row was not used yet, is wanted (by the other direction) and not open for long."""
        opened = self.past.last(ACT, place)
        assert opened is not None
        bank = self.banks[place]
        wanted = any(r.row == bank.row for r in self._all_waiting(place))
        return bank.served == 0 and wanted and now < opened + _KEPT * self.standard.rc

    def _candidates(self) -> list[Candidate]:
        found = []
        kept_free = set()  # banks that are about to be refreshed
        for rank in range(len(self.ranks)):
            refresh = self._refresh(rank)
            if refresh:
                found.append(refresh)
            if self.ranks[rank].forced:
                kept_free.update(self._blocked(rank))
        waiting: dict[Place, dict[bool, list[Request]]] = defaultdict(lambda: {False: [], True: []})
        for write in (False, True):
            for request in self.waiting[write]:
                waiting[request.place][write].append(request)
        for place, requests in waiting.items():
            if place not in kept_free:
                found += self._of_bank(place, requests[self.writing], requests[not self.writing])
        return found

    def _of_bank(self, place: Place, ours: list[Request], others: list[Request]) -> list[Candidate]:
        """The bank's candidate, if it has one. ours: requests of the direction that has its turn."""
        bank = self.banks[place]
        head = ours[0] if ours else others[0]
        urgency = ROW if ours else ROW_OF_OTHERS
        if bank.row is None:
            return [Candidate(urgency, head.number, ACT, place, head)]
        hits = [request for request in (ours or others) if request.row == bank.row]
        if hits and not ours:
            return []
        if hits and (bank.served < self.config.row_hit_cap or hits[0] is head):
            return [Candidate(COLUMN, hits[0].number, self._column_command(hits[0]), place, hits[0])]
        return [Candidate(urgency, head.number, PRE, place, head)]

    def _column_command(self, request: Request) -> int:
        others = (other for other in self._all_waiting(request.place) if other is not request)
        wanted = any(other.row == request.row for other in others)
        if self.config.page_policy == "closed" and not wanted:
            return WRA if request.write else RDA
        return WR if request.write else RD

    # Refresh

    def _refresh(self, rank: int) -> Candidate | None:
        if not self.ranks[rank].debt:
            return None
        if self.config.refresh == "per_bank":
            place = self._refresh_target(rank)
            if place is None:
                return None
            return Candidate(REFRESH, rank, REFB if self.banks[place].row is None else PRE, place)
        if not self.ranks[rank].forced and any(self._wanted(place) for place in self.of_rank[rank]):
            return None
        return Candidate(REFRESH, rank, PREA if self.ranks[rank].open else REF, Place(rank))

    def _refresh_target(self, rank: int) -> Place | None:
        """The bank that is refreshed next: one that nobody waits for, if that can be."""
        left = [place for place, bank in self.of_rank[rank].items() if not bank.refreshed]
        free = [place for place in left if not self._wanted(place)]
        if free:
            return free[0]
        return left[0] if self.ranks[rank].forced else None

    def _blocked(self, rank: int) -> list[Place]:
        """Banks of a rank whose refresh can wait no longer: their requests must."""
        if self.config.refresh == "all_bank":
            return list(self.of_rank[rank])
        target = self._refresh_target(rank)
        return [] if target is None else [target]

    def _wanted(self, place: Place) -> bool:
        return bool(self._all_waiting(place))

    def _all_waiting(self, place: Place) -> list[Request]:
        """Reads and writes that wait for a bank."""
        return [request for request in self.waiting[False] + self.waiting[True] if request.place == place]

    # Issue

    def _issue(self, ready: list[Candidate], now: int, served: list[Request]) -> None:
        if not ready:
            return
        chosen = min(ready, key=lambda candidate: (candidate.urgency, candidate.age))
        command, place, request = chosen.command, chosen.place, chosen.request
        self._log(chosen, now)
        if chosen.urgency == COLUMN:
            assert request is not None
            self._column(request, command, now)
            served.append(request)
        elif command == ACT:
            assert request is not None
            request.activated = True
            self.banks[place].row, self.banks[place].served = request.row, 0
            self.ranks[place.rank].open.add(place)
            self.counts["activates"] += 1
        elif command == PRE:
            self._close(place)
            self.counts["precharges"] += 1
            if request:
                request.precharged = True
                self.counts["ondemand_precharges"] += 1
        elif command == PREA:
            self.counts["precharges"] += len(self.ranks[place.rank].open)
            for at in list(self.ranks[place.rank].open):
                self._close(at)
        else:
            self._refreshed(command, place)
        self.past.note(command, place, now)
        busy = now + (self.standard.act_clocks if command == ACT else 1)
        if chosen.urgency == COLUMN or not self.standard.dual:
            self.column_bus_free = busy
        if chosen.urgency != COLUMN or not self.standard.dual:
            self.row_bus_free = busy

    def _log(self, chosen: Candidate, now: int) -> None:
        command, place, request = chosen.command, chosen.place, chosen.request
        row = column = -1
        if command == PRE:
            row = self.banks[place].row or 0
        elif request:
            row = request.row
            column = request.column if chosen.urgency == COLUMN else -1
        write = int(request is not None and request.write)
        self.log.append((now, command, self.index, *place, row, column, write))
        self.counts["commands_logged"] += 1

    def _column(self, request: Request, command: int, now: int) -> None:
        t, bank, place = self.standard, self.banks[request.place], request.place
        self.buses[place.rank if t.pseudo > 1 else 0].transfer(now, request.write, place, request.arrival)
        self.waiting[request.write].remove(request)
        self.turn = min(self.turn + 1, self.config.queue_depth)
        bank.served += 1
        if command in (RDA, WRA):
            self._close(place)
        kind = "write" if request.write else "read"
        self.counts[f"{kind}_commands"] += 1
        if request.precharged:
            self.counts["row_conflicts"] += 1
        elif request.activated:
            self.counts["row_misses"] += 1
        else:
            self.counts["row_hits"] += 1
            self.counts[f"{kind}_row_hits"] += 1
        if request.write:
            self.last_data = now + t.cwl + t.burst
        else:
            request.back = now + t.cl + t.burst

    def _close(self, place: Place) -> None:
        self.banks[place].row = None
        self.ranks[place.rank].open.remove(place)

    def _refreshed(self, command: int, place: Place) -> None:
        rank = self.ranks[place.rank]
        rank.debt -= 1
        if rank.debt == 0:
            rank.forced = False
        if command == REF:
            self.counts["refreshes"] += 1
            return
        self.counts["bank_refreshes"] += 1
        self.banks[place].refreshed = True
        banks = self.of_rank[place.rank].values()
        if all(bank.refreshed for bank in banks):
            for bank in banks:
                bank.refreshed = False
