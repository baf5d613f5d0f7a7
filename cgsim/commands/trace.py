"""`cgsim trace info|check|stats|synth|import|subset|merge`."""

from __future__ import annotations

import argparse
from typing import Any

from cgsim.commands import text
from cgsim.commands.parser import (
    Parser,
    add_command,
    command_line,
    natural,
    positive,
    print_json,
    print_notes,
)
from cgsim.errors import CgsimError


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "trace",
        help="look into, check, make or cut traces",
        description="Look into, check, make or cut traces (docs/trace-format.md).",
        epilog="example:\n  cgsim trace info traces/resnet20-cgnet.trace.parquet",
    )
    group = parser.commands()
    info = add_command(
        group,
        "info",
        run_info,
        "network, samples, provenance",
        "Print what a trace holds: network, samples, layers, provenance.",
        "cgsim trace info traces/resnet20-cgnet.trace.parquet",
        "cgsim trace info traces/resnet20-cgnet.trace.parquet --json",
    )
    info.add_argument("trace", metavar="TRACE", help="trace file")
    check = add_command(
        group,
        "check",
        run_check,
        "read everything and verify it",
        "Read whole traces and verify every checksum, shape and padding bit.",
        "cgsim trace check traces/*.trace.parquet",
    )
    check.add_argument("traces", metavar="TRACE", nargs="+", help="trace files")
    stats = add_command(
        group,
        "stats",
        run_stats,
        "densities and correlations of the gates",
        "Print densities and correlations of the gates of each layer.",
        "cgsim trace stats traces/resnet20-cgnet.trace.parquet",
    )
    stats.add_argument("trace", metavar="TRACE", help="trace file")
    _add_synth(group)
    _add_import(group)
    subset = add_command(
        group,
        "subset",
        run_subset,
        "copy some samples into a new trace",
        "Copy some samples into a new trace.",
        "cgsim trace subset cgnet.trace.parquet --samples 0-7,20 -o small.trace.parquet",
    )
    subset.add_argument("trace", metavar="TRACE", help="trace file")
    subset.add_argument("--samples", required=True, metavar="LIST", help="positions, such as 0-7,20")
    subset.add_argument("-o", "--output", required=True, metavar="TRACE", help="trace to write")
    merge = add_command(
        group,
        "merge",
        run_merge,
        "join traces of one network",
        "Join traces of one network into one.",
        "cgsim trace merge a.trace.parquet b.trace.parquet -o both.trace.parquet",
    )
    merge.add_argument("traces", metavar="TRACE", nargs="+", help="trace files")
    merge.add_argument("-o", "--output", required=True, metavar="TRACE", help="trace to write")


def _add_synth(group: argparse._SubParsersAction[Parser]) -> None:
    synth = add_command(
        group,
        "synth",
        run_synth,
        "make a synthetic trace",
        "Make a synthetic trace: seeded gates of given density and correlation, or the\n"
        "statistics of a real trace transplanted to another network (--like).",
        "cgsim trace synth resnet18 --like traces/resnet20-cgnet.trace.parquet \\\n"
        "    --samples 8 --flop-reduction 2.8 -o resnet18.trace.parquet",
        "cgsim trace synth resnet20 --gate pixel --density 0.4 -o pixel.trace.parquet",
    )
    synth.add_argument("network", metavar="NETWORK", help="name of a network: resnet18, resnet20 or tiny")
    synth.add_argument(
        "--gate",
        choices=("activation", "pixel", "channel", "static"),
        help="what a gate switches (default: activation)",
    )
    synth.add_argument("-o", "--output", required=True, metavar="TRACE", help="trace to write")
    synth.add_argument("--like", metavar="TRACE", help="real trace whose statistics are taken over")
    synth.add_argument("--samples", type=positive, default=8, metavar="N", help="default 8")
    synth.add_argument("--seed", type=natural, default=0, metavar="S", help="default 0")
    synth.add_argument("--flop-reduction", type=float, metavar="X", help="densities are scaled to reach it")
    synth.add_argument("--density", type=float, metavar="D", help="share of gates on (default 0.15)")
    synth.add_argument(
        "--correlation-length", type=float, metavar="L", help="of gates in space, in pixels (default 2)"
    )
    synth.add_argument(
        "--channel-correlation", type=float, metavar="C", help="between channels, 0 to 1 (default 0.1)"
    )


def _add_import(group: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        group,
        "import",
        run_import,
        "turn a SCALE-Sim topology into a trace without gates",
        "Turn a topology file of SCALE-Sim, convolutions or GEMMs, into a dense trace: layers without "
        "gates, not connected (docs/scalesim.md).",
        "cgsim trace import resnet18.csv -o resnet18.trace.parquet",
        "cgsim trace import vit.csv --form gemm --samples 4 -o vit.trace.parquet",
    )
    parser.add_argument("file", metavar="FILE", help="topology file (*.csv)")
    parser.add_argument("-o", "--output", required=True, metavar="TRACE", help="trace to write")
    parser.add_argument(
        "--form", choices=("conv", "gemm"), help="of the lines; default: as header and columns say"
    )
    parser.add_argument(
        "--split-depthwise",
        action="store_true",
        help="layers with DP in their names become a layer for each channel, as in SCALE-Sim, not "
        "one depthwise convolution",
    )
    parser.add_argument(
        "--samples", type=positive, default=1, metavar="N", help="equal samples in the trace (default 1)"
    )


