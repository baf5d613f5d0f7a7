"""Make table and figures of README and quick start from the shipped traces: `python docs/images/make.py`."""

from __future__ import annotations

from pathlib import Path

import cgsim
from cgsim.results.plots import speedup_vs_array

IMAGES = Path(__file__).resolve().parent
ROOT = IMAGES.parents[1]
TRACES = ROOT / "traces"
SIZES = [8, 16, 32]
START = "<!-- table: made by docs/images/make.py -->\n"
END = "<!-- end of table -->"


def put(page: Path, table: str) -> None:
    """Replace the table between the markers of a page."""
    before, rest = page.read_text(encoding="utf-8").split(START)
    after = rest.split(END, 1)[1]
    page.write_text(f"{before}{START}\n```text\n{table}\n```\n\n{END}{after}", encoding="utf-8")


def shortened(table: str, layers: int = 5) -> str:
    """The table with its first few layers only."""
    lines = table.splitlines()
    first, last = (number for number, line in enumerate(lines) if line.startswith("───"))
    return "\n".join([*lines[: first + 1 + layers], "...", *lines[last:]])


def memory(hardware: cgsim.Hardware) -> None:
    """Write roofline.png, bandwidth.png and timeline.png, with a DRAM that is simulated."""
    trace = cgsim.load_trace(TRACES / "resnet20-cgnet.trace.parquet")
    hardware = hardware.override({"dram.standard": "DDR4-2400"})
    cgsim.simulate(trace, hardware).plot.roofline(IMAGES / "roofline.png")
    cgsim.timeline(trace, hardware, layers=":").plot.bandwidth(IMAGES / "bandwidth.png")
    cgsim.timeline(trace, hardware, layers="layer2.1.conv1").plot.tracks(IMAGES / "timeline.png")


def main() -> None:
    """Write the plots, and the table into the pages."""
    hardware = cgsim.load_hardware("asic-28nm")
    run = cgsim.simulate(cgsim.load_trace(TRACES / "resnet20-cgnet.trace.parquet"), hardware)
    run.plot.speedup_vs_flops(IMAGES / "speedup_vs_flops.png")
    run.plot.cycles(IMAGES / "cycles.png")
    memory(hardware)
    put(ROOT / "docs" / "quick-start.md", run.table())
    put(ROOT / "README.md", shortened(run.table()))
    traces = sorted(TRACES.glob("*.trace.parquet"))
    table = cgsim.sweep(traces, hardware, {"array.rows": SIZES, "array.cols": SIZES})
    speedup_vs_array(table, IMAGES / "speedup_vs_array.png")


if __name__ == "__main__":
    main()
