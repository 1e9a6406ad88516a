from __future__ import annotations

import asyncio
import datetime as dt
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import blake3
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from peer.net import meshclient
from peer.net.batches import join
from peer.net.certificates import MeshCertificates, name_of
from peer.net.meshserver import MeshServer
from peer.net.outbox import TAKEN_HEADER
from peer.net.sockets import bind_stream
from protocol.errors import Unavailable
from protocol.ids import PeerId
from protocol.limits import BLOB_CHUNK_BYTES, POST_BYTES_MAX
from protocol.wire.codec import encode
from protocol.wire.seal import MeshKey
from tests.fuzzing import examples
from tests.peer.net.peers import OTHER_KEY, OTHER_NAME, HeldBlobs, MeshPeer, certificates_in, mesh_peer, wake
from tests.waiting import wait_until

CONTENT = bytes(range(256)) * 4_000  # about 1 MB, several pieces
DIGEST = blake3.blake3(CONTENT).hexdigest()


@pytest.fixture
def caller(tmp_path: Path) -> MeshCertificates:
    return certificates_in(tmp_path / "caller")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[MeshPeer]:
    async def api(request: web.Request, sender: PeerId) -> web.StreamResponse:
        text = f"{request.method} {request.rel_url.raw_path_qs} {sender} {await request.text()}"
        return web.Response(text=text, status=201, headers={"X-Kept": "yes"})

    async with mesh_peer(certificates_in(tmp_path / "host"), blobs=HeldBlobs(CONTENT), api=api) as peer:
        yield peer


@pytest.fixture
async def session(caller: MeshCertificates) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=caller.client_context())
    async with aiohttp.ClientSession(connector=connector) as made:
        yield made


def url(host: MeshPeer, path: str) -> str:
    return f"https://{host.address}{path}"


async def post(session: aiohttp.ClientSession, host: MeshPeer, body: bytes) -> tuple[int, str | None]:
    async with session.post(url(host, "/mesh/v1/messages"), data=body, server_hostname=name_of(host.id)) as response:
        return response.status, response.headers.get(TAKEN_HEADER)


async def get(session: aiohttp.ClientSession, host: MeshPeer, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    where = url(host, f"/mesh/v1/blobs/{DIGEST}")
    async with session.get(where, headers=headers, server_hostname=name_of(host.id)) as response:
        return response.status, await response.read(), dict(response.headers)


async def test_messages_arrive_in_order_under_the_proven_sender(
    host: MeshPeer, session: aiohttp.ClientSession, caller: MeshCertificates
):
    messages = [wake(number) for number in range(20)]
    assert await post(session, host, join(encode(each) for each in messages)) == (200, None)
    assert host.received == [(caller.identity.peer_id, each) for each in messages]


async def test_a_full_inbox_is_told_with_how_much_it_took(host: MeshPeer, session: aiohttp.ClientSession):
    host.room = 3
    assert await post(session, host, join(encode(wake(number)) for number in range(5))) == (503, "3")
    assert len(host.received) == 3


async def test_one_bad_message_is_counted_and_does_not_spoil_the_others(host: MeshPeer, session: aiohttp.ClientSession):
    body = join([encode(wake(1)), b"garbage", b"", encode(wake(2))])
    assert await post(session, host, body) == (200, None)
    assert [message for _, message in host.received] == [wake(1), wake(2)]
    assert host.dropped == {"malformed": 2}


async def test_broken_framing_is_refused_as_a_whole(host: MeshPeer, session: aiohttp.ClientSession):
    body = join([encode(wake(1))]) + b"\0\0"
    assert (await post(session, host, body))[0] == 400
    assert host.received == []
    assert host.dropped == {"malformed": 1}


async def test_a_body_above_the_limit_is_refused_by_its_header(host: MeshPeer, session: aiohttp.ClientSession):
    headers = {"Content-Length": str(POST_BYTES_MAX + 1)}
    where = url(host, "/mesh/v1/messages")
    request = session.post(where, headers=headers, server_hostname=name_of(host.id), data=_never(), expect100=True)
    async with request as response:
        assert response.status == 413


async def _never() -> AsyncIterator[bytes]:
    raise AssertionError("the body was asked for")
    yield b""


async def test_a_blob_comes_whole_with_its_digest_as_tag(host: MeshPeer, session: aiohttp.ClientSession):
    status, body, headers = await get(session, host)
    assert (status, body) == (200, CONTENT)
    assert headers["Etag"] == f'"{DIGEST}"'
    assert headers["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-", 0, len(CONTENT)),
        (f"bytes={BLOB_CHUNK_BYTES + 7}-", BLOB_CHUNK_BYTES + 7, len(CONTENT)),
        ("bytes=10-19", 10, 20),
        ("bytes=-5", len(CONTENT) - 5, len(CONTENT)),
        ("bytes=5-99999999999", 5, len(CONTENT)),
    ],
)
async def test_a_range_comes_as_asked(host: MeshPeer, session: aiohttp.ClientSession, asked: str, start: int, end: int):
    status, body, headers = await get(session, host, Range=asked)
    assert (status, body) == (206, CONTENT[start:end])
    assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


