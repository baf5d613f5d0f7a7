"""The order of things on the array: rounds of folds, who waits for whom, the decision between the phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cgsim.engine.stepped.array import Fold, Group, OutputFold, Run, Sink
from cgsim.engine.stepped.scanner import Banks

Round = Mapping[int, Fold | OutputFold]
"""The fold of each group that takes part, by the group's number."""


@dataclass
class Team:
    """Column groups that go through their rounds together: all (`fold`), or each alone (`tile`, `layer`)."""

    groups: dict[int, Group]
    overlapped: bool
    rounds: list[Round] = field(default_factory=list)
    loaded: int = 0
    """Rounds whose load has begun."""
    started: int = 0
    """Rounds that have started."""
    decided: int = -1
    """Cycle in which the gates of this team's outputs are known; -1: not known yet."""

    def append(self, rounds: Sequence[Round]) -> None:
        """Queue the part that the team's groups have in `rounds`."""
        for whole in rounds:
            own = {number: fold for number, fold in whole.items() if number in self.groups}
            if own:
                self.rounds.append(own)

    @property
    def done(self) -> bool:
        """True if every result of every queued round has left."""
        return self.started == len(self.rounds) and all(group.left for group in self.groups.values())

    @property
    def runs(self) -> list[Run]:
        """The folds that have started, of all groups."""
        return [run for group in self.groups.values() for run in group.runs]

    def sequence(self, cycle: int) -> None:
        """Begin loads and start rounds that may begin or start in this cycle."""
        self._load(cycle)
        self._start(cycle)
        self._load(cycle)

    def _load(self, cycle: int) -> None:
        if self.loaded == len(self.rounds) or self.started < self.loaded:
            return
        if self.overlapped or all(group.left for group in self.groups.values()):
            for number, fold in self.rounds[self.loaded].items():
                self.groups[number].begin_load(fold, self.loaded, cycle)
            self.loaded += 1

    def _start(self, cycle: int) -> None:
        if self.started == self.loaded or any(group.streaming for group in self.groups.values()):
            return
        users = [self.groups[number] for number in self.rounds[self.started]]
        if all(group.loaded for group in users):
            for group in users:
                group.start(cycle)
            self.started += 1

    def chains_free(self) -> bool:
        """True if no result of an earlier round stands in the way of the last vectors of the current one."""
        return all(group.chain_free(self.started - 1) for group in self.groups.values())


def run(
    teams: Sequence[Team],
    banks: Banks,
    sink: Sink,
    decide: Callable[[Team], Sequence[Round]] | None,
    latency: int,
    meet: bool,
) -> int:
    """Turn the clock until everything has left; returns the number of cycles.

    The teams hold their first phase. `decide` is asked for a team's conditional rounds `latency` cycles after
    the last result of its first phase, or with `meet` of the first phase of all teams, has left.
    """
    cycle = 0
    undecided = list(teams) if decide is not None else []
    while True:
        waiting = [team for team in undecided if team.decided < 0]
        if not meet or all(team.done for team in teams):
            for team in waiting:
                if team.done:
                    team.decided = cycle + latency
        for team in [team for team in undecided if team.decided == cycle]:
            assert decide is not None
            team.append(decide(team))
            undecided.remove(team)
        if not undecided and all(team.done for team in teams):
            return cycle
        turn(teams, banks, sink, cycle)
        cycle += 1


def turn(teams: Sequence[Team], banks: Banks, sink: Sink, cycle: int) -> None:
    """One cycle of the array."""
    members = sorted((number, group, team) for team in teams for number, group in team.groups.items())
    for team in teams:
        team.sequence(cycle)
    for _, group, _ in members:
        group.shift()
    free = {id(team): team.chains_free() for team in teams}
    banks.turn()
    for _, group, team in members:
        group.feed(cycle, banks, free[id(team)])
    for _, group, _ in members:
        group.compute(cycle, sink)
    for _, group, _ in members:
        group.load()
