"""`cgsim report`."""

from __future__ import annotations

import argparse
import os

from cgsim.commands.extras import need
from cgsim.commands.parser import Parser, add_command, print_json
from cgsim.errors import CgsimError


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "report",
        run,
        "write results as one interactive HTML file",
        "Write one HTML file with sortable, filterable tables, interactive plots, configuration and "
        "provenance of results; several are compared side by side (docs/report.md). The file loads "
        "nothing: it works without a network.",
        "cgsim report out/resnet20-cgnet-asic-28nm -o report.html",
        "cgsim report out/sweep out/search -o report.html --title 'ResNet-18'",
    )
    parser.add_argument(
        "results", metavar="RESULTS", nargs="+",
        help="folders that cgsim simulate, sweep, compare or optimize wrote",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="out/report.html", help="default out/report.html"
    )
    parser.add_argument("--title", metavar="TEXT", default="", help="default: the names of the results")


def run(arguments: argparse.Namespace) -> int:
    """Read, write, say where."""
    need("report", "plotly", "itables", what="cgsim report")
    if os.path.splitext(arguments.output)[1].lower() not in (".html", ".htm"):
        raise CgsimError(f"--output {arguments.output}: expected a file .html")
    from cgsim.results.html import html_report

    html_report(arguments.results, arguments.output, title=arguments.title)
    size = os.path.getsize(arguments.output)
    if arguments.json:
        print_json({"results": arguments.results, "report": arguments.output, "bytes": size})
    else:
        print(f"written: {arguments.output} ({size / 1e6:.1f} MB)")
    return 0
