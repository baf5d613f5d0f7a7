"""tools/setup-packages.sh, with programs that stand for apt-get, sudo and id; and tests without the tools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rtl import conftest
from tests.rtl.conftest import PACKAGES, need_tools

ROOT = Path(__file__).parents[2]
INSTALL = f"apt-get install -y --no-install-recommends {PACKAGES}"


class Machine:
    """A machine whose only programs are those that a test puts into its PATH; it logs what is called."""

    def __init__(self, place: Path) -> None:
        self.path, self.log = place / "bin", place / "log"
        self.path.mkdir()
        self.environment = {"PATH": str(self.path), "LOG": str(self.log)}

    def program(self, name: str, does: str = "") -> None:
        file = self.path / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> "$LOG"\n{does}\n')
        file.chmod(0o755)

    def user(self, number: int, sudo: bool = True) -> None:
        (self.path / "id").write_text(f"#!/bin/sh\necho {number}\n")
        (self.path / "id").chmod(0o755)
        if sudo:
            self.program("sudo", '[ "$1" = -n ] && shift; exec "$@"')

    def setup(self, answer: str | None = None) -> tuple[int, str, list[str]]:
        """(exit status, what it said, what it called); with an `answer` it runs on a terminal."""
        words = ("The RTL cannot be built", "the tests of the RTL", "Verilator 5, a C++ compiler and make")
        script = [str(ROOT / "tools" / "setup-packages.sh"), *words, *PACKAGES.split()]
        if answer is None:
            done = subprocess.run(
                script,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            status, said = done.returncode, done.stdout + done.stderr
        else:
            ours, theirs = os.openpty()
            os.write(ours, answer.encode() + b"\n")
            status = subprocess.run(
                script, env=self.environment, stdin=theirs, stdout=theirs, check=False
            ).returncode
            os.close(theirs)
            said = b"".join(iter(lambda: _read(ours), b"")).decode()  # what was echoed may come by itself
            os.close(ours)
        return status, said, self.log.read_text().splitlines() if self.log.exists() else []


def _read(terminal: int) -> bytes:
    """What a terminal still holds; nothing at its end, which Linux tells as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A Debian machine without the RTL's tools, used by an ordinary user."""
    found = Machine(tmp_path)
    found.program("apt-get")
    found.user(1000)
    return found


def test_nothing_is_missing(bare: Machine) -> None:
    for tool in PACKAGES.split():
        bare.program(tool)
    assert bare.setup() == (0, "", [])


def test_root_installs(bare: Machine) -> None:
    bare.user(0)
    status, said, called = bare.setup()
    assert (status, called) == (0, [INSTALL])
    assert PACKAGES in said


def test_root_fetches_package_lists_where_they_are_missing(bare: Machine) -> None:
    bare.user(0)
    bare.program("apt-get", f'[ "$1" = update ] && : > {bare.path}/lists; [ -e {bare.path}/lists ]')
    assert bare.setup()[::2] == (0, [INSTALL, "apt-get update", INSTALL])


@pytest.mark.parametrize(("in_ci", "expected"), [(False, 0), (True, 1)])
def test_a_failed_installation_fails_only_in_ci(bare: Machine, in_ci: bool, expected: int) -> None:
    bare.user(0)
    bare.program("apt-get", "exit 100")
    bare.environment |= {"CI": "true"} if in_ci else {}
    status, said, _ = bare.setup()
    assert status == expected
    assert f"The installation failed. By hand: sudo apt-get install {PACKAGES}" in said


def test_ci_uses_sudo_without_a_question(bare: Machine) -> None:
    bare.environment["CI"] = "true"
    assert bare.setup()[::2] == (0, [f"sudo -n {INSTALL}", INSTALL])


def test_nobody_is_asked_without_a_terminal(bare: Machine) -> None:
    bare.program("make")
    status, said, called = bare.setup()
    assert (status, called) == (0, [])
    assert "verilator g++ missing. Left out are the tests of the RTL." in said
    assert f"To install: sudo apt-get install {PACKAGES}" in said


@pytest.mark.parametrize(("answer", "installs"), [("y", True), ("n", False), ("", False)])
def test_a_user_on_a_terminal_is_asked(bare: Machine, answer: str, installs: bool) -> None:
    status, said, called = bare.setup(answer)
    assert (status, called) == (0, [f"sudo {INSTALL}", INSTALL] if installs else [])
    assert f"Run sudo apt-get install {PACKAGES} now? [y/N]" in said


def test_without_sudo(bare: Machine) -> None:
    (bare.path / "sudo").unlink()
    status, said, called = bare.setup("y")
    assert (status, called) == (0, [])
    assert f"Ask an administrator for: apt-get install {PACKAGES}" in said


def test_another_system(bare: Machine) -> None:
    (bare.path / "apt-get").unlink()
    status, said, called = bare.setup("y")
    assert (status, called) == (0, [])
    assert "Install Verilator 5, a C++ compiler and make" in said


def test_missing_tools_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(conftest, "VALIDATE", False)
    with pytest.raises(
        pytest.skip.Exception,
        match=rf"the RTL needs verilator, .*apt-get install {PACKAGES.replace('+', '[+]')}$",
    ):
        need_tools()


@pytest.mark.parametrize(("ci", "validate"), [("true", False), ("", True)])
def test_missing_tools_fail_in_ci_and_validation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, validate: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(conftest, "VALIDATE", validate)
    with pytest.raises(pytest.fail.Exception, match="the RTL needs verilator"):
        need_tools()


def test_the_summary_of_a_run_tells_what_was_skipped(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "CGSIM_VALIDATE")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "tests/rtl/test_cosim.py"],
        env=environment | {"PATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"sudo apt-get install {PACKAGES}" in done.stdout
    assert "RTL: " not in done.stdout
