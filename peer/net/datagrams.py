"""The gossip socket: seals what goes out, opens what comes in, and loses rather than waits.

Decides what is dropped and under which name it is counted. Refuses to know what gossip means. A flood cannot starve the
loop: asyncio reads one datagram per turn, garbage is dropped by its first bytes, and what does not fit the kernel's
buffer the kernel drops.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from peer.net.sockets import bind_datagram
from protocol.errors import Malformed
from protocol.events import DatagramReceived
from protocol.ids import Address, PeerId
from protocol.limits import DATAGRAM_SOCKET_BYTES, OUTBOX_DATAGRAMS_MAX
from protocol.wire.codec import decode_many, encode_many
from protocol.wire.gossip import GossipMessage
from protocol.wire.seal import SALT_BYTES, Dropped, KeyRing, Opener, Sealer

OnDatagram = Callable[[DatagramReceived], None]
OnDrop = Callable[[str, int], None]
OnUnsent = Callable[[Address], None]


class DatagramEndpoint(asyncio.DatagramProtocol):
    """Invariants: at most `OUTBOX_DATAGRAMS_MAX` datagrams wait, the oldest goes first; nothing that is received raises;
    every datagram that is not handed on or not sent is counted once.

    The reasons: those of `wire.seal.Dropped`, `malformed`, `outbox_full`, `unsendable` (our own mistake), `unsent` (the
    system refused), `icmp` (a host's answer, which proves nothing and is only counted).
    """

    def __init__(self, ring: KeyRing, me: PeerId, *, on_datagram: OnDatagram, on_drop: OnDrop, on_unsent: OnUnsent) -> None:
        """`on_unsent` hears of addresses that the operating system refuses to send to."""
        self._sealer = Sealer(ring, me, os.urandom(SALT_BYTES))
        self._opener = Opener(ring)
        self._on_datagram = on_datagram
        self._on_drop = on_drop
        self._on_unsent = on_unsent
        self._outbox: deque[tuple[Address, bytes]] = deque()
        self._paused = False
        self._sending: Address | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.Event()

    async def listen(self, host: str, port: int) -> Address:
        """Bind (port 0 is any free one) and begin; the real address. Raises as `sockets.bind_datagram`."""
        sock = bind_datagram(host, port)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DATAGRAM_SOCKET_BYTES)  # the kernel may give less
        address = Address(*sock.getsockname()[:2])
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)
        return address

    def send(self, address: Address, messages: Sequence[GossipMessage]) -> None:
        """Seal the messages into one datagram and send it, now or as soon as the socket takes it. Never waits."""
        try:
            datagram = self._sealer.seal(encode_many(messages))
        except Malformed:
            self._on_drop("unsendable", 1)
            return
        if not self._paused:
            self._transmit(address, datagram)
            return
        if len(self._outbox) >= OUTBOX_DATAGRAMS_MAX:
            self._outbox.popleft()  # the newest news is worth the most
            self._on_drop("outbox_full", 1)
        self._outbox.append((address, datagram))

    def believe(self, peer: PeerId, salt: bytes) -> None:
        """See `protocol.effects.BelieveSalt`."""
        self._opener.believe(peer, salt)

    async def close(self) -> None:
        """Drop what waits and close the socket."""
        if self._transport is not None:
            self._transport.abort()
            await self._closed.wait()
            self._transport = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Called by asyncio, once per turn of the loop."""
        opened = self._opener.open(data)
        if isinstance(opened, Dropped):
            self._on_drop(opened.value, 1)
            return
        messages, bad = decode_many(opened.payload)
        if bad:
            self._on_drop("malformed", bad)
        if messages:
            source = Address(*addr[:2])
            self._on_datagram(DatagramReceived(opened.sender, source, opened.trusted, messages, opened.salt))

    def error_received(self, exc: Exception) -> None:
        """Called by asyncio: from within a send when the system refuses, else for an ICMP answer."""
        if self._sending is None:
            self._on_drop("icmp", 1)
            return
        self._on_drop("unsent", 1)
        self._on_unsent(self._sending)

    def pause_writing(self) -> None:
        """Called by asyncio: the kernel takes no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """Called by asyncio: the kernel takes datagrams again."""
        self._paused = False
        while self._outbox and not self._paused:
            self._transmit(*self._outbox.popleft())

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio: the socket is closed."""
        self._outbox.clear()
        self._closed.set()

    def _transmit(self, address: Address, datagram: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._sending = address
        try:
            self._transport.sendto(datagram, (address.host, address.port))
        finally:
            self._sending = None
