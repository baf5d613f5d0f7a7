"""What an experiment will run: every trace on every accelerator, known before the first run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cgsim.errors import CgsimError
from cgsim.explore.grid import Point
from cgsim.explore.tasks import row_key
from cgsim.trace import Trace


@dataclass(frozen=True)
class Planned:
    """One run of a plan."""

    key: str
    """Hash of all that the run's figures follow from (`row_key`)."""
    trace: str
    """The name that tables show."""
    point: Point

    def __str__(self) -> str:
        """`trace resnet20-cgnet, array.rows=8, array.cols=16`."""
        return f"trace {self.trace}, {self.point}"


@dataclass(frozen=True)
class Plan:
    """Every trace on every point, on the same samples (None: all of each trace)."""

    name: str
    traces: dict[str, Trace]
    points: list[Point]
    samples: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.traces) * len(self.points)

    def runs(self) -> Iterator[Planned]:
        """Yield the runs, trace by trace; raises CgsimError if two traces have the same contents."""
        seen: set[str] = set()
        for name, trace in self.traces.items():
            for point in self.points:
                key = row_key(trace, point.hardware, self.samples)
                if key in seen:
                    raise CgsimError(
                        f"{self.name}: {trace.path} is there twice, or has a twin with the same contents"
                    )
                seen.add(key)
                yield Planned(key, name, point)
