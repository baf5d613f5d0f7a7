from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import shlex

import pytest

from cgsim import __version__, commands
from cgsim.cli import build_parser
from cgsim.commands.parser import Parser


def parsers(parser, words=()):
    yield words, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from parsers(sub, (*words, name))


ALL = list(parsers(build_parser()))
COMMANDS = [words for words, _ in ALL]
LEAVES = [words for words, parser in ALL if parser._commands is None]


def test_every_command_module_is_in_the_parser():
    """A module of cgsim/commands with `add` adds commands; each is described where the others are."""
    top = build_parser()._commands
    for module in pkgutil.iter_modules(commands.__path__):
        found = importlib.import_module(f"cgsim.commands.{module.name}")
        if hasattr(found, "add"):
            alone = Parser(prog="cgsim").commands()
            found.add(alone)
            assert alone.choices
            assert alone.choices.keys() <= top.choices.keys(), module.name


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits_80_columns_and_has_an_example(cgsim, words):
    answer = cgsim(*words, "--help")
    assert answer.code == 0
    assert max(map(len, answer.out.splitlines())) <= 80
    assert re.search(r"^examples?:\n  cgsim ", answer.out, re.MULTILINE)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_example_parses(words):
    """And is one of the command whose help shows it."""
    parser = dict(ALL)[words]
    shown = re.split(r"^examples?:\n", parser.epilog, flags=re.MULTILINE)[1]
    for example in re.findall(r"^  cgsim .*", re.sub(r" *\\\n *", " ", shown), re.MULTILINE):
        argv = shlex.split(re.split(" [>|] ", example)[0], comments=True)[1:]
        assert tuple(argv[: len(words)]) == words
        assert build_parser().parse_args(argv)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_takes_json(words):
    assert "--json" in dict(ALL)[words]._options


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_argument_has_a_help_text(words):
    for action in dict(ALL)[words]._actions:
        if not isinstance(action, argparse._SubParsersAction):
            assert action.help, action.dest


def test_the_help_tells_every_exit_code(cgsim):
    out = cgsim("--help").out
    for code in (0, 1, 2, 130, 141, 143):
        assert re.search(rf"^  {code} +\w", out, re.MULTILINE)


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_a_command_may_return_its_exit_code(cgsim, monkeypatch, returned, code):
    monkeypatch.setattr("cgsim.commands.hardware.run_list", lambda arguments: returned)
    assert cgsim("hardware", "list") == (code, "", "")


def test_an_interrupt_may_tell_what_was_done(cgsim, monkeypatch):
    def stop(arguments):
        raise KeyboardInterrupt("3 of 8 runs done")

    monkeypatch.setattr("cgsim.commands.hardware.run_list", stop)
    assert cgsim("hardware", "list") == (130, "", "cgsim: interrupted: 3 of 8 runs done\n")


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
        (["SIMULATE"], "unknown command 'SIMULATE' (did you mean 'simulate'?)"),
        (["hardware", "list", "x"], "unexpected argument 'x' (see cgsim hardware list --help)"),
        (["hardware", "list", "-x"], "unknown option '-x' (see cgsim hardware list --help)"),
        (["hardware", "list", "--json=3"],
         "argument --json: takes no value, got '3' (see cgsim hardware list --help)"),
        (["trace", "synth", "tiny", "--density", "x"],
         "argument --density: expected a number, got 'x' (see cgsim trace synth --help)"),
        ([], "the following arguments are required: COMMAND (see cgsim --help)"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line_and_code_2(cgsim, words, message):
    assert cgsim(*words) == (2, "", f"cgsim: error: {message}\n")
