"""The calling end of the mesh port: messages, blobs and forwarded requests over one pooled session.

Decides how long a call may take and what counts as refused. Refuses to know what is said. Sending only enqueues: each peer
has its own outboxes (urgent and ordinary), so that one slow peer blocks nobody else.
"""

from __future__ import annotations

import asyncio
import errno
import io
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import aiohttp
from yarl import URL

from peer.net.batches import join
from peer.net.certificates import ANYBODY, MeshCertificates, name_of
from peer.net.outbox import TAKEN_HEADER, Delivered, Outbox, Outcome, PushedBack, Undelivered
from protocol.errors import Malformed, Unavailable
from protocol.ids import Address, Digest, PeerId
from protocol.limits import (
    BLOB_CHUNK_BYTES,
    CONNECT_S,
    FETCH_STALL_S,
    FORWARD_STALL_S,
    FORWARDS_AT_ONCE_MAX,
    MESH_CLIENT_KEEPALIVE_S,
    POST_BASE_S,
    POST_BYTES_PER_S_MIN,
    SEEDS_MAX,
)
from protocol.wire.codec import encode
from protocol.wire.gossip import GossipMessage
from protocol.wire.work import WorkMessage

StreamMessage = WorkMessage | GossipMessage
OnFailed = Callable[[PeerId, StreamMessage, bool], None]
Headers = Sequence[tuple[str, str]]

PROXY_HEADERS = ("proxy-authenticate", "proxy-authorization")
# RFC 9110, section 7.6.1, and the host's name, which is another one for each hop.
HOP_BY_HOP = frozenset(("connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", *PROXY_HEADERS))
FAULTS = (aiohttp.ClientError, OSError)  # a TimeoutError is an OSError


class TransferFailed(Exception):
    """A blob did not come, or not wholly; the text says why."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Another peer's answer, while its body streams in. Hop-by-hop headers are gone."""

    status: int
    headers: tuple[tuple[str, str], ...]
    _content: aiohttp.StreamReader
    _on_fault: Callable[[BaseException], None]

    async def read(self) -> bytes:
        """The next piece of the body as it comes, empty at its end. Raises `Unavailable` (`peer_lost`) when it breaks off."""
        try:
            return await self._content.readany()
        except FAULTS as error:
            self._on_fault(error)
            raise Unavailable("peer_lost", f"The peer that has the answer broke off: {describe(error)}") from error


