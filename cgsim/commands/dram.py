"""`cgsim dram replay|check`."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.commands import text
from cgsim.commands.parser import (
    WIDTH,
    Parser,
    add_command,
    interactive,
    natural,
    positive,
    print_json,
    print_notes,
)
from cgsim.errors import CgsimError

if TYPE_CHECKING:
    from cgsim.dram.legal_timings import Timings
    from cgsim.dram.legality import Verdict

_LOST = {
    "refresh": "refresh",
    "activate": "activate, precharge",
    "bank_group": "same bank group",
    "turnaround": "read <-> write",
    "rank": "rank switch",
    "queue": "order in the queue",
    "no_request": "no request",
}
_SHOWN = 20


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "dram",
        help="replay request streams, check command logs",
        description="Replay request streams through DRAM controllers; check logs (docs/dram.md).",
        epilog="example:\n  cgsim dram replay stream.bin --config ddr4.yaml",
    )
    group = parser.commands()
    replay = add_command(
        group,
        "replay",
        run_replay,
        "replay a stream of requests",
        "Replay a stream of requests (little-endian uint64 each: bit 0 = write, the other bits the byte "
        "address), in order and as fast as it is accepted. DRAMsim3's .ini and Ramulator 2.1's resolved "
        "YAML run by the rules of these tools, our own files by ours.",
        "cgsim dram replay stream.bin --config ddr4.yaml",
        "cgsim dram replay stream.bin --config ddr4.yaml --commands out/commands.csv.gz",
    )
    replay.add_argument("stream", metavar="STREAM", help="file of requests")
    _add_config(replay)
    replay.add_argument("--commands", metavar="OUT", help="write every command to this file (.csv, .csv.gz)")
    replay.add_argument(
        "--per-clock",
        type=positive,
        metavar="N",
        help="requests offered per DRAM clock at most (default: as the configuration says, else 1)",
    )
    check = add_command(
        group,
        "check",
        run_check,
        "hold a log of commands against JEDEC's rules",
        "Hold a log of commands, ours or one of either tool, against JEDEC's rules with the timing of a "
        "configuration, and tell every violation. Exit code 2 if there is one.",
        "cgsim dram check out/commands.csv.gz --config ddr4.yaml",
    )
    check.add_argument("commands", metavar="COMMANDS", help="log of commands (.csv, .csv.gz)")
    _add_config(check)
    check.add_argument(
        "--postponed",
        type=natural,
        metavar="N",
        help="refreshes that may be postponed (default 8, as JEDEC allows)",
    )


def _add_config(parser: Parser) -> None:
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="memory: DRAMsim3's .ini, Ramulator 2.1's resolved YAML, or ours",
    )


def run_replay(arguments: argparse.Namespace) -> None:
    """Replay a stream."""
    _use_kernels()

    from cgsim.dram.own_config import load_config
    from cgsim.dram.streams import open_stream

    stream = open_stream(arguments.stream)
    config = load_config(arguments.config)
    if arguments.commands:
        _check_output(arguments.commands)

    from cgsim.dram.replay import replay, summary

    found = replay(config, stream, log=bool(arguments.commands), per_clock=arguments.per_clock or 0)
    told = summary(found, arguments.config, stream)
    if arguments.commands:
        from cgsim.dram.command_log import write_log

        memory = found.memory
        write_log(arguments.commands, found.log, memory.policy, memory.standard, memory.channels)
        told["commands"] = arguments.commands
    if arguments.json:
        print_json(told)
        return
    print(_table(told))
    if arguments.commands:
        print(f"\nwritten: {arguments.commands}, {len(found.log):,} commands")


def _use_kernels() -> None:
    """To be called before any kernel is imported."""
    from cgsim.engine.compile_cache import compiled, use_compile_cache

    use_compile_cache()
    if interactive() and not compiled():
        print("compiling kernels, once", file=sys.stderr)


def _check_output(path: str) -> None:
    """Raise CgsimError before the long work, not after it."""
    from cgsim.results.files import check_folder

    check_folder(Path(path).parent)
    if Path(path).is_dir():
        raise CgsimError(f"{path}: a folder, expected the name of a file")


def _table(n: dict[str, Any]) -> str:
    channels = "1 channel" if n["channels"] == 1 else f"{n['channels']} channels"
    inside = "pseudo-channel" if n["buses"] > n["channels"] else "rank"
    ranks = f"{n['ranks']} {inside}{'s' if n['ranks'] > 1 else ''}"
    kinds = f"{n['reads']:,} reads, {n['writes']:,} writes"
    heads = {
        "stream": n["stream"],
        "requests": f"{n['requests']:,} of {n['request_bytes']} B: {kinds}",
        "memory": f"{n['config']}: {n['standard']}, {channels} of {ranks}, clock {n['tck_ns']:g} ns",
        "policy": n["policy"],
    }
    hits = f"{n['row_hits']:,} hits (reads {n['read_row_hits']:,}, writes {n['write_row_hits']:,})"
    if n["row_misses"] is not None:
        hits += f", {n['row_misses']:,} misses, {n['row_conflicts']:,} conflicts"
    speed = f"{n['bandwidth_gbps']:.3f} GB/s, {n['peak_share']:.1%} of the peak of {n['peak_gbps']:.3f} GB/s"
    accepted = f"last request accepted at {n['cycles_accepted']:,}"
    rows = {
        "cycles": f"{n['cycles']:,} ({n['time_us']:,.1f} µs), {accepted}",
        "bandwidth": speed,
        "rows": hits,
        "commands": _commands(n),
        "not in DRAM": _served_early(n),
        "read latency": _latency(n),
    }
    return f"{text.pairs(heads)}\n\n{text.pairs(rows)}\n\n{_bus(n)}\n\n{_energy(n)}"


def _commands(n: dict[str, Any]) -> str:
    told = [
        f"activate {n['activates']:,}",
        f"read {n['read_commands']:,}",
        f"write {n['write_commands']:,}",
        f"precharge {n['precharges']:,} (on demand {n['ondemand_precharges']:,})",
        f"refresh {n['refreshes']:,}",
    ]
    if n["bank_refreshes"]:
        told.append(f"refresh of a bank {n['bank_refreshes']:,}")
    return ", ".join(told)


def _served_early(n: dict[str, Any]) -> str:
    told = {
        "reads of waiting writes": n["forwarded_reads"],
        "reads merged": n["merged_reads"],
        "writes merged": n["merged_writes"],
    }
    return ", ".join(f"{count:,} {what}" for what, count in told.items() if count)


def _latency(n: dict[str, Any]) -> str:
    mean = n["read_latency_mean_cycles"]
    if mean is None:
        return ""
    median, most, longest = (n[f"read_latency_{name}_cycles"] for name in ("median", "p99", "max"))
    return (
        f"mean {mean:,.1f} clocks ({mean * n['tck_ns']:,.1f} ns), median {median:,}, "
        f"99th percentile {most:,}, longest {longest:,}; from acceptance to the last data"
    )


def _bus(n: dict[str, Any]) -> str:
    """The clocks of the data buses: carrying data, or lost, by cause."""
    total = n["cycles"] * n["buses"]
    rows = {"data": n["data_cycles"]}
    if n["lost_cycles"] is None:
        rows["lost (this policy names no causes)"] = total - n["data_cycles"]
    else:
        rows |= {f"lost: {_LOST[key]}": count for key, count in n["lost_cycles"].items() if count}
    rows["total"] = sum(rows.values())
    cells = [
        {"name": name, "clocks": f"{count:,}", "share": f"{count / max(total, 1):.1%}"}
        for name, count in rows.items()
    ]
    name = "data bus" if n["buses"] == 1 else f"{n['buses']} data buses"
    return text.columns(cells, {"name": name, "clocks": "clocks", "share": "share"}, ("name",))


def _energy(n: dict[str, Any]) -> str:
    energy = n["energy_pj"]
    if energy is None:
        return "energy: not known, the configuration has no currents"
    total = energy["total"]
    cells = [
        {"name": name.replace("_", " "), "energy": f"{value / 1e6:,.3f}", "share": f"{value / total:.1%}"}
        for name, value in energy.items()
        if value
    ]
    table = text.columns(cells, {"name": "energy", "energy": "µJ", "share": "share"}, ("name",))
    scope = f"mean power {n['mean_power_mw']:,.1f} mW; {n['energy_scope']}"
    return f"{table}\n{textwrap.fill(scope, WIDTH - 1)}"


def run_check(arguments: argparse.Namespace) -> None:
    """Check a log of commands; raises CgsimError if it is not legal."""
    _use_kernels()

    from cgsim.dram.command_log import read_log
    from cgsim.dram.legal_timings import load_timings
    from cgsim.dram.legality import check
    from cgsim.dram.own_config import load_config

    load_config(arguments.config)  # refuses what load_timings does not look at
    timings = load_timings(arguments.config)
    if arguments.postponed is not None:
        timings = timings._replace(postponed=arguments.postponed)
    log = read_log(arguments.commands)
    verdict = check(log, timings)
    if arguments.json:
        _print_verdict_json(arguments, verdict, log, timings)
    elif verdict.legal:
        refreshes = "" if timings.trefi else " (refresh not checked: the configuration has none)"
        print(f"{arguments.commands}: ok, {verdict.commands:,} commands{refreshes}")
    else:
        _print_verdict(verdict, log)
    if not verdict.legal:
        broken = sum(verdict.broken.values())
        what = f"{broken:,} violation{'s' if broken > 1 else ''} of {', '.join(verdict.broken)}"
        raise CgsimError(f"{arguments.commands}: {what}")


def _print_verdict_json(arguments: argparse.Namespace, verdict: Verdict, log: Any, timings: Timings) -> None:
    from cgsim.dram.legality import describe

    print_json(
        {
            "log": arguments.commands,
            "config": arguments.config,
            "commands": verdict.commands,
            "legal": verdict.legal,
            "broken": verdict.broken,
            "violations": [v._asdict() | {"text": describe(v, log)} for v in verdict.violations],
            "timings": timings._asdict(),
        }
    )


def _print_verdict(verdict: Verdict, log: Any) -> None:
    from cgsim.dram.legality import describe

    rows = [{"rule": rule, "broken": f"{count:,}"} for rule, count in verdict.broken.items()]
    print(text.columns(rows, {"rule": "rule", "broken": "broken"}, ("rule",)))
    print()
    for violation in verdict.violations[:_SHOWN]:
        print(textwrap.fill(describe(violation, log), WIDTH - 1, subsequent_indent="    "))
    more = sum(verdict.broken.values()) - _SHOWN
    if more > 0:
        print_notes([f"{more:,} more; --json tells the first {len(verdict.violations):,}"])
