"""`cgsim optimize`."""

from __future__ import annotations

import argparse
import json
import re
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
    natural,
    positive,
    print_json,
    single_settings,
    told_written,
)
from cgsim.errors import CgsimError

if TYPE_CHECKING:
    from cgsim.explore import Search

PLOT = "pareto.png"
NONE_FOUND = 1
_RANGE = re.compile(r"([^.:][^:]*?)\.\.([^:]+?)(?::(.+))?")
_SHOWN = 20


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "optimize",
        run,
        "search for the accelerators that are best in several figures",
        "Search, with Optuna, for the accelerators that are best in one or several figures "
        "within limits of others (docs/optimize.md). With several traces the search chooses "
        "among them, too. Writes trials.parquet (a row per trial), pareto.json (the front) and "
        "a plot. After a stop, the same command goes on and repeats nothing.",
        "cgsim optimize traces/resnet20-cgnet.trace.parquet --hardware asic-28nm \\\n"
        "    --vary array.rows=8..64:8 --vary array.cols=8,16,32,64 \\\n"
        "    --objective latency --objective pes --constraint 'p99_latency<=0.5' \\\n"
        "    --trials 60 --samples 16 -o out/search",
    )
    parser.add_argument("traces", metavar="TRACE", nargs="*", help="trace files (*.trace.parquet)")
    parser.add_argument(
        "--search", metavar="FILE", help="YAML that says all, instead of the options above it"
    )
    parser.add_argument(
        "--hardware", metavar="HW", help="accelerator: a name of `cgsim hardware list`, or a YAML file"
    )
    add_settings(parser, "a key that is fixed")
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=RANGE",
        help="values of a key: 8,16,32, or 8..64, or 8..64:8 (steps), or 8..64:log; whole numbers if both "
        "ends are; may be repeated",
    )
    parser.add_argument(
        "--objective", action="append", default=[], metavar="FIGURE", help="such as latency; may be repeated"
    )
    parser.add_argument(
        "--constraint",
        action="append",
        default=[],
        metavar="LIMIT",
        help="such as 'p99_latency<=2'; may be repeated",
    )
    parser.add_argument("--trials", type=positive, metavar="N", help="default 100")
    parser.add_argument(
        "--sampler",
        metavar="NAME",
        help="nsga2, tpe, random or grid; default nsga2, or tpe for one objective",
    )
    parser.add_argument("--seed", type=natural, metavar="S", help="default 0")
    parser.add_argument("--batch", type=positive, metavar="N", help="trials proposed at a time; default 16")
    parser.add_argument("--samples", type=positive, metavar="N", help="only the first N samples")
    parser.add_argument(
        "-o", "--output", metavar="DIR", default="out/search", help="results folder; default out/search"
    )
    add_executor(parser, split=False)
    parser.add_argument("--no-plot", action="store_true", help="do not draw")


def run(arguments: argparse.Namespace) -> int:
    """Search, write, print."""
    search = _search(arguments)
    import cgsim

    with opened_executor(arguments) as where:
        table = cgsim.optimize(
            search, output=arguments.output, progress=interactive(), command=command_line(arguments), **where
        )
    from cgsim.explore.search_files import PARETO_FILE, TRIALS_FILE

    about = json.loads((Path(arguments.output) / PARETO_FILE).read_text(encoding="utf-8"))
    written = [TRIALS_FILE, PARETO_FILE]
    drawn = table["state"].isin(["front", "feasible", "infeasible"]).any()
    if drawn and not arguments.no_plot:
        from cgsim.results.pareto import pareto

        objectives = about["provenance"]["objectives"]
        pareto(table, objectives, Path(arguments.output) / PLOT, about["units"])
        written.append(PLOT)
    code = 0 if about["front"] else NONE_FOUND
    if arguments.json:
        print_json(about | {"trials": table.to_dict("records")})
        return code
    states = ", ".join(f"{count} {state}" for state, count in about["states"].items())
    print(f"{search.base.name}: {text.counted(len(table), 'trial')}: {states}")
    if about["front"]:
        several = len(about["provenance"]["traces"]) > 1
        print(f"\n{front_table(about['front'], search, several)}")
    print(f"\n{told_written(arguments.output, written)}")
    for state in ("failed", "refused"):
        errors = table[table["state"] == state]["error"].value_counts()
        for error, count in list(errors.items())[:3]:
            print(text.paragraph(f"{state}, {count} times: {error}"))
    return code


