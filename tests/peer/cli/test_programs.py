import sys
from pathlib import Path

import pytest

from peer.cli import programs


def test_the_daemon_beside_our_own_interpreter_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert programs.peerd() == [str(tmp_path / "python"), "-m", "peer"]
    (tmp_path / "peerd").write_text("")
    assert programs.peerd() == [str(tmp_path / "peerd")]


def test_blender_is_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.blender() is None
    (tmp_path / "blender").write_text("")
    (tmp_path / "blender").chmod(0o755)
    assert programs.blender() == str(tmp_path / "blender")
