from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import pytest

from peer.tape import Recording, Tape, no_token
from protocol import limits
from protocol.cards import PeerCard
from protocol.events import Booted
from protocol.ids import Address, AuthorId, Fence, JobId, PeerId
from protocol.kernel import Now
from protocol.keyring.state import RingState, fresh_ring
from protocol.ledger.facts import Fact, Owner
from protocol.membership.options import LOCAL
from protocol.node import NodeOptions
from protocol.wire.seal import MeshKey


def options(tape: Tape, ring: RingState | None = None) -> NodeOptions:
    return NodeOptions(
        me=PeerId("a" * 64), author=AuthorId("b" * 16), run_epoch=3, address=Address("127.0.0.1", 7700), mesh_port=7701,
        nonce=b"12345678", token=tape.token, seed=5, card=PeerCard(), swim=LOCAL, ring=ring,
    )  # fmt: skip


def read(path: Path) -> Recording:
    recording = pickle.loads(path.read_bytes())
    assert isinstance(recording, Recording)
    return recording


def test_tokens_are_kept_in_order_and_the_written_source_draws_none(tmp_path: Path):
    tape = Tape(itertools.count(5).__next__)
    tape.options = options(tape)
    assert [tape.token(), tape.token()] == [5, 6]
    tape.add(Now(1.0, 0), None, [])
    recording = read(tape.write(tmp_path, "asked"))
    assert recording.tokens == (5, 6)
    assert recording.options is not None
    with pytest.raises(AssertionError):
        recording.options.token()
    with pytest.raises(AssertionError):
        no_token()


def test_a_tape_that_has_lost_its_beginning_is_only_for_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "TRACE_STEPS_KEPT", 3)
    tape = Tape(itertools.count(1).__next__)
    tape.options = options(tape)
    for step in range(5):
        tape.token()
        tape.add(Now(float(step), 0), None, [])
    recording = read(tape.write(tmp_path, "asked"))
    assert [step[0] for step in recording.steps] == [3, 4, 5]
    assert recording.options is None
    assert recording.tokens == ()


def test_the_keys_of_a_mesh_are_not_on_the_tape_which_is_private(tmp_path: Path):
    tape = Tape(itertools.count(1).__next__)
    secret = bytes(range(32))
    tape.options = options(tape, ring=fresh_ring(MeshKey(bytes(16), secret, "default")))
    tape.add(Now(1.0, 0), None, [])
    path = tape.write(tmp_path, "asked")
    assert read(path).options is None
    assert secret not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


def test_a_start_on_more_facts_than_fit_is_shown_and_not_replayed(tmp_path: Path):
    tape = Tape(itertools.count(5).__next__)
    tape.options = options(tape)
    fact = Fact(JobId("a" * 32), AuthorId("b" * 16), 1, Owner(Fence(1, PeerId("c" * 64))))
    tape.add(Now(1.0, 0), Booted([fact], {"key": b"value"}), [])
    recording = read(tape.write(tmp_path, "asked"))
    assert recording.options is None
    assert [event for _, _, event, _ in recording.steps] == [Booted((), {"key": b"value"})]
