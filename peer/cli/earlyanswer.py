"""Connections that know when to stop: sending, when the peer has answered already (a refused scene of 2 GB is not sent to its
end), and listening, when an answer has begun and its head does not end.

The former only on plain connections: on TLS ones a session ticket looks like an answer.
"""

from __future__ import annotations

import http.client
import select
import socket
from io import BufferedReader
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from peer.cli import bounds
from peer.cli.bodies import within


class _Lines:
    """What an answer is read from, with a look at whether it ended in the middle of its head."""

    def __init__(self, fp: BufferedReader) -> None:
        self._fp = fp
        self.has_ended = False

    def readline(self, most: int = -1) -> bytes:
        """The next line, empty at the end."""
        line = self._fp.readline(most)
        self.has_ended = self.has_ended or not line
        return line

    def close(self) -> None:
        """Close what is read from."""
        self._fp.close()


class _WholeHead(http.client.HTTPResponse):
    """An answer whose head was cut is none. http.client takes the end of the connection for the end of the head, and an answer
    without its length for one that ends with the connection: an empty one, and whole."""

    def begin(self) -> None:
        """Read the head. Raises `HTTPException`, and for one that was cut `IncompleteRead`."""
        fp = self.fp
        lines = _Lines(fp)
        self.fp = lines  # type: ignore[assignment] # it reads heads by lines alone
        try:
            super().begin()
        finally:
            if self.fp is not None:
                self.fp = fp
        if lines.has_ended:
            raise http.client.IncompleteRead(b"")


class _EndingHead(HTTPConnection):
    """A connection that waits for the whole head of an answer, not only for each of its bytes.

    http.client has a timeout for each read, and goes on reading interim answers (100) and headers without end."""

    response_class = _WholeHead

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        """The answer. Raises what urllib3's own raises; a head that does not end is a connection that broke."""
        sock = self.sock
        if sock is None:
            return super().getresponse()
        silence_s = self.timeout if isinstance(self.timeout, int | float) else bounds.READ_TIMEOUT_S
        with within(silence_s + bounds.HEAD_S, lambda: socket.socket.shutdown(sock, socket.SHUT_RDWR)):
            return super().getresponse()


class _EndingTlsHead(_EndingHead, HTTPSConnection):
    """The same on TLS."""


class ListeningConnection(_EndingHead):
    """A connection that looks for an answer before each piece of a body."""

    def send(self, data: Any) -> None:
        """Send, unless there is something to read: urllib3 takes a broken pipe for the end of sending and reads the answer."""
        if self.sock is not None and select.select([self.sock], [], [], 0)[0]:
            raise BrokenPipeError("answered before the end of the body")
        super().send(data)


class ListeningPool(HTTPConnectionPool):
    """A pool of such connections."""

    ConnectionCls = ListeningConnection


class TlsPool(HTTPSConnectionPool):
    """A pool of connections that send everything first."""

    ConnectionCls = _EndingTlsHead


class ListeningManager(urllib3.PoolManager):
    """Pools of such connections, by scheme."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pool_classes_by_scheme = {"http": ListeningPool, "https": TlsPool}
