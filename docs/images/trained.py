"""Make tables and figures of docs/results.md from traces/trained: `python docs/images/trained.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cgsim

IMAGES = Path(__file__).resolve().parent
ROOT = IMAGES.parents[1]
TRACES = ROOT / "traces" / "trained"
PAGE = ROOT / "docs" / "results.md"
HARDWARE = ["asic-28nm", "edge-16x16"]
SETTINGS = {
    "cgnet": ("target",),
    "batch-shaping": ("l0_target",),
    "mixture-of-depths": ("divisor", "period"),
    "gate-decorator": ("target_reduction",),
}
"""What is varied, by method: keys of `method_parameters`."""
PLACED = "initial_reduction"
"""What is varied instead where thresholds were placed and not learned."""


def strength(trace: cgsim.Trace) -> str:
    """What sets how strongly a trace's network gates."""
    values = trace.metadata.method_parameters
    keys = (PLACED,) if values.get(PLACED) else SETTINGS.get(trace.metadata.method, ())
    if values.get("l0_weight") == 0:  # then the target counts for nothing
        keys = ("l0_weight",)
    told = [f"{key} {values[key]:g}" for key in keys]
    return ", ".join([*told, "merged"] if values.get("merged") else told)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table whose columns after the second are numbers."""
    rule = ["---"] * 2 + ["---:"] * (len(head) - 2)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def cells(trace: cgsim.Trace, rows: list[dict[str, Any]]) -> list[str]:
    """One line of the table: rows of one trace, one for each accelerator."""
    first = rows[0]
    method = "ungated" if trace.metadata.method == "dense" else trace.metadata.method
    told = [method, strength(trace), f"{100 * first['accuracy']:.2f}"]
    told += [
        f"{100 * (first['accuracy'] - first['baseline_accuracy']):+.2f}",
        f"{first['flop_reduction']:.2f}",
    ]
    for row in rows:
        told += [f"{row['speedup']:.2f}", f"{row['offchip_reduction']:.2f}"]
        told += [f"{row['latency_ms_median']:.3f}", f"{row['latency_ms_p99']:.3f}"]
    return told


def put(name: str, table: str) -> None:
    """Replace what stands between a table's markers in the page."""
    start, end = f"<!-- {name}: made by docs/images/trained.py -->\n", "<!-- end of table -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(start)
    PAGE.write_text(f"{before}{start}\n{table}\n\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def compare(data: str, *figures: str) -> None:
    """Table and figures of one data set."""
    opened = {
        path.name.split(".trace")[0]: cgsim.load_trace(path)
        for path in sorted(TRACES.glob(f"{data}-*.parquet"))
    }
    found = cgsim.compare(list(opened.values()), HARDWARE, progress=True)
    head = ["method", "strength", "accuracy %", "points", "FLOP reduction"]
    for name in HARDWARE:
        head += [f"{what}<br>{name}" for what in ("speedup", "off-chip", "median ms", "p99 ms")]
    lines = []
    for label, trace in opened.items():
        rows = [row for row in found.rows if row["trace"] == label]
        lines.append((trace.metadata.method, rows[0]["flop_reduction"], cells(trace, rows)))
    put(data, markdown(head, [line for _method, _reduction, line in sorted(lines)]))
    for kind in figures:
        getattr(found.plot, kind)(IMAGES / f"{data}-{kind}.png")


def main() -> None:
    """Make all of it."""
    for data in ("cifar10", "fashion"):
        compare(data, "speedup", "offchip", "accuracy", "latency")
    compare("photographs", "speedup")


if __name__ == "__main__":
    main()
