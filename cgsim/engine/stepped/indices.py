"""The index scanner and FIFO of one column group, cycle by cycle."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


class IndexQueue:
    """Finds the candidates that are needed, in order, and queues their positions.

    The scanner reads a window of whole candidates at a time, or one candidate over several cycles, and moves
    on when everything that it found in the window is in the FIFO.
    """

    def __init__(self, needs: Sequence[bool], bits: int, scan_bits: int, depth: int) -> None:
        """`needs` [candidates], each of `bits` gate bits; `scan_bits` are read per cycle; FIFO of `depth`."""
        size = max(1, scan_bits // bits)
        self.window_cycles = ceil(bits / scan_bits)
        self.windows = [
            [i for i in range(first, min(first + size, len(needs))) if needs[i]]
            for first in range(0, len(needs), size)
        ]
        self.elapsed = 0  # cycles that the scanner has spent on the first of `windows`
        self.depth = depth
        self.queue: list[int] = []

    def turn(self) -> None:
        """One cycle of the scanner; what it finds may be popped in the same cycle."""
        if not self.windows:
            return
        self.elapsed += 1
        if self.elapsed < self.window_cycles:
            return
        room = self.depth - len(self.queue)
        self.queue += self.windows[0][:room]
        self.windows[0] = self.windows[0][room:]
        if not self.windows[0]:
            del self.windows[0]
            self.elapsed = 0


def load_cycles(queue: IndexQueue, rows: int, count: int) -> int:
    """Cycles in which the row addresses of the next `count` positions are written, popped from `queue`.

    One is popped per cycle; the load takes `rows` cycles at least.
    """
    cycles = popped = 0
    while cycles < rows or popped < count:
        queue.turn()
        if queue.queue and popped < count:
            del queue.queue[0]
            popped += 1
        cycles += 1
    return cycles
