"""Stop sending when the peer has answered already: a refused scene of 2 GB is not sent to its end.

Only on plain connections: on TLS ones a session ticket looks like an answer.
"""

from __future__ import annotations

import select
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class ListeningConnection(HTTPConnection):
    """A connection that looks for an answer before each piece of a body."""

    def send(self, data: Any) -> None:
        """Send, unless there is something to read: urllib3 takes a broken pipe for the end of sending and reads the answer."""
        if self.sock is not None and select.select([self.sock], [], [], 0)[0]:
            raise BrokenPipeError("answered before the end of the body")
        super().send(data)


class ListeningPool(HTTPConnectionPool):
    """A pool of such connections."""

    ConnectionCls = ListeningConnection


class ListeningManager(urllib3.PoolManager):
    """Pools of such connections for plain HTTP, ordinary ones for TLS."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pool_classes_by_scheme = {"http": ListeningPool, "https": HTTPSConnectionPool}
