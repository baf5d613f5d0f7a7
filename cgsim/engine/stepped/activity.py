"""What the array does in a run besides taking time, fold by fold: the twin of `cgsim.engine.activity`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cgsim.engine.stepped.program import Step
from cgsim.hardware import Hardware


def activity(program: Sequence[Step], hardware: Hardware, width: int, residuals: int) -> Counter[str]:
    """Counts of `program` by the names of `cgsim.engine.activity`; a column group has `width` columns."""
    counts: Counter[str] = Counter()
    for step in program:
        phase = "LATE" if step.conditional else "BASE"
        for turn in step.rounds:
            counts["SCANNED_BITS"] += turn.scanned
            wanted = set()
            for stream in turn.streams:
                if stream is None:
                    continue
                moving = len(stream.positions)
                counts[f"{phase}_VECTORS"] += moving
                counts["SLOTS"] += moving * hardware.array.rows * width
                # `os`: activations of `height` pixels, a reduction step after the other
                counts[f"{phase}_ELEMENTS"] += moving * stream.height
                counts[f"{phase}_STATIONARY"] += stream.height
                if step.conditional or stream.word not in wanted:
                    counts[f"{phase}_READS"] += moving * stream.height
                wanted.add(stream.word)
        if step.last:
            counts["FINISHED"] += step.outputs
            counts["OPERATIONS"] += step.outputs * (1 + residuals)
    return counts
