"""The RTL is clean under Verilator's lint, whatever its parameters."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import VALIDATE
from tests.rtl.simulator import SOURCES, BuildKey, sources

KEYS = [
    BuildKey(rows, cols, groups, kind, window, queue)
    for rows, cols, groups, window, queue in [
        (4, 4, 1, 64, 16),
        (4, 4, 2, 256, 64),
        (3, 5, 5, 64, 16),
        (1, 1, 1, 64, 1),
        (1, 6, 2, 128, 3),
        (7, 1, 1, 64, 16),
        (8, 8, 4, 64, 16),
        *([(16, 16, 4, 64, 16), (32, 32, 8, 64, 16)] if VALIDATE else []),
    ]
    for kind in ("stationary", "output")
]


def lint(parameters: dict[str, str], *files: str) -> str:
    """What `verilator --lint-only -Wall` has to say."""
    command = ["verilator", "--lint-only", "-Wall", "--top-module", "gated_array"]
    command += [f"-G{name}={value}" for name, value in parameters.items()]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or done.stderr
    return done.stdout + done.stderr


@pytest.mark.usefixtures("rtl")
@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.kind} {key.rows}x{key.cols} in {key.groups}")
def test_lint_is_clean(key: BuildKey) -> None:
    assert lint(key.parameters(), *map(str, sources())) == ""


@pytest.mark.usefixtures("rtl")
@pytest.mark.parametrize(("operand_bits", "sum_bits"), [(4, 16), (16, 40)])
@pytest.mark.parametrize("kind", ["stationary", "output"])
def test_lint_is_clean_for_other_widths(kind: str, operand_bits: int, sum_bits: int) -> None:
    widths = {"OPERAND_BITS": str(operand_bits), "SUM_BITS": str(sum_bits)}
    assert lint(BuildKey(4, 4, 2, kind).parameters() | widths, *map(str, sources())) == ""


@pytest.mark.usefixtures("rtl")
def test_lint_sees_a_width_that_does_not_fit(tmp_path) -> None:
    changed = []
    for path in sources():
        text = path.read_text()
        (tmp_path / path.name).write_text(text.replace("INDEX_BITS = 20", "INDEX_BITS = 33"))
        changed.append(str(tmp_path / path.name))
    assert "WIDTH" in lint(BuildKey(4, 4, 2, "output").parameters(), *changed)


def test_nothing_silences_the_lint() -> None:
    """No `lint_off`: what lint says of rtl/ is all that it has to say."""
    assert not [path.name for path in SOURCES.glob("*.sv") if "lint_off" in path.read_text()]
