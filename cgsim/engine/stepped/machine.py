"""The whole machine cycle by cycle: DMA, array, vector unit, each doing the next thing that it may do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import numpy as np

from cgsim.engine.stepped.program import Step, steps
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.tiling import Tiling

NEVER = 1 << 60


@dataclass
class _Feed:
    """One column group within a step: the folds that it still streams."""

    queue: list[int] = field(default_factory=list)
    started: int = -NEVER  # when its last fold started
    until: int = -NEVER  # when that fold has streamed


class SteppedMachine:
    """Runs one layer and counts what `cgsim.engine.pipeline` counts, under the same names."""

    def __init__(
        self, operation: Operation, hardware: Hardware, tiling: Tiling, feeds: int, gates: np.ndarray | None
    ) -> None:
        """`gates` bool [N, M], [1, M] or None, as in `steps`."""
        self.hardware, self.tiling, self.residuals = hardware, tiling, operation.residuals
        self.program = steps(operation, hardware, tiling, feeds, gates)
        self.rows = hardware.array.rows
        self.drain = self.rows + hardware.array.cols - 2
        self.overlapped = hardware.array.pipelining == "overlapped"
        self.together = hardware.gate_unit.group_sync == "fold"
        self.depth = (2 if hardware.buffers.double_buffered else 1) + tiling.interleaved
        self.tiles = max(step.tile for step in self.program) + 1
        self.counts: Counter[str] = Counter()
        self.log: list[tuple[str, str, int, int, int]] = []  # (unit, what, tile, first cycle, end)
        count = len(self.program)
        self.there = {(kind, i): 0 for kind in "war" for i in range(count)}  # arrival of a step's loads
        self.ended = [NEVER] * count  # the array is done with the step
        self.decided = [0 if self._ungated(t) else NEVER for t in range(self.tiles)]
        self.left = [0] * self.tiles
        self.results = [NEVER] * self.tiles
        self.vector_done = [NEVER] * self.tiles
        self.stored = [NEVER] * self.tiles
        self.requests = self._requests()

    def _ungated(self, tile: int) -> bool:
        return all(step.conditional for step in self.program if step.tile == tile)

    def _requests(self) -> list[tuple[str, int, int]]:
        """(kind, step or tile, bytes) in the order in which the DMA serves them."""
        order: list[tuple[str, int, int]] = []
        ends = {step.tile: i for i, step in enumerate(self.program) if step.last}
        sizes = {step.tile: step.output_bytes for step in self.program}
        waiting = list(range(self.tiles))
        for i, step in enumerate(self.program):
            loads = (("w", step.weight_bytes), ("a", step.activation_bytes), ("r", step.residual_bytes))
            for kind, size in loads:
                if size:
                    order.append((kind, i, size))
                    self.there[kind, i] = NEVER
            while waiting and (ends[waiting[0]] <= i - 2 or waiting[0] <= step.tile - self.depth):
                order.append(("s", waiting[0], sizes[waiting.pop(0)]))
        return order + [("s", tile, sizes[tile]) for tile in waiting]

    def _version(self, kind: str, i: int) -> int:
        """Which filling of its buffer a step's weights or activations are."""
        step = self.program[i]
        if kind == "w":
            return {"activations_outer": i, "weights_outer": step.channel_tile, "weights_resident": 0}[
                self.tiling.loop_order
            ]
        return step.tile if self.tiling.loop_order == "weights_outer" else step.pixel_tile

    def _may_transfer(self, kind: str, at: int, now: int) -> bool:
        if kind == "s":
            return self.vector_done[at] <= now
        step = self.program[at]
        if kind == "r":
            return step.tile < self.depth or self.vector_done[step.tile - self.depth] <= now
        if (
            step.conditional
            and self.hardware.dma.conditional_fetch == "on_demand"
            and self.decided[step.tile] > now
        ):
            return False
        parts = (2 if self.hardware.buffers.double_buffered else 1) if kind == "w" else self.depth
        old = self._version(kind, at) - parts
        return all(self._free(i, now) for i in range(at) if self._version(kind, i) == old)

    def _free(self, i: int, now: int) -> bool:
        """True if step i is over and nothing of its own is still on the way into its buffer parts."""
        return max(self.ended[i], self.there["w", i], self.there["a", i]) <= now

    def run(self) -> Counter[str]:
        """Turn the clock until the last store is done."""
        rate = Fraction(self.hardware.dram.bytes_per_cycle)
        now, channel_free, vector_free = 0, 0, 0
        current, running, begun = 0, False, 0
        feeds: list[_Feed] = []
        shadow_free = 0  # when the last fold's weights left the shadow registers, in every feed
        vector_queue = list(range(self.tiles))
        requests = list(self.requests)
        while requests or max(self.stored) > now:
            progress = True
            while progress:  # the array: a step may end and the next begin in the same cycle
                progress = False
                if running and all(not feed.queue and feed.until <= now for feed in feeds):
                    step = self.program[current]
                    phase = "conditional" if step.conditional else "base"
                    self.log.append(("array", phase, step.tile, begun, now))
                    shadow_free = max(
                        feed.started if self.overlapped else feed.until + self.drain for feed in feeds
                    )
                    self._end(current, now, ran=True)
                    running, current, progress = False, current + 1, True
                elif not running and current < len(self.program):
                    if not any(any(fold) for fold in self.program[current].folds):
                        if (
                            not self.program[current].conditional
                            or self.decided[self.program[current].tile] <= now
                        ):
                            self._end(current, now, ran=False)
                            current, progress = current + 1, True
                    elif self._blocker(current, now, shadow_free) is None:
                        feeds = self._begin(self.program[current], now)
                        running, begun = True, now
            if running:
                self._stream(feeds, now, self.together or not self.program[current].conditional)
            if vector_queue and max(self.results[vector_queue[0]], vector_free) <= now:
                tile = vector_queue.pop(0)
                outputs = next(step.outputs for step in self.program if step.tile == tile)
                work = outputs * (1 + self.residuals)
                vector_free = now + ceil(work / self.hardware.vector_unit.lanes)
                self.vector_done[tile] = vector_free
                self.log.append(("vector unit", "vector", tile, now, vector_free))
            if requests and channel_free <= now and self._may_transfer(*requests[0][:2], now):
                kind, at, size = requests.pop(0)
                channel_free = now + ceil(size / rate)
                tile = at if kind == "s" else self.program[at].tile
                self.log.append(("DMA", kind, tile, now, channel_free))
                self._transferred(kind, at, size, channel_free)
            if not running:
                self._idle(current, now, shadow_free)
            now += 1
        self.counts["cycles"] = max(self.stored)
        return self.counts

    def _transferred(self, kind: str, at: int, size: int, end: int) -> None:
        if kind == "s":
            self.stored[at] = end
            self.counts["activations_write"] += size
            return
        self.there[kind, at] = end + self.hardware.dram.latency_cycles
        late = self.program[at].conditional
        names = {"w": "conditional_weights_read" if late else "base_weights_read", "a": "activations_read"}
        self.counts[names.get(kind, "residual_read")] += size
        if kind == "r" and self.ended[at] < NEVER:
            self._results(self.program[at])

    def _blocker(self, i: int, now: int, shadow_free: int) -> str | None:
        """Why step i may not start to stream at `now`: the name under which the cycle is counted."""
        step = self.program[i]
        if now < shadow_free + self.rows:
            return "load_weights"
        if step.conditional and now < self.decided[step.tile] + self.rows:
            return "decision"
        if step.weight_bytes and now < self.there["w", i] + self.rows:
            return "weight_load_stall"
        if now < self.there["a", i]:
            return "activation_load_stall"
        if step.tile >= self.depth and self.stored[step.tile - self.depth] > now:
            return "store_stall"
        return None

    def _begin(self, step: Step, now: int) -> list[_Feed]:
        """Queue the step's folds on its feeds and account for how their cycles split."""
        count = len(step.folds[0])
        mine = [[fold[f] for fold in step.folds] for f in range(count)]
        phase = "conditional" if step.conditional else "base"
        if self.together or not step.conditional:
            folds = [[item for item in fold if item] for fold in step.folds]
            for fold, present in zip(folds, step.present, strict=True):
                if not fold:
                    continue
                mean = ceil(sum(item[0] for item in fold) / present)
                most = max(item[0] for item in fold)
                self.counts[phase] += mean
                self.counts["group_imbalance_stall"] += most - mean
                self.counts["gate_unit_stall"] += max(item[1] for item in fold) - most
            return [_Feed([max(item[1] for item in fold) for fold in folds if fold], -NEVER, now)]
        feeds = [_Feed([item[1] for item in own if item], -NEVER, now) for own in mine]
        lengths = [self._length(feed.queue) for feed in feeds]
        slowest = mine[lengths.index(max(lengths))]
        most = sum(item[0] for item in slowest if item)
        mean = ceil(sum(item[0] for own in mine for item in own if item) / max(step.present))
        self.counts[phase] += min(mean, most)
        self.counts["group_imbalance_stall"] += most - min(mean, most)
        self.counts["gate_unit_stall"] += sum(item[1] - item[0] for item in slowest if item)
        gaps = max(lengths) - sum(item[1] for item in slowest if item)
        drains = 0 if self.overlapped else (sum(1 for item in slowest if item) - 1) * self.drain
        self.counts["drain"] += drains
        self.counts["load_weights"] += gaps - drains
        return feeds

    def _length(self, streams: list[int]) -> int:
        gaps = [max(0, self.rows - s) if self.overlapped else self.drain + self.rows for s in streams[:-1]]
        return sum(streams) + sum(gaps)

    def _stream(self, feeds: list[_Feed], now: int, lockstep: bool) -> None:
        for feed in feeds:
            written = (feed.started if self.overlapped else feed.until + self.drain) + self.rows
            if feed.queue and feed.until <= now and (feed.started == -NEVER or written <= now):
                feed.started, feed.until = now, now + feed.queue.pop(0)
        if lockstep and feeds[0].until <= now:  # between two folds
            gone = now - feeds[0].until
            draining = not self.overlapped and gone < self.drain
            self.counts["drain" if draining else "load_weights"] += 1

    def _end(self, i: int, now: int, ran: bool) -> None:
        step = self.program[i]
        self.ended[i] = now
        if ran:
            self.left[step.tile] = now + self.drain
        following = self.program[i + 1 : i + 2]
        if not step.conditional and not any(s.tile == step.tile and not s.conditional for s in following):
            self.decided[step.tile] = now + self.drain + self.hardware.gate_unit.compare_latency
        if step.last:
            self._results(step)

    def _results(self, step: Step) -> None:
        last = next(i for i, other in enumerate(self.program) if other.last and other.tile == step.tile)
        decided = self.decided[step.tile] if step.conditional else 0
        self.results[step.tile] = max(self.left[step.tile], decided, self.there["r", last])

    def _idle(self, current: int, now: int, shadow_free: int) -> None:
        """Count a cycle in which the array streams nothing."""
        if current < len(self.program):
            step = self.program[current]
            if any(any(fold) for fold in step.folds):
                self.counts[self._blocker(current, now, shadow_free) or "bug"] += 1
            else:
                self.counts["decision"] += 1
        elif now < max(self.left):
            self.counts["drain"] += 1
        elif now < max(self.there["r", i] for i in range(len(self.program))):
            self.counts["activation_load_stall"] += 1
        elif now < max(self.vector_done):
            self.counts["vector"] += 1
        else:
            self.counts["store_stall"] += 1
