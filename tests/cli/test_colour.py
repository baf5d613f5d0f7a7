"""Colours: on terminals only, switched by NO_COLOR, FORCE_COLOR and TERM."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest

from cgsim.commands import text
from cgsim.commands.colour import coloured, paint


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("environment", "on_terminal", "elsewhere"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": ""}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_when_there_are_colours(monkeypatch, environment, on_terminal, elsewhere):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert coloured(Terminal()) is on_terminal
    assert coloured(io.StringIO()) is elsewhere


def test_a_closed_stream_has_none():
    stream = Terminal()
    stream.close()
    stream.isatty = stream.read
    assert not coloured(stream)


def test_paint():
    assert paint("x", "bold", "red", stream=Terminal()) == "\033[1;31mx\033[0m"
    assert paint("x", "bold", stream=io.StringIO()) == "x"
    assert paint("", "bold", stream=Terminal()) == ""
    assert paint("x", stream=Terminal()) == "x"


def test_a_table_is_the_same_under_its_colours(monkeypatch):
    rows = [{"name": "a", "speed": 1.5}, {"name": "b", "speed": 2.0}]
    heads = {"name": "name", "speed": "speed-\nup"}
    plain = text.columns(rows, heads, ("name",))
    monkeypatch.setenv("FORCE_COLOR", "1")
    painted = text.columns(rows, heads, ("name",))
    assert painted.count("\033[1m") == 2
    assert re.sub(r"\033\[\d*m", "", painted) == plain
    assert text.columns(rows, {"name": "name"}).count("\033[1m") == 1


def test_the_heading_of_a_finished_table(monkeypatch):
    table = "about\n\nper image ─ cycles\nlayer\n─────\nconv1 2\n─────\ntotal 2\n\nmore"
    assert text.emphasized(table) == table
    monkeypatch.setenv("FORCE_COLOR", "1")
    painted = text.emphasized(table)
    assert painted.startswith(
        "about\n\n\033[1mper image ─ cycles\033[0m\n\033[1mlayer\033[0m\n─────\nconv1 2\n"
    )
    assert painted.count("\033[1m") == 2
    assert text.emphasized("name\n────\na").count("\033[1m") == 1
    assert text.emphasized("no table") == "no table"


def run(*argv, **environment):
    words = [sys.executable, "-m", "cgsim", *argv]
    environment = {**os.environ, **environment}
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)


def test_errors_are_red_only_where_asked_for():
    assert run("hardware", "show", "nothing", FORCE_COLOR="1").stderr.startswith(
        "\033[1;31mcgsim: error:\033[0m hardware 'nothing'"
    )
    assert run("hardware", "show", "nothing").stderr.startswith("cgsim: error: hardware 'nothing'")


def test_json_has_no_colours():
    answer = run("hardware", "list", "--json", FORCE_COLOR="1")
    assert answer.returncode == 0
    assert "\033" not in answer.stdout
