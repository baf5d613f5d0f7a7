"""The command as a process: what only shows there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "cgsim"]


def run(*argv, **keywords):
    return subprocess.run([*COMMAND, *argv], capture_output=True, text=True, check=False, **keywords)


def test_bad_input_ends_with_code_2(tmp_path):
    answer = run("simulate", "no.trace.parquet", "--hardware", "asic-28nm", cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "cgsim: error: no.trace.parquet: no such file\n"


def test_a_closed_pipe_is_no_traceback():
    process = subprocess.Popen(
        [*COMMAND, "hardware", "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 141
    assert errors == ""


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize(("words", "code"), [("hardware list", 0), ("hardware show nothing", 2)])
def test_without_stdout(words, code):
    answer = subprocess.run(
        f"'{sys.executable}' -m cgsim {words} >&-", shell=True, stderr=subprocess.PIPE, text=True, check=False
    )
    assert answer.returncode == code
    assert answer.stderr.count("\n") == (code != 0)


def test_an_interrupt_while_cgsim_is_still_loading():
    script = (
        "import builtins, sys\nfrom cgsim.cli import main\nload = builtins.__import__\n"
        "def interrupt(name, *rest):\n    if name.startswith('cgsim'):\n        raise KeyboardInterrupt\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = interrupt\nsys.exit(main())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, "hardware", "list"], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (130, "", "cgsim: interrupted\n")


def test_output_survives_a_plain_terminal():
    environment = dict(os.environ, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    answer = run("hardware", "list", env=environment)
    assert answer.returncode == 0


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [(signal.SIGINT, 130, "cgsim: interrupted\n"), (signal.SIGTERM, 143, "")],
    ids=["interrupt", "terminate"],
)
def test_signals_end_without_a_traceback(number, code, message):
    script = (
        "import sys, time\nimport cgsim.hardware as hardware\nfrom cgsim.cli import main\n"
        "def wait():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "hardware.available_hardware = wait\nsys.exit(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "hardware", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", message)


def test_simulating_loads_neither_torch_nor_pandas_nor_matplotlib(tiny_trace, tmp_path):
    script = (
        "import sys\nfrom cgsim.cli import main\ncode = main()\n"
        "print(*[n for n in ('torch', 'pandas', 'matplotlib') if n in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)"
    )
    words = ["simulate", str(tiny_trace), "--hardware", "edge-16x16", "-o", str(tmp_path / "out")]
    answer = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "\n")
