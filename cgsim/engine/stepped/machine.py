"""The whole machine cycle by cycle: DMA, array, vector unit, each doing the next thing that it may do."""

from __future__ import annotations

from collections import Counter
from math import ceil

import numpy as np

from cgsim.engine.stepped.activity import activity
from cgsim.engine.stepped.groups import NEVER, timing, turn
from cgsim.engine.stepped.lanes import Lane
from cgsim.engine.stepped.memory import Transfer, memory
from cgsim.engine.stepped.program import Step, steps
from cgsim.hardware import Hardware
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.operations import Operation
from cgsim.mapping.tiling import Tiling

AHEAD = 21
"""The DMA looks so many steps ahead: loads wait until the step so far before is over."""


class SteppedMachine:
    """Runs one layer and counts what `cgsim.engine.pipeline` counts, under the same names."""

    def __init__(
        self,
        operation: Operation,
        hardware: Hardware,
        tiling: Tiling,
        feeds: int,
        gates: np.ndarray | None,
        batch: int = 1,
        residency: Residency = NOTHING_KEPT,
    ) -> None:
        """`gates` bool [batch, N, M], [batch, 1, M] or None, as in `steps`."""
        self.hardware, self.tiling, self.residuals = hardware, tiling, operation.residuals
        self.feeds, self.dataflow = feeds, hardware.array.dataflow
        self.program = steps(operation, hardware, tiling, feeds, gates, batch, residency)
        self.rules = timing(
            hardware, feeds, 1 if operation.layer.gate == "pixel" else hardware.array.cols // feeds
        )
        self.depth = (2 if hardware.buffers.double_buffered else 1) + tiling.interleaved
        self.tiles = max(step.tile for step in self.program) + 1
        sync = hardware.gate_unit.group_sync
        members = [[group] for group in range(feeds)] if sync == "layer" else [list(range(feeds))]
        self.lanes = [Lane(groups, sync != "tile", self.rules, self.tiles) for groups in members]
        self.counts: Counter[str] = Counter()
        self.log: list[tuple[str, str, int, int, int]] = []  # (unit, what, tile, first cycle, end)
        count = len(self.program)
        self.there = {(kind, i): 0 for kind in "war" for i in range(count)}  # arrival of a step's loads
        self.ended = [NEVER] * count  # the array is done with the step
        self.over = 0  # steps that are over, in order
        decides = {step.tile for step in self.program if not step.conditional}
        for lane in self.lanes:
            holds = {step.tile for step in self.program if lane.holds(step)}
            lane.decided = [NEVER if t in decides and t in holds else 0 for t in range(self.tiles)]
        self.results = [NEVER] * self.tiles
        self.vector_done = [NEVER] * self.tiles
        self.stored = [NEVER] * self.tiles
        self.requests = self._requests()
        self.memory = memory(hardware)
        self.under_way: list[tuple[str, int, Transfer]] = []

    def _requests(self) -> list[tuple[str, int]]:
        """(kind, step or tile) in the order in which the DMA serves them."""
        order: list[tuple[str, int]] = []
        ends = {step.tile: i for i, step in enumerate(self.program) if step.last}
        waiting = [step.tile for step in self.program if step.last and step.output_bytes]
        for i, step in enumerate(self.program):
            loads = (("w", step.weight_bytes), ("a", step.activation_bytes), ("r", step.residual_bytes))
            for kind, size in loads:
                if size:
                    order.append((kind, i))
                    self.there[kind, i] = NEVER
            while waiting and (ends[waiting[0]] <= i - 2 or waiting[0] <= step.tile - self.depth):
                order.append(("s", waiting.pop(0)))
        return order + [("s", tile) for tile in waiting]

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
            return self._through(at, now)
        step = self.program[at]
        if at >= AHEAD and not self._over(at - AHEAD, now):
            return False
        if kind == "r":
            return step.tile < self.depth or self._through(step.tile - self.depth, now)
        if step.conditional and self.hardware.dma.conditional_fetch == "on_demand":
            base = [
                i for i, other in enumerate(self.program) if other.tile == step.tile and not other.conditional
            ]
            if max(lane.decided[step.tile] for lane in self.lanes) > now or (
                base and not self._over(base[-1], now)
            ):
                return False
        parts = (2 if self.hardware.buffers.double_buffered else 1) if kind == "w" else self.depth
        old = self._version(kind, at) - parts
        return all(self._over(i, now) for i in range(at) if self._version(kind, i) == old)

    def _through(self, tile: int, now: int) -> bool:
        """True if the vector unit is done with a tile, and its steps are over."""
        last = next(i for i, step in enumerate(self.program) if step.tile == tile and step.last)
        return self.vector_done[tile] <= now and self._over(last, now)

    def _over(self, i: int, now: int) -> bool:
        """True if step i and all before are over, and none of their loads is still on the way."""
        while self.over < len(self.program) and now >= max(
            self.ended[self.over], *(self.there[kind, self.over] for kind in "war")
        ):
            self.over += 1
        return self.over > i

    def run(self) -> Counter[str]:
        """Turn the clock until the last store is done."""
        now, vector_free = 0, 0
        vector_queue = list(range(self.tiles))
        while True:
            changed = True
            while changed:
                changed = self._advance_all(now)
                if vector_queue and max(self.results[vector_queue[0]], vector_free) <= now:
                    tile = vector_queue.pop(0)
                    vector_free = self._vector(tile, now)
                    changed = True
                changed |= self._transfer(now)
            if max(self.stored) <= now:
                break
            self._stream(now)
            for lane in self.lanes:
                if lane.running is None:
                    lane.counts[self._idle(lane, now)] += 1
            now += 1
        self._sum()
        self.counts["cycles"] = max(self.stored)
        while self.requests:  # loads that nothing has waited for
            now += 1
            while self._transfer(now):
                pass
        self.memory.drain(self.counts["cycles"])
        return self.counts

    def activity(self) -> Counter[str]:
        """What array, gate unit and vector unit do, by the names of `cgsim.engine.activity`."""
        width = self.hardware.array.cols // self.feeds
        return activity(self.program, self.hardware, width, self.residuals)

    def _vector(self, tile: int, now: int) -> int:
        """Let the vector unit begin with a tile; returns when it is done."""
        step = next(step for step in self.program if step.tile == tile and step.last)
        work = step.outputs * (1 + self.residuals)
        end = now + ceil(work / self.hardware.vector_unit.lanes)
        self.vector_done[tile] = end
        if not step.output_bytes:
            self.stored[tile] = end
        self.log.append(("vector unit", "vector", tile, now, end))
        return end

    def _transfer(self, now: int) -> bool:
        """Let memory turn, and the DMA submit what is ready; True if that may let others do something."""
        changed = False
        while self.requests and self._may_transfer(*self.requests[0], now):
            kind, at = self.requests.pop(0)
            self.under_way.append((kind, at, self._submit(kind, at, now)))
            changed = True
        self.memory.turn(now)
        for kind, at, transfer in list(self.under_way):
            if transfer.done < NEVER:
                self.under_way.remove((kind, at, transfer))
                tile = at if kind == "s" else self.program[at].tile
                self.log.append(("DMA", kind, tile, transfer.begun, transfer.end))
                self._transferred(kind, at, transfer.done)
                changed = True
        return changed

    def array_cycles(self) -> int:
        """Cycles of the array alone: loads are there at once, nothing is stored (in place of `run`)."""
        self.there = dict.fromkeys(self.there, -NEVER)
        self.stored = [0] * self.tiles
        now = 0
        while any(lane.finished == NEVER for lane in self.lanes):
            self._advance_all(now)
            self._stream(now)
            now += 1
        return max(max(lane.finished, *lane.left) for lane in self.lanes)

    def _advance_all(self, now: int) -> bool:
        """Let steps end and begin: a step may end and the next begin in the same cycle."""
        changed = False
        for lane in self.lanes:
            before = lane.current, lane.running
            while self._advance(lane, now):
                pass
            changed |= (lane.current, lane.running) != before
        return changed

    def _stream(self, now: int) -> None:
        """The cycle of the array: vectors enter."""
        busy = [own for lane in self.lanes if lane.running for own in lane.sequencers]
        turn(busy, self.feeds, now, self.rules.banks)

    def _advance(self, lane: Lane, now: int) -> bool:
        """Let a lane end its step or begin the next; True if it did and may do more in this cycle."""
        if lane.current == len(self.program):
            return False
        step = self.program[lane.current]
        if lane.running:
            if not all(own.done for own in lane.sequencers):
                return False
            leaving = lane.end(self._first_load(step))
            following = self.program[lane.current + 1 : lane.current + 2]
            if not step.conditional and not any(other.chunk for other in following):
                lane.decided[step.tile] = leaving + self.hardware.gate_unit.compare_latency
            phase = "conditional" if step.conditional else "base"
            self.log.append(("array", phase, step.tile, lane.begun, now))
        elif lane.runs(step):
            if self._blocker(lane, now) is None:
                lane.begin(step, now, self._first_load(step))
            return False
        elif step.conditional and lane.decided[step.tile] > now:
            return False
        lane.current += 1
        if lane.current == len(self.program):
            lane.finished = now
        if all(other.current >= lane.current for other in self.lanes):
            self._end(lane.current - 1, now)
        return True

    def _first_load(self, step: Step) -> int:
        """Cycles of a step's first load that must lie before its start; a longer load goes on behind it."""
        return 0 if self.dataflow == "os" and not step.conditional else self.rules.rows

    def _submit(self, kind: str, at: int, now: int) -> Transfer:
        """Hand a transfer over to memory, and count it."""
        if kind == "s":
            step = next(step for step in self.program if step.tile == at and step.last)
            name, size, pieces = "activations_write", step.output_bytes, step.stores
        else:
            step = self.program[at]
            name, size, pieces = {
                "w": ("base_weights_read", step.weight_bytes, step.weights),
                "a": ("activations_read", step.activation_bytes, step.activations),
                "r": ("residual_read", step.residual_bytes, step.residuals),
            }[kind]
            if kind == "w" and step.conditional:
                name = "conditional_weights_read"
        transfer = self.memory.submit(kind == "s", size, pieces, now)
        self.counts[name] += size
        self.counts[f"{name}_bursts"] += len(transfer.bursts)
        return transfer

    def _transferred(self, kind: str, at: int, done: int) -> None:
        """It is known when a transfer is done."""
        if kind == "s":
            self.stored[at] = done
            return
        self.there[kind, at] = done
        if kind == "r" and self.ended[at] < NEVER:
            self._results(self.program[at])

    def _blocker(self, lane: Lane, now: int) -> str | None:
        """Why a lane may not start its step at `now`: the name under which the cycle is counted."""
        step = self.program[lane.current]
        load = self._first_load(step)
        writes = {"w": self.rules.rows if self.dataflow == "ws" else 0}
        writes["a"] = self.rules.rows if self.dataflow == "is" else 0
        if now < lane.free + load:
            return "load_weights"
        if self.rules.chained:
            first = next(streams for round_ in step.rounds if any(streams := round_.streams))
            length = max(len(stream.positions) for stream in first if stream)
            if now < lane.chain + self.rules.rows - length:
                return "drain"
        if step.conditional and now < lane.decided[step.tile] + load:
            return "decision"
        if now < self.there["w", lane.current] + writes["w"]:
            return "weight_load_stall"
        if now < self.there["a", lane.current - step.chunk] + writes["a"]:
            return "activation_load_stall"
        if step.tile >= self.depth and self.stored[step.tile - self.depth] > now:
            return "store_stall"
        return None

    def _end(self, i: int, now: int) -> None:
        """Step i is over in every lane."""
        self.ended[i] = now
        if self.program[i].last:
            self._results(self.program[i])

    def _results(self, step: Step) -> None:
        last = next(i for i, other in enumerate(self.program) if other.last and other.tile == step.tile)
        decided = max(lane.decided[step.tile] for lane in self.lanes) if step.conditional else 0
        left = max(lane.left[step.tile] for lane in self.lanes)
        self.results[step.tile] = max(left, decided, self.there["r", last])

    def _idle(self, lane: Lane, now: int) -> str:
        """What a cycle in which a lane streams nothing is counted as."""
        if lane.current < len(self.program):
            return (
                self._blocker(lane, now) if lane.runs(self.program[lane.current]) else "decision"
            ) or "bug"
        if now < max(max(other.left) for other in self.lanes):
            return "drain"
        if now < max(self.there["r", i] for i in range(len(self.program))):
            return "activation_load_stall"
        if now < max(self.vector_done):
            return "vector"
        return "store_stall"

    def _sum(self) -> None:
        """Count the lane that ended last; the phases are those of the mean lane."""
        slowest = max(self.lanes, key=lambda lane: lane.finished)
        vectors = [{phase: lane.counts[phase] for phase in ("base", "conditional")} for lane in self.lanes]
        self.counts += slowest.counts
        if len(self.lanes) == 1:
            return
        used = max(step.holders for step in self.program)
        for phase in ("base", "conditional"):
            own = slowest.counts[phase]
            mean = min(ceil(sum(counts[phase] for counts in vectors) / used), own)
            self.counts[phase] = mean
            self.counts["group_imbalance_stall"] += own - mean
