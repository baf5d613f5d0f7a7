"""Compiled kernels belong to one state of the sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgsim.engine.compile_cache import KEPT, cache_folder, source_digest


def test_any_change_of_a_kernel_source_changes_the_folder(tmp_path: Path) -> None:
    for folder in ("engine", "mapping"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("one")
    before = source_digest(tmp_path)
    (tmp_path / "mapping" / "a.py").write_text("two")
    assert source_digest(tmp_path) != before


def test_old_states_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    home = tmp_path / "cgsim" / "kernels"
    for number in range(KEPT + 3):
        (home / f"old{number}").mkdir(parents=True)
    folder = cache_folder()
    assert folder.parent == home
    assert len(list(home.iterdir())) == KEPT + 1


def test_without_a_cache_to_write_a_private_folder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = cache_folder()
    assert folder.is_dir()
    assert tmp_path not in folder.parents