@examples(60)
@given(
    st.text("bytes=0123456789-, ", max_size=16)
    | st.sampled_from(
        ["bytes=-0", "bytes=" + "9" * 4_500 + "-", "bytes=0-" + "9" * 4_500, "bytes=\u0660-\u0661", "bytes=0-0,1-1"]
    )
)
async def test_any_range_gives_bytes_of_the_blob_or_is_refused(host: MeshPeer, session: aiohttp.ClientSession, asked: str):
    status, body, headers = await get(session, host, Range=asked)
    if status == 416:
        assert headers["Content-Range"] == f"bytes */{len(CONTENT)}"
        return
    start = int(headers["Content-Range"].split()[1].partition("-")[0])
    assert (status, body) == (206, CONTENT[start : start + len(body)])
    assert headers["Content-Range"] == f"bytes {start}-{start + len(body) - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", "bytes=9-3", "lines=1-2", "bytes=a-b"])
async def test_a_range_that_is_none_is_refused(host: MeshPeer, session: aiohttp.ClientSession, asked: str):
    status, _, headers = await get(session, host, Range=asked)
    assert status == 416
    assert headers["Content-Range"] == f"bytes */{len(CONTENT)}"


async def test_head_tells_the_size_and_sends_nothing(host: MeshPeer, session: aiohttp.ClientSession):
    async with session.head(url(host, f"/mesh/v1/blobs/{DIGEST}"), server_hostname=name_of(host.id)) as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len(CONTENT))
        assert await response.read() == b""


@pytest.mark.parametrize("digest", ["0" * 64, "..%2f..%2fetc%2fpasswd", "A" * 64])
async def test_a_blob_that_is_not_held_or_no_digest_is_not_found(host: MeshPeer, session: aiohttp.ClientSession, digest: str):
    async with session.get(url(host, f"/mesh/v1/blobs/{digest}"), server_hostname=name_of(host.id)) as response:
        assert response.status == 404


async def test_a_disk_that_fails_in_mid_blob_is_seen_as_a_break_not_as_an_end(tmp_path: Path, session: aiohttp.ClientSession):
    blobs = HeldBlobs(CONTENT, cut_at=[BLOB_CHUNK_BYTES])
    async with mesh_peer(certificates_in(tmp_path / "failing"), blobs=blobs) as host:
        with pytest.raises(aiohttp.ClientError):
            await get(session, host)
        assert host.dropped == {"blob_broken_off": 1}
        assert (await get(session, host))[1] == CONTENT


async def test_forwarded_requests_reach_the_handler_with_the_proven_caller(
    host: MeshPeer, session: aiohttp.ClientSession, caller: MeshCertificates
):
    where = url(host, "/mesh/v1/api/api/v1/jobs?limit=2")
    async with session.put(where, data="body", server_hostname=name_of(host.id)) as response:
        assert response.status == 201
        assert await response.text() == f"PUT /mesh/v1/api/api/v1/jobs?limit=2 {caller.identity.peer_id} body"


