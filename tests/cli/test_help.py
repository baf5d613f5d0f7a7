from __future__ import annotations

import argparse

import pytest

from cgsim import __version__
from cgsim.cli import build_parser


def parsers(parser, words=()):
    yield words, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from parsers(sub, (*words, name))


COMMANDS = [words for words, _ in parsers(build_parser())]
LEAVES = [
    words for words, parser in parsers(build_parser())
    if not any(isinstance(action, argparse._SubParsersAction) for action in parser._actions)
]  # fmt: skip


def test_all_commands_are_there():
    top = {words[0] for words in COMMANDS if words}
    assert top == {
        "train",
        "evaluate",
        "merge",
        "quantize",
        "record",
        "simulate",
        "sweep",
        "compare",
        "trace",
        "hardware",
        "dram",
    }
    assert {words[1] for words in LEAVES if words[0] == "trace"} == {
        "info", "check", "stats", "synth", "import", "subset", "merge"
    }  # fmt: skip
    assert {words[1] for words in LEAVES if words[0] == "hardware"} == {"show", "check", "list", "import"}
    assert {words[1] for words in LEAVES if words[0] == "dram"} == {"replay", "check"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits_80_columns_and_has_an_example(cgsim, words):
    answer = cgsim(*words, "--help")
    assert answer.code == 0
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "example:\n  cgsim " in answer.out


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_takes_json(cgsim, words):
    assert "--json" in cgsim(*words, "--help").out


def test_version(cgsim):
    assert cgsim("--version").out == f"cgsim {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulat"], "unknown command 'simulat' (did you mean 'simulate'?)"),
        (["trace", "inof"], "unknown command 'inof' (did you mean 'info'?)"),
        (["simulate", "x", "--hardwre", "y"], "unknown option '--hardwre' (did you mean '--hardware'?)"),
        (["simulate", "x", "--sample=3"], "unknown option '--sample' (did you mean '--samples'?)"),
        (["simulate", "x"], "the following arguments are required: --hardware (see cgsim simulate --help)"),
        (["simulate", "x", "--hardware", "y", "--samples", "0"],
         "argument --samples: expected a whole number of 1 or more, got '0' (see cgsim simulate --help)"),
        (["simulate", "x", "--hardware", "y", "--plot-format", "pgn"],
         "unknown --plot-format 'pgn' (did you mean 'png'?)"),
        ([], "the following arguments are required: COMMAND (see cgsim --help)"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line_and_code_2(cgsim, words, message):
    assert cgsim(*words) == (2, "", f"cgsim: error: {message}\n")
