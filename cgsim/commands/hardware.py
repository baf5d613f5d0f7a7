"""`cgsim hardware show|check|list`."""

from __future__ import annotations

import argparse
from typing import Any

from cgsim.commands.parser import Parser, add_command, add_settings, print_json, single_settings


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "hardware",
        help="show, check or list accelerators",
        description="Show, check or list accelerators (docs/configuration.md).",
        epilog="example:\n  cgsim hardware show asic-28nm",
    )
    group = parser.commands()
    show = add_command(
        group,
        "show",
        run_show,
        "print the configuration of an accelerator as YAML",
        "Print the whole validated configuration as YAML, which is itself a hardware file.",
        "cgsim hardware show asic-28nm --set array.rows=16 > mine.yaml",
    )
    show.add_argument("hardware", metavar="HW", help="name of `cgsim hardware list`, or a YAML file")
    add_settings(show, "replace one value, such as array.rows=16; may be repeated")
    check = add_command(
        group,
        "check",
        run_check,
        "check hardware files",
        "Check hardware files: unknown keys, missing keys, impossible values.",
        "cgsim hardware check mine.yaml",
    )
    check.add_argument("hardware", metavar="HW", nargs="+", help="YAML file or name")
    add_command(
        group,
        "list",
        run_list,
        "list the accelerators that come with cgsim",
        "List the accelerators that come with cgsim.",
        "cgsim hardware list",
    )


def run_show(arguments: argparse.Namespace) -> None:
    """Print one configuration."""
    overrides = single_settings(arguments.settings, "show takes one value for each key")
    from cgsim.hardware import load_hardware

    values = load_hardware(arguments.hardware, overrides).to_dict()
    if arguments.json:
        print_json(values)
        return
    import yaml

    print(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=78), end="")


def run_check(arguments: argparse.Namespace) -> None:
    """Load each file; the first bad one ends the command."""
    from cgsim.hardware import load_hardware

    checked = [{"hardware": source, "name": load_hardware(source).name} for source in arguments.hardware]
    if arguments.json:
        print_json({"checked": checked})
        return
    for item in checked:
        print(f"{item['hardware']}: ok ({item['name']})")


def run_list(arguments: argparse.Namespace) -> None:
    """Print a line or two for each shipped accelerator."""
    import textwrap

    from cgsim.hardware import available_hardware, load_hardware
    from cgsim.results.tables import describe_hardware

    found: list[dict[str, Any]] = [load_hardware(name).to_dict() for name in available_hardware()]
    if arguments.json:
        print_json({"hardware": found})
        return
    width = max(len(item["name"]) for item in found) + 2
    for item in found:
        for text, head in ((describe_hardware(item), item["name"]), (item.get("description") or "", "")):
            lines = textwrap.wrap(text, 79 - width)
            print("\n".join((head if i == 0 else "").ljust(width) + line for i, line in enumerate(lines)))