class MeshClient:
    """Invariants: owns its tasks and its session; nothing is called back after `close`; no outbox outlives its use."""

    def __init__(
        self, certificates: MeshCertificates, *, on_failed: OnFailed, on_broken: Callable[[PeerId], None] = lambda peer: None
    ) -> None:
        """Needs a running loop. `on_failed(peer, message, refused)` may be called from within `send`. `on_broken(peer)` hears of
        fetches and forwarded requests whose connection was refused or broke: perhaps the peer's process is gone."""
        self._on_failed = on_failed
        self._on_broken = on_broken
        self._outboxes: dict[tuple[PeerId, bool], Outbox[StreamMessage]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seeds: dict[Address, asyncio.Task[Outcome]] = {}
        self._forwards = 0
        self._tls = certificates.client_context()
        self._session = aiohttp.ClientSession(
            # no limit on connections: outboxes, fetches and forwards are bounded each
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=MESH_CLIENT_KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=BLOB_CHUNK_BYTES,
        )

    def use(self, certificates: MeshCertificates) -> None:
        """Call by another key ring from now on. What is under way ends as it began; its connections are not used again."""
        self._tls = certificates.client_context()

    async def __aenter__(self) -> MeshClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def send(self, peer: PeerId, address: Address, message: StreamMessage, *, urgent: bool = False) -> None:
        """Enqueue for `peer` at the mesh port `address`; in order per lane, at most once. Never waits, ignored once closed.

        What cannot be delivered, or does not fit, comes back through `on_failed`. Urgent messages have a lane and a
        connection of their own.
        """
        if self._session.closed:
            return
        outbox = self._outboxes.get((peer, urgent))
        if outbox is None:
            outbox = self._open(peer, address, urgent=urgent)
        outbox.address = address
        try:
            taken = outbox.offer(message, encode(message))
        except Malformed:  # too large to be said
            taken = False
        if not taken:
            self._on_failed(peer, message, False)

    def send_to_seed(self, address: Address, message: StreamMessage) -> None:
        """Try to deliver to whoever of this mesh listens one port above the gossip `address`, where mesh ports are by default.

        One try at a time per seed, at most `SEEDS_MAX` in all; how it ends is told to nobody."""
        if self._session.closed or address in self._seeds or len(self._seeds) >= SEEDS_MAX or address.port >= 65_535:
            return
        body = join([encode(message)])
        task = asyncio.create_task(self._post(ANYBODY, Address(address.host, address.port + 1), body), name=f"seed {address}")
        self._seeds[address] = task
        task.add_done_callback(lambda _: self._seeds.pop(address, None))

    def waiting(self) -> int:
        """Messages that are not settled yet, over all peers."""
        return sum(outbox.unsettled for outbox in self._outboxes.values())

    async def flush(self, timeout_s: float) -> bool:
        """Wait until everything said so far is delivered or has failed; False when `timeout_s` was not enough."""
        try:
            async with asyncio.timeout(timeout_s):
                for outbox in list(self._outboxes.values()):
                    await outbox.settled()
        except TimeoutError:
            return False
        return True

    async def copy_blob(
        self, peer: PeerId, address: Address, digest: Digest, *, start: int, size: int, sink: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Hand bytes [start, size) of a blob to `sink`, in order, in pieces of about `BLOB_CHUNK_BYTES`.

        Cut off after `FETCH_STALL_S` without a byte. Raises `TransferFailed` after all that came has been handed over; what
        `sink` raises passes through.
        """
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S, sock_read=FETCH_STALL_S)
        try:
            response = await self._session.get(
                _url(address, f"/mesh/v1/blobs/{digest}"),
                headers={"Range": f"bytes={start}-"} if start else {},
                ssl=self._tls,
                server_hostname=name_of(peer),
                timeout=timeout,
                allow_redirects=False,
            )
        except FAULTS as error:
            self._perhaps_broken(peer, error)
            raise TransferFailed(describe(error)) from error
        async with response:
            _check_blob_head(response, start=start, size=size)
            try:
                await _copy(response.content, sink)
            except TransferFailed as failure:
                self._perhaps_broken(peer, failure.__cause__)
                raise

    @asynccontextmanager
    async def request_api(
        self,
        peer: PeerId,
        address: Address,
        *,
        method: str,
        path: str,
        headers: Headers = (),
        body: AsyncIterable[bytes] | None = None,
        stall_s: float | None = FORWARD_STALL_S,
    ) -> AsyncIterator[Forwarded]:
        """Ask another peer's user API; `path` is the raw path with its query, without a leading slash.

        `stall_s` bounds the silence (None for event streams). Raises `Unavailable`: `peer_unreachable`, `too_many_forwards`.
        """
        if self._forwards >= FORWARDS_AT_ONCE_MAX:
            raise Unavailable("too_many_forwards", "Too many requests are being passed on to other peers.", retry_after_s=1.0)
        self._forwards += 1
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S, sock_read=stall_s)
        request = self._session.request(
            method,
            _url(address, f"/mesh/v1/api/{path}"),
            headers=end_to_end(headers),
            data=body,
            ssl=self._tls,
            server_hostname=name_of(peer),
            timeout=timeout,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        try:
            response = await request
        except FAULTS as error:
            self._perhaps_broken(peer, error)
            raise Unavailable("peer_unreachable", f"Peer {peer[:16]} at {address} does not answer: {describe(error)}") from error
        else:
            async with response:
                shown = end_to_end(tuple(response.headers.items()))
                yield Forwarded(response.status, shown, response.content, partial(self._perhaps_broken, peer))
        finally:
            self._forwards -= 1

    def _perhaps_broken(self, peer: PeerId, fault: BaseException | None) -> None:
        if is_broken(fault) and not self._session.closed:
            self._on_broken(peer)

    async def close(self) -> None:
        """End every task and connection. What waits is not delivered and not reported; `flush` first to say goodbye."""
        tasks = [*self._tasks, *self._seeds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._outboxes.clear()
        await self._session.close()

    def _open(self, peer: PeerId, address: Address, *, urgent: bool) -> Outbox[StreamMessage]:
        async def post(to: Address, body: bytes) -> Outcome:
            return await self._post(name_of(peer), to, body)

        def failed(message: StreamMessage, outcome: Undelivered) -> None:
            self._on_failed(peer, message, outcome.refused)

        outbox: Outbox[StreamMessage] = Outbox(address, post, failed)
        self._outboxes[peer, urgent] = outbox
        task = asyncio.create_task(self._run(outbox, (peer, urgent)), name=f"outbox {peer[:8]}{' urgent' if urgent else ''}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return outbox

    async def _run(self, outbox: Outbox[StreamMessage], key: tuple[PeerId, bool]) -> None:
        try:
            await outbox.run()
        finally:  # in the same turn of the loop: nobody can offer to an outbox that nobody empties
            if self._outboxes.get(key) is outbox:
                del self._outboxes[key]

    async def _post(self, name: str, address: Address, body: bytes) -> Outcome:
        timeout = aiohttp.ClientTimeout(
            total=POST_BASE_S + len(body) / POST_BYTES_PER_S_MIN, connect=CONNECT_S, sock_connect=CONNECT_S
        )
        try:
            async with self._session.post(
                _url(address, "/mesh/v1/messages"),
                data=io.BytesIO(body),
                ssl=self._tls,
                server_hostname=name,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                return _outcome(response)
        except FAULTS as error:
            return Undelivered(refused=is_refused(error), reason=describe(error))


def is_refused(error: BaseException) -> bool:
    """Whether the host itself answered that nobody listens on that port: evidence, where silence is none."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED


def is_broken(error: BaseException | None) -> bool:
    """Whether a connection was refused, reset or cut, as when a process ends. Silence is not that, nor a wrong certificate."""
    broken = aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | ConnectionError
    return isinstance(error, broken) and not isinstance(error, TimeoutError | aiohttp.ClientSSLError)


def end_to_end(headers: Headers) -> tuple[tuple[str, str], ...]:
    """The headers that are meant for the far end (RFC 9110, section 7.6.1)."""
    named = {token.strip().lower() for key, value in headers if key.lower() == "connection" for token in value.split(",")}
    return tuple((key, value) for key, value in headers if key.lower() not in HOP_BY_HOP | named)


def describe(error: BaseException) -> str:
    """A network error in words; many of them have none of their own."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _outcome(response: aiohttp.ClientResponse) -> Outcome:
    if response.status == 200:
        return Delivered()
    taken = response.headers.get(TAKEN_HEADER, "")
    if response.status == 503 and taken.isascii() and taken.isdecimal() and len(taken) < 7:  # a post holds far fewer
        return PushedBack(int(taken))
    return Undelivered(refused=False, reason=f"answered {response.status}")


def _check_blob_head(response: aiohttp.ClientResponse, *, start: int, size: int) -> None:
    if response.status != (206 if start else 200):
        raise TransferFailed(f"answered {response.status} {response.reason or ''}".rstrip())
    if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise TransferFailed("answered another range than the one asked for")
    if response.content_length not in (None, size - start):
        raise TransferFailed(f"holds {start + (response.content_length or 0)} bytes instead of {size}")


async def _copy(content: aiohttp.StreamReader, sink: Callable[[bytes], Awaitable[None]]) -> None:
    ended = False
    while not ended:
        piece = bytearray()
        fault: BaseException | None = None
        try:
            while not ended and len(piece) < BLOB_CHUNK_BYTES:
                piece += (part := await content.readany())
                ended = not part
        except FAULTS as error:
            fault = error
        if piece:
            await sink(bytes(piece))
        if fault is not None:
            raise TransferFailed(describe(fault)) from fault


def _url(address: Address, path: str) -> URL:
    return URL(f"https://{address}{path}", encoded=True)
