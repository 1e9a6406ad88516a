"""A ping says which ways are open, always answers, and is no evidence about anybody."""

from __future__ import annotations

import pytest

from protocol import limits
from protocol.errors import Conflict, NotFound, Unavailable
from protocol.events import PingAsked
from protocol.ids import PeerId, RequestId
from protocol.views import Pinged
from tests.protocol.membership.mesh import Mesh, peer_id

ASK = RequestId("r1")


def ping(mesh: Mesh, target: int) -> Pinged:
    """Peer 0's answer about another."""
    replies = mesh.peers[0].replies
    before = len(replies)
    mesh.feed(0, PingAsked(ASK, peer_id(target)))
    mesh.run_until(lambda: len(replies) > before, limits.PING_S + 1)
    assert len(replies) == before + 1
    assert isinstance(replies[-1], Pinged)
    return replies[-1]


def test_all_three_ways_are_timed() -> None:
    mesh = Mesh().start_many(4)
    seen = ping(mesh, 2)
    assert seen.datagram_s is not None
    assert 0.001 <= seen.datagram_s <= 0.004
    assert seen.stream_s == pytest.approx(0.006)
    assert seen.indirect_s is not None
    assert seen.indirect_s > seen.datagram_s
    assert seen.helper in {peer_id(1), peer_id(3)}


def test_of_two_nobody_can_be_a_helper() -> None:
    seen = ping(Mesh().start_many(2), 1)
    assert seen.datagram_s is not None
    assert seen.stream_s is not None
    assert (seen.indirect_s, seen.helper) == (None, None)


def test_blocked_datagrams_leave_the_stream_and_the_helper() -> None:
    mesh = Mesh().start_many(3)
    mesh.drops = lambda sender, receiver, kind: kind == "datagram" and {sender, receiver} == {0, 2}
    seen = ping(mesh, 2)
    assert seen.datagram_s is None
    assert seen.stream_s is not None
    assert (seen.indirect_s is not None, seen.helper) == (True, peer_id(1))


def test_a_silent_peer_is_answered_for_in_time() -> None:
    mesh = Mesh().start_many(3)
    mesh.silence(2)
    began_s = mesh.now_s
    assert ping(mesh, 2) == Pinged(None, None, None, peer_id(1))
    assert mesh.now_s - began_s <= limits.PING_S


def test_whom_one_cannot_ping_is_said_at_once() -> None:
    mesh = Mesh().start_many(2)
    for target, kind in ((peer_id(0), Conflict), (PeerId("f" * 64), NotFound)):
        mesh.feed(0, PingAsked(ASK, target))
        assert isinstance(mesh.peers[0].replies[-1], kind)


def test_pings_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PINGS_AT_ONCE_MAX", 2)
    mesh = Mesh().start_many(2)
    mesh.silence(1)
    for _ in range(3):
        mesh.feed(0, PingAsked(ASK, peer_id(1)))
    assert isinstance(mesh.peers[0].replies[-1], Unavailable)
    mesh.run(limits.PING_S + 1)
    assert len(mesh.peers[0].replies) == 3
    assert mesh.peers[0].swim._pinger.next_deadline() is None


def test_an_answer_by_somebody_else_does_not_count() -> None:
    from protocol.events import StreamReceived
    from protocol.wire.gossip import StreamAck

    mesh = Mesh().start_many(3)
    mesh.silence(2)
    mesh.feed(0, PingAsked(ASK, peer_id(2)))
    pinger = mesh.peers[0].swim._pinger
    stream = next(seq for one in pinger._rounds for seq, way in one.open_.items() if way == "stream")
    mesh.feed(0, StreamReceived(peer_id(1), StreamAck(stream)))
    mesh.run(limits.PING_S + 1)
    assert mesh.peers[0].replies[-1].stream_s is None


def test_a_ping_without_an_answer_accuses_nobody() -> None:
    mesh = Mesh().start_many(3)
    mesh.drops = lambda sender, receiver, kind: {sender, receiver} == {0, 2}
    mesh.feed(0, PingAsked(ASK, peer_id(2)))
    mesh.run_until(lambda: bool(mesh.peers[0].replies), limits.PING_S + 1)
    score = mesh.peers[0].swim.health_score
    assert mesh.peers[0].replies[-1].stream_s is None
    assert mesh.peers[1].sees(2) == "alive"
    assert score <= 1
