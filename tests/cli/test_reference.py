"""docs/command-line.md is what the parsers say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cgsim.cli import EXIT_CODES, build_parser
from cgsim.commands.parser import Parser, add_command
from cgsim.commands.reference import _section, reference

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def test_the_page_is_that_of_the_code():
    told = "run: python -m cgsim.commands.reference docs/command-line.md"
    assert PAGE.read_text(encoding="utf-8") == reference(), told


def test_every_command_argument_and_code_is_there():
    page = reference()
    headings = re.findall(r"^#+ (cgsim .*)", page, re.MULTILINE)
    assert headings == [parser.prog for parser in build_parser().walk()][1:]
    for link in re.findall(r"\]\(#(.*?)\)", page):
        assert link.replace("-", " ") in headings
    for parser in build_parser().walk():
        for action in parser.arguments():
            for name in action.option_strings:
                assert name == "--version" or re.search(rf"`{name}[` ]", page)
    for code in EXIT_CODES:
        assert f"\n| {code} | " in page


@pytest.fixture
def parser():
    return Parser(prog="cgsim").commands()


def test_a_section(parser):
    command = add_command(
        parser, "try", print, "tries", "Try all of\nit.", "cgsim try A > B", "cgsim try A --level 2"
    )
    command.add_argument(
        "sources", metavar="SOURCE", nargs="+", help="what <it> is of, a|b, 100 %% and `x|y`"
    )
    command.add_argument("-o", "--output", metavar="DIR", required=True, help="where to")
    command.add_argument("--level", choices=(1, 2), default=1, help="default %(default)s")
    command.add_argument("rest", metavar="REST", nargs="?", help="snake_case")
    assert _section(command) == (
        "## cgsim try\n\nTry all of it.\n\n"
        "```text\ncgsim try SOURCE ... [REST] -o DIR [OPTIONS]\n```\n\n"
        "| argument | meaning |\n|---|---|\n"
        "| `SOURCE` | what \\<it\\> is of, a\\|b, 100 % and `x\\|y` |\n"
        "| `REST` | snake\\_case |\n"
        "| `-o`, `--output DIR` | where to. Required. |\n"
        "| `--level {1,2}` | default 1 |\n"
        "| `--json` | print one JSON document instead of text |\n\n"
        "```sh\ncgsim try A > B\ncgsim try A --level 2\n```\n"
    )
