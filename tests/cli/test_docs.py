"""Every command that the documentation shows is one that the parser knows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cgsim.cli import build_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md"])

KNOWN = tuple(build_parser()._commands.choices)


def commands(text):
    """Yield lines of code that start with `cgsim COMMAND`, joined where a backslash ends them.

    Two spaces before a word end the command (an explanation follows); lines with brackets or dots are
    patterns.
    """
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        command = re.split(r"  +(?!-)| #", line.strip().removeprefix("$ "))[0]
        if re.match(rf"cgsim ({'|'.join(KNOWN)}) ", command) and not re.search(r"\[|\.\.\.|\|", command):
            yield command


CASES = [(page.name, command) for page in PAGES for command in commands(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "command"), CASES, ids=[f"{p}: {c}"[:70] for p, c in CASES])
def test_shown_commands_parse(page, command):
    words = shlex.split(command)[1:]
    build_parser().parse_args(words[: words.index(">")] if ">" in words else words)


def test_the_quick_start_shows_commands():
    assert sum(page == "quick-start.md" for page, _ in CASES) >= 8
