from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from peer.tape import Recording, Step, Tape
from protocol.cards import PeerCard
from protocol.effects import Notice
from protocol.events import Booted, RenderersFound, SeedsFound
from protocol.ids import Address, AuthorId, PeerId
from protocol.kernel import Now
from protocol.membership.options import LOCAL
from protocol.node import Node, NodeOptions
from tests.sim.replay import main


def recorded(folder: Path) -> Path:
    """A node's first steps, as the engine records them."""
    tape = Tape(Random(7).getrandbits(64).__int__)
    tape.options = NodeOptions(
        me=PeerId("a" * 64), author=AuthorId("b" * 16), run_epoch=3, address=Address("127.0.0.1", 7700), mesh_port=7701,
        nonce=b"12345678", token=tape.token, seed=5, card=PeerCard(name="a", slots_total=1), swim=LOCAL,
    )  # fmt: skip
    node, clock = Node(tape.options), 100.0
    booted = Booted((), {})
    tape.add(Now(clock, 0), booted, node.start(booted, Now(clock, 0)))
    for event in (RenderersFound((), ("none",)), SeedsFound((Address("127.0.0.1", 9),))):
        clock += 0.01
        tape.add(Now(clock, 0), event, node.handle(event, Now(clock, 0)))
    for _ in range(20):
        clock = max(clock, node.next_deadline() or clock) + 0.001
        tape.add(Now(clock, 0), None, node.on_deadline(Now(clock, 0)))
    return tape.write(folder, "asked")


def test_a_trace_is_shown_step_by_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    steps: tuple[Step, ...] = ((7, Now(1.5, 0), SeedsFound(()), [Notice("job_accepted")]), (8, Now(2.5, 0), None, []))
    file = tmp_path / "trace.pickle"
    file.write_bytes(pickle.dumps(Recording(None, (), steps)))
    assert main([str(file)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "7"
    assert "SeedsFound" in first
    assert "deadline" in second
    assert main([str(file), "--about", "job_accepted"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_fresh_node_takes_a_complete_tape_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(recorded(tmp_path)), "--quiet"]) == 0
    assert "took all 23 steps" in capsys.readouterr().err


def test_a_step_that_goes_another_way_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = recorded(tmp_path)
    recording = pickle.loads(file.read_bytes())
    number, now, event, effects = recording.steps[1]
    changed = (recording.steps[0], (number, now, event, [*effects, Notice("never_said")]), *recording.steps[2:])
    file.write_bytes(pickle.dumps(replace(recording, steps=changed)))
    assert main([str(file), "--quiet"]) == 3
    assert "step 2 went another way" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps([1, 2])])
def test_what_is_no_trace_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes):
    file = tmp_path / "trace.pickle"
    file.write_bytes(data)
    assert main([str(file)]) == 2
    assert "is no tape" in capsys.readouterr().err
