import signal
import subprocess
from collections.abc import Callable

import pytest

from peer.cli.failures import Exit, Unreachable
from peer.cli.invocation import Invocation
from peer.cli.watching import repeat
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

Program = Callable[..., subprocess.Popen[str]]


class Enough(Exception):
    pass


def test_shown_again_only_when_it_changed_and_through_silence(capsys: pytest.CaptureFixture[str]) -> None:
    answers: list[object] = [1, 1, Unreachable(Exit.UNREACHABLE, "no peer can be reached"), 2, 2, Enough()]
    shown: list[object] = []

    def read() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(Enough):
        repeat(Invocation(), read, shown.append, watch=True)
    assert shown == [1, 2]
    assert "no peer can be reached; trying again" in capsys.readouterr().err


def test_once_without_watch() -> None:
    shown: list[int] = []
    repeat(Invocation(), lambda: 1, shown.append, watch=False)
    assert shown == [1]


def test_ctrl_c_ends_a_watch(mesh: FakeMesh, peer: FakePeer, program: Program) -> None:
    mesh.add("castle", [1])
    process = program("jobs", "--watch", "-o", "name")
    assert process.stdout is not None
    assert process.stdout.readline().strip() in mesh.jobs
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
