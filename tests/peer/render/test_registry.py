from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peer.render import platform
from peer.render.registry import ProcessRegistry


@pytest.fixture
def sleeper():
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def disown(folder: Path) -> None:
    """Rewrite the entries as those of a daemon that is gone."""
    for path in folder.glob("*.json"):
        row = json.loads(path.read_text())
        path.write_text(json.dumps({**row, "daemon": row["pid"], "daemon_born": 1.0}))


def test_an_orphan_is_ended_with_its_temporary_files(tmp_path, sleeper):
    temporary = tmp_path / "tmp"
    (temporary / "deep").mkdir(parents=True)
    registry = ProcessRegistry(tmp_path / "pids")
    registry.add(sleeper.pid, temporary)
    disown(tmp_path / "pids")
    assert ProcessRegistry(tmp_path / "pids").reap() == [sleeper.pid]
    assert sleeper.wait(timeout=10) == -signal.SIGKILL
    assert not temporary.exists()
    assert list((tmp_path / "pids").iterdir()) == []


def test_a_living_daemons_processes_stay(tmp_path, sleeper):
    registry = ProcessRegistry(tmp_path / "pids")
    registry.add(sleeper.pid, tmp_path / "tmp")
    assert registry.reap() == []
    assert sleeper.poll() is None
    registry.remove(sleeper.pid)
    assert list((tmp_path / "pids").iterdir()) == []


def test_a_process_that_took_over_the_number_is_not_touched(tmp_path, sleeper):
    registry = ProcessRegistry(tmp_path / "pids")
    registry.add(sleeper.pid, tmp_path / "tmp")
    disown(tmp_path / "pids")
    (path,) = (tmp_path / "pids").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "born": 12345.0}))
    assert registry.reap() == []
    assert sleeper.poll() is None


def test_half_written_entries_are_swept_away(tmp_path):
    registry = ProcessRegistry(tmp_path / "pids")
    (tmp_path / "pids" / "17.json").write_text('{"pid": 17, "bo')
    assert registry.reap() == []
    assert list((tmp_path / "pids").iterdir()) == []


def test_a_process_that_is_already_gone_is_not_remembered(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    ProcessRegistry(tmp_path / "pids").add(child.pid, tmp_path)
    assert list((tmp_path / "pids").iterdir()) == []
    assert platform.born_at(os.getpid()) is not None
