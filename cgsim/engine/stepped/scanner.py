"""What a column group asks for before a vector can enter: the index scanner with its queue, and the banks."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence


class Scanner:
    """Reads gate bits and queues the candidates that at least one of their bits asks for.

    A cycle reads `bits_per_cycle` bits: as many whole candidates as fit, or a piece of one candidate where
    its bits do not fit. What was found is known in the last cycle of reading, and pushed in the same cycle
    as far as the queue has room; nothing is read while something found waits for room.
    """

    def __init__(self, bits: Sequence[Sequence[bool]], bits_per_cycle: int, depth: int) -> None:
        """`bits` [candidate][bit], the same number of bits each; the queue holds `depth` indices."""
        self.bits, self.bits_per_cycle, self.depth = bits, bits_per_cycle, depth
        self.needed = sum(any(candidate) for candidate in bits)
        self.queue: deque[int] = deque()
        self._next = 0  # the first candidate that has not been read to its end
        self._offset = 0  # bits of that candidate which have been read
        self._any = False  # whether one of those is on
        self._found: deque[int] = deque()  # known to be needed, not queued yet

    def turn(self) -> None:
        """One cycle, before the queue is popped in it."""
        if not self._found:
            self._read()
        while self._found and len(self.queue) < self.depth:
            self.queue.append(self._found.popleft())

    def _read(self) -> None:
        if self._next == len(self.bits):
            return
        size = len(self.bits[self._next])
        if size > self.bits_per_cycle:
            piece = self.bits[self._next][self._offset : self._offset + self.bits_per_cycle]
            self._any = self._any or any(piece)
            self._offset += len(piece)
            if self._offset < size:
                return
            window = [self._any]
        else:
            end = self._next + self.bits_per_cycle // size
            window = [any(candidate) for candidate in self.bits[self._next : end]]
        self._found.extend(self._next + i for i, on in enumerate(window) if on)
        self._next += len(window)
        self._offset, self._any = 0, False


class Banks:
    """The activation buffer: one word per bank and cycle, which every column group may take."""

    def __init__(self, count: int | None) -> None:
        """`count` banks, None for a buffer without conflicts."""
        self.count = count
        self._taken: dict[int, Hashable] = {}

    def turn(self) -> None:
        """A new cycle: every bank is free."""
        self._taken = {}

    def grant(self, index: int, word: Hashable) -> bool:
        """True if the word, which lies in bank `index` modulo the banks, can be read in this cycle."""
        return self.count is None or self._taken.setdefault(index % self.count, word) == word
