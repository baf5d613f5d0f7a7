"""Column groups that go through their rounds cycle by cycle, together or each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cgsim.engine.stepped.indices import IndexQueue
from cgsim.engine.stepped.rounds import Stream
from cgsim.hardware import Hardware

NEVER = 1 << 60
Streams = dict[int, Stream]  # of the groups that take part in a round


@dataclass(frozen=True)
class Timing:
    """Rules of the array in cycles."""

    rows: int
    exit: int
    """From a vector's entry to the exit of its last result."""
    overlapped: bool
    chained: bool
    """Results of a fold are shifted down `rows` cycles before those of the next may follow (`os`)."""
    scan_bits: int
    gate_bits: int
    fifo_depth: int
    banks: int | None
    """Of the activation buffer; None: no conflicts."""


def timing(hardware: Hardware, feeds: int, gate_bits: int) -> Timing:
    """Rules of `hardware` with `feeds` column groups; a candidate has `gate_bits` gate bits."""
    array, unit = hardware.array, hardware.gate_unit
    shifts = array.dataflow == "os" and array.pipelining != "scalesim"
    ideal = unit.activation_banks == "ideal" or array.dataflow == "is" or feeds == 1
    return Timing(
        rows=array.rows,
        exit=array.rows + array.cols - 2 + (array.rows if shifts else 0),
        overlapped=array.pipelining == "overlapped",
        chained=array.dataflow == "os" and array.pipelining == "overlapped",
        scan_bits=unit.scan_bits_per_cycle,
        gate_bits=gate_bits,
        fifo_depth=unit.fifo_depth,
        banks=None if ideal else int(unit.activation_banks),
    )


class Feed:
    """One group's stream of one round."""

    def __init__(self, stream: Stream, rules: Timing) -> None:
        """A stream of which no vector has entered yet."""
        self.stream = stream
        self.left = list(stream.positions)
        self.queue = None
        if stream.needs is not None:
            self.queue = IndexQueue(stream.needs, rules.gate_bits, rules.scan_bits, rules.fifo_depth)

    def wanted(self) -> int | None:
        """The position of the vector that could enter; to be asked once per cycle."""
        if self.queue is None:
            return self.left[0] if self.left else None
        self.queue.turn()
        return self.queue.queue[0] if self.queue.queue else None

    def enter(self) -> None:
        """The wanted vector enters."""
        del self.left[0]
        if self.queue is not None:
            del self.queue.queue[0]


class Banks:
    """The activation buffer in one cycle: one word per bank, for all who want the same."""

    def __init__(self, count: int | None) -> None:
        """All of `count` banks untaken; None: as many as anybody wants."""
        self.count = count
        self.taken: dict[int, tuple[object, ...]] = {}

    def grant(self, position: int, word: tuple[object, ...]) -> bool:
        """True if the word at `position` can be read."""
        if self.count is None:
            return True
        wanted = (*word, position)
        return self.taken.setdefault(position % self.count, wanted) == wanted


class Sequencer:
    """Takes its groups through the rounds of a step, which they start together."""

    def __init__(self, rounds: Sequence[Streams], rules: Timing, loading: int, chain: int) -> None:
        """The first load begins in cycle `loading`; `chain`: end of the fold before."""
        self.rounds, self.rules, self.loading, self.chain = rounds, rules, loading, chain
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.feeds: dict[int, Feed] = {}

    def prepare(self, now: int) -> None:
        """Start the next round if the last one has streamed and the load is complete."""
        turn = len(self.starts)
        if len(self.ends) < turn or turn == len(self.rounds):
            return
        begun = self.loading
        if turn:
            begun = self.starts[-1] if self.rules.overlapped else self.ends[-1] + self.rules.exit
        if now >= begun + load(self.rounds[turn]):
            self.starts.append(now)
            self.feeds = {group: Feed(own, self.rules) for group, own in self.rounds[turn].items()}

    def stream(self, group: int, now: int, banks: Banks) -> None:
        """The cycle of one group."""
        feed = self.feeds.get(group)
        if feed is None:
            return
        position = feed.wanted()
        before = self.ends[-1] if self.ends else self.chain
        held = self.rules.chained and len(feed.left) == 1 and now + 1 < before + self.rules.rows
        if position is not None and not held and banks.grant(position, feed.stream.word):
            feed.enter()

    def settle(self, now: int) -> None:
        """The end of the cycle: the round is over if every vector has entered."""
        if self.feeds and not any(feed.left for feed in self.feeds.values()):
            self.ends.append(now + 1)
            self.feeds = {}

    @property
    def done(self) -> bool:
        """True if all rounds have streamed."""
        return len(self.ends) == len(self.rounds)


def load(streams: Streams) -> int:
    """Cycles of a round's load: groups that start together load together."""
    return max(stream.load for stream in streams.values())


def turn(sequencers: Sequence[Sequencer], groups: int, now: int, banks: int | None) -> None:
    """One cycle of sequencers that share the activation buffer; lower groups are served first."""
    for sequencer in sequencers:
        sequencer.prepare(now)
    shared = Banks(banks)
    for group in range(groups):
        for sequencer in sequencers:
            sequencer.stream(group, now, shared)
    for sequencer in sequencers:
        sequencer.settle(now)


def rehearse(sequencer: Sequencer) -> Sequencer:
    """The same rounds run to their end by themselves, without bank conflicts."""
    own = Sequencer(sequencer.rounds, sequencer.rules, sequencer.loading, sequencer.chain)
    now = own.loading
    while not own.done:
        turn([own], 1 + max(max(streams) for streams in own.rounds), now, None)
        now += 1
    return own
