from __future__ import annotations

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from peer.net.datagrams import DatagramEndpoint
from protocol.errors import Unavailable
from protocol.events import DatagramReceived
from protocol.ids import Address, PeerId
from protocol.limits import DATAGRAM_BYTES_MAX, OUTBOX_DATAGRAMS_MAX
from protocol.wire.gossip import Ack, Ping, SyncDigest
from protocol.wire.seal import KeyRing, MeshKey, Sealer
from tests.peer.net.peers import MESH, OTHER_KEY, OTHER_NAME
from tests.waiting import wait_until

ANN, BOB = PeerId("a" * 64), PeerId("b" * 64)


class Gossiper:
    def __init__(self, me: PeerId, mesh: MeshKey) -> None:
        self.received: list[DatagramReceived] = []
        self.dropped: Counter[str] = Counter()
        self.unsent: list[Address] = []
        self.endpoint = DatagramEndpoint(
            KeyRing(mesh), me, on_datagram=self.received.append, on_drop=self.drop, on_unsent=self.unsent.append
        )
        self.address = Address("127.0.0.1", 1)

    def drop(self, reason: str, n: int) -> None:
        self.dropped[reason] += n

    @property
    def sequences(self) -> list[int]:
        return [message.seq for each in self.received for message in each.messages if isinstance(message, Ping | Ack)]


@asynccontextmanager
async def gossiper(me: PeerId, mesh: MeshKey = MESH, host: str = "127.0.0.1") -> AsyncIterator[Gossiper]:
    made = Gossiper(me, mesh)
    made.address = await made.endpoint.listen(host, 0)
    try:
        yield made
    finally:
        await made.endpoint.close()


@pytest.fixture
async def ann() -> AsyncIterator[Gossiper]:
    async with gossiper(ANN) as made:
        yield made


@pytest.fixture
async def bob() -> AsyncIterator[Gossiper]:
    async with gossiper(BOB) as made:
        yield made


async def test_messages_arrive_together_from_the_proven_sender(ann: Gossiper, bob: Gossiper):
    ann.endpoint.send(bob.address, [Ping(1, BOB), Ack(2, 7701)])
    await wait_until(lambda: bob.received)
    event = bob.received[0]
    assert (event.sender, event.source, event.trusted) == (ANN, ann.address, False)
    assert event.messages == (Ping(1, BOB), Ack(2, 7701))


async def test_a_believed_salt_is_trusted_from_then_on(ann: Gossiper, bob: Gossiper):
    ann.endpoint.send(bob.address, [Ping(1, BOB)])
    await wait_until(lambda: bob.received)
    bob.endpoint.believe(ANN, bob.received[0].salt)
    ann.endpoint.send(bob.address, [Ping(2, BOB)])
    await wait_until(lambda: len(bob.received) == 2)
    assert [event.trusted for event in bob.received] == [False, True]


async def test_two_runs_of_a_peer_have_two_salts(bob: Gossiper):
    for number in range(2):
        async with gossiper(ANN) as ann:
            ann.endpoint.send(bob.address, [Ping(number, BOB)])
            await wait_until(partial(lambda number: len(bob.received) == number + 1, number))
    assert len({event.salt for event in bob.received}) == 2


@pytest.mark.parametrize(("mesh", "reason"), [(OTHER_KEY, "wrong_key"), (OTHER_NAME, "foreign_mesh")])
async def test_another_mesh_is_dropped_and_counted(bob: Gossiper, mesh: MeshKey, reason: str):
    async with gossiper(ANN, mesh) as foreign:
        foreign.endpoint.send(bob.address, [Ping(1, BOB)])
        await wait_until(lambda: bob.dropped[reason] == 1)
    assert bob.received == []


