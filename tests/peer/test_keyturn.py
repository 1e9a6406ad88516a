"""Running sockets take another key ring over: nobody is unheard meanwhile, and whoever has only a removed key is out."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from peer.keyturn import KeyTurner, stored_ring
from peer.net.identity import load_or_make_identity
from peer.net.meshclient import MeshClient
from peer.net.meshserver import MeshServer
from protocol.effects import UseKeys
from protocol.errors import Invalid, Unavailable
from protocol.events import KeysInUse
from protocol.keyring.state import HeldKey, fresh_ring, stored_under, write_ring
from protocol.wire.seal import MeshKey, Sealer
from tests.peer.net.peers import MESH, OTHER_KEY, HeldBlobs, MeshPeer, wake
from tests.waiting import wait_until

OLD, NEW = MESH, OTHER_KEY


class Turning(MeshPeer):
    """A peer whose sockets follow a turner; `told` is what its engine would hear."""

    keys: KeyTurner
    told: list[object]
    authorities: list[str]

    async def turn(self, *keys: MeshKey) -> None:
        version = len(self.told) + 1
        self.keys.turn(UseKeys(keys, version))
        await wait_until(lambda: KeysInUse(version) in self.told)


@asynccontextmanager
async def turning(folder: Path, *, api: object = None) -> AsyncIterator[Turning]:
    keys = KeyTurner(fresh_ring(OLD), load_or_make_identity(folder), ("127.0.0.1",))
    peer = Turning(keys.certificates)
    peer.keys, peer.told, peer.authorities = keys, [], []
    peer.client = MeshClient(keys.certificates, on_failed=peer.fail)
    peer.server = MeshServer(keys.certificates, HeldBlobs(), peer.take, on_drop=peer.drop, api=api)  # type: ignore[arg-type]
    peer.address = await peer.server.listen("127.0.0.1", 0)
    running = asyncio.create_task(
        keys.run(
            peer.client, peer.server, tell=peer.told.append, turned=lambda found: peer.authorities.append(found[0].fingerprint)
        )
    )
    try:
        yield peer
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await peer.client.close()
        await peer.server.close()


async def arrives(one: Turning, other: Turning, number: int) -> bool:
    one.client.send(other.id, other.address, wake(number))
    assert await one.client.flush(20)
    return (one.id, wake(number)) in other.received


async def test_two_peers_hear_each_other_through_every_step_of_a_rotation(tmp_path: Path):
    async with turning(tmp_path / "ann") as ann, turning(tmp_path / "bob") as bob:
        number = 0
        for ring in ((OLD, NEW), (NEW, OLD), (NEW,)):
            for peer in (ann, bob):
                await peer.turn(*ring)
                number += 1
                assert await arrives(ann, bob, number)
                assert await arrives(bob, ann, number)
        assert ann.failed == bob.failed == []
        assert ann.authorities[0] != ann.authorities[1] == ann.authorities[2] == ann.keys.certificates.authorities[0].fingerprint


async def test_whoever_has_only_the_removed_key_is_out_both_ways_even_over_an_open_connection(tmp_path: Path):
    async with turning(tmp_path / "ann") as ann, turning(tmp_path / "rogue") as rogue:
        assert await arrives(rogue, ann, 1)  # this connection stays open
        await ann.turn(NEW, OLD)
        assert await arrives(rogue, ann, 2)
        await ann.turn(NEW)
        assert not await arrives(rogue, ann, 3)
        assert not await arrives(ann, rogue, 4)
        assert len(ann.received) == 2


async def test_an_answer_under_way_to_a_removed_key_is_cut_off(tmp_path: Path):
    going = asyncio.Event()

    async def endless(request: web.Request, sender: object) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"secret")
        going.set()
        await asyncio.Event().wait()
        return response

    async with (
        turning(tmp_path / "ann", api=endless) as ann,
        turning(tmp_path / "rogue") as rogue,
        rogue.client.request_api(ann.id, ann.address, method="GET", path="api/v1/events", stall_s=None) as reply,
    ):
        assert await reply.read() == b"secret"
        await going.wait()
        await ann.turn(NEW)
        with pytest.raises(Unavailable):
            await reply.read()


async def test_datagrams_and_the_user_port_follow(tmp_path: Path):
    async with turning(tmp_path / "ann") as ann:
        context = ann.keys.user_context()
        assert isinstance(context, ssl.SSLContext)
        sealer = Sealer(ann.keys.ring, ann.id, bytes(16))
        before, authority = sealer.seal(b"x"), ann.keys.authority()
        await ann.turn(NEW, OLD)
        assert before[11:15] == OLD.key_hint
        assert sealer.seal(b"x")[11:15] == NEW.key_hint
        assert ann.keys.authority() != authority


async def test_several_rings_in_a_row_are_all_answered_and_the_last_one_stays(tmp_path: Path):
    async with turning(tmp_path / "ann") as ann:
        for version, ring in enumerate([(OLD, NEW), (NEW, OLD), (NEW,)], start=1):
            ann.keys.turn(UseKeys(ring, version))
        await wait_until(lambda: len(ann.told) == 3)
        assert ann.told == [KeysInUse(1), KeysInUse(2), KeysInUse(3)]
        assert ann.keys.ring.keys == (NEW,)


def test_the_stored_ring_outranks_the_setting_and_a_damaged_one_is_told(tmp_path: Path):
    state = fresh_ring(OLD).install(HeldKey(NEW)).use((1, NEW.fingerprint)).remove((OLD.fingerprint,))
    values = {stored_under(OLD): write_ring(state)}
    assert stored_ring(values, OLD, tmp_path) == state
    assert stored_ring({}, OLD, tmp_path) == fresh_ring(OLD)
    with pytest.raises(Invalid, match="cannot be read"):
        stored_ring({stored_under(OLD): b"torn"}, OLD, tmp_path)
