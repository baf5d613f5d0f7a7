"""What a shell is offered: asked for as argcomplete's scripts do, and by real shells where installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cgsim.commands.completion import SHELLS

COMMAND = f"'{sys.executable}' -m cgsim"


def offers(line, folder, shell="bash"):
    """What completing `line` offers, as the scripts ask for it."""
    environment = {
        **os.environ,
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": shell,
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(folder / ".offers"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "cgsim"], env=environment, cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout == b""
    return (folder / ".offers").read_text().split("\n")


@pytest.fixture
def folder(tmp_path):
    for name in ("asic-mine.yaml", "a.trace.parquet", "b.trace.parquet", "notes.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.trace.parquet").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cgsim com", ["compare", "completion"]),
        ("cgsim hardware ", ["show", "costs", "check", "list", "import"]),
        ("cgsim simulate ", ["a.trace.parquet", "b.trace.parquet", "sub/"]),
        ("cgsim simulate sub/", ["sub/c.trace.parquet"]),
        ("cgsim compare a.trace.parquet b", ["b.trace.parquet"]),
        ("cgsim simulate a.trace.parquet --hardware asic", ["asic-28nm", "asic-mine.yaml"]),
        ("cgsim hardware show asic", ["asic-28nm", "asic-mine.yaml"]),
        ("cgsim sweep x --set array.r", ["array.rows="]),
        ("cgsim sweep x --set array.dataflow=", [f"array.dataflow={name}" for name in ("ws", "is", "os")]),
        ("cgsim sweep x --set array.dataflow=ws,o", ["array.dataflow=ws,os"]),
        ("cgsim sweep x --set array.rows=1", []),
        ("cgsim sweep x --set nothing=", []),
        ("cgsim simulate x --plot-f", ["--plot-format"]),
        ("cgsim simulate x --plot-format p", ["png", "pdf"]),
        ("cgsim sweep x -o ", ["sub/"]),
        ("cgsim trace synth res", ["resnet18", "resnet20"]),
        ("cgsim train --recipe cgnet-s", ["cgnet-short"]),
        ("cgsim train --set array.r", []),
        ("cgsim train --set batch_s", ["batch_size="]),
        ("cgsim train --set gating.par", ["gating.partitions="]),
        (
            "cgsim train --method gate-decorator --recipe paper --set gating.target_r",
            ["gating.target_reduction="],
        ),
        ("cgsim train --recipe notes.txt --set epo", ["epochs="]),
        ("cgsim simulate nowhere/", []),
    ],
)
def test_offers(folder, line, expected):
    found = offers(line, folder)
    if "-o " not in line and not line.endswith(("simulate ", "hardware ")):
        assert found == (expected or [""])
    else:  # options are offered as well
        assert [name for name in found if not name.startswith("-")] == expected


def test_keys_are_explained_where_the_shell_shows_it(folder):
    assert offers("cgsim sweep x --set array.r", folder, "zsh") == ["array.rows=:Rows of PEs"]


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts(cgsim, shell):
    answer = cgsim("completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert "cgsim" in answer.out
    told = json.loads(cgsim("completion", shell, "--json").out)
    assert told == {"shell": shell, "file": SHELLS[shell], "script": answer.out.rstrip("\n")}
    assert SHELLS[shell] in cgsim("completion", "--help").out


def test_an_unknown_shell_is_told(cgsim):
    answer = cgsim("completion", "bahs")
    assert answer == (2, "", "cgsim: error: unknown SHELL 'bahs' (did you mean 'bash'?)\n")


def in_shell(shell, script, folder):
    """Run a script in a shell in which `cgsim` is this Python's."""
    binaries = folder / ".bin"
    binaries.mkdir(exist_ok=True)
    command = binaries / "cgsim"
    command.write_text(f'#!/bin/sh\nexec {COMMAND} "$@"\n')
    command.chmod(0o755)
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [shell, *NO_CONFIGURATION[shell], "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


NO_CONFIGURATION = {"bash": ["--norc"], "fish": ["--no-config"]}
ASK = {
    "bash": "source <(cgsim completion bash)\nCOMP_LINE='{line}'\nCOMP_POINT=${{#COMP_LINE}}\nCOMP_TYPE=9\n"
    "_python_argcomplete cgsim\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
    "fish": "cgsim completion fish | source\ncomplete -C '{line}'",
}


@pytest.mark.parametrize("shell", [shell for shell in ASK if shutil.which(shell)])
def test_a_real_shell_completes(folder, shell):
    line = "cgsim simulate x --hardware asic"
    assert in_shell(shell, ASK[shell].format(line=line), folder) == ["asic-28nm", "asic-mine.yaml"]
    values = ["is", "os", "ws"]
    if shell != "bash":  # which takes = for the end of a word
        values = [f"array.dataflow={value}" for value in values]
    line = "cgsim simulate x --set array.dataflow="
    assert sorted(in_shell(shell, ASK[shell].format(line=line), folder)) == values
