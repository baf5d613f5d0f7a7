"""How the two constants of the board were found: the least mean square deviation of four latencies."""

from __future__ import annotations

from collections.abc import Iterable

from cgsim import load_hardware
from cgsim.engine.blocks.calls import blocks
from tests.board.networks import PRUNED
from tests.board.table import FITTED_ON, MEASURED, modelled, trace_of

RESTARTS = range(1, 31)
CALLS_US = range(0, 510, 10)


def fit(points: Iterable[tuple[str, str]] = FITTED_ON, stages: tuple[int, ...] = PRUNED) -> tuple[int, int]:
    """(restart cycles, microseconds of a call) of the grid that come nearest to the latencies `points`."""
    best = (float("inf"), 0, 0)
    points = list(points)
    calls = [_calls(series, ratio) for series, ratio in points]
    for restart in RESTARTS:
        changes = {"engines.restart_cycles": restart, "host.call_us": 0}
        bare = [modelled(series, ratio, changes, stages) for series, ratio in points]
        for call in CALLS_US:
            error = 0.0
            for (series, ratio), own, count in zip(points, bare, calls, strict=True):
                error += ((own + count * call / 1e3) / MEASURED[series][ratio] - 1) ** 2
            best = min(best, (error, restart, call))
    return best[1], best[2]


def _calls(series: str, ratio: str) -> int:
    depth, design = int(series[6:].split("_", maxsplit=1)[0]), series.split("_")[1]
    hardware = load_hardware(f"dpacs-{'basicblock' if depth < 50 else 'bottleneck'}-{design}")
    return sum(block.calls for block in blocks(trace_of(depth, ratio).network, hardware))