def run_info(arguments: argparse.Namespace) -> None:
    """Print what a trace holds."""
    from cgsim.results.tables import compact
    from cgsim.trace import info, load_trace

    found = info(load_trace(arguments.trace))
    if arguments.json:
        print_json(found)
        return
    layers = found.pop("layers")
    print(text.pairs(_unfolded(found)))
    heads = {
        "layer": "layer",
        "operator": "operator",
        "in_shape": "in",
        "out_shape": "out",
        "gate": "gate",
        "base_channels": "base\nchannels",
        "macs": "dense\nMACs",
    }
    print()
    rows = [layer | {"macs": compact(layer["dense_macs"])} for layer in layers]
    print(text.columns(rows, heads, ("layer", "operator")))


def _unfolded(found: dict[str, Any]) -> dict[str, Any]:
    """`found` with headings for keys; objects among the method's parameters follow as rows of their own."""
    rows: dict[str, Any] = {}
    for key, value in found.items():
        rows[key.replace("_", " ")] = value
        if key == "method_parameters":
            inner = {k: item for k, item in value.items() if isinstance(item, dict) and k not in found}
            rows["method parameters"] = {name: item for name, item in value.items() if name not in inner}
            rows |= {name.replace("_", " "): item for name, item in inner.items()}
    return rows


def run_check(arguments: argparse.Namespace) -> None:
    """Verify each trace; the first bad one ends the command."""
    from cgsim.trace import check_trace

    found = []
    for path in arguments.traces:
        found.append(check_trace(path))
        if not arguments.json:
            print(f"{path}: ok ({found[-1]['network']}, {found[-1]['samples']} samples)", flush=True)
    if arguments.json:
        print_json({"checked": found})


def run_stats(arguments: argparse.Namespace) -> None:
    """Print densities and correlations."""
    from cgsim.trace import load_trace, stats

    rows = stats(load_trace(arguments.trace))
    if arguments.json:
        print_json({"trace": arguments.trace, "layers": rows})
        return
    if not rows:
        print(f"{arguments.trace}: no layer has gates")
        return
    heads = {
        "layer": "layer",
        "density": "density\nmean",
        "density_sample_min": "sample\nmin",
        "density_sample_max": "sample\nmax",
        "spatial_correlation": "spatial\ncorr.",
        "cross_channel_correlation": "channel\ncorr.",
        "any_of_16_channels": "any of\n16 ch.",
        "any_of_4x4_pixels": "any of\n4x4 px",
        "channels_off": "ch. off",
    }
    print(text.columns(rows, heads, ("layer",)))


def run_synth(arguments: argparse.Namespace) -> None:
    """Make a synthetic trace."""
    from cgsim.trace import build_network, fit, load_trace, synthesize, transplant

    shape = {key: getattr(arguments, key) for key in ("density", "correlation_length", "channel_correlation")}
    given = {key: value for key, value in shape.items() if value is not None}
    common: dict[str, Any] = {
        "samples": arguments.samples,
        "seed": arguments.seed,
        "flop_reduction": arguments.flop_reduction,
        "command": command_line(arguments),
    }
    if arguments.like and given:
        option = "--" + next(iter(given)).replace("_", "-")
        raise CgsimError(f"{option} and --like exclude each other: --like takes the statistics of its trace")
    network = build_network(arguments.network, arguments.gate or "activation")
    if arguments.like:
        transplant(fit(load_trace(arguments.like)), network, arguments.output, **common)
    else:
        synthesize(network, arguments.output, **given, **common)
    _report(arguments)


def run_import(arguments: argparse.Namespace) -> None:
    """Import a topology."""
    from cgsim.results.tables import compact
    from cgsim.trace.scalesim import import_topology

    topology = import_topology(
        arguments.file,
        arguments.output,
        form=arguments.form,
        split_depthwise=arguments.split_depthwise,
        samples=arguments.samples,
        command=command_line(arguments),
    )
    network = topology.network
    if arguments.json:
        print_json(
            {
                "trace": arguments.output,
                "samples": arguments.samples,
                "form": topology.form,
                "layers": len(network.layers),
                "dense_macs": network.dense_macs,
                "notes": list(topology.notes),
            }
        )
        return
    kind = {"conv": "convolution", "gemm": "GEMM"}[topology.form]
    layers = f"{len(network.layers)} layer{'s' if len(network.layers) > 1 else ''}"
    print(f"{arguments.output}: {layers} from {kind} form, {compact(network.dense_macs)} MACs, no gates")
    print_notes(topology.notes)


def run_subset(arguments: argparse.Namespace) -> None:
    """Copy some samples."""
    from cgsim.trace import load_trace, subset

    positions = parse_positions(arguments.samples, load_trace(arguments.trace).n_samples)
    subset(arguments.trace, arguments.output, positions)
    _report(arguments)


def run_merge(arguments: argparse.Namespace) -> None:
    """Join traces."""
    from cgsim.trace import merge

    merge(arguments.traces, arguments.output)
    _report(arguments)


def parse_positions(told: str, count: int) -> list[int]:
    """Return the positions of `0-7,20` among `count` samples; raises CgsimError if it is not such a list."""
    positions: list[int] = []
    for part in told.split(","):
        first, dash, last = (item.strip() for item in part.partition("-"))
        good = first.isdecimal() and (last.isdecimal() if dash else not last)
        if not good or int(last or first) < int(first):
            raise CgsimError(f"--samples {told!r}: expected positions and ranges, such as 0-7,20")
        if int(last or first) >= count:
            raise CgsimError(f"--samples {told!r}: the trace has {count} samples, 0 to {count - 1}")
        positions += range(int(first), int(last or first) + 1)
    return positions


def _report(arguments: argparse.Namespace) -> None:
    from cgsim.trace import load_trace

    trace = load_trace(arguments.output)
    reduction = trace.flop_reduction()
    if arguments.json:
        print_json({"trace": arguments.output, "samples": trace.n_samples, "flop_reduction": reduction})
        return
    told = f", FLOP reduction {reduction:.2f}" if reduction else ""
    print(f"{arguments.output}: {trace.n_samples} samples{told}")
