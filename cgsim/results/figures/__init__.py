"""Figures for papers and slides: tables in, a matplotlib figure out, and a file if a path is given.

    import cgsim

    table = cgsim.sweep(traces, "asic-28nm", {"array.rows": [8, 16], "array.cols": [8, 16]})
    cgsim.figures.heatmap(table, "array.cols", "array.rows", "speedup", path="heat.pdf")

`cgsim plot` draws the same ones from results folders (docs/figures-guide.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cgsim.results.figures.catalogue import CATALOGUE as CATALOGUE
    from cgsim.results.figures.catalogue import draw as draw
    from cgsim.results.figures.density_map import density as density
    from cgsim.results.figures.heat_map import heatmap as heatmap
    from cgsim.results.figures.latencies import latency as latency
    from cgsim.results.figures.layer_speedup import speedup_vs_flops as speedup_vs_flops
    from cgsim.results.figures.network_scatter import energy_vs_latency as energy_vs_latency
    from cgsim.results.figures.network_scatter import speedup_vs_area as speedup_vs_area
    from cgsim.results.figures.network_speedup import speedup_of_networks as speedup_of_networks
    from cgsim.results.figures.stacked_cycles import cycles as cycles
    from cgsim.results.figures.stacked_energy import energy as energy
    from cgsim.results.pareto import pareto as pareto
    from cgsim.results.roofline import roofline as roofline
    from cgsim.results.sweep_plots import speedup_vs_array as speedup_vs_array

__all__ = [
    "CATALOGUE",
    "cycles",
    "density",
    "draw",
    "energy",
    "energy_vs_latency",
    "heatmap",
    "latency",
    "pareto",
    "roofline",
    "speedup_of_networks",
    "speedup_vs_area",
    "speedup_vs_array",
    "speedup_vs_flops",
]

_HOME = {
    "CATALOGUE": "figures.catalogue",
    "cycles": "figures.stacked_cycles",
    "density": "figures.density_map",
    "draw": "figures.catalogue",
    "energy": "figures.stacked_energy",
    "energy_vs_latency": "figures.network_scatter",
    "heatmap": "figures.heat_map",
    "latency": "figures.latencies",
    "pareto": "pareto",
    "roofline": "roofline",
    "speedup_of_networks": "figures.network_speedup",
    "speedup_vs_area": "figures.network_scatter",
    "speedup_vs_array": "sweep_plots",
    "speedup_vs_flops": "figures.layer_speedup",
}


def __getattr__(name: str) -> Any:
    """Import a figure on first use (PEP 562): matplotlib takes its time."""
    if name not in _HOME:
        raise AttributeError(f"module 'cgsim.figures' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"cgsim.results.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return sorted(__all__)
