"""Every command that the documentation shows is one that the parser knows."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from cgsim.cli import build_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md"])


def commands(text):
    """Yield the lines of code blocks that start with `cgsim `, joined where a backslash ends them."""
    for line in text.replace("\\\n", " ").splitlines():
        words = line.strip().removeprefix("$ ").partition("#")[0].strip()
        if words.startswith("cgsim ") and (line.startswith(("    ", "\t", "cgsim", "$ "))):
            yield words


CASES = [(page.name, command) for page in PAGES for command in commands(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "command"), CASES, ids=[f"{p}: {c}"[:70] for p, c in CASES])
def test_shown_commands_parse(page, command):
    words = [word for word in shlex.split(command)[1:] if word not in (">", "|")]
    if "..." in command or not words:
        pytest.skip("not a whole command")
    if ">" in command:
        words = words[:-1]
    if "--help" in words or "--version" in words:
        pytest.skip("prints and ends")
    build_parser().parse_args(words)


def test_the_quick_start_shows_commands():
    assert sum(page == "quick-start.md" for page, _ in CASES) >= 8
