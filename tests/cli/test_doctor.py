"""`cgsim doctor`: what it says, and that it says it where nothing works."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cgsim.commands import checkup, libraries, programs
from cgsim.commands.doctor import tables, verdict
from cgsim.commands.finding import Finding

ROOT = Path(__file__).parents[2]


@pytest.fixture
def light(monkeypatch):
    """No torch, no programs: what takes long."""
    monkeypatch.setattr(checkup, "gpu", lambda: Finding("tool", "CUDA", "missing", "torch sees no GPU"))
    monkeypatch.setattr(checkup, "tools", lambda: iter([Finding("tool", "make", "ok", "4.3")]))


def test_this_installation_is_fine(cgsim, light):
    answer = cgsim("doctor")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1] == "Everything that cgsim needs is there."
    table = answer.out[answer.out.index("\nlibrary") :]
    assert max(map(len, table.splitlines())) <= 80
    for word in ("numpy", "optuna", "resnet20-cgnet", "asic-28nm", "kernels"):
        assert word in table


def test_json_holds_every_finding(cgsim, light):
    answer = cgsim("doctor", "--json")
    assert (answer.code, answer.err) == (0, "")
    told = json.loads(answer.out)
    assert told["fine"] is True
    assert told["checkout"] is True
    assert told["cores"] >= 1
    found = {one["name"]: one for one in told["findings"]}
    assert found["numpy"] == {
        "group": "library",
        "name": "numpy",
        "state": "ok",
        "found": metadata.version("numpy"),
        "expected": found["numpy"]["expected"],
        "purpose": "",
        "required": True,
        "advice": "",
    }
    assert found["optuna"]["group"] == "search"
    assert found["optuna"]["required"] is False
    assert found["resnet20-cgnet"]["found"] == "128 images"
    assert "cgsim" not in found


def test_every_requirement_is_looked_at():
    wanted, extras = libraries.requirements()
    assert wanted == ">=3.11"
    assert extras.keys() == {"", *libraries.EXTRAS}
    names = {(one.group, one.name) for one in libraries.libraries()}
    for extra, lines in extras.items():
        for requirement in map(Requirement, lines):
            looked_at = ((extra or "library"), requirement.name) in names
            needed = requirement.marker is None or requirement.marker.evaluate()
            assert looked_at == (needed and requirement.name != "cgsim")


def test_a_wheel_tells_the_same_from_its_metadata(monkeypatch):
    monkeypatch.setattr(libraries, "checkout", lambda: None)
    lines = ["numpy<2.6,>=2.0", "torch==2.13.0; extra == 'models'", "torch==2.13.0; extra == 'dev'"]
    lines.append("hwcomponents==1.0.114; (python_version >= '3.12') and extra == 'cacti'")
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    assert libraries.requirements() == (
        ">=3.11",
        {
            "": ["numpy<2.6,>=2.0"],
            "models": ["torch==2.13.0"],
            "cacti": ["hwcomponents==1.0.114; python_version >= '3.12'"],
        },
    )


@pytest.mark.parametrize(
    ("line", "extra", "state", "advice"),
    [
        ("packaging>=20", "", "ok", ""),
        ("packaging<1", "", "outdated", "pip install 'packaging<1'"),
        ("packaging<1", "search", "outdated", "pip install 'cgsim[search]'"),
        ("no-such-library>=1", "", "missing", "pip install 'no-such-library>=1'"),
        ("no-such-library>=1", "search", "missing", "pip install 'cgsim[search]'"),
    ],
)
def test_libraries(line, extra, state, advice):
    found = libraries.look_for(Requirement(line), extra)
    assert (found.state, found.advice, found.required) == (state, advice, not extra)


def test_a_library_that_cannot_be_imported_is_broken(monkeypatch):
    def fail(name):
        raise ImportError("Numba needs NumPy 2.5 or less")

    monkeypatch.setattr(libraries.importlib, "import_module", fail)
    found = libraries.look_for(Requirement("packaging>=20"))
    version = metadata.version("packaging")
    assert (found.state, found.found) == (
        "broken",
        f"{version}: ImportError: Numba needs NumPy 2.5 or less",
    )
    assert found.advice == "pip install --force-reinstall 'packaging>=20'"
    assert libraries.look_for(Requirement("packaging>=20"), "search").state == "ok"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes a program that prints a text."""
    if not Path("/bin/sh").exists():
        pytest.skip("needs a POSIX shell")
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(name, script):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


