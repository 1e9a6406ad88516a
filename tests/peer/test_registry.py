"""The registry over a real engine and node: durable, published, waited for, kept over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from peer.bell import Bell
from peer.checktargets import CheckTargets
from peer.engine import Engine
from peer.eventlog import EventLog
from peer.registry import EngineRegistry
from protocol import limits
from protocol.cards import PeerCard
from protocol.effects import Notice, RunCheck
from protocol.errors import Conflict, Invalid, NotFound, Unavailable
from protocol.events import Booted, CheckEnded, DatagramReceived, Event, SeedsFound
from protocol.ids import Address, AuthorId, PeerId
from protocol.membership.options import PRESETS
from protocol.node import Node, NodeOptions
from protocol.services import CheckSpec, ProtocolSeen, RegisterCheck, RegisterService, Service, UpdateTtl, service_topic
from protocol.wire.gossip import Alive
from tests.fakes.memory_store import MemoryBlobs, MemoryJournal
from tests.fakes.shell import RecordingHands
from tests.waiting import wait_until

ME = PeerId("a" * 64)
WEB = Service("web-1", "web", ("a",), port=80)


class Peer:
    """A node in an engine that reaches nobody. `left` counts the asks to leave."""

    def __init__(self, folder: Path, journal: MemoryJournal, *, run_epoch: int = 1) -> None:
        options = NodeOptions(
            me=ME, author=AuthorId("0" * 16), run_epoch=run_epoch, address=Address("127.0.0.1", 7700), mesh_port=7701,
            nonce=b"12345678", token=lambda: Random(1).getrandbits(64), seed=1,
            card=PeerCard("oak", "http://127.0.0.1:7700"), swim=PRESETS["local"],
        )  # fmt: skip
        self.node, self.bell, self.hands, self.left = Node(options), Bell(), RecordingHands(), 0
        self.engine = Engine(
            node=self.node, journal=journal, blobs=MemoryBlobs(folder), log=EventLog(1), trace_dir=folder,
            after_step=lambda: self.bell.ring(self.node.directory.index),
        )  # fmt: skip
        self.registry = EngineRegistry(
            engine=self.engine, bell=self.bell, targets=CheckTargets(own=frozenset), datacenter="default", leave=self._leave
        )

    def _leave(self) -> None:
        self.left += 1


@asynccontextmanager
async def running(folder: Path, journal: MemoryJournal, **options: Any) -> AsyncIterator[Peer]:
    peer = Peer(folder, journal, **options)
    booted = Booted(tuple(await journal.facts()), await journal.values())
    task = asyncio.create_task(peer.engine.run(peer.hands, booted))
    await asyncio.sleep(0)
    yield peer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_was_asked_for_is_durable_when_it_is_answered(tmp_path: Path):
    journal = MemoryJournal()
    async with running(tmp_path, journal) as peer:
        await peer.registry.change(RegisterService(WEB))
        assert "health/service/web-1" in await journal.values()
        assert peer.registry.own_services() == [WEB]
        assert [seen.service for seen in peer.registry.instances("web")] == [WEB]
    async with running(tmp_path, journal, run_epoch=2) as again:
        assert again.registry.own_services() == [WEB]
        assert again.registry.index > peer.registry.index


async def test_a_change_rings_and_a_probe_is_asked_for(tmp_path: Path):
    async with running(tmp_path, MemoryJournal()) as peer:
        topic = service_topic("web")
        before = peer.registry.index_of(topic)
        check = CheckSpec("c", "c", "http", "web-1", target="http://127.0.0.1/", interval_s=10.0)
        change = asyncio.create_task(peer.registry.change(RegisterService(WEB, (check,))))
        while peer.registry.index_of(topic) == before:
            await peer.registry.changed(10)
        await change

        def probes() -> list[RunCheck]:
            return [effect for effect in peer.hands.done if isinstance(effect, RunCheck)]

        await wait_until(probes)
        before = peer.registry.index_of(topic)
        peer.engine.tell(CheckEnded(probes()[0].ticket, "passing", "fine"))
        await peer.registry.changed(10)
        assert peer.registry.index_of(topic) > before
        assert [row.status for row in peer.registry.own_checks()] == ["passing"]


async def test_refusals_come_out_as_they_are(tmp_path: Path):
    async with running(tmp_path, MemoryJournal()) as peer:
        with pytest.raises(NotFound):
            await peer.registry.change(UpdateTtl("nope", "passing", ""))
        with pytest.raises(Invalid):
            await peer.registry.change(RegisterCheck(CheckSpec("serfHealth", "x", "ttl", ttl_s=1.0)))
        with pytest.raises(NotFound):
            await peer.registry.force_leave(PeerId("b" * 64))
        with pytest.raises(Conflict):
            await peer.registry.force_leave(ME)


async def test_a_full_disk_refuses_at_once(tmp_path: Path):
    async with running(tmp_path, MemoryJournal()) as peer:
        peer.engine.store_error = OSError("full")
        with pytest.raises(Unavailable, match="full"):
            await peer.registry.change(RegisterService(WEB))


async def test_joining_oneself_is_done_at_once_and_nobody_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "JOIN_WAIT_S", 0.05)
    async with running(tmp_path, MemoryJournal()) as peer:
        told: list[object] = []
        tell = peer.engine.tell

        def listening(event: Event) -> None:
            told.append(event)
            tell(event)

        monkeypatch.setattr(peer.engine, "tell", listening)
        await peer.registry.join("127.0.0.1:7700")
        await peer.registry.join("localhost")
        with pytest.raises(Unavailable, match=r"Failed to join 127\.0\.0\.1:9"):
            await peer.registry.join("127.0.0.1:9")
        with pytest.raises(Unavailable, match="Failed to join"):
            await peer.registry.join("no-such-name.invalid")
        for bad in ("", "a b", "127.0.0.1:99999", "[::1"):
            with pytest.raises(Invalid):
                await peer.registry.join(bad)
        assert SeedsFound((Address("127.0.0.1", 9),)) in told


async def test_leaving_is_handed_on_and_targets_are_judged(tmp_path: Path):
    async with running(tmp_path, MemoryJournal()) as peer:
        await peer.registry.leave()
        assert peer.left == 1
        assert peer.registry.target_refusal("10.0.0.1") is not None
        assert peer.registry.target_refusal("localhost") is None
        assert peer.registry.datacenter == "default"
        assert peer.registry.me == ME
        leader = peer.registry.leader()
        assert leader is not None
        assert peer.registry.node(leader.name) == leader == peer.registry.members()[0] == peer.registry.nodes()[0]
        assert set(peer.registry.names()) == {"rendermesh"}
        assert [check.check.id for check in peer.registry.checks(leader)] == [c.check.id for c in peer.registry.checks_of_all()]
        [own] = peer.registry.services(leader)
        assert peer.registry.checks_for(own)[-1].check.id == "serfHealth"


async def test_each_peers_versions_are_told_with_the_highest_common_one(tmp_path: Path):
    async with running(tmp_path, MemoryJournal()) as peer:
        others = {PeerId("b" * 64): (1, 1), PeerId("c" * 64): (2, 3)}
        for at, (other, versions) in enumerate(others.items()):
            place = Address("127.0.0.1", 7_800 + at)
            news = Alive(other, 1, 1, b"87654321", place, 7_900, b"", versions)
            peer.engine.tell(DatagramReceived(other, place, True, (news,), b"s" * 16))
        await wait_until(lambda: len(peer.registry.members()) == 3)
        seen = peer.registry.protocols([ME, *others, PeerId("d" * 64)])
        assert seen == [ProtocolSeen(1, 1, 1), ProtocolSeen(1, 1, 1), ProtocolSeen(2, 3, 2), ProtocolSeen(1, 1, 1)]
        told = [done for done in peer.hands.done if isinstance(done, Notice) and done.event == "member_versions_apart"]
        assert [notice.fields["peer"] for notice in told] == ["c" * 64]


async def test_a_peer_that_stops_lets_everyone_go(tmp_path: Path):
    async with running(tmp_path, MemoryJournal()) as peer:
        waiting = asyncio.create_task(peer.registry.changed(60))
        await asyncio.sleep(0)
        peer.registry.close()
        await waiting
