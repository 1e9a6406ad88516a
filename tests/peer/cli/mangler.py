"""A proxy before a peer of the fake mesh that spoils some of its answers, byte by byte, on real sockets.

It asks the peer itself, has the whole answer, and sends it on in another framing, in small pieces, with wrong lengths, or not to
its end. It serves `ASKED_MAX` requests and then closes its door, so that a client that asks without end does end.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

ASKED_MAX: Final = 400
STALL_S_MAX: Final = 20.0
ENDLESS_BYTES_MAX: Final = 64 * 2**20
_HOP: Final = frozenset({"content-length", "transfer-encoding", "connection", "host"})

Framing = Literal["length", "chunked", "close"]
Ending = Literal["close", "reset", "stall"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of an answer. `cut`: after which share of its bytes nothing more is sent; `ending`: and then."""

    framing: Framing = "length"
    piece: int = 65_536
    cut: float | None = None
    ending: Ending = "close"
    length: str | None = None
    length_off: int = 0
    size_line: bytes | None = None
    before: bytes = b""
    encoding: Literal["gzip", "a lie"] | None = None
    endless: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def shows_its_end(self) -> bool:
        """Whether a client can tell a whole body of this framing from one that was cut."""
        return self.framing != "close" and self.length is None and self.length_off >= 0


@dataclass(slots=True)
class Answer:
    """What the peer itself has answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class Mangler:
    """`spoils` says which fault an answer gets by its path, None for none; `asked` are the paths in order."""

    upstream: str
    spoils: Callable[[str], Fault | None] = lambda _: None
    asked: list[str] = field(default_factory=list)
    address: str = ""
    _listener: socket.socket = field(init=False)
    _stopped: threading.Event = field(init=False, default_factory=threading.Event)
    _threads: list[threading.Thread] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listener.getsockname())
        self._start(self._accept)

    @property
    def was_asked_without_end(self) -> bool:
        """Whether a client had to be stopped."""
        return len(self.asked) >= ASKED_MAX

    def close(self) -> None:
        """End everything."""
        self._stopped.set()
        self._shut_door()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _start(self, work: Callable[[], None]) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=work, name="mangler")
        self._threads.append(thread)
        thread.start()

    def _shut_door(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(STALL_S_MAX)
            method, target, headers, body = _request(connection)
            self.asked.append(target)
            if self.was_asked_without_end:
                self._shut_door()
                return
            answer = self._truth(method, target, headers, body)
            fault = self.spoils(target)
            ending = self._send(connection, answer, fault or Fault())
            if ending == "stall":
                self._hold(connection)
            elif ending == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _truth(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        if target.split("?")[0].endswith("/events") and "follow=" not in target:
            target += "?follow=false"  # what is kept, and then this proxy's own end
        upstream = http.client.HTTPConnection(self.upstream, timeout=STALL_S_MAX)
        with contextlib.closing(upstream):
            upstream.request(method, target, body or None, headers)
            response = upstream.getresponse()
            kept = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP]
            return Answer(response.status, kept, response.read())

    def _send(self, connection: socket.socket, answer: Answer, fault: Fault) -> Ending:
        head, wire = spoilt_answer(answer, fault)
        whole = head + wire
        end = len(whole) if fault.cut is None else int(len(whole) * fault.cut)
        for start in range(0, end, fault.piece):
            connection.sendall(whole[start : min(end, start + fault.piece)])
        sent = 0
        while fault.endless and sent < ENDLESS_BYTES_MAX and not self._stopped.is_set():
            connection.sendall(wire or b"x")
            sent += max(1, len(wire))
        return fault.ending

    def _hold(self, connection: socket.socket) -> None:
        """Say nothing more until the client goes."""
        connection.settimeout(0.05)
        while not self._stopped.is_set():
            try:
                if connection.recv(4096) == b"":
                    return
            except TimeoutError:
                continue


def spoilt_answer(answer: Answer, fault: Fault) -> tuple[bytes, bytes]:
    """Head and body as they go over the wire."""
    body, headers = answer.body, [*answer.headers, *fault.headers]
    if fault.encoding is not None:
        headers.append(("Content-Encoding", "gzip"))
        body = gzip.compress(body) if fault.encoding == "gzip" else body
    match fault.framing:
        case "length":
            headers.append(("Content-Length", fault.length or str(max(0, len(body) + fault.length_off))))
        case "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
            body = b"".join(_chunks(body, fault))
        case "close":
            pass
    lines = [f"HTTP/1.1 {answer.status} Said", *(f"{name}: {value}" for name, value in headers), "Connection: close", "", ""]
    return fault.before + "\r\n".join(lines).encode(), body


def _chunks(body: bytes, fault: Fault) -> Iterator[bytes]:
    starts = list(range(0, len(body), fault.piece))
    for start in starts:
        piece = body[start : start + fault.piece]
        spoil = fault.size_line is not None and start == starts[len(starts) // 2]
        yield (fault.size_line if spoil and fault.size_line is not None else b"%x" % len(piece)) + b"\r\n" + piece + b"\r\n"
    yield b"0\r\n\r\n"


def _request(connection: socket.socket) -> tuple[str, str, dict[str, str], bytes]:
    """Method, target, headers and body. Raises OSError when the client goes before."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = dict(line.split(": ", 1) for line in lines)
    while len(body) < int(headers.get("Content-Length", 0)):
        body += _received(connection)
    return method, target, {name: value for name, value in headers.items() if name.lower() not in _HOP}, body


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionResetError
    return data
