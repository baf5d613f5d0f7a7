"""`cgsim compare`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.commands import text
from cgsim.commands.executors import add_executor, opened_executor
from cgsim.commands.parser import (
    WIDTH,
    Parser,
    add_command,
    add_settings,
    command_line,
    interactive,
    parse_settings,
    positive,
    print_json,
    print_notes,
    told_written,
)

if TYPE_CHECKING:
    from cgsim.results.compare import Comparison

SOME_FAILED = 1
FORMATS = ("png", "svg", "pdf")
PLOTS = {
    "speedup": "speedup_vs_flops",
    "offchip": "offchip_vs_flops",
    "accuracy": "accuracy_vs_cycles",
    "latency": "latency",
}
"""Plots of a comparison, and the names of their files."""


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "compare",
        run,
        "compare gating methods on accelerators",
        "Simulate every trace on every accelerator and compare with the ungated network:\n"
        "speedup and off-chip reduction against FLOP reduction, accuracy against cycles,\n"
        "and how latency is distributed over the images. Writes compare.parquet (a row per\n"
        "trace and accelerator), samples.parquet (per image), compare.json and plots.\n"
        "Results are kept as they come: after a stop, the same command goes on.",
        "cgsim compare traces/*.trace.parquet --hardware asic-28nm \\\n"
        "    --hardware edge-16x16 -o out/compare",
        "cgsim compare cgnet.trace.parquet --baseline ungated.trace.parquet \\\n"
        "    --hardware asic-28nm --set array.rows=16,32 --plot-format pdf",
    )
    parser.add_argument("traces", metavar="TRACE", nargs="+", help="trace files (*.trace.parquet)")
    parser.add_argument(
        "--hardware", required=True, action="append", metavar="HW",
        help="accelerator: a name of `cgsim hardware list`, or a YAML file; may be repeated",
    )  # fmt: skip
    add_settings(parser, "values for every accelerator, such as array.rows=16,32; may be repeated")
    parser.add_argument(
        "--baseline", action="append", default=[], metavar="TRACE",
        help="trace of the ungated network, for all traces of its model and data set; default: a trace of "
        "method dense among those compared, else each trace's own network; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="DIR", default="out/compare", help="folder to write to; default out/compare"
    )
    parser.add_argument("--samples", type=positive, metavar="N", help="only the first N samples")
    parser.add_argument("--check", action="store_true", help="check that cycles, MACs and bytes add up")
    add_executor(parser)
    parser.add_argument("--retry-failed", action="store_true", help="run again what failed before")
    parser.add_argument("--no-plot", action="store_true", help="do not draw")
    parser.add_argument(
        "--plot-format", choices=FORMATS, default="png", help="format of the plots: png (default), svg or pdf"
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare, write, print; 1 if some runs failed."""
    grid = parse_settings(arguments.settings)
    import cgsim
    from cgsim.results.compare import ABOUT_FILE, SAMPLES_FILE, TABLE_FILE

    with opened_executor(arguments) as where:
        comparison = cgsim.compare(
            arguments.traces,
            arguments.hardware,
            grid,
            baselines=arguments.baseline,
            output=arguments.output,
            progress=interactive(),
            samples=arguments.samples,
            check=arguments.check,
            retry_failed=arguments.retry_failed,
            split_samples=arguments.split_samples,
            command=command_line(arguments),
            **where,
        )
    written = [TABLE_FILE, SAMPLES_FILE, ABOUT_FILE]
    if not arguments.no_plot:
        written += draw(comparison, Path(arguments.output), arguments.plot_format)
    code = SOME_FAILED if comparison.failed else 0
    if arguments.json:
        print_json(comparison.to_json())
        return code
    print(comparison_tables(comparison.rows))
    print()
    told = told_confidence(comparison.rows)
    if told:
        print(told)
    print_notes(comparison.notes)
    print(told_written(arguments.output, written))
    if comparison.failed:
        print(f"\nno figures of {len(comparison.failed)} (again with --retry-failed):")
        for one in comparison.failed:
            print(text.paragraph(f"trace {one['trace']}, {one['hardware']}: {one['error']}"))
    return code


