"""`cgsim simulate`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.commands import text
from cgsim.commands.parser import (
    Parser,
    add_command,
    add_hardware,
    command_line,
    interactive,
    natural,
    positive,
    print_json,
    print_notes,
    single_settings,
    told_written,
)
from cgsim.errors import CgsimError

if TYPE_CHECKING:
    from cgsim.hardware import Hardware
    from cgsim.results import Run
    from cgsim.results.timeline import Timeline
    from cgsim.trace import Trace

FORMATS = ("png", "svg", "pdf")
PLOTS = ("speedup_vs_flops", "cycles", "energy", "roofline", "latency")
"""Plots of a run; that of the bandwidth takes a timeline."""


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "simulate",
        run,
        "replay a trace on an accelerator, gated and dense",
        "Replay the gates of a trace on an accelerator, gated and dense side by side.\n"
        "Prints a table per layer and in total; writes layers.parquet (every sample and\n"
        "layer), summary.json and report.md, and with --plot the plots. --timeline writes\n"
        "what happens when on one sample, for Perfetto and Chrome.",
        "cgsim simulate traces/resnet20-cgnet.trace.parquet --hardware asic-28nm \\\n"
        "    --set array.rows=16 --plot -o out/resnet20",
    )
    parser.add_argument("trace", metavar="TRACE", help="trace file (*.trace.parquet)")
    add_hardware(parser, "replace one value of the hardware, such as array.rows=16; may be repeated")
    parser.add_argument("--samples", type=positive, metavar="N", help="only the first N samples")
    parser.add_argument(
        "--until-ci", type=_share, metavar="SHARE",
        help="replay samples in random order until the speedup is known to so much, such as 1%%: half the "
        "width of its 95%% confidence interval",
    )  # fmt: skip
    parser.add_argument("--check", action="store_true", help="check that cycles, MACs and bytes add up")
    parser.add_argument(
        "--plot", action="store_true", help=f"draw {', '.join(PLOTS)} and bandwidth, as far as they are known"
    )
    parser.add_argument(
        "--plot-format", choices=FORMATS, default="png", help="format of the plots: png (default), svg or pdf"
    )
    parser.add_argument(
        "--timeline", metavar="FILE", help="also write FILE: tiles, phases, transfers, stalls, DRAM banks"
    )
    parser.add_argument(
        "--timeline-layers", metavar="LAYERS",
        help="of which layers: names with commas between them, each also FIRST:LAST, ':' is all; default the "
        "first layer with gates",
    )  # fmt: skip
    parser.add_argument(
        "--timeline-sample", type=natural, metavar="N", help="of the sample at this position (default 0)"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR",
        help="folder to write to; default out/TRACE-HARDWARE, with --json none",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Simulate, write, print."""
    overrides = single_settings(arguments.settings, "a list makes a sweep: use cgsim sweep")
    import cgsim
    from cgsim.results.files import check_folder

    trace = cgsim.load_trace(arguments.trace)
    hardware = cgsim.load_hardware(arguments.hardware, overrides)
    folder = _folder(arguments, trace, hardware)
    if folder is not None:
        check_folder(folder)
    timeline = _timeline(arguments, trace, hardware)
    result = cgsim.simulate(
        trace,
        hardware,
        samples=arguments.samples,
        check=arguments.check,
        progress=interactive(),
        until_ci=arguments.until_ci,
    )
    result.provenance["command"] = command_line(arguments)
    written = _write(result, folder, arguments, trace, hardware) if folder is not None else []
    if arguments.json:
        print_json(result.to_json())
        return
    print(text.emphasized(result.table()))
    if arguments.until_ci is not None:
        print()
        print_notes([_told_until(result.provenance["until_ci"])])
    if folder is not None:
        print(f"\n{told_written(folder, written)}")
    if timeline is not None:
        print(f"timeline written to {arguments.timeline}: {timeline}")


def _share(text: str) -> float:
    """Parse a share between 0 and 1, also as percent."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"expected a share between 0 and 1, such as 1% or 0.01, got {text!r}"
        )
    return value


def _told_until(found: Mapping[str, Any]) -> str:
    """Say how many samples it took until the speedup was known well enough."""
    share, half = f"{100 * found['share']:g}%", found["relative_half_width"]
    if found["reached"]:
        told = f"{found['samples']} of {found['of']} samples were enough"
        return f"{told}: the speedup is known to ±{100 * half:.2g}%, {share} was asked for"
    told = f"all {found['of']} samples were not enough for ±{share}"
    if half is None:
        return f"{told}: one sample, or one batch, has no confidence interval"
    return f"{told}: the speedup is known to ±{100 * half:.2g}%; about {found['needed']} would be needed"


def _timeline(arguments: argparse.Namespace, trace: Trace, hardware: Hardware) -> Timeline | None:
    """Write the timeline that is asked for."""
    if arguments.timeline is None:
        for option in ("layers", "sample"):
            if getattr(arguments, f"timeline_{option}") is not None:
                raise CgsimError(f"--timeline-{option}: expected --timeline FILE with it")
        return None
    import cgsim
    from cgsim.results.files import check_folder

    check_folder(Path(arguments.timeline).parent)
    sample = arguments.timeline_sample or 0
    timeline = cgsim.timeline(trace, hardware, sample=sample, layers=arguments.timeline_layers)
    timeline.origin["command"] = command_line(arguments)
    timeline.write(arguments.timeline)
    return timeline


def _folder(arguments: argparse.Namespace, trace: Trace, hardware: Hardware) -> Path | None:
    if arguments.output is not None:
        return Path(arguments.output)
    if arguments.json and not arguments.plot:
        return None
    from cgsim.results.provenance import trace_name

    return Path("out") / f"{trace_name(str(trace.path))}-{hardware.name}"


def _write(
    result: Run, folder: Path, arguments: argparse.Namespace, trace: Trace, hardware: Hardware
) -> list[str]:
    import cgsim
    from cgsim.results.report import report
    from cgsim.results.run import LAYERS_FILE, SUMMARY_FILE

    result.save(folder)
    plots: list[str] = []
    if arguments.plot:
        known = result.summary()["dense_energy_uj_per_image"] > 0
        for name in PLOTS:
            if name == "energy" and not known:
                continue
            plots.append(f"{name}.{arguments.plot_format}")
            getattr(result.plot, name)(folder / plots[-1])
        if not hardware.engines.pipeline:  # these have no timeline
            plots.append(f"bandwidth.{arguments.plot_format}")
            cgsim.timeline(trace, hardware, layers=":").plot.bandwidth(folder / plots[-1])
    report(result, folder / "report.md", plots)
    return [LAYERS_FILE, SUMMARY_FILE, "report.md", *plots]
