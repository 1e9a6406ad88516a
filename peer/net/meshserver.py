"""The listening end of the mesh port: messages in, blobs out, forwarded requests passed to the web layer.

Decides who may speak (holders of a certificate of this mesh, and nobody else) and how much at once. Refuses to know what
messages mean and what the user API is.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable

from aiohttp import hdrs, web

from peer.net.batches import split
from peer.net.certificates import MeshCertificates, PeerTLS
from peer.net.outbox import TAKEN_HEADER
from peer.net.sockets import bind_stream
from peer.ports import Blobs, Corrupt, StoreBroken
from protocol.errors import Malformed, NotFound
from protocol.ids import Address, Digest, PeerId
from protocol.limits import (
    HANDSHAKE_S,
    MESH_BACKLOG,
    MESH_SERVER_KEEPALIVE_S,
    MESH_SHUTDOWN_S,
    POST_BASE_S,
    POST_BYTES_MAX,
    POST_BYTES_PER_S_MIN,
)
from protocol.wire.codec import decode
from protocol.wire.gossip import GossipMessage
from protocol.wire.work import WorkMessage

StreamMessage = WorkMessage | GossipMessage
OnMessage = Callable[[PeerId, StreamMessage], bool]
OnDrop = Callable[[str, int], None]
ApiHandler = Callable[[web.Request, PeerId], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MeshServer:
    """Invariants: every request comes over TLS 1.3 from a proven peer; a message is handed on at most once, in order."""

    def __init__(
        self,
        certificates: MeshCertificates,
        blobs: Blobs,
        on_message: OnMessage,
        *,
        on_drop: OnDrop,
        on_broken: Callable[[PeerId], None] = lambda peer: None,
        api: ApiHandler | None = None,
    ) -> None:
        """`on_message(sender, message)` returns False when the inbox is full: the sender is told and tries again.

        `on_drop(reason, n)` counts messages that say nothing (`malformed`). `on_broken(peer)` hears of a connection that was
        lost without a goodbye: perhaps the peer's process is gone. `api` serves `/mesh/v1/api/...` on behalf of a
        peer, whose certificate has proven it: it may trust the caller's identity headers.
        """
        self._certificates = certificates
        self._blobs = blobs
        self._on_message = on_message
        self._on_drop = on_drop
        self._on_broken = on_broken
        self._api = api
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            keepalive_timeout=MESH_SERVER_KEEPALIVE_S,
            shutdown_timeout=MESH_SHUTDOWN_S,
        )
        self._sock: socket.socket | None = None
        self._listener: asyncio.Server | None = None

    async def listen(self, host: str, port: int, *, or_any: bool = False) -> Address:
        """Bind and serve; the real address. Port 0, or a taken one with `or_any`, becomes a free one.

        Raises `Unavailable` (`port_taken`, `address_unusable`)."""
        self._sock = bind_stream(host, port, or_any=or_any)
        await self._runner.setup()
        self._watch(self._runner.server)
        self._listener = await self._accept(self._sock)
        return Address(*self._sock.getsockname()[:2])

    def _watch(self, served: web.Server | None) -> None:
        """Hear of each connection's end from where aiohttp counts its connections: a handler sees its own request's end alone."""
        assert served is not None
        forget = served.connection_lost

        def lost(handler: web.RequestHandler, exc: BaseException | None = None) -> None:
            tls = _tls_of(handler)
            forget(handler, exc)
            if isinstance(tls, PeerTLS) and tls.peer_id is not None and not tls.parted and self._listener is not None:
                self._on_broken(tls.peer_id)

        served.connection_lost = lost  # type: ignore[method-assign]

    async def _accept(self, sock: socket.socket) -> asyncio.Server:
        """Serve what arrives at the socket by the certificates of now; the socket itself stays ours."""
        assert self._runner.server is not None
        return await asyncio.get_running_loop().create_server(
            self._runner.server,
            sock=sock.dup(),
            ssl=self._certificates.server_context(),
            ssl_handshake_timeout=HANDSHAKE_S,
            backlog=MESH_BACKLOG,
        )

    async def use(self, certificates: MeshCertificates) -> None:
        """Serve by another key ring from now on; connections of certificates that count no more are cut off.

        The queue of the listening socket goes over, so that nobody is refused in between."""
        self._certificates = certificates
        if self._sock is None or self._listener is None:
            return
        before, self._listener = self._listener, await self._accept(self._sock)
        before.close()
        for connection in list(self._runner.server.connections) if self._runner.server is not None else ():
            tls = connection.transport.get_extra_info("ssl_object") if connection.transport is not None else None
            if connection.transport is not None and isinstance(tls, PeerTLS) and tls.issuer not in certificates.issuers:
                _cut(connection.transport)

    async def close(self) -> None:
        """Stop listening, let requests end for `MESH_SHUTDOWN_S`, then cut them off."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        await self._runner.cleanup()
        if listener is not None:
            await listener.wait_closed()
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=POST_BYTES_MAX, middlewares=[_departed])
        application.router.add_post("/mesh/v1/messages", self._messages)
        application.router.add_get("/mesh/v1/blobs/{digest:[0-9a-f]{64}}", self._blob)  # and HEAD
        application.router.add_route(hdrs.METH_ANY, "/mesh/v1/api/{path:.*}", self._forwarded)
        return application

    def _sender(self, request: web.Request) -> PeerId:
        """Who asks. A handshake that began before a key was removed proves nothing after it."""
        tls = request.get_extra_info("ssl_object")
        if not isinstance(tls, PeerTLS) or tls.peer_id is None or tls.issuer not in self._certificates.issuers:
            raise web.HTTPForbidden(text="the mesh port is for peers with a certificate of this mesh")
        return tls.peer_id

    async def _messages(self, request: web.Request) -> web.Response:
        sender = self._sender(request)
        try:
            payloads = split(await _body(request))
        except Malformed as error:
            self._on_drop("malformed", 1)
            raise web.HTTPBadRequest(text=str(error)) from error
        for taken, payload in enumerate(payloads):
            if not self._take(sender, payload):
                return web.Response(status=503, headers={TAKEN_HEADER: str(taken)}, text="the inbox is full")
        return web.Response(text="")

    def _take(self, sender: PeerId, payload: bytes) -> bool:
        try:
            message = decode(payload)
        except Malformed:  # one bad message does not spoil the good ones around it
            self._on_drop("malformed", 1)
            return True
        return self._on_message(sender, message)

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        self._sender(request)
        digest = Digest(request.match_info["digest"])
        size = await self._blobs.size(digest)
        if size is None:
            raise web.HTTPNotFound(text=f"blob {digest} is not held here")
        start, end = _range(request, size)
        response = _blob_head(request, digest, start=start, end=end, size=size)
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await self._stream(request, response, digest, start=start, end=end)
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse, digest: Digest, *, start: int, end: int) -> None:
        pieces = self._blobs.read(digest, start=start, end=end)
        try:
            async for piece in pieces:  # sendfile cannot encrypt
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            pass  # the other side has gone
        except (NotFound, Corrupt, StoreBroken, OSError):
            # The head has been sent: the only honest answer left is to break off, so that the other side sees it.
            self._on_drop("blob_broken_off", 1)
            if request.transport is not None:
                _cut(request.transport)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _forwarded(self, request: web.Request) -> web.StreamResponse:
        if self._api is None:
            raise web.HTTPServiceUnavailable(text="this peer serves no user API yet")
        return await self._api(request, self._sender(request))


