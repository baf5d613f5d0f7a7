"""cgsim: what does a gated CNN really gain on real hardware?

Replays the gates that a trained model really produced, image by image, on a cycle-level accelerator
model, gated and dense side by side:

    import cgsim

    trace = cgsim.load_trace("traces/resnet20-cgnet.trace.parquet")
    hw = cgsim.load_hardware("asic-28nm")
    run = cgsim.simulate(trace, hw)
    print(run.table())

Importing cgsim loads none of its libraries: each public name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cgsim import models as models
    from cgsim.errors import CgsimError as CgsimError
    from cgsim.explore import Experiment as Experiment
    from cgsim.explore import compare as compare
    from cgsim.explore import optimize as optimize
    from cgsim.explore import run_experiment as run_experiment
    from cgsim.explore import sweep as sweep
    from cgsim.hardware import Hardware as Hardware
    from cgsim.hardware import load_hardware as load_hardware
    from cgsim.results import Run as Run
    from cgsim.results import figures as figures
    from cgsim.results.html import html_report as html_report
    from cgsim.simulation import simulate as simulate
    from cgsim.simulation import timeline as timeline
    from cgsim.trace import Trace as Trace
    from cgsim.trace import load_trace as load_trace

__version__ = "0.2.0"

_HOME = {
    "CgsimError": "cgsim.errors",
    "Experiment": "cgsim.explore",
    "Hardware": "cgsim.hardware",
    "Run": "cgsim.results",
    "Trace": "cgsim.trace",
    "compare": "cgsim.explore",
    "figures": "cgsim.results",
    "html_report": "cgsim.results.html",
    "load_hardware": "cgsim.hardware",
    "load_trace": "cgsim.trace",
    "optimize": "cgsim.explore",
    "run_experiment": "cgsim.explore",
    "simulate": "cgsim.simulation",
    "sweep": "cgsim.explore",
    "timeline": "cgsim.simulation",
}

__all__ = [
    "CgsimError",
    "Experiment",
    "Hardware",
    "Run",
    "Trace",
    "__version__",
    "compare",
    "figures",
    "html_report",
    "load_hardware",
    "load_trace",
    "models",
    "optimize",
    "run_experiment",
    "simulate",
    "sweep",
    "timeline",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name == "models":
        return importlib.import_module("cgsim.models")
    if name not in _HOME:
        raise AttributeError(f"module 'cgsim' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return sorted(__all__)
