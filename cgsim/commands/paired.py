"""`cgsim paired`."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from cgsim.commands import text
from cgsim.commands.parser import WIDTH, Parser, add_command, print_json, print_notes

if TYPE_CHECKING:
    from cgsim.results.paired import Paired


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "paired",
        run,
        "compare two runs sample by sample: which is faster, and how sure is that",
        "Compare two runs on the samples that both have: ratios of their sums with 95%\n"
        "confidence intervals, and on how many samples the second is faster. A run is a\n"
        "folder of cgsim simulate, or FOLDER:ROW with a folder of cgsim sweep and the\n"
        "number of a row in its table, from 0.",
        "cgsim paired out/resnet20 out/resnet20-16x32",
        "cgsim paired out/sweep:0 out/sweep:3 --json",
    )
    parser.add_argument("first", metavar="RUN", help="what is compared with")
    parser.add_argument("second", metavar="RUN2", help="what is judged")
    parser.add_argument(
        "--mode",
        choices=("gated", "dense"),
        default="gated",
        help="which execution: gated (default) or dense",
    )


def run(arguments: argparse.Namespace) -> None:
    """Compare, print."""
    from cgsim.results.paired import paired
    from cgsim.results.sides import load_side

    found = paired(load_side(arguments.first), load_side(arguments.second), mode=arguments.mode)
    if arguments.json:
        print_json(found.to_json())
        return
    print(told(found))
    if found.notes:
        print()
        print_notes(found.notes)


def told(found: Paired) -> str:
    """Return the comparison as text, at most 80 columns wide."""
    from cgsim.results.paired import RATIOS
    from cgsim.results.tables import interval_text, ratio_text

    lines = text.pairs({"first": found.first, "second": found.second}).splitlines()
    lines += ["", f"{'first / second, ' + found.mode:<26}{'ratio':>8}   95% confidence"]
    for name, what in RATIOS.items():
        own = getattr(found, name)
        bounds = interval_text(own) if own.known else "not known"
        lines.append(f"{what.replace('_', ' ').replace('offchip', 'off-chip'):<26}"
                     f"{ratio_text(own.value, 3):>8}   {bounds}")  # fmt: skip
    counts = f"The second has the lower latency on {found.faster} of {found.samples} samples"
    counts += f", the higher on {found.slower}" + (f", equal on {found.equal}." if found.equal else ".")
    lines += ["", *textwrap.wrap(f"{counts} {_verdict(found)}", WIDTH)]
    return "\n".join(lines)


def _verdict(found: Paired) -> str:
    if not found.speedup.known:
        return "One sample, or one batch, tells nothing of others."
    if found.speedup.low == found.speedup.high == 1:
        return "Both take the same cycles."
    if not found.decided:
        return "Which takes fewer cycles on such images, these samples do not tell."
    faster, slower = ("second", "first") if found.speedup.value > 1 else ("first", "second")
    return f"On such images the {faster} takes fewer cycles than the {slower}."
