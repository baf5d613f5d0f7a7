"""Draws the figures of docs/figures-guide.md from shipped traces: `python docs/images/figures_guide.py`.

`fashion-mnist-00234.png` is image 234 of Fashion-MNIST's test set (Zalando Research, MIT licence), sample 3
of the trace.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

import cgsim

IMAGES = Path(__file__).resolve().parent
TRACES = IMAGES.parents[1] / "traces"
CGNET = TRACES / "resnet20-cgnet.trace.parquet"
SHAPED = TRACES / "trained" / "fashion-batch-shaping-0.49.trace.parquet"
DEPTHS = TRACES / "trained" / "fashion-mixture-of-depths-p2d2.trace.parquet"
SAMPLES = 48


def put(name: str, figure: Figure) -> None:
    """Write one figure, small: pages are looked at on screens."""
    figure.savefig(IMAGES / f"guide-{name}.png", dpi=100)


def main() -> None:
    """Run what the figures need, and draw them."""
    hardware = cgsim.load_hardware("asic-28nm")
    simulated = hardware.override({"dram.standard": "DDR4-2400"})
    draw = cgsim.figures.draw
    with TemporaryDirectory() as folder:
        run, sweep, compare, search = (f"{folder}/{name}" for name in ("run", "sweep", "compare", "search"))
        cgsim.simulate(cgsim.load_trace(CGNET), simulated, samples=SAMPLES).save(run)
        grid = {"array.rows": [8, 16, 32], "array.cols": [8, 16, 32]}
        cgsim.sweep([CGNET, SHAPED], hardware, grid, samples=SAMPLES, output=sweep)
        traces = sorted((TRACES / "trained").glob("fashion-*.trace.parquet"))
        cgsim.compare([path for path in traces if "long" not in path.name], [hardware], samples=SAMPLES,
                      output=compare)  # fmt: skip
        cgsim.optimize(
            {
                "traces": str(CGNET),
                "hardware": "asic-28nm",
                "vary": {"array.rows": {"low": 8, "high": 64, "step": 8}, "array.cols": [8, 16, 32, 64]},
                "objectives": ["latency", "pes"],
                "constraints": ["p99_latency<=0.15"],
                "trials": 48,
                "samples": 8,
            },
            output=search,
        )
        put("speedup-layers", draw("speedup_vs_flops", [run]))
        put("speedup-networks", draw("speedup_vs_flops", [compare]))
        put("speedup-array", draw("speedup_vs_array", [sweep]))
        put("heatmap", draw("heatmap", [sweep], where={"trace": ["resnet20-cgnet"]}, value="efficiency"))
        put("cycles", draw("cycles", [run]))
        put("energy", draw("energy", [run]))
        put("energy-latency", draw("energy_vs_latency", [sweep]))
        put("speedup-area", draw("speedup_vs_area", [sweep]))
        put("roofline", draw("roofline", [run]))
        corner = {"array.rows": ["8", "32"], "array.cols": ["32"], "trace": ["resnet20-cgnet"]}
        put("latency", draw("latency", [sweep], where=corner))
        put("pareto", draw("pareto", [search]))
    put("density", draw("density", [CGNET], sample=3, image=IMAGES / "fashion-mnist-00234.png"))
    put("density-channels", draw("density", [SHAPED]))
    put("density-inputs", draw("density", [DEPTHS]))


if __name__ == "__main__":
    main()
