"""`cgsim sweep`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.commands import text
from cgsim.commands.executors import add_executor, opened_executor
from cgsim.commands.parser import (
    Parser,
    add_command,
    add_settings,
    command_line,
    interactive,
    parse_settings,
    positive,
    print_json,
    told_written,
)
from cgsim.errors import CgsimError

if TYPE_CHECKING:
    from cgsim.explore import Experiment, Plan

PLOT = "speedup_vs_array.png"
SOME_FAILED = 1


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "sweep",
        run,
        "simulate traces on many variants of an accelerator",
        "Simulate every trace on every combination of the values that --set lists, or all that "
        "an experiment in YAML describes (docs/experiments.md). Writes sweep.parquet (one row "
        "per trace and variant), samples.parquet (per sample), sweep.json and a plot of speedup "
        "against array size. Results are kept as they come: after a stop, the same command "
        "goes on and repeats nothing.",
        "cgsim sweep traces/*.trace.parquet --hardware asic-28nm \\\n"
        "    --set array.rows=8,16,32 --set array.cols=8,16,32 -o out/sweep",
        "cgsim sweep --experiment study.yaml --dry-run -o out/study",
    )
    parser.add_argument("traces", metavar="TRACE", nargs="*", help="trace files (*.trace.parquet)")
    parser.add_argument(
        "--experiment", metavar="FILE", help="YAML that says all, instead of traces and --set"
    )
    parser.add_argument(
        "--hardware", metavar="HW", help="accelerator: a name of `cgsim hardware list`, or a YAML file"
    )
    add_settings(parser, "values to try, such as array.rows=8,16,32; may be repeated")
    parser.add_argument(
        "-o", "--output", metavar="DIR", default="out/sweep", help="results folder; default out/sweep"
    )
    parser.add_argument("--samples", type=positive, metavar="N", help="only the first N samples")
    parser.add_argument("--check", action="store_true", help="check that cycles, MACs and bytes add up")
    parser.add_argument(
        "--dry-run", action="store_true", help="tell how many runs, and about how long; run none"
    )
    add_executor(parser)
    parser.add_argument("--retry-failed", action="store_true", help="run again what failed before")
    parser.add_argument("--no-plot", action="store_true", help="do not draw")


def run(arguments: argparse.Namespace) -> int:
    """Sweep, write, print."""
    experiment = _experiment(arguments)
    if arguments.dry_run:
        return _forecast(arguments, experiment.plan())
    import cgsim

    with opened_executor(arguments) as where:
        table = cgsim.run_experiment(
            experiment,
            output=arguments.output,
            progress=interactive(),
            check=arguments.check or experiment.check,
            retry_failed=arguments.retry_failed,
            split_samples=arguments.split_samples,
            command=command_line(arguments),
            **where,
        )
    records: list[dict[str, Any]] = list(table.to_dict("records"))
    failed = [record for record in records if record.get("error")]
    good = [record for record in records if not record.get("error")]
    written = ["sweep.parquet", "samples.parquet", "sweep.json"] if good else ["sweep.parquet", "sweep.json"]
    if good and not arguments.no_plot:
        from cgsim.results.plots import speedup_vs_array

        speedup_vs_array(
            table.loc[[not record.get("error") for record in records]], Path(arguments.output) / PLOT
        )
        written.append(PLOT)
    if arguments.json:
        import json

        about = json.loads((Path(arguments.output) / "sweep.json").read_text(encoding="utf-8"))
        print_json(
            {
                "rows": records,
                "failed": about["failed"],
                "units": about["units"],
                "provenance": about["provenance"],
            }
        )
        return SOME_FAILED if failed else 0
    keys = list(experiment.keys)
    if good:
        print(sweep_table(good, keys))
        print()
    print(told_written(arguments.output, written))
    if failed:
        print(f"\n{len(failed)} of {len(records)} runs failed (again with --retry-failed):")
        print("\n".join(told_failures(failed, keys)))
    return SOME_FAILED if failed else 0


def _experiment(arguments: argparse.Namespace) -> Experiment:
    """Return what the command line describes."""
    from cgsim.explore import Experiment

    grid = parse_settings(arguments.settings)
    if arguments.experiment is None:
        if not arguments.traces or arguments.hardware is None:
            missing = "TRACE" if not arguments.traces else "--hardware HW"
            raise CgsimError(f"sweep: expected {missing}, or --experiment FILE (see cgsim sweep --help)")
        values: dict[str, Any] = {"traces": arguments.traces, "hardware": arguments.hardware}
        if grid:
            values["vary"] = {"grid": grid}
        if arguments.samples is not None:
            values["samples"] = arguments.samples
        return Experiment.from_dict(values, source="sweep")
    if arguments.traces or grid or arguments.hardware is not None or arguments.samples is not None:
        raise CgsimError(
            "--experiment says all of it: expected no TRACE, --hardware, --set or --samples beside"
        )
    return Experiment.load(arguments.experiment)


def _forecast(arguments: argparse.Namespace, plan: Plan) -> int:
    from cgsim.explore.estimate import forecast

    with opened_executor(arguments) as where:
        workers = where["executor"].workers if "executor" in where else where["workers"]
        told = forecast(plan, Path(arguments.output), workers)
    if arguments.json:
        print_json(
            {
                "runs": told.runs,
                "traces": list(plan.traces),
                "points": [point.settings | {"hardware": point.hardware.name} for point in plan.points],
                "done": told.done,
                "failed": told.failed,
                "left": told.left,
                "estimated_seconds": told.seconds,
                "workers": told.workers,
                "basis": told.basis,
            }
        )
        return 0
    what = f"{text.counted(len(plan.traces), 'trace')} on {text.counted(len(plan.points), 'accelerator')}"
    print(f"{plan.name}: {text.counted(told.runs, 'run')}: {what}")
    print(f"{arguments.output}: {told.done} are done, {told.failed} failed; {told.left} are left")
    if told.left:
        on = text.counted(told.workers, "worker")
        print(text.paragraph(f"estimate: {text.duration(told.seconds)} on {on}, from {told.basis}"))
    return 0


def told_failures(failed: list[dict[str, Any]], keys: list[str]) -> list[str]:
    """Return one paragraph for each error: what it is, where it was first, and how often it came."""
    places: dict[str, list[str]] = {}
    for record in failed:
        settings = ", ".join(f"{key}={_shown(record[key])}" for key in keys) or record["hardware"]
        places.setdefault(record["error"], []).append(f"{record['trace']}, {settings}")
    told = []
    for error, found in places.items():
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        told.append(text.paragraph(f"{found[0]}{more}: {error}"))
    return told


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def sweep_table(records: list[dict[str, Any]], keys: list[str]) -> str:
    """Return one line per trace and combination, at most 80 columns wide; constant keys are left out."""
    from cgsim.results.certainty import BOUNDS
    from cgsim.results.tables import compact, margin, percent, ratio_text

    varied = [key for key in ["hardware", *keys] if len({str(record[key]) for record in records}) > 1]
    sure = any(record["speedup_low"] <= record["speedup_high"] for record in records)
    rows: list[dict[str, Any]] = []
    for record in records:
        row: dict[str, Any] = {"trace": record["trace"], **{key: _shown(record[key]) for key in varied}}
        row |= {key: ratio_text(record[key]) for key in ("speedup", "flop_reduction", "efficiency")}
        row["bounds"] = margin(record["speedup"], *(record[name] for name in BOUNDS))
        row["gated_cycles_per_image"] = compact(record["gated_cycles_per_image"])
        row["images"] = compact(record["gated_images_per_second"])
        row["utilization"] = percent(record["utilization"])
        row["energy"] = compact(record["gated_energy_uj_per_image"])
        rows.append(row)
    heads = {"trace": "trace", **{key: "\n".join(key.rsplit(".", 1)) for key in varied}}
    heads |= {
        "speedup": "speed-\nup",
        **({"bounds": "95%\nconf."} if sure else {}),
        "flop_reduction": "FLOP\nreduct.",
        "efficiency": "effi-\nciency",
        "gated_cycles_per_image": "cycles/\nimage",
        "images": "images\n/s",
        "utilization": "utili-\nzation",
    }
    if any(row["energy"] != "-" for row in rows):
        heads["energy"] = "µJ/\nimage"
    counted = ("energy", "utilization", "gated_cycles_per_image", "images")
    optional = ("efficiency", "flop_reduction", "bounds", *counted)
    return text.columns(rows, heads, ("trace", "hardware"), optional)
