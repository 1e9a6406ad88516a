"""A member of the mesh that answers anything at all: whoever calls it goes on."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from peer.net import outbox
from peer.net.meshclient import TransferFailed
from peer.net.outbox import TAKEN_HEADER
from peer.net.sockets import bind_stream
from protocol.errors import Unavailable
from protocol.ids import Address, Digest, PeerId
from tests.fuzzing import examples
from tests.peer.net.peers import MeshPeer, certificates_in, mesh_peer, wake

SIZE: Final = 1_000
DIGEST: Final = Digest("ab" * 32)


@dataclass(frozen=True, slots=True)
class Lie:
    """One answer to everything."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(slots=True)
class Liar:
    """Where it listens, and what it says."""

    id: PeerId
    address: Address
    says: Lie = Lie(200)

    async def answer(self, _request: web.Request) -> web.StreamResponse:
        response = web.Response(status=self.says.status, body=self.says.body)
        for name, value in self.says.headers:
            response.headers[name] = value
        return response


@pytest.fixture
async def liar(tmp_path: Path) -> AsyncIterator[Liar]:
    certificates = certificates_in(tmp_path / "liar")
    sock = bind_stream("127.0.0.1", 0)
    made = Liar(certificates.identity.peer_id, Address(*sock.getsockname()[:2]))
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    context: ssl.SSLContext = certificates.server_context()
    await web.SockSite(runner, sock, ssl_context=context).start()
    yield made
    await runner.cleanup()


@pytest.fixture
async def ann(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MeshPeer]:
    monkeypatch.setattr(outbox, "OUTBOX_REFUSED_WAIT_S", 0.0)
    monkeypatch.setattr(outbox, "OUTBOX_REFUSALS_MAX", 2)
    async with mesh_peer(certificates_in(tmp_path / "ann")) as peer:
        yield peer


numbers = st.sampled_from(["0", "1", "3", "9" * 20, "9" * 4_500, "-1", "x", "\u0663", "\u00b2", "", "1.5"])
names = st.sampled_from(
    [TAKEN_HEADER, "Content-Range", "ETag", "Location", "Content-Encoding", "Connection", "X-A", "Set-Cookie"]
)
values = numbers | st.sampled_from(["bytes 5-9/1000", "bytes 0-999/1000", "gzip", "close", "https://127.0.0.1:1/", "a" * 3_000])
lies = st.builds(
    Lie,
    st.sampled_from([200, 201, 204, 206, 301, 404, 416, 500, 503, 503]),
    st.lists(st.tuples(names, values), max_size=3).map(tuple),
    st.sampled_from([b"", b"x" * 5, b"x" * 995, b"x" * SIZE, b"x" * (SIZE + 1)]),
)


@examples(60)
@given(lies)
@example(Lie(503, ((TAKEN_HEADER, "9" * 4_500),)))
async def test_whatever_it_answers_a_message_is_delivered_or_comes_back(ann: MeshPeer, liar: Liar, lie: Lie):
    liar.says = lie
    ann.failed.clear()
    ann.client.send(liar.id, liar.address, wake(1))
    assert await ann.client.flush(30)
    assert [message for _, message, _ in ann.failed] in ([], [wake(1)])
    assert ann.failed or lie.status in (200, 503)
    liar.says = Lie(200)
    ann.failed.clear()
    ann.client.send(liar.id, liar.address, wake(2))
    assert await ann.client.flush(30)
    assert ann.failed == []


async def copied(ann: MeshPeer, liar: Liar, start: int) -> bytes | None:
    """What came of a blob's bytes from `start` on; None when the transfer failed."""
    got = bytearray()

    async def sink(piece: bytes) -> None:
        got.extend(piece)

    try:
        await ann.client.copy_blob(liar.id, liar.address, DIGEST, start=start, size=SIZE, sink=sink)
    except TransferFailed:
        return None
    return bytes(got)


@examples(60)
@given(lies, st.sampled_from([0, 5]))
async def test_whatever_it_answers_a_transfer_brings_bytes_or_fails(ann: MeshPeer, liar: Liar, lie: Lie, start: int):
    liar.says = lie
    got = await copied(ann, liar, start)
    assert got is None or (got == lie.body and lie.status == (206 if start else 200))


@examples(60)
@given(lies)
async def test_whatever_it_answers_a_request_is_passed_back_or_it_is_unreachable(ann: MeshPeer, liar: Liar, lie: Lie):
    liar.says = lie
    read: Callable[[], Awaitable[bytes]]
    try:
        async with ann.client.request_api(liar.id, liar.address, method="GET", path="api/v1/jobs") as reply:
            read = reply.read
            while await read():
                pass
    except Unavailable:
        return
    assert reply.status == lie.status
