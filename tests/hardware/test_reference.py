"""docs/configuration.md is what the models say."""

from __future__ import annotations

import re
from pathlib import Path

from cgsim.hardware import Hardware
from cgsim.hardware.messages import fields
from cgsim.hardware.reference import main, reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_committed_reference_is_up_to_date():
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), "run: make docs-reference"


def test_every_key_is_there_with_a_meaning():
    text = reference()
    for key, field in fields(Hardware):
        assert field.description
        one = re.sub(r"^engines\.\w+\.", "engines.first.", key)  # equal engines are told once
        assert f"| `{one}` |" in text


def test_main_writes_and_prints(tmp_path, capsys):
    main([str(tmp_path / "configuration.md")])
    assert (tmp_path / "configuration.md").read_text() == reference()
    assert [path.name for path in tmp_path.iterdir()] == ["configuration.md"]
    main([])
    assert capsys.readouterr().out == reference()