@pytest.mark.parametrize(
    ("script", "state", "found"),
    [
        ("echo 'Verilator 5.006 2023-01-22 rev (Debian 5.006-3)'", "ok", "5.006"),
        ("echo 'Verilator 4.038 2020-07-11'", "outdated", "4.038"),
        ("echo nothing", "broken", None),
        ("exit 1", "broken", None),
    ],
)
def test_programs(program, script, state, found):
    program("verilator", script)
    seen = programs.tool("verilator", ["verilator"], "tests", minimum=5)
    assert seen.state == state
    assert found is None or seen.found == found
    assert bool(seen.advice) is (state != "ok")


def test_a_missing_program(program):
    seen = programs.tool("chromium", ["chromium", "google-chrome"], "tests of reports")
    assert (seen.state, seen.advice) == ("missing", "install chromium")
    program("apt-get", "")
    assert programs.tool("chromium", ["chromium"], "").advice == "sudo apt-get install chromium"
    program("google-chrome", "echo 'Google Chrome 140.0.1'")
    assert programs.tool("chromium", ["chromium", "google-chrome"], "").found == "140.0.1"


def test_something_needed_that_is_missing_is_code_1(cgsim, light, monkeypatch, tmp_path):
    def folder(kind):
        return tmp_path / kind

    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "bad.trace.parquet").write_text("nothing")
    monkeypatch.setattr(checkup, "shipped_dir", folder)
    answer = cgsim("doctor")
    assert (answer.code, answer.err) == (1, "")
    lines = answer.out.splitlines()
    assert "Everything that cgsim needs is there." not in lines
    end = " ".join(lines[-8:])
    assert "needed: bad, broken: CgsimError: " in end
    assert "needed: hwconfigs, missing: nothing in " in end
    told = cgsim("doctor", "--json")
    assert (told.code, json.loads(told.out)["fine"]) == (1, False)


def test_each_thing_to_do_is_told_once():
    advice = "pip install 'cgsim[models]'"
    findings = [
        Finding("models", "torch", "missing", purpose="training", advice=advice),
        Finding("models", "pillow", "missing", purpose="training", advice=advice),
        Finding(
            "library", "numpy", "outdated", "1.0", ">=2.0", required=True, advice="pip install 'numpy>=2'"
        ),
        Finding("library", "scipy", "ok", "1.17", required=True),
    ]
    assert verdict(findings) == (
        "needed: numpy: pip install 'numpy>=2'\n"
        "optional: extra models (training): pip install 'cgsim[models]'"
    )
    assert verdict(findings[3:]) == "Everything that cgsim needs is there."
    assert "outdated" in tables(findings)[0]


def test_kernels(monkeypatch, tmp_path):
    import numba

    import cgsim.engine  # noqa: F401 (else it would set the folder)

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    found = checkup.kernels()
    assert found.state == "ok"
    assert found.found.startswith("not compiled yet")
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "run.nbi").write_text("")
    assert checkup.kernels().found == f"compiled; in {tmp_path}"


def test_kernels_without_a_folder(monkeypatch, tmp_path):
    import numba

    import cgsim.engine  # noqa: F401

    monkeypatch.setattr(checkup.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "cgsim-kernels-x").mkdir()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cgsim-kernels-x"))
    found = checkup.kernels()
    assert (found.state, found.required) == ("missing", False)
    assert "NUMBA_CACHE_DIR" in found.advice


def test_the_doctor_comes_where_nothing_is_installed(tmp_path):
    """Even what it compares versions with is missing."""
    script = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('numpy', 'pandas', 'pyarrow', 'numba', 'pydantic', 'yaml',\n"
        "                                      'packaging', 'torch', 'argcomplete'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}')\n"
        "sys.meta_path.insert(0, Block())\n"
        "from cgsim.commands import checkup\n"
        "checkup.tools = lambda: ()\n"
        "from cgsim.cli import main\nsys.exit(main())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, "doctor"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (answer.returncode, answer.stderr) == (1, "")
    assert "packaging" in answer.stdout
    assert "No module named 'numpy'" in answer.stdout
