"""`cgsim doctor`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cgsim import __version__
from cgsim.commands import text
from cgsim.commands.colour import paint
from cgsim.commands.parser import WIDTH, Parser, add_command

if TYPE_CHECKING:
    from cgsim.commands.finding import Finding

NOT_FINE = 1
_OWN = ("library", "tool", "kernels", "shipped")
"""Groups whose findings are told by their names; the others are extras, which one command installs."""
_STYLES = {"ok": "green", "missing": "yellow", "outdated": "red", "broken": "red"}


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    add_command(
        commands,
        "doctor",
        run,
        "what is installed, what is missing, and how to get it",
        "Look at what cgsim runs on: Python, libraries and their versions, the extras that some commands "
        "need, compiled kernels, tools that the tests use, GPUs, and what ships with cgsim. Exit code 1 if "
        "something is missing without which cgsim does not work; what only some commands need is told, "
        "no more.",
        "cgsim doctor",
        "cgsim doctor --json > doctor.json    # for a bug report",
    )


def run(arguments: argparse.Namespace) -> int:
    """Look, print; 1 if something needed is missing."""
    from cgsim.commands import checkup
    from cgsim.commands.libraries import PACKAGE, checkout

    about = {
        "cgsim": __version__,
        "folder": str(PACKAGE),
        "checkout": checkout() is not None,
        **checkup.interpreter(),
        **checkup.machine(),
    }
    findings = list(checkup.examine())
    bad = [one for one in findings if one.required and one.state != "ok"]
    if arguments.json:
        import dataclasses
        import json

        told = {**about, "fine": not bad, "findings": [dataclasses.asdict(one) for one in findings]}
        print(json.dumps(told, indent=2, ensure_ascii=False))  # print_json needs numpy, which may be missing
        return NOT_FINE if bad else 0
    memory = about["memory_bytes"]
    cores = f"{about['cores']} core{'s' if about['cores'] != 1 else ''}"
    rows = {
        "cgsim": f"{__version__}, {'checkout' if about['checkout'] else 'installed'} in {about['folder']}",
        "Python": about["executable"],
        "command": about["command"] or "cgsim is not on PATH: python -m cgsim",
        "machine": f"{about['platform']}, {cores}" + (f", {memory / 2**30:.1f} GiB" if memory else ""),
    }
    print(text.pairs(rows))
    for part in tables(findings):
        print(f"\n{part}")
    print(f"\n{verdict(findings)}")
    return NOT_FINE if bad else 0


def tables(findings: Sequence[Finding]) -> list[str]:
    """Return what was found as tables of at most 80 columns: libraries, extras, the rest."""
    libraries = [one for one in findings if one.group == "library"]
    others = [one for one in findings if one.group in ("tool", "kernels", "shipped")]
    extras = [one for one in findings if one not in libraries and one not in others]
    heads = {"name": "library", "found": "installed", "expected": "expected", "state": "state"}
    left = tuple(heads)
    result = [text.columns([vars(one) for one in libraries], heads, left, styles=_STYLES)]
    if extras:
        heads = {"group": "extra", **heads}
        result.append(text.columns([vars(one) for one in extras], heads, tuple(heads), styles=_STYLES))
    heads = {"name": "also", "found": "found", "state": "state"}
    if others:
        rows = [{**vars(one), "found": " ".join(filter(None, (one.found, one.expected)))} for one in others]
        result.append(text.columns(rows, heads, ("found", "name", "state"), styles=_STYLES))
    return result


def verdict(findings: Sequence[Finding]) -> str:
    """Return what to do, a line for each thing; what is needed comes first."""
    lines: dict[str, None] = {}  # in order, each once
    for required in (True, False):
        for one in findings:
            if one.state == "ok" or one.required is not required:
                continue
            what = one.name if one.group in _OWN else f"extra {one.group}"
            told = f"{what} ({one.purpose})" if one.purpose else what
            head = "needed" if required else "optional"
            if one.state == "broken" or not one.advice:
                told += f", {one.state}: {one.found}"
            told += f": {one.advice}" if one.advice else ""
            lines[f"{paint(head + ':', 'red' if required else 'yellow')} {told}"] = None
    if not any(one.required and one.state != "ok" for one in findings):
        lines[paint("Everything that cgsim needs is there.", "green")] = None
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for line in lines
    )
