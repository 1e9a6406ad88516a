from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from peer.net import meshclient, outbox
from peer.net.certificates import MeshCertificates, make_certificates, name_of
from peer.net.identity import load_or_make_identity
from peer.net.meshclient import MeshClient, TransferFailed, end_to_end
from peer.net.meshserver import MeshServer
from peer.net.sockets import bind_stream
from protocol.errors import Unavailable
from protocol.ids import Address, Digest, PeerId
from protocol.limits import BLOB_CHUNK_BYTES, OUTBOX_MESSAGES_PER_PEER_MAX
from protocol.wire.gossip import StreamAck
from protocol.wire.seal import MeshKey
from protocol.wire.work import JobAnswer
from tests.peer.net.peers import MESH, NOW, OTHER_KEY, OTHER_NAME, HeldBlobs, MeshPeer, certificates_in, mesh_peer, wake
from tests.waiting import wait_until


@pytest.fixture
async def ann(tmp_path: Path) -> AsyncIterator[MeshPeer]:
    async with mesh_peer(certificates_in(tmp_path / "ann")) as peer:
        yield peer


@pytest.fixture
async def bob(tmp_path: Path) -> AsyncIterator[MeshPeer]:
    async with mesh_peer(certificates_in(tmp_path / "bob"), blobs=HeldBlobs(b"held" * 1_000), api=_mirror) as peer:
        yield peer


async def _mirror(request: web.Request, sender: PeerId) -> web.StreamResponse:
    """Answers piece by piece with what it is sent; what the path asks for decides the rest."""
    response = web.StreamResponse(status=207, headers={"X-Kept": "yes", "X-Query": request.rel_url.raw_path_qs})
    response.headers["X-Seen"] = ",".join(sorted(name.lower() for name in request.headers))
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
        if b"break" in piece:
            assert request.transport is not None
            request.transport.abort()
            return response
    await response.write_eof()
    return response


def messages(peer: MeshPeer) -> list[object]:
    return [message for _, message in peer.received]


# ---- messages ---------------------------------------------------------------------------------------------------------


async def test_messages_arrive_once_and_in_order(ann: MeshPeer, bob: MeshPeer):
    sent = [wake(number) for number in range(3_000)]
    for message in sent:
        ann.client.send(bob.id, bob.address, message)
    assert await ann.client.flush(30)
    assert messages(bob) == sent
    assert {sender for sender, _ in bob.received} == {ann.id}
    assert ann.failed == []


async def test_both_ways_at_once(ann: MeshPeer, bob: MeshPeer):
    for number in range(200):
        ann.client.send(bob.id, bob.address, wake(number))
        bob.client.send(ann.id, ann.address, wake(number))
        await asyncio.sleep(0)
    assert await ann.client.flush(30)
    assert await bob.client.flush(30)
    assert messages(ann) == messages(bob) == [wake(number) for number in range(200)]


async def test_one_connection_serves_one_lane(ann: MeshPeer, bob: MeshPeer):
    for number in range(20):
        ann.client.send(bob.id, bob.address, wake(number))
        assert await ann.client.flush(30)
    server = bob.server._runner.server
    assert server is not None
    assert len(server.connections) == 1


async def test_urgent_messages_overtake(ann: MeshPeer, bob: MeshPeer):
    for number in range(10):
        ann.client.send(bob.id, bob.address, wake(number))
    release = asyncio.Event()
    genuine = ann.client._outboxes[bob.id, False].post

    async def held(address: Address, body: bytes) -> outbox.Outcome:
        await release.wait()
        return await genuine(address, body)

    ann.client._outboxes[bob.id, False].post = held
    ann.client.send(bob.id, bob.address, StreamAck(1), urgent=True)
    await wait_until(lambda: StreamAck(1) in messages(bob))
    release.set()
    assert await ann.client.flush(30)
    assert messages(bob) == [StreamAck(1), *(wake(number) for number in range(10))]


async def test_a_full_inbox_delays_and_loses_nothing(ann: MeshPeer, bob: MeshPeer):
    bob.room = 7
    for number in range(20):
        ann.client.send(bob.id, bob.address, wake(number))
    await wait_until(lambda: len(bob.received) == 7)
    bob.room = 100
    assert await ann.client.flush(30)
    assert messages(bob) == [wake(number) for number in range(20)]
    assert ann.failed == []


