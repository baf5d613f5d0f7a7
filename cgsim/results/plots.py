"""The plots of a run as methods of `run.plot`. Each returns the figure and writes it if given a path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cgsim.results.sweep_plots import speedup_vs_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.counted import CountedRun

__all__ = ["RunPlots", "speedup_vs_array", "title_of"]

PathLike = str | os.PathLike[str]


class RunPlots:
    """The plots of a run, as methods (`run.plot`); `cgsim.figures` draws them from tables."""

    def __init__(self, run: CountedRun) -> None:
        self._run = run

    def speedup_vs_flops(self, path: PathLike | None = None) -> Figure:
        """Speedup against FLOP reduction, one point per layer; the area of a point is its share of MACs."""
        from cgsim.results.figures.layer_speedup import speedup_vs_flops

        return speedup_vs_flops(self._run.columns, path, title=self._title, batch=self._run.batch)

    def cycles(self, path: PathLike | None = None) -> Figure:
        """Where the cycles go: stacked bars per layer, dense and gated side by side."""
        from cgsim.results.figures.stacked_cycles import cycles

        return cycles(self._run.columns, path, title=self._title, hardware=self._run.provenance["hardware"])

    def energy(self, path: PathLike | None = None) -> Figure:
        """Where the energy goes: stacked bars per layer, dense and gated, by component."""
        from cgsim.results.figures.stacked_energy import energy

        return energy(self._run.columns, path, title=self._title)

    def roofline(self, path: PathLike | None = None) -> Figure:
        """MACs per cycle against MACs per off-chip byte, dense and gated, below what the hardware allows."""
        from cgsim.results.roofline import roofline

        return roofline(self._run.columns, self._run.provenance["hardware"], path, title=self._title)

    def latency(self, path: PathLike | None = None) -> Figure:
        """Share of the images that take no longer, dense and gated, with median and 99th percentile."""
        from cgsim.results.figures.latencies import latency
        from cgsim.results.statistics import sample_counts

        clock = float(self._run.provenance["hardware"]["clock_mhz"])
        return latency(sample_counts(self._run), path, clock_mhz=clock, title=self._title)

    @property
    def _title(self) -> str:
        return title_of(self._run.provenance)


def title_of(provenance: dict[str, Any]) -> str:
    """Return what was run, from its provenance: "resnet20-cgnet on asic-28nm"."""
    return f"{provenance['trace']['name']} on {provenance['hardware']['name']}"
