"""Commands run in this process: exit code, stdout and stderr."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cgsim.cli import main


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cgsim(capsys, tmp_path, monkeypatch) -> Callable[..., Answer]:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*argv: object) -> Answer:
        capsys.readouterr()
        try:
            code = main([str(word) for word in argv])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture(scope="session")
def tiny_trace(tmp_path_factory) -> Path:
    from cgsim.trace import build_network, synthesize

    path = tmp_path_factory.mktemp("traces") / "tiny.trace.parquet"
    return Path(synthesize(build_network("tiny"), path, samples=3, seed=1))