async def test_a_port_where_nobody_listens_is_reported_as_refused(ann: MeshPeer):
    with bind_stream("127.0.0.1", 0) as sock:
        nowhere = Address(*sock.getsockname())
    peer = PeerId("d" * 64)
    ann.client.send(peer, nowhere, wake(1))
    ann.client.send(peer, nowhere, wake(2), urgent=True)
    await wait_until(lambda: len(ann.failed) == 2)
    assert sorted(ann.failed, key=str) == [(peer, wake(1), True), (peer, wake(2), True)]


async def test_a_silent_host_is_a_failure_but_not_refused_and_blocks_nobody_else(
    ann: MeshPeer, bob: MeshPeer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(meshclient, "CONNECT_S", 0.5)
    with bind_stream("127.0.0.1", 0) as silent:
        silent.listen()
        peer = PeerId("d" * 64)
        ann.client.send(peer, Address(*silent.getsockname()), wake(1))
        for number in range(100):
            ann.client.send(bob.id, bob.address, wake(number))
        await wait_until(lambda: len(bob.received) == 100)
        assert ann.failed == []
        await wait_until(lambda: ann.failed)
    assert ann.failed == [(peer, wake(1), False)]


async def test_what_waits_for_one_peer_is_bounded(ann: MeshPeer):
    with bind_stream("127.0.0.1", 0) as silent:
        silent.listen()
        peer = PeerId("d" * 64)
        for number in range(OUTBOX_MESSAGES_PER_PEER_MAX + 5):
            ann.client.send(peer, Address(*silent.getsockname()), wake(number))
        assert [message for _, message, _ in ann.failed] == [wake(OUTBOX_MESSAGES_PER_PEER_MAX + extra) for extra in range(5)]
        assert ann.client.waiting() == OUTBOX_MESSAGES_PER_PEER_MAX


async def test_a_message_that_is_too_large_to_say_comes_back(ann: MeshPeer, bob: MeshPeer):
    huge = JobAnswer(1, (bytes(5 * 2**20),))
    ann.client.send(bob.id, bob.address, huge)
    assert ann.failed == [(bob.id, huge, False)]


async def test_an_idle_outbox_is_forgotten_and_made_anew(ann: MeshPeer, bob: MeshPeer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "OUTBOX_IDLE_S", 0.01)
    for number in range(3):
        ann.client.send(bob.id, bob.address, wake(number))
        await wait_until(lambda: not ann.client._outboxes and not ann.client._tasks)
    assert messages(bob) == [wake(number) for number in range(3)]


async def test_a_peer_that_restarts_on_its_port_gets_the_next_messages(ann: MeshPeer, tmp_path: Path):
    certificates = certificates_in(tmp_path / "again")
    async with mesh_peer(certificates) as first:
        ann.client.send(first.id, first.address, wake(1))
        assert await ann.client.flush(30)
        port = first.address.port
        await first.server.close()
        second = MeshPeer(certificates)
        second.server = meshserver_of(second)
        address = await second.server.listen("127.0.0.1", port)
        ann.client.send(second.id, address, wake(2))
        ann.client.send(second.id, address, wake(3))
        assert await ann.client.flush(30)
        await second.server.close()
    lost = [message for _, message, _ in ann.failed]
    assert lost + messages(second) == [wake(2), wake(3)]


def meshserver_of(peer: MeshPeer) -> MeshServer:
    return MeshServer(peer.certificates, HeldBlobs(), peer.take, on_drop=peer.drop)  # type: ignore[arg-type]


async def test_after_close_nothing_is_sent_and_nothing_called_back(tmp_path: Path, bob: MeshPeer):
    failed: list[object] = []
    client = MeshClient(certificates_in(tmp_path / "brief"), on_failed=lambda *args: failed.append(args))
    with bind_stream("127.0.0.1", 0) as silent:
        silent.listen()
        client.send(PeerId("d" * 64), Address(*silent.getsockname()), wake(1))
        await asyncio.sleep(0)
        await client.close()
    client.send(bob.id, bob.address, wake(2))
    assert failed == []
    assert client.waiting() == 0
    assert bob.received == []


async def test_flush_says_when_time_was_not_enough(ann: MeshPeer):
    with bind_stream("127.0.0.1", 0) as silent:
        silent.listen()
        ann.client.send(PeerId("d" * 64), Address(*silent.getsockname()), wake(1))
        assert not await ann.client.flush(0.01)


# ---- who is at the other end ------------------------------------------------------------------------------------------


async def test_another_peer_at_that_address_gets_nothing(ann: MeshPeer, bob: MeshPeer):
    expected = PeerId("e" * 64)
    ann.client.send(expected, bob.address, wake(1))
    await wait_until(lambda: ann.failed)
    assert ann.failed == [(expected, wake(1), False)]
    assert bob.received == []
    with pytest.raises(Unavailable, match=f"peer {bob.id[:16]} answered where eeee"):
        async with ann.client.request_api(expected, bob.address, method="GET", path="x"):
            pass


async def test_a_pooled_connection_is_not_taken_for_another_peer(ann: MeshPeer, bob: MeshPeer):
    ann.client.send(bob.id, bob.address, wake(1))
    assert await ann.client.flush(30)
    ann.client.send(PeerId("e" * 64), bob.address, wake(2))
    assert await ann.client.flush(30)
    assert messages(bob) == [wake(1)]


@pytest.mark.parametrize("mesh", [OTHER_KEY, OTHER_NAME], ids=["other key", "other name"])
async def test_a_server_of_another_mesh_is_refused(ann: MeshPeer, tmp_path: Path, mesh: MeshKey):
    certificates = certificates_in(tmp_path / "foreign", mesh=mesh)
    async with tls_listener(certificates) as (address, greeted):
        ann.client.send(certificates.identity.peer_id, address, wake(1))
        await wait_until(lambda: ann.failed)
        assert ann.failed == [(certificates.identity.peer_id, wake(1), False)]
        assert greeted == []


async def test_in_a_rotation_peers_before_and_after_the_switch_talk_both_ways(tmp_path: Path):
    before = make_certificates([MESH, OTHER_KEY], load_or_make_identity(tmp_path / "before"), now=NOW)
    after = make_certificates([OTHER_KEY, MESH], load_or_make_identity(tmp_path / "after"), now=NOW)
    async with mesh_peer(before) as old, mesh_peer(after) as new:
        old.client.send(new.id, new.address, wake(1))
        new.client.send(old.id, old.address, wake(2))
        assert await old.client.flush(30)
        assert await new.client.flush(30)
        assert (messages(new), messages(old)) == ([wake(1)], [wake(2)])


async def test_a_peer_that_has_removed_a_key_refuses_those_who_still_show_it(ann: MeshPeer, tmp_path: Path):
    identity = load_or_make_identity(tmp_path / "rotated")
    async with mesh_peer(make_certificates([OTHER_KEY], identity, now=NOW)) as rotated:
        rotated.client.send(ann.id, ann.address, wake(1))
        await wait_until(lambda: rotated.failed)
        assert ann.received == []


@asynccontextmanager
async def tls_listener(certificates: MeshCertificates) -> AsyncIterator[tuple[Address, list[bytes]]]:
    """A server that asks for no certificate, so that only the client can refuse; what it is told after the handshake."""
    context = certificates.server_context()
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = ssl.SSLObject
    told: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if line := await reader.readline():
                told.append(line)
        finally:
            writer.close()

    with bind_stream("127.0.0.1", 0) as sock:
        address = Address(*sock.getsockname())
        async with await asyncio.start_server(greet, sock=sock, ssl=context):
            yield address, told


@pytest.mark.parametrize("years", [-30, 30])
async def test_a_server_whose_clock_is_decades_off_is_believed(ann: MeshPeer, tmp_path: Path, years: int):
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=365 * years)
    async with mesh_peer(certificates_in(tmp_path / "off", now=now)) as off:
        ann.client.send(off.id, off.address, wake(1))
        assert await ann.client.flush(30)
        assert messages(off) == [wake(1)]