def _tls_of(handler: web.RequestHandler) -> object:
    """The TLS side of a connection that has ended; None where this end has closed it twice, and asyncio has let go of it."""
    try:
        return None if handler.transport is None else handler.transport.get_extra_info("ssl_object")
    except AttributeError:
        return None


@web.middleware
async def _departed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A caller that goes away in the midst is nothing to tell of; nobody reads this answer."""
    try:
        return await handler(request)
    except ConnectionError:
        if request.transport is not None and not request.transport.is_closing():
            raise
        return web.Response(status=400)


async def _body(request: web.Request) -> bytes:
    """The whole body, within the time that its length allows; aiohttp itself would wait for ever."""
    length = request.content_length
    if length is None or length > POST_BYTES_MAX:
        raise web.HTTPRequestEntityTooLarge(max_size=POST_BYTES_MAX, actual_size=length or POST_BYTES_MAX + 1)
    try:
        async with asyncio.timeout(POST_BASE_S + length / POST_BYTES_PER_S_MIN):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body did not come in time") from error


def _range(request: web.Request, size: int) -> tuple[int, int]:
    """[start, end) of the one range that was asked for (RFC 9110, section 14.1.2), else everything."""
    refusal = web.HTTPRequestRangeNotSatisfiable(headers={hdrs.CONTENT_RANGE: f"bytes */{size}"})
    try:
        asked = request.http_range
    except ValueError:
        raise refusal from None
    if asked.start is None and asked.stop is None:
        return 0, size
    start, end, _ = asked.indices(size)
    if start >= end:
        raise refusal
    return start, end


def _blob_head(request: web.Request, digest: Digest, *, start: int, end: int, size: int) -> web.StreamResponse:
    partial = hdrs.RANGE in request.headers
    response = web.StreamResponse(status=206 if partial else 200)
    response.content_type = "application/octet-stream"
    response.content_length = end - start
    response.headers[hdrs.ETAG] = f'"{digest}"'
    response.headers[hdrs.ACCEPT_RANGES] = "bytes"
    if partial:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{size}"
    return response


def _cut(transport: asyncio.Transport) -> None:
    """End a connection at once, so that the other side sees that something is wrong. It is not the other side's doing."""
    tls = transport.get_extra_info("ssl_object")
    if isinstance(tls, PeerTLS):
        tls.parted = True
    transport.abort()
