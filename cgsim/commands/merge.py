"""`cgsim merge`: from a pruned network to the smaller one that computes the same."""

from __future__ import annotations

import argparse

from cgsim.commands.interrupts import insistent_interrupt
from cgsim.commands.models import need_torch
from cgsim.commands.parser import Parser, add_command, print_json


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "merge",
        run_merge,
        "cut out what Gate Decorator pruned",
        "Cut out the filters that Gate Decorator switched off. What remains is an ordinary smaller\n"
        "network that computes the same; cgsim record, evaluate and quantize take it.",
        "cgsim merge runs/pruned -o runs/merged",
    )
    parser.add_argument("run_dir", metavar="RUN", help="folder of cgsim train --method gate-decorator")
    parser.add_argument("-o", "--output", required=True, metavar="RUN2", help="folder for the smaller model")


def run_merge(arguments: argparse.Namespace) -> None:
    """Merge a run."""
    need_torch()
    with insistent_interrupt():
        from cgsim.models import merge_command

    result = merge_command(arguments.run_dir, output=arguments.output)
    if arguments.json:
        print_json(result)
        return
    print(
        f"{result['run']}: {result['parameters']} of {result['parameters_ungated']} parameters, "
        f"FLOP reduction {result['flop_reduction']:.2f}"
    )
