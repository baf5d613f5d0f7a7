"""What the cycles of a step went to, from when its rounds started and ended."""

from __future__ import annotations

from collections import Counter
from math import ceil

from cgsim.engine.stepped.groups import Feed, Sequencer, Timing, load, rehearse
from cgsim.engine.stepped.program import Step
from cgsim.engine.stepped.rounds import Stream


def stream_cycles(stream: Stream, rules: Timing) -> int:
    """Cycles in which a group's vectors enter if nobody else reads the activation buffer."""
    feed, cycles = Feed(stream, rules), 0
    while feed.left:
        if feed.wanted() is not None:
            feed.enter()
        cycles += 1
    return cycles


def account(
    sequencer: Sequencer, present: list[int], begun: int, phase: str, first_load: int
) -> Counter[str]:
    """Cycles of a step that began at `begun` by cause, `present` [round] groups sharing the array.

    `first_load`: cycles of the step's first load that lie before `begun`.
    """
    rules, counts = sequencer.rules, Counter[str]()
    counts["gate_unit_stall"] += max(0, load(sequencer.rounds[0]) - first_load)
    assert sequencer.starts[0] == begun + counts["gate_unit_stall"]
    last = len(sequencer.rounds) - 1
    for i, streams in enumerate(sequencer.rounds):
        needed = [len(stream.positions) for stream in streams.values()]
        mean = ceil(sum(needed) / present[i])
        stream = max(stream_cycles(own, rules) for own in streams.values())
        counts[phase] += mean
        counts["group_imbalance_stall"] += max(needed) - mean
        counts["gate_unit_stall"] += stream - max(needed)
        took = sequencer.ends[i] - sequencer.starts[i]
        held = 0
        if rules.chained:
            before = sequencer.ends[i - 1] if i else sequencer.chain
            held = max(0, before + rules.rows - sequencer.starts[i] - stream)
        banked = took - held
        counts["bank_conflict_stall"] += banked - stream
        if i == last:
            counts["drain"] += held
            continue
        following = load(sequencer.rounds[i + 1])
        usual = min(following, rules.rows)
        if not rules.overlapped:
            counts["drain"] += rules.exit
            counts["load_weights"] += usual
            counts["gate_unit_stall"] += following - usual
            continue
        weights = max(0, usual - banked)
        gap = max(0, following - banked)
        counts["load_weights"] += weights
        counts["gate_unit_stall"] += gap - weights
        counts["drain"] += max(0, held - gap)
    assert min(counts.values()) >= 0
    assert sum(counts.values()) == sequencer.ends[-1] - begun
    return counts


def account_free(
    sequencers: list[Sequencer], step: Step, begun: int, phase: str, first_load: int
) -> Counter[str]:
    """The same for groups with a sequencer each: the one that takes longest without bank conflicts."""
    ideal = [rehearse(own) for own in sequencers]
    ends = [own.ends[-1] for own in ideal]
    critical = ideal[ends.index(max(ends))]
    counts = account(critical, [1] * len(critical.rounds), begun, phase, first_load)
    counts["bank_conflict_stall"] = max(own.ends[-1] for own in sequencers) - max(ends)
    every = [stream for own in sequencers for streams in own.rounds for stream in streams.values()]
    mean = ceil(sum(len(stream.positions) for stream in every) / max(turn.present for turn in step.rounds))
    own_vectors = counts[phase]
    counts[phase] = min(mean, own_vectors)
    counts["group_imbalance_stall"] += own_vectors - counts[phase]
    return counts
