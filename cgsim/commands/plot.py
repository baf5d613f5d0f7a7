"""`cgsim plot`."""

from __future__ import annotations

import argparse
from typing import Any

from cgsim.commands import text
from cgsim.commands.parser import Parser, add_command, print_json
from cgsim.errors import CgsimError


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "plot",
        run,
        "draw a figure from results, or of the gates of a trace",
        "Draw a figure from results folders or tables (Parquet, CSV), or of the gates of a "
        "trace (docs/figures-guide.md). cgsim plot --list tells the figures, what each shows and "
        "what it is drawn of.",
        "cgsim plot speedup_vs_flops out/resnet20-cgnet-asic-28nm -o speedup.pdf",
        "cgsim plot heatmap out/sweep --where trace=resnet20-cgnet --value efficiency",
        "cgsim plot density traces/resnet20-cgnet.trace.parquet --sample 3 -o gates.svg",
        "cgsim plot --list",
    )
    parser.add_argument("figure", metavar="FIGURE", nargs="?", help="name of the figure, see --list")
    parser.add_argument(
        "sources", metavar="SOURCE", nargs="*", default=[],
        help="folders of cgsim simulate, sweep, compare or optimize, tables, or a trace",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="FILE.png, .svg or .pdf; default out/FIGURE.png"
    )
    parser.add_argument("--list", action="store_true", help="list the figures")
    parser.add_argument("--title", metavar="TEXT", help="title of the figure")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUES",
        help="keep only rows with one of these values, such as array.rows=8,16; may be repeated",
    )  # fmt: skip
    parser.add_argument("--x", metavar="COLUMN", help="of heatmap: across; default a column that varies")
    parser.add_argument("--y", metavar="COLUMN", help="of heatmap: upwards")
    parser.add_argument("--value", metavar="COLUMN", help="of heatmap: in the cells; default speedup")
    parser.add_argument(
        "--size", metavar="COLUMN",
        help="of speedup_vs_area: area_mm2, lut, dsp or bram36; default the first that is known",
    )  # fmt: skip
    parser.add_argument(
        "--layer", action="append", default=[], metavar="NAME",
        help="of density: a layer with gates; may be repeated; default one of each size",
    )  # fmt: skip
    parser.add_argument(
        "--sample", metavar="SAMPLE", help="of density: position of the sample, or its id; default 0"
    )
    parser.add_argument(
        "--image", metavar="FILE", help="of density: the image of that sample (PNG, JPEG, npy)"
    )


_OPTIONS = ("x", "y", "value", "size", "sample", "image")


def run(arguments: argparse.Namespace) -> None:
    """Draw, write, tell."""
    from cgsim.results.figures.catalogue import CATALOGUE, draw, entry_of

    if arguments.list:
        if arguments.figure:
            raise CgsimError("--list: takes no figure (cgsim plot --list)")
        _list(arguments.json)
        return
    if arguments.figure is None:
        raise CgsimError(f"expected a figure, one of {', '.join(CATALOGUE)} (cgsim plot --list)")
    name = arguments.figure.replace("-", "_")
    entry_of(name)
    path = arguments.output or f"out/{name}.png"
    options: dict[str, Any] = {key: getattr(arguments, key) for key in _OPTIONS}
    draw(
        name,
        arguments.sources,
        path,
        title=arguments.title,
        where=_where(arguments.where),
        layers=arguments.layer,
        **options,
    )
    if arguments.json:
        print_json({"figure": name, "sources": arguments.sources, "written": path})
    else:
        print(f"{name} written to {path}")


def _where(settings: list[str]) -> dict[str, list[str]]:
    """Return column -> values of `--where column=value,value`."""
    found: dict[str, list[str]] = {}
    for setting in settings:
        key, equals, values = setting.partition("=")
        if not equals or not key or not values:
            raise CgsimError(f"--where {setting}: expected COLUMN=VALUE, such as array.rows=8")
        if key in found:
            raise CgsimError(f"--where {key}: given twice")
        found[key] = values.split(",")
    return found


def _list(as_json: bool) -> None:
    from cgsim.results.figures.catalogue import CATALOGUE

    if as_json:
        told = [
            {"figure": name, "shows": entry.shows, "sources": entry.sources, "options": list(entry.options)}
            for name, entry in CATALOGUE.items()
        ]
        print_json(told)
        return
    for name, entry in CATALOGUE.items():
        print(name)
        print(text.paragraph(f"  {entry.shows}", indent="  "))
        print(text.paragraph(f"  of {entry.sources}", indent="    "))
