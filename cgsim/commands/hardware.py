"""`cgsim hardware show|costs|check|list|import`."""

from __future__ import annotations

import argparse
from typing import Any

from cgsim.commands.parser import (
    Parser,
    add_command,
    add_settings,
    print_json,
    print_notes,
    single_settings,
)


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "hardware",
        help="show, check, list or import accelerators; what they cost",
        description="Show, check, list, import accelerators; what they cost (docs/configuration.md).",
        epilog="example:\n  cgsim hardware show asic-28nm",
    )
    group = parser.commands()
    show = add_command(
        group,
        "show",
        run_show,
        "print the configuration of an accelerator as YAML",
        "Print the validated configuration as YAML, which is itself a hardware file. Sections that most "
        "files do without are left out if they say nothing.",
        "cgsim hardware show asic-28nm",
        "cgsim hardware show asic-28nm --set array.rows=16 > mine.yaml",
    )
    show.add_argument("hardware", metavar="HW", help="name of `cgsim hardware list`, or a YAML file")
    add_settings(show, "replace one value, such as array.rows=16; may be repeated")
    costs = add_command(
        group,
        "costs",
        run_costs,
        "energy of each access, area, FPGA resources",
        "Print what an accelerator costs before anything runs on it: energy of operations and accesses, "
        "leakage, area (docs/energy.md), FPGA resources (docs/fpga.md).",
        "cgsim hardware costs asic-28nm",
        "cgsim hardware costs fpga-zcu104 --set array.column_groups=4",
    )
    costs.add_argument("hardware", metavar="HW", help="name of `cgsim hardware list`, or a YAML file")
    add_settings(costs, "replace one value, such as array.rows=16; may be repeated")
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
    imports = add_command(
        group,
        "import",
        run_import,
        "turn a SCALE-Sim configuration into a hardware file",
        "Turn a configuration of SCALE-Sim (v1, v2 or v3) into a hardware file. Comments in it say where "
        "each value comes from, and why some keys have no counterpart (docs/scalesim.md).",
        "cgsim hardware import scale.cfg -o mine.yaml",
        "cgsim hardware import scale.cfg | less",
    )
    imports.add_argument("file", metavar="FILE", help="configuration file (*.cfg)")
    imports.add_argument("-o", "--output", metavar="YAML", help="file to write; default: standard output")


def run_show(arguments: argparse.Namespace) -> None:
    """Print one configuration."""
    overrides = single_settings(arguments.settings, "show takes one value for each key")
    from cgsim.hardware import load_hardware

    hardware = load_hardware(arguments.hardware, overrides)
    if arguments.json:
        print_json(hardware.to_dict())
        return
    import yaml

    print(yaml.safe_dump(hardware.to_file(), sort_keys=False, allow_unicode=True, width=78), end="")


def run_costs(arguments: argparse.Namespace) -> None:
    """Print what one accelerator costs."""
    overrides = single_settings(arguments.settings, "costs takes one value for each key")
    from cgsim.hardware import load_hardware
    from cgsim.hardware.cost_table import costs_of, costs_table

    hardware = load_hardware(arguments.hardware, overrides)
    if arguments.json:
        print_json(costs_of(hardware))
    else:
        print(costs_table(hardware))


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


def run_import(arguments: argparse.Namespace) -> None:
    """Import one configuration; print it, or what is to be told about it."""
    from cgsim.hardware.scalesim import import_configuration

    imported = import_configuration(arguments.file, arguments.output)
    if arguments.json:
        print_json(
            {
                "hardware": imported.hardware.to_dict(),
                "output": arguments.output,
                "notes": list(imported.notes),
                "unused": imported.unused,
            }
        )
        return
    if arguments.output is None:
        print(imported.text, end="")
        return
    from cgsim.results.tables import describe_hardware

    print(f"{arguments.output}: {describe_hardware(imported.hardware.to_dict())}")
    print_notes(imported.notes)
    if imported.unused:
        print_notes([f"keys without a counterpart, and why, are told in {arguments.output}"])
