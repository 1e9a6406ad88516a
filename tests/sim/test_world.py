"""The world keeps the engine's word, and notices when a node breaks its own."""

from __future__ import annotations

import pytest

from protocol.effects import Persist, Reply, SendStream
from protocol.events import LocateAsked
from protocol.ids import JobId, RequestId
from protocol.records import PutValue
from protocol.wire.gossip import StreamAck
from protocol.wire.work import Wake
from tests.sim.faults import Faults
from tests.sim.world import Crashed, Host, World


def mesh(peers: int = 2, faults: Faults | None = None) -> tuple[World, Host]:
    world = World(1, peers=peers, faults=faults or Faults(torn_commit=0.0))
    for host in world.hosts:
        world.boot(host)
    world.run_until(5.0)
    return world, world.hosts[0]


def test_peers_find_each_other_over_sealed_datagrams():
    world, _ = mesh(3)
    assert all(len(host.node.roster.live()) == 3 for host in world.hosts if host.node)


def test_the_seed_decides_everything():
    one, other = mesh(3)[0], mesh(3)[0]
    assert one.trace.digest() == other.trace.digest()


def test_what_promises_something_waits_for_the_disk_and_what_does_not_does_not():
    world, host = mesh()
    said: list[str] = []
    world.perform_reply = lambda _, reply: said.append(reply.request)
    world._dispatch(host, Persist((PutValue("k", b"v"),)))
    world._dispatch(host, Reply(RequestId("r"), None))
    world._dispatch(host, SendStream(world.hosts[1].peer, world.hosts[1].address, Wake(JobId("ab" * 16))))
    world._dispatch(host, SendStream(world.hosts[1].peer, world.hosts[1].address, StreamAck(1), urgent=True))
    assert len(host.gate) == 3, "the urgent one has left"
    assert said == []
    assert "k" not in host.disk.values
    world.run_until(world.at + 1.0)
    assert said == ["r"]
    assert host.disk.values["k"] == b"v"


def test_a_crash_loses_what_was_not_durable_and_nobody_was_told():
    world, host = mesh()
    said: list[str] = []
    world.perform_reply = lambda _, reply: said.append(reply.request)
    world._dispatch(host, Persist((PutValue("k", b"v"),)))
    world._dispatch(host, Reply(RequestId("r"), None))
    world.crash(host)
    world.run_until(world.at + 1.0)
    assert said == []
    assert "k" not in host.disk.values
    world.boot(host)
    assert host.run == 2
    assert not host.gate


def test_a_commit_may_reach_the_disk_though_nobody_hears_of_it():
    world, host = mesh(faults=Faults(torn_commit=1.0))
    world._dispatch(host, Persist((PutValue("k", b"v"),)))
    world.crash(host)
    assert host.disk.values["k"] == b"v"


def test_nothing_of_an_earlier_run_happens_in_a_later_one():
    world, host = mesh()
    late: list[int] = []
    world.later(1.0, lambda: late.append(host.run), host)
    world.crash(host)
    world.boot(host)
    world.run_until(world.at + 2.0)
    assert late == []


def test_a_node_that_raises_ends_the_seed(monkeypatch: pytest.MonkeyPatch):
    world, host = mesh()
    assert host.node is not None
    monkeypatch.setattr(host.node.board, "handle", lambda event, now: 1 / 0)
    with pytest.raises(Crashed, match="p0 raised ZeroDivisionError"):
        world.tell(host, LocateAsked(RequestId("r"), "x"))


def test_a_deadline_that_never_passes_ends_the_seed(monkeypatch: pytest.MonkeyPatch):
    world, host = mesh()
    assert host.node is not None
    monkeypatch.setattr(type(host.node), "next_deadline", lambda node: 0.0)
    with pytest.raises(Crashed, match="never passes"):
        world.run_until(world.at + 10.0)