async def test_without_a_handler_forwarded_requests_are_unavailable(tmp_path: Path, session: aiohttp.ClientSession):
    async with (
        mesh_peer(certificates_in(tmp_path / "bare")) as host,
        session.get(url(host, "/mesh/v1/api/x"), server_hostname=name_of(host.id)) as response,
    ):
        assert response.status == 503


async def test_a_caller_without_a_certificate_is_refused(host: MeshPeer):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    await _refused(host, context)


@pytest.mark.parametrize("mesh", [OTHER_KEY, OTHER_NAME], ids=["other key", "other name"])
async def test_a_caller_of_another_mesh_is_refused(host: MeshPeer, tmp_path: Path, mesh: MeshKey):
    certificates = certificates_in(tmp_path / "foreign", mesh=mesh)
    context = certificates.client_context()
    context.verify_mode = ssl.CERT_NONE  # it would refuse us first
    context.sslobject_class = ssl.SSLObject
    await _refused(host, context)


async def test_a_caller_below_tls_1_3_is_refused(host: MeshPeer, caller: MeshCertificates):
    context = caller.client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    await _refused(host, context)


async def _refused(host: MeshPeer, context: ssl.SSLContext) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await post(session, host, join([encode(wake(1))]))
    assert host.received == []


async def test_plain_http_gets_no_answer(host: MeshPeer):
    async with aiohttp.ClientSession() as session:
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await session.get(f"http://{host.address}/mesh/v1/blobs/{DIGEST}")


@pytest.mark.parametrize("years", [-30, 30])
async def test_a_caller_whose_clock_is_decades_off_is_welcome(host: MeshPeer, tmp_path: Path, years: int):
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=365 * years)
    certificates = certificates_in(tmp_path / "caller", now=now)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=certificates.client_context())) as session:
        assert await post(session, host, join([encode(wake(1))])) == (200, None)


async def test_a_taken_port_is_refused_or_replaced(caller: MeshCertificates, host: MeshPeer):
    server = MeshServer(caller, HeldBlobs(), host.take, on_drop=host.drop)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="is taken"):
        await server.listen("127.0.0.1", host.address.port)
    address = await server.listen("127.0.0.1", host.address.port, or_any=True)
    assert address.port not in (0, host.address.port)
    await server.close()


async def test_after_close_nobody_listens_and_connections_are_cut(tmp_path: Path, session: aiohttp.ClientSession):
    async with mesh_peer(certificates_in(tmp_path / "short")) as host:
        assert (await post(session, host, b""))[0] == 200
        await host.server.close()
        with pytest.raises(aiohttp.ClientError):
            await post(session, host, b"")
        with bind_stream("127.0.0.1", host.address.port) as sock:
            assert sock.getsockname()[1] == host.address.port


async def test_a_connection_that_never_speaks_tls_does_not_hold_up_the_others(host: MeshPeer, session: aiohttp.ClientSession):
    with socket.create_connection((host.address.host, host.address.port)):
        assert (await post(session, host, b""))[0] == 200


async def test_a_reader_that_goes_away_in_mid_blob_leaves_no_trace(tmp_path: Path, caller: MeshCertificates):
    blobs = HeldBlobs(bytes(64 * BLOB_CHUNK_BYTES))
    async with mesh_peer(certificates_in(tmp_path / "big"), blobs=blobs) as host:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=caller.client_context())) as session:
            where = url(host, f"/mesh/v1/blobs/{next(iter(blobs.contents))}")
            response = await session.get(where, server_hostname=name_of(host.id))
            await response.content.readany()
            response.close()
        await wait_until(lambda: not blobs.open_reads)
        assert host.dropped == {}


