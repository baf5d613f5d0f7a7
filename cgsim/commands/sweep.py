"""`cgsim sweep`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cgsim.commands import text
from cgsim.commands.parser import (
    Parser,
    add_command,
    add_hardware,
    command_line,
    interactive,
    parse_settings,
    positive,
    print_json,
    told_written,
)

PLOT = "speedup_vs_array.png"


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "sweep",
        run,
        "simulate traces on many variants of an accelerator",
        "Simulate every trace on every combination of the values that --set lists.\n"
        "Writes sweep.parquet (one row per trace and combination), sweep.json and a plot of\n"
        "speedup against array size.",
        "cgsim sweep traces/*.trace.parquet --hardware asic-28nm \\\n"
        "    --set array.rows=8,16,32 --set array.cols=8,16,32 -o out/sweep",
    )
    parser.add_argument("traces", metavar="TRACE", nargs="+", help="trace files (*.trace.parquet)")
    add_hardware(parser, "values to try, such as array.rows=8,16,32; may be repeated")
    parser.add_argument(
        "-o", "--output", metavar="DIR", default="out/sweep", help="folder to write to; default out/sweep"
    )
    parser.add_argument("--samples", type=positive, metavar="N", help="only the first N samples")
    parser.add_argument("--check", action="store_true", help="check that cycles, MACs and bytes add up")
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="processes (default: one for each core)"
    )
    parser.add_argument("--no-plot", action="store_true", help="do not draw")


def run(arguments: argparse.Namespace) -> None:
    """Sweep, write, print."""
    grid = parse_settings(arguments.settings)
    import cgsim

    table = cgsim.sweep(
        arguments.traces,
        cgsim.load_hardware(arguments.hardware),
        grid,
        workers=arguments.workers,
        output=arguments.output,
        progress=interactive(),
        samples=arguments.samples,
        check=arguments.check,
        command=command_line(arguments),
    )
    records: list[dict[str, Any]] = list(table.to_dict("records"))
    written = ["sweep.parquet", "sweep.json"]
    if not arguments.no_plot:
        from cgsim.results.plots import speedup_vs_array

        speedup_vs_array(table, Path(arguments.output) / PLOT)
        written.append(PLOT)
    if arguments.json:
        import json

        about = json.loads((Path(arguments.output) / "sweep.json").read_text(encoding="utf-8"))
        print_json({"rows": records, "units": about["units"], "provenance": about["provenance"]})
        return
    print(sweep_table(records, list(grid)))
    print(f"\n{told_written(arguments.output, written)}")


def sweep_table(records: list[dict[str, Any]], keys: list[str]) -> str:
    """Return one line per trace and combination, at most 80 columns wide; constant keys are left out."""
    from cgsim.results.tables import compact, percent, ratio_text

    varied = [key for key in keys if len({str(record[key]) for record in records}) > 1]
    rows: list[dict[str, Any]] = []
    for record in records:
        row: dict[str, Any] = {"trace": record["trace"], **{key: str(record[key]) for key in varied}}
        row |= {key: ratio_text(record[key]) for key in ("speedup", "flop_reduction", "efficiency")}
        row["gated_cycles_per_image"] = compact(record["gated_cycles_per_image"])
        row["images"] = compact(record["gated_images_per_second"])
        row["utilization"] = percent(record["utilization"])
        rows.append(row)
    heads = {"trace": "trace", **{key: "\n".join(key.rsplit(".", 1)) for key in varied}}
    heads |= {
        "speedup": "speed-\nup",
        "flop_reduction": "FLOP\nreduct.",
        "efficiency": "effi-\nciency",
        "gated_cycles_per_image": "cycles/\nimage",
        "images": "images\n/s",
        "utilization": "utili-\nzation",
    }
    return text.columns(rows, heads, ("trace",), ("utilization", "images", "gated_cycles_per_image"))
