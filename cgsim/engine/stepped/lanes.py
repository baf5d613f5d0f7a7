"""Column groups that walk through the steps of a layer together, and what their cycles went to."""

from __future__ import annotations

from collections import Counter

from cgsim.engine.stepped.accounts import account, account_free
from cgsim.engine.stepped.groups import NEVER, Sequencer, Timing
from cgsim.engine.stepped.program import Step


class Lane:
    """One clock: all groups, or with `group_sync: layer` a single one.

    Within a step its groups start every round together (one sequencer), or each has its own rounds.
    """

    def __init__(self, groups: list[int], together: bool, rules: Timing, tiles: int) -> None:
        """An idle lane of `groups` before the first step."""
        self.groups, self.together, self.rules = groups, together, rules
        self.counts: Counter[str] = Counter()
        self.current = 0
        self.running: Step | None = None
        self.sequencers: list[Sequencer] = []
        self.begun = 0
        self.finished = NEVER  # done with the last step
        self.free = 0  # when the next load may begin
        self.chain = -NEVER  # end of the last fold
        self.decided = [0] * tiles
        self.left = [0] * tiles

    def holds(self, step: Step) -> bool:
        """True if a group of the lane holds a slot in the step's tile."""
        return min(self.groups) < step.holders

    def runs(self, step: Step) -> bool:
        """True if a group of the lane takes part in a round of the step."""
        return any(round_.streams[group] for round_ in step.rounds for group in self.groups)

    def begin(self, step: Step, now: int, first_load: int) -> None:
        """Start the step; `first_load` cycles of its first load are over."""
        self.running, self.begun = step, now
        members = [self.groups] if self.together else [[group] for group in self.groups]
        self.sequencers = []
        for own in members:
            rounds = [
                {group: stream for group in own if (stream := round_.streams[group])}
                for round_ in step.rounds
            ]
            rounds = [streams for streams in rounds if streams]
            if rounds:
                self.sequencers.append(Sequencer(rounds, self.rules, now - first_load, self.chain))

    def end(self, first_load: int) -> int:
        """Account for the step that is running; returns when its last result leaves."""
        step, self.running = self.running, None
        assert step is not None
        phase = "conditional" if step.conditional else "base"
        if self.together:
            present = [
                round_.present if len(self.groups) > 1 else 1
                for round_ in step.rounds
                if any(round_.streams[group] for group in self.groups)
            ]
            self.counts += account(self.sequencers[0], present, self.begun, phase, first_load)
        else:
            self.counts += account_free(self.sequencers, step, self.begun, phase, first_load)
        for own in self.sequencers:
            leaving = own.ends[-1] + self.rules.exit
            self.free = max(self.free, own.starts[-1] if self.rules.overlapped else leaving)
            self.chain = max(self.chain, own.ends[-1])
            self.left[step.tile] = max(self.left[step.tile], leaving)
        return self.chain + self.rules.exit
