"""The timeline of one sample as a file for Perfetto and Chrome."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cgsim.engine.columns import MODES
from cgsim.errors import CgsimError
from cgsim.results.files import to_json_text, write_text
from cgsim.results.tracks import Tracks

if TYPE_CHECKING:
    from cgsim.results.timeline_plots import TimelinePlots

MOST_EVENTS = 1_500_000
"""Events of a file; with more of them no viewer is any help."""


class Timeline(Tracks):
    """A few layers on one sample, dense and gated; from `cgsim.timeline`."""

    def to_json(self) -> dict[str, Any]:
        """The object format of the Chrome trace viewer. One microsecond of it is one cycle (docs/columns.md).

        Raises CgsimError where there is too much to look at.
        """
        told: list[dict[str, Any]] = []
        for process, mode in enumerate(MODES, start=1):
            told.append(_named("process", process, 0, f"{mode}: {self.origin.get('trace', '')}".rstrip(": ")))
            told.append(
                {"ph": "M", "name": "process_sort_index", "pid": process, "args": {"sort_index": process}}
            )
            tracks: dict[str, int] = {}
            for one in self.slices(mode):
                if one.track not in tracks:
                    tracks[one.track] = one.number
                    told.append(_named("thread", process, one.number, one.track))
                    told.append(
                        {"ph": "M", "name": "thread_sort_index", "pid": process, "tid": one.number,
                         "args": {"sort_index": one.number}}
                    )  # fmt: skip
                told.append(
                    {"ph": "X", "pid": process, "tid": one.number, "name": one.name, "cat": one.category,
                     "ts": _rounded(one.start), "dur": _rounded(round(one.end, 3) - round(one.start, 3)),
                     "args": dict(one.details)}
                )  # fmt: skip
                if len(told) > MOST_EVENTS:
                    raise CgsimError(
                        f"timeline: more than {MOST_EVENTS} events, expected fewer layers (--timeline-layers)"
                    )
            edges, read, written = self.bandwidth(mode)
            for at, one, other in zip(edges[:-1], [*read], [*written], strict=True):
                values = {"read": round(float(one), 3), "write": round(float(other), 3)}
                told.append(
                    {"ph": "C", "pid": process, "tid": 0, "name": "DRAM bytes/cycle", "ts": _rounded(at),
                     "args": values}
                )  # fmt: skip
        other = {**self.origin, "time": "1 us is one cycle", "clock_mhz": self.hardware.clock_mhz}
        return {"traceEvents": told, "displayTimeUnit": "ms", "otherData": other}

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json`, one event a line. Raises CgsimError if `path` cannot be written."""
        whole = self.to_json()
        lines = ",\n".join(to_json_text(event, indent=None) for event in whole.pop("traceEvents"))
        rest = to_json_text(whole, indent=None)[1:]
        write_text(path, f'{{"traceEvents": [\n{lines}\n], {rest}\n')

    @property
    def plot(self) -> TimelinePlots:
        """Plots: `timeline.plot.bandwidth("out.png")`, `timeline.plot.tracks("out.png")`."""
        from cgsim.results.timeline_plots import TimelinePlots

        return TimelinePlots(self)

    def __str__(self) -> str:
        layers = dict.fromkeys(part.layer for part in self.parts)
        return (
            f"{len(layers)} layer{'s' if len(layers) != 1 else ''} on sample {self.origin.get('sample', 0)}"
        )


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": f"{what}_name", "pid": process, "tid": thread, "args": {"name": name}}


def _rounded(value: float) -> float | int:
    """In thousandths of a cycle; whole numbers as such."""
    whole = round(float(value), 3)
    return int(whole) if whole == int(whole) else whole
