"""Tables of 80 columns."""

from __future__ import annotations

from cgsim.commands.text import columns


def test_optional_columns_give_way_before_names_are_shortened() -> None:
    rows = [{"name": "n" * 30, "a": "1" * 20, "b": "2" * 20, "c": "3" * 20}]
    heads = {"name": "name", "a": "a", "b": "b", "c": "c"}
    table = columns(rows, heads, ("name",), ("b", "c"))
    assert "n" * 30 in table
    assert "2" * 20 in table
    assert "3" not in table
    assert all(len(line) <= 80 for line in table.splitlines())


def test_names_are_shortened_when_nothing_else_helps() -> None:
    table = columns([{"name": "n" * 90, "a": "1"}], {"name": "name", "a": "a"}, ("name",), ("a",))
    assert "…" in table
    assert all(len(line) <= 80 for line in table.splitlines())