async def test_a_caller_that_goes_away_in_mid_body_is_nothing_to_complain_of(
    host: MeshPeer, caller: MeshCertificates, caplog: pytest.LogCaptureFixture
):
    where = (host.address.host, host.address.port)
    _, writer = await asyncio.open_connection(*where, ssl=caller.client_context(), server_hostname=name_of(host.id))
    writer.write(b"POST /mesh/v1/messages HTTP/1.1\r\nHost: peer\r\nContent-Length: 1000\r\n\r\nbegun")
    await writer.drain()
    served = host.server._runner.server
    assert served is not None
    await wait_until(lambda: served.requests_count == 1)
    [connection] = served.connections
    handling = connection._task_handler
    assert handling is not None
    writer.transport.abort()
    await wait_until(handling.done)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


# ---- connections that end ---------------------------------------------------------------------------------------------


async def connected(host: MeshPeer, caller: MeshCertificates) -> asyncio.StreamWriter:
    """A caller whose connection is open and idle: one request has been answered."""
    where = (host.address.host, host.address.port)
    reader, writer = await asyncio.open_connection(*where, ssl=caller.client_context(), server_hostname=name_of(host.id))
    writer.write(b"POST /mesh/v1/messages HTTP/1.1\r\nHost: peer\r\nContent-Length: 0\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    return writer


def connections(host: MeshPeer) -> int:
    served = host.server._runner.server
    return 0 if served is None else len(served.connections)


async def test_a_connection_that_ends_without_a_goodbye_is_told_with_whose_it_was(host: MeshPeer, caller: MeshCertificates):
    writer = await connected(host, caller)
    writer.transport.abort()  # what is seen of a process that was killed
    await wait_until(lambda: host.broken == [caller.identity.peer_id])


async def test_a_connection_that_is_reset_is_told_too(host: MeshPeer, caller: MeshCertificates):
    writer = await connected(host, caller)
    bare = writer.get_extra_info("socket")
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await wait_until(lambda: host.broken == [caller.identity.peer_id])


async def test_a_connection_that_is_ended_with_a_goodbye_is_nobody_s_trouble(host: MeshPeer, caller: MeshCertificates):
    writer = await connected(host, caller)
    writer.close()
    await wait_until(lambda: connections(host) == 0)
    await writer.wait_closed()
    assert host.broken == []


async def test_a_connection_that_this_end_has_closed_twice_is_forgotten_like_any_other(
    host: MeshPeer, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
):
    assert (await post(session, host, b""))[0] == 200
    served = host.server._runner.server
    assert served is not None
    [connection] = served.connections
    transport = connection.transport
    assert transport is not None
    transport.close()
    transport.close()
    await wait_until(lambda: served.connections == [])
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_idle_connections_of_a_client_end_with_a_goodbye(host: MeshPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meshclient, "MESH_CLIENT_KEEPALIVE_S", 0.2)
    async with mesh_peer(certificates_in(tmp_path / "idle")) as idle:
        idle.client.send(host.id, host.address, wake(1))
        assert await idle.client.flush(30)
        assert connections(host) == 1
        await wait_until(lambda: connections(host) == 0)
        assert host.broken == []


async def test_what_this_side_cuts_off_and_its_own_end_are_not_told(tmp_path: Path, caller: MeshCertificates):
    certificates = certificates_in(tmp_path / "host")
    async with mesh_peer(certificates) as host:
        writer = await connected(host, caller)
        await host.server.use(certificates_in(tmp_path / "host", mesh=OTHER_KEY))  # the caller's certificate counts no more
        await wait_until(lambda: connections(host) == 0)
        writer.close()
        await host.server.use(certificates)
        last = await connected(host, caller)
        await host.server.close()
        last.close()
        assert host.broken == []


async def test_a_stranger_s_connection_that_breaks_says_nothing(host: MeshPeer):
    with socket.create_connection((host.address.host, host.address.port)) as stranger:
        stranger.sendall(b"\x16\x03\x01")
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await wait_until(lambda: connections(host) == 0)
    assert host.broken == []