async def test_the_peer_is_checked_although_names_are_not(ann: MeshPeer, bob: MeshPeer):
    """The name is how a client says whom it wants; a name of no peer wants nobody, and gets nobody."""
    context = ann.certificates.client_context()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        for name in (None, "localhost", name_of(PeerId("e" * 64))):
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"https://{bob.address}/mesh/v1/blobs/{'0' * 64}", server_hostname=name)


# ---- blobs ------------------------------------------------------------------------------------------------------------


async def test_a_blob_that_is_not_there_is_a_failed_transfer(ann: MeshPeer, bob: MeshPeer):
    with pytest.raises(TransferFailed, match="answered 404"):
        await ann.client.copy_blob(bob.id, bob.address, Digest("0" * 64), start=0, size=4, sink=_into(bytearray()))


async def test_a_blob_of_another_size_is_refused_before_its_bytes(ann: MeshPeer, bob: MeshPeer):
    digest = next(iter(HeldBlobs(b"held" * 1_000).contents))
    got = bytearray()
    with pytest.raises(TransferFailed, match="holds 4000 bytes instead of 5000"):
        await ann.client.copy_blob(bob.id, bob.address, digest, start=0, size=5_000, sink=_into(got))
    await ann.client.copy_blob(bob.id, bob.address, digest, start=1_000, size=4_000, sink=_into(got))
    assert got == b"held" * 750