async def test_garbage_at_speed_is_counted_and_good_datagrams_still_come_through(ann: Gossiper, bob: Gossiper):
    dice = random.Random(7)
    sealed = Sealer(KeyRing(MESH), ANN, os.urandom(16)).seal(b"\0\1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.setblocking(False)
        for number in range(5_000):
            forged = bytearray(sealed) if number % 2 else bytearray(dice.randbytes(dice.randrange(0, 2_000)))
            if number % 2:
                forged[dice.randrange(len(forged))] ^= 1 << dice.randrange(8)
            raw.sendto(forged, (bob.address.host, bob.address.port))
            if number % 50 == 0:
                ann.endpoint.send(bob.address, [Ping(number, BOB)])
                await wait_until(partial(lambda number: number in bob.sequences, number))
    await wait_until(lambda: sum(bob.dropped.values()) == 5_000)
    assert set(bob.dropped) >= {"short", "oversized", "not_ours", "forged", "wrong_key", "foreign_mesh"}
    assert len(bob.received) == 100


async def test_a_flood_does_not_starve_the_loop(bob: Gossiper):
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not done:
            loop.call_soon(turn)

    done = False
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        for _ in range(200):  # they lie in the kernel's buffer before the loop looks
            raw.sendto(b"garbage", (bob.address.host, bob.address.port))
        loop.call_soon(turn)
        await wait_until(lambda: bob.dropped["short"] == 200)
        done = True
    assert turns >= 200


async def test_a_replayed_datagram_is_dropped(bob: Gossiper):
    sealed = Sealer(KeyRing(MESH), ANN, os.urandom(16)).seal(b"")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        for _ in range(3):
            raw.sendto(sealed, (bob.address.host, bob.address.port))
        await wait_until(lambda: bob.dropped["replayed"] == 2)


async def test_a_sealed_datagram_with_bad_parts_keeps_its_good_ones(bob: Gossiper):
    good = (3).to_bytes(2, "big") + b"\xff\xff\xff"
    sealed = Sealer(KeyRing(MESH), ANN, os.urandom(16)).seal(good)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.sendto(sealed, (bob.address.host, bob.address.port))
        await wait_until(lambda: bob.dropped["malformed"] == 1)
    assert bob.received == []


async def test_no_datagram_is_above_the_limit_and_what_does_not_fit_is_not_sent(ann: Gossiper, bob: Gossiper):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.bind(("127.0.0.1", 0))
        raw.setblocking(False)
        to = Address(*raw.getsockname())
        ann.endpoint.send(to, [Ping(1, BOB)] * 24)
        data = await asyncio.get_running_loop().sock_recv(raw, 65_536)
        assert len(data) <= DATAGRAM_BYTES_MAX
    ann.endpoint.send(bob.address, [SyncDigest(bytes(16))] * 100)
    assert ann.dropped == {"unsendable": 1}


async def test_the_outbox_keeps_the_newest_and_their_order(ann: Gossiper, bob: Gossiper):
    ann.endpoint.pause_writing()
    for number in range(OUTBOX_DATAGRAMS_MAX + 100):
        ann.endpoint.send(bob.address, [Ping(number, BOB)])
    assert ann.dropped == {"outbox_full": 100}
    waiting = [datagram for _, datagram in ann.endpoint._outbox]
    assert len(waiting) == OUTBOX_DATAGRAMS_MAX
    while len(ann.endpoint._outbox) > 50:  # as many as bob's socket holds at once
        ann.endpoint._outbox.popleft()
    ann.endpoint.resume_writing()
    await wait_until(lambda: len(bob.received) == 50)
    last = OUTBOX_DATAGRAMS_MAX + 100
    assert bob.sequences == list(range(last - 50, last))


async def test_an_address_that_cannot_be_sent_to_blames_nobody(ann: Gossiper):
    nowhere = Address("::1", 7700)  # the socket speaks IPv4 only
    ann.endpoint.send(nowhere, [Ping(1, None)])
    assert ann.unsent == [nowhere]
    assert ann.dropped == {"unsent": 1}


async def test_a_port_where_nobody_listens_is_no_error(ann: Gossiper, bob: Gossiper):
    async with gossiper(PeerId("c" * 64)) as gone:
        address = gone.address
    ann.endpoint.send(address, [Ping(1, None)])
    ann.endpoint.send(bob.address, [Ping(2, BOB)])
    await wait_until(lambda: bob.sequences == [2])
    assert ann.unsent == []


async def test_an_icmp_answer_is_counted(ann: Gossiper):
    ann.endpoint.error_received(ConnectionRefusedError())
    assert ann.dropped == {"icmp": 1}
    assert ann.unsent == []


async def test_a_taken_port_is_refused(bob: Gossiper):
    other = Gossiper(ANN, MESH)
    with pytest.raises(Unavailable, match="is taken"):
        await other.endpoint.listen(bob.address.host, bob.address.port)
    await other.endpoint.close()


async def test_after_close_nothing_is_sent_and_nothing_raises(bob: Gossiper):
    async with gossiper(ANN) as ann:
        pass
    ann.endpoint.send(bob.address, [Ping(1, BOB)])
    await ann.endpoint.close()
    assert ann.dropped == {}


async def test_ipv6_works_alike():
    async with gossiper(ANN, host="::1") as ann, gossiper(BOB, host="::1") as bob:
        ann.endpoint.send(bob.address, [Ping(1, BOB)])
        await wait_until(lambda: bob.sequences == [1])
        assert bob.received[0].source == ann.address