def told_confidence(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return in one paragraph how sure the speedups are; empty where nothing is known of it."""
    from cgsim.results.certainty import BOUNDS
    from cgsim.results.tables import margin

    low, high = BOUNDS
    known = [row for row in rows if row[low] <= row[high] and row["speedup"]]
    if not known:
        return ""
    least = max(known, key=lambda row: max(row[high], 2 * row["speedup"] - row[low]) / row["speedup"])
    about = margin(least["speedup"], least[low], least[high])
    if len(known) == 1:
        return text.paragraph(f"95% confidence: the speedup is known to {about}")
    which = f"trace {least['trace']} on {least['hardware']}"
    return text.paragraph(f"95% confidence: speedups are known to {about} or better ({which})")


def draw(comparison: Comparison, folder: Path, form: str) -> list[str]:
    """Write the plots and return their names; without any accuracy there is none of accuracy."""
    known = any(row["accuracy"] is not None for row in comparison.rows)
    names = []
    for plot, name in PLOTS.items():
        if plot != "accuracy" or known:
            names.append(f"{name}.{form}")
            getattr(comparison.plot, plot)(folder / names[-1])
    return names


def comparison_tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one table per network and accelerator, at most 80 columns wide."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["model"], row["hardware"]), []).append(row)
    return "\n\n".join(f"{_heading(own)}\n\n{_table(own)}" for own in groups.values())


def _heading(rows: Sequence[Mapping[str, Any]]) -> str:
    """Tell what the rows are compared with."""
    import textwrap

    from cgsim.results.tables import compact

    row = rows[0]
    told = [f"{', '.join(filter(None, [row['dataset'], row['model']]))} on {row['hardware']}"]
    baselines = {one["baseline"] for one in rows}
    whose = f"trace {row['baseline']}" if len(baselines) == 1 else "each trace's own network"
    told.append(f"ungated ({whose})")
    if len({(one["baseline_macs"], one["baseline_cycles"]) for one in rows}) == 1:
        told += [
            f"{compact(row['baseline_macs'])} MACs",
            f"{compact(row['baseline_cycles'])} cycles",
            f"{row['baseline_latency_ms_mean']:.4g} ms",
            f"{compact(row['baseline_offchip_bytes'])} B off-chip",
        ]
    accuracies = {one["baseline_accuracy"] for one in rows}
    if len(accuracies) == 1 and row["baseline_accuracy"] is not None:
        told.append(f"accuracy {100 * row['baseline_accuracy']:.2f} %")
    line = f"{told[0]}; {told[1]}: {', '.join(told[2:])}" if told[2:] else "; ".join(told)
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    from cgsim.results.tables import ratio_text

    lines: list[dict[str, Any]] = []
    for row in rows:
        line: dict[str, Any] = {"trace": row["trace"], "method": row["method"]}
        line |= {key: ratio_text(row[key]) for key in _RATIOS}
        accuracy = row["accuracy"]
        line["accuracy"] = None if accuracy is None else f"{100 * accuracy:.2f}"
        line |= {key: f"{row[key]:#.3g}".rstrip(".") for key in ("latency_ms_median", "latency_ms_p99")}
        line["latency_spread"] = ratio_text(row["latency_spread"], 3)
        lines.append(line)
    heads = {
        "trace": "trace",
        "flop_reduction": "FLOP\nred.",
        "speedup": "speed-\nup",
        "efficiency": "effi-\nciency",
        "offchip_reduction": "off-chip\nred.",
        "energy_reduction": "energy\nred.",
        "accuracy": "acc.\n%",
        "latency_ms_median": "median\nms",
        "latency_ms_p99": "p99\nms",
        "latency_spread": "p99/\nmedian",
    }
    if all(line["accuracy"] is None for line in lines):
        del heads["accuracy"]
    if all(line["energy_reduction"] == "-" for line in lines):
        del heads["energy_reduction"]
    return text.columns(lines, heads, ("trace",), ("energy_reduction",))


_RATIOS = ("flop_reduction", "speedup", "efficiency", "offchip_reduction", "energy_reduction")