async def test_what_the_sink_raises_passes_through(ann: MeshPeer, bob: MeshPeer):
    digest = next(iter(HeldBlobs(b"held" * 1_000).contents))

    async def full(_: bytes) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        await ann.client.copy_blob(bob.id, bob.address, digest, start=0, size=4_000, sink=full)


async def test_a_holder_that_stalls_is_cut_off(ann: MeshPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meshclient, "FETCH_STALL_S", 0.2)

    class Stalling(HeldBlobs):
        async def read(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.Event().wait()

    blobs = Stalling(b"first and more")
    async with mesh_peer(certificates_in(tmp_path / "stalling"), blobs=blobs) as holder:
        got = bytearray()
        digest = next(iter(blobs.contents))
        with pytest.raises(TransferFailed, match="no answer in time"):
            await ann.client.copy_blob(holder.id, holder.address, digest, start=0, size=14, sink=_into(got))
        assert got == b"first"


def _into(buffer: bytearray):
    async def sink(piece: bytes) -> None:
        buffer.extend(piece)

    return sink


# ---- forwarded requests -----------------------------------------------------------------------------------------------


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _whole(reply: meshclient.Forwarded) -> bytes:
    body = b""
    while piece := await reply.read():
        body += piece
    return body


async def test_a_request_and_its_answer_stream_through(ann: MeshPeer, bob: MeshPeer):
    headers = [("X-Submitter", "ann"), ("Connection", "x-secret"), ("X-Secret", "s"), ("Content-Type", "text/plain")]
    async with ann.client.request_api(
        bob.id, bob.address, method="POST", path="api/v1/jobs%20x?a=%2F", headers=headers, body=_pieces(b"one ", b"two")
    ) as reply:
        assert reply.status == 207
        told = dict(reply.headers)
        assert await _whole(reply) == b"one two"
    assert told["X-Kept"] == "yes"
    assert told["X-Query"] == "/mesh/v1/api/api/v1/jobs%20x?a=%2F"
    assert "transfer-encoding" not in {name.lower() for name in told}
    seen = told["X-Seen"].split(",")
    assert "x-submitter" in seen
    assert "content-type" in seen
    assert "x-secret" not in seen
    assert "user-agent" not in seen


async def test_an_answer_that_breaks_off_says_so(ann: MeshPeer, bob: MeshPeer):
    async with ann.client.request_api(bob.id, bob.address, method="POST", path="x", body=_pieces(b"break")) as reply:
        with pytest.raises(Unavailable) as caught:
            await _whole(reply)
    assert caught.value.code == "peer_lost"


async def test_a_peer_that_is_gone_is_unreachable(ann: MeshPeer):
    with bind_stream("127.0.0.1", 0) as sock:
        nowhere = Address(*sock.getsockname())
    with pytest.raises(Unavailable) as caught:
        async with ann.client.request_api(PeerId("d" * 64), nowhere, method="GET", path="x"):
            pass
    assert caught.value.code == "peer_unreachable"


async def test_forwards_are_bounded_and_their_places_come_back(ann: MeshPeer, bob: MeshPeer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meshclient, "FORWARDS_AT_ONCE_MAX", 1)
    async with ann.client.request_api(bob.id, bob.address, method="GET", path="x"):
        with pytest.raises(Unavailable) as caught:
            async with ann.client.request_api(bob.id, bob.address, method="GET", path="x"):
                pass
    assert caught.value.code == "too_many_forwards"
    async with ann.client.request_api(bob.id, bob.address, method="GET", path="x") as reply:
        assert await _whole(reply) == b""


async def test_an_answer_left_unread_harms_nobody(ann: MeshPeer, bob: MeshPeer):
    async with ann.client.request_api(bob.id, bob.address, method="POST", path="x", body=_pieces(bytes(2**20))):
        pass
    ann.client.send(bob.id, bob.address, wake(1))
    assert await ann.client.flush(30)
    assert messages(bob) == [wake(1)]


def test_hop_by_hop_headers_end_here():
    headers = [
        ("Host", "a"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("TE", "trailers"),
        ("Accept", "*/*"),
        ("Accept", "b"),
    ]
    assert end_to_end(headers) == (("Accept", "*/*"), ("Accept", "b"))


def test_only_the_hosts_own_answer_counts_as_refused():
    assert meshclient.is_refused(ConnectionRefusedError(111, "refused"))
    for error in (TimeoutError(), ConnectionResetError(104, "reset"), socket.gaierror(-2, "unknown"), aiohttp.ClientError()):
        assert not meshclient.is_refused(error)


# ---- connections that break -------------------------------------------------------------------------------------------


async def _fetch(client: MeshClient, holder: PeerId, address: Address, digest: Digest, size: int) -> None:
    with pytest.raises(TransferFailed):
        await client.copy_blob(holder, address, digest, start=0, size=size, sink=_into(bytearray()))


async def test_a_refused_fetch_or_forward_is_told_as_a_broken_connection(ann: MeshPeer):
    with bind_stream("127.0.0.1", 0) as sock:
        nowhere = Address(*sock.getsockname())
    gone, away = PeerId("d" * 64), PeerId("e" * 64)
    await _fetch(ann.client, gone, nowhere, Digest("0" * 64), 4)
    with pytest.raises(Unavailable):
        async with ann.client.request_api(away, nowhere, method="GET", path="x"):
            pass
    assert ann.broken == [gone, away]


async def test_a_blob_or_an_answer_that_breaks_off_is_told_too(ann: MeshPeer, bob: MeshPeer, tmp_path: Path):
    blobs = HeldBlobs(bytes(8 * BLOB_CHUNK_BYTES), cut_at=[BLOB_CHUNK_BYTES])
    async with mesh_peer(certificates_in(tmp_path / "failing"), blobs=blobs) as holder:
        await _fetch(ann.client, holder.id, holder.address, next(iter(blobs.contents)), 8 * BLOB_CHUNK_BYTES)
    async with ann.client.request_api(bob.id, bob.address, method="POST", path="x", body=_pieces(b"break")) as reply:
        with pytest.raises(Unavailable):
            await _whole(reply)
    assert ann.broken == [holder.id, bob.id]


async def test_silence_a_refusal_in_words_and_a_wrong_peer_are_no_broken_connection(
    ann: MeshPeer, bob: MeshPeer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(meshclient, "CONNECT_S", 0.2)
    await _fetch(ann.client, bob.id, bob.address, Digest("0" * 64), 4)  # not held
    await _fetch(ann.client, PeerId("e" * 64), bob.address, Digest("0" * 64), 4)
    with bind_stream("127.0.0.1", 0) as silent:
        silent.listen()
        await _fetch(ann.client, PeerId("d" * 64), Address(*silent.getsockname()), Digest("0" * 64), 4)
    assert ann.broken == []


# ---- seeds ------------------------------------------------------------------------------------------------------------


async def test_a_seed_is_any_member_one_port_above_its_gossip_address(ann: MeshPeer, bob: MeshPeer):
    seed = Address(bob.address.host, bob.address.port - 1)
    ann.client.send_to_seed(seed, StreamAck(7))
    ann.client.send_to_seed(seed, StreamAck(8))  # one at a time
    await wait_until(lambda: bob.received)
    assert bob.received == [(ann.id, StreamAck(7))]


async def test_nobody_at_a_seed_or_somebody_of_another_mesh_is_no_trouble(tmp_path: Path, ann: MeshPeer):
    ann.client.send_to_seed(Address("127.0.0.1", 65_535), StreamAck(1))
    async with mesh_peer(certificates_in(tmp_path / "other", mesh=OTHER_KEY)) as other:
        ann.client.send_to_seed(Address(other.address.host, other.address.port - 1), StreamAck(2))
        await wait_until(lambda: not ann.client._seeds)
        assert (other.received, ann.failed) == ([], [])
