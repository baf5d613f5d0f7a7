"""Holds the order of the packages by reading every import, and holds `import cgsim` light.

Data goes models -> trace -> mapping -> engine -> results -> explore; an import only points back.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cgsim"

# part of cgsim -> what it may import of cgsim. A name with a dot allows that module alone.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "atomic": {"errors"},
    "lazy": set(),
    "shipped": {"errors"},
    "shorten": set(),
    "yamlfile": {"errors"},
    "trace": {"errors", "lazy", "shipped"},
    "models": {"errors", "atomic", "lazy", "shipped", "yamlfile", "trace"},
    "dram": {"errors", "atomic", "yamlfile"},
    "hardware": {"errors", "atomic", "shipped", "yamlfile", "dram"},
    "mapping": {"errors", "trace", "hardware"},
    "engine": {"errors", "trace", "hardware", "mapping", "dram"},
    "results": {"errors", "atomic", "shorten", "trace", "hardware", "engine.columns", "engine.events"},
    "simulation": {"errors", "trace", "hardware", "mapping", "engine", "results"},
    "explore": {
        "errors",
        "atomic",
        "shipped",
        "yamlfile",
        "trace",
        "hardware",
        "mapping",
        "engine",
        "results",
        "simulation",
    },
}
EVERYTHING = {"__init__", "__main__", "cli", "commands"}

# library -> the only parts that may import it.
LIBRARIES: dict[str, set[str]] = {
    "torch": {"models"},
    "torchvision": {"models"},
    "safetensors": {"models"},
    "PIL": {"models"},
    "matplotlib": {"results"},
    "pydantic": {"hardware", "explore"},
    "yaml": {"yamlfile", "hardware", "results", "commands"},
    "dask": {"explore"},
    "distributed": {"explore"},
    "optuna": {"explore"},
    "plotly": {"results"},
    "itables": {"results"},
}
# part -> libraries that it must never import: time knows no files, tables or plots.
BARRED: dict[str, set[str]] = {
    "dram": {"pandas", "pyarrow", "fsspec"},
    "mapping": {"pandas", "pyarrow", "fsspec"},
    "engine": {"pandas", "pyarrow", "fsspec"},
}


def imported(source: str, module: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Yield line and absolute dotted name of everything that a module imports, wherever it does.

    Function-level and TYPE_CHECKING imports count, and so do import_module("...") and __import__("...").
    `from a import b` yields a.b; `import cgsim` yields each public name that is then taken from it.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                taken = _attributes(tree, alias.asname or "cgsim") if alias.name == "cgsim" else []
                for name in taken or [alias.name]:
                    yield node.lineno, name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".") if is_package else module.split(".")[:-1]
                parents = parents[: len(parents) - (node.level - 1)]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, base if alias.name == "*" else f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def _attributes(tree: ast.AST, name: str) -> list[str]:
    """Return cgsim.x for every x that is taken from the variable `name`."""
    return sorted(
        f"cgsim.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    )


def homes() -> dict[str, str]:
    """Return where the public names of cgsim/__init__.py live: name -> dotted module."""
    import cgsim

    return {**cgsim._HOME, "models": "cgsim.models"}


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """Return one line for each import of `module` that breaks the order."""
    part = module.split(".")[1] if "." in module else "__init__"
    found = []
    for line, name in imported(source, module, is_package):
        words = name.split(".")
        if words[0] != "cgsim":
            library = words[0]
            if part not in LIBRARIES.get(library, {part}) or library in BARRED.get(part, ()):
                found.append(f"{module}:{line}: {part} must not import {library}")
            continue
        if part in EVERYTHING or name == "cgsim.__version__":
            continue
        if len(words) == 1:
            found.append(f"{module}:{line}: import the module that is meant, not all of cgsim")
            continue
        if words[1] in homes() and words[1] not in ALLOWED:
            words = homes()[words[1]].split(".")
        target, inside = words[1], ".".join(words[1:3])
        if target != part and not {target, inside} & ALLOWED[part]:
            found.append(f"{module}:{line}: {part} must not import cgsim.{inside}")
    return found


def modules() -> list[tuple[str, Path]]:
    result = []
    for path in sorted(PACKAGE.rglob("*.py")):
        words = path.relative_to(ROOT).with_suffix("").parts
        result.append((".".join(words[:-1] if words[-1] == "__init__" else words), path))
    return result


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_only_point_back(module, path):
    assert violations(path.read_text(encoding="utf-8"), module, path.name == "__init__.py") == []


def test_every_part_has_its_place():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for _, path in modules()}
    assert parts <= ALLOWED.keys() | EVERYTHING


def test_the_order_has_no_loops():
    done: set[str] = set()
    while len(done) < len(ALLOWED):
        ready = {
            part
            for part, needs in ALLOWED.items()
            if part not in done and {name.split(".")[0] for name in needs} <= done
        }
        assert ready, f"a loop among {sorted(ALLOWED.keys() - done)}"
        done |= ready


def test_no_modules_import_each_other():
    """No loop among modules, imports inside functions and for type checkers included."""
    known = dict(modules())
    needs: dict[str, set[str]] = {}
    for module, path in known.items():
        needs[module] = set()
        for _, name in imported(path.read_text(encoding="utf-8"), module, path.name == "__init__.py"):
            while name not in known and "." in name:
                name = name.rpartition(".")[0]
            if name in known and name != "cgsim":  # cgsim itself imports nothing before it is asked to
                needs[module].add(name)
    left = {module: found - {module} for module, found in needs.items() if module != "cgsim"}
    while done := {module for module, found in left.items() if not found & left.keys()}:
        left = {module: found for module, found in left.items() if module not in done}
    assert not left, f"a loop among, or needed by: {sorted(left)}"


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("cgsim.engine.run", "import cgsim.results", "must not import cgsim.results"),
        ("cgsim.engine.run", "from cgsim.results import Run", "must not import cgsim.results.Run"),
        ("cgsim.engine.run", "from cgsim import results", "must not import cgsim.results"),
        ("cgsim.engine.run", "from cgsim import Run", "must not import cgsim.results"),
        ("cgsim.engine.run", "from ..explore import sweep", "must not import cgsim.explore.sweep"),
        ("cgsim.engine.run", "from .. import explore", "must not import cgsim.explore"),
        ("cgsim.engine.run", "import cgsim", "not all of cgsim"),
        ("cgsim.engine.run", "import cgsim\ncgsim.sweep", "must not import cgsim.explore"),
        ("cgsim.engine.run", "import cgsim as c\nc.Run", "must not import cgsim.results"),
        (
            "cgsim.engine.run",
            "def f():\n    import cgsim.explore",
            ":2: engine must not import cgsim.explore",
        ),
        ("cgsim.engine.run", "def f():\n    import_module('cgsim.cli')", "must not import cgsim.cli"),
        (
            "cgsim.trace.reader",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
            "cgsim.trace.reader:3: trace must not import torch",
        ),
        ("cgsim.trace.reader", "from torch import nn", "trace must not import torch"),
        ("cgsim.trace.reader", "from cgsim.hardware import Hardware", "must not import cgsim.hardware"),
        ("cgsim.hardware.model", "from cgsim.trace import Trace", "must not import cgsim.trace"),
        ("cgsim.results.run", "from cgsim.engine.run import run", "must not import cgsim.engine.run"),
        ("cgsim.results.run", "from cgsim.engine import run", "must not import cgsim.engine.run"),
        ("cgsim.explore.tasks", "from cgsim.models import record", "must not import cgsim.models"),
        ("cgsim.engine.array", "import pandas as pd", "engine must not import pandas"),
        ("cgsim.cli", "import torch", "cli must not import torch"),
    ],
)
def test_a_wrong_import_is_seen(module, source, expected):
    (message,) = violations(source, module)
    assert expected in message


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cgsim.results.run", "from cgsim.engine.columns import COLUMNS"),
        ("cgsim.results.run", "from cgsim.engine import columns"),
        ("cgsim.engine.run", "from cgsim import __version__"),
        ("cgsim.engine.run", "def f():\n    import cgsim\n    return cgsim.__version__"),
        ("cgsim.engine.run", "import cgsim\ncgsim.load_trace, cgsim.CgsimError"),
        ("cgsim.engine.run", "from .folds import fold"),
        ("cgsim.engine.run", "from ..mapping import plan"),
        ("cgsim.cli", "from cgsim.models import record"),
    ],
)
def test_a_right_import_passes(module, source):
    assert violations(source, module) == []


def test_relative_imports_of_a_package_start_at_itself():
    assert list(imported("from .run import x", "cgsim.engine", is_package=True)) == [
        (1, "cgsim.engine.run.x")
    ]


HEAVY = (
    "torch", "pandas", "numba", "matplotlib", "pyarrow", "pydantic", "yaml", "numpy", "scipy",
    "fsspec", "tqdm", "distributed", "optuna", "plotly", "itables", "argcomplete", "packaging",
)  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "import cgsim",
        "import cgsim; dir(cgsim); cgsim.__version__; cgsim.CgsimError",
        "import cgsim.cli",
        "import sys; sys.argv = ['cgsim', '--help']\n"
        "from cgsim.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code",
        "import sys; sys.argv = ['cgsim', '--version']\n"
        "from cgsim.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code",
    ],
    ids=["import", "look around", "import the command line", "--help", "--version"],
)
def test_nothing_heavy_is_imported(statement):
    code = f"{statement}\nimport sys\nprint('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_trace_and_simulation_run_without_torch():
    code = (
        "import sys; import cgsim\n"
        "cgsim.load_trace, cgsim.load_hardware, cgsim.simulate, cgsim.sweep, cgsim.Run\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"


def test_public_names():
    import cgsim

    assert set(cgsim.__all__) == {*homes(), "__version__"}
    assert dir(cgsim) == sorted(cgsim.__all__)
    with pytest.raises(AttributeError, match="module 'cgsim' has no attribute 'simulat'"):
        _ = cgsim.simulat
