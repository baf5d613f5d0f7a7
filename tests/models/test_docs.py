from __future__ import annotations

import re
from pathlib import Path

import pytest

from cgsim.models import registry

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_example_of_a_users_own_module_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "example"})
    samples, reduction = capsys.readouterr().out.split()
    assert samples == "32"
    assert float(reduction) == pytest.approx(1.67, abs=0.3)