def _search(arguments: argparse.Namespace) -> Search:
    """Return what the command line describes."""
    from cgsim.explore import Search

    own = {
        "traces": arguments.traces,
        "hardware": arguments.hardware,
        "vary": dict(_range(one) for one in arguments.vary),
        "objectives": arguments.objective,
        "constraints": arguments.constraint,
        "trials": arguments.trials,
        "sampler": arguments.sampler,
        "seed": arguments.seed,
        "batch": arguments.batch,
        "samples": arguments.samples,
    }
    given = {key: value for key, value in own.items() if value not in (None, [], {})}
    fixed = single_settings(arguments.settings, "use --vary for a list")
    if arguments.search is not None:
        if given or fixed:
            first = next(iter(given), "--set")
            raise CgsimError(f"--search says all of it: expected no {first} beside")
        return Search.load(arguments.search)
    for key, option in (
        ("traces", "TRACE"),
        ("hardware", "--hardware HW"),
        ("vary", "--vary KEY=RANGE"),
        ("objectives", "--objective FIGURE"),
    ):
        if key not in given:
            raise CgsimError(f"optimize: expected {option}, or --search FILE (see cgsim optimize --help)")
    if fixed:
        from cgsim.hardware import load_hardware

        given["hardware"] = load_hardware(arguments.hardware, fixed).to_dict()
    return Search.from_dict(given, source="optimize")


def _range(setting: str) -> tuple[str, Any]:
    """Return the key and the values of `key=8,16`, `key=8..64`, `key=8..64:8` or `key=8..64:log`."""
    from cgsim.hardware import parse_setting

    key, equals, values = setting.partition("=")
    found = _RANGE.fullmatch(values) if equals else None
    if found is None:
        return parse_setting(setting)
    low, high, more = found.groups()
    axis: dict[str, Any] = {"low": _number(low, setting), "high": _number(high, setting)}
    if more == "log":
        axis["log"] = True
    elif more is not None:
        axis["step"] = _number(more, setting)
    return key, axis


def _number(word: str, setting: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    raise CgsimError(
        f"--vary {setting}: expected KEY=LOW..HIGH, LOW..HIGH:STEP or LOW..HIGH:log, got {word!r}"
    )


def front_table(front: list[dict[str, Any]], search: Search, several: bool) -> str:
    """Return the front as a table of at most 80 columns, by the first objective, at most 20 lines."""
    names = [*search.objectives, *(one.name for one in search.constraints)]
    ordered = sorted(front, key=lambda row: row[search.objectives[0]])
    keys = [axis.key for axis in search.axes]
    heads = {"trial": "trial", **({"trace": "trace"} if several else {})}
    heads |= {key: "\n".join(key.rsplit(".", 1)) for key in keys}
    heads |= {name: _head(name) for name in dict.fromkeys(names)}
    rows = [
        {
            name: f"{value:.5g}" if isinstance(value, float) else value
            for name, value in row.items()
            if name in heads
        }
        for row in ordered[:_SHOWN]
    ]
    table = text.columns(rows, heads, ("trace",))
    return table if len(ordered) <= _SHOWN else f"{table}\n... {len(ordered) - _SHOWN} more in pareto.json"


def _head(name: str) -> str:
    from cgsim.explore.figures_of_merit import FIGURES

    unit = FIGURES[name].unit
    return "\n".join([*name.rsplit("_", 1), *([unit] if unit not in ("1", "PEs") else [])])
