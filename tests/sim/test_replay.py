from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from protocol.effects import Notice
from protocol.events import SeedsFound
from protocol.kernel import Now
from tests.sim.replay import main


def test_a_trace_is_shown_step_by_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    steps = [(7, Now(1.5, 0), SeedsFound(()), [Notice("job_accepted")]), (8, Now(2.5, 0), None, [])]
    file = tmp_path / "trace.pickle"
    file.write_bytes(pickle.dumps(steps))
    assert main([str(file)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "7"
    assert "SeedsFound" in first
    assert "deadline" in second
    assert main([str(file), "--about", "job_accepted"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps([1, 2])])
def test_what_is_no_trace_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes):
    file = tmp_path / "trace.pickle"
    file.write_bytes(data)
    assert main([str(file)]) == 2
    assert "is no trace" in capsys.readouterr().err
