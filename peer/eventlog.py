"""The event log of one peer: the last notices, numbered for ever, with followers that are cut when they cannot keep up.

Ids carry the run epoch in their upper bits, so that they grow over restarts and `Last-Event-ID` never goes back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from protocol import limits
from protocol.effects import Notice
from protocol.ids import JobId
from protocol.views import EventRow

ID_BITS = 32


class EventLog:
    """Invariants: ids grow by one; at most `limits.EVENTS_KEPT` rows are kept; a follower holds at most as many."""

    def __init__(self, run_epoch: int) -> None:
        self._next = (run_epoch << ID_BITS) + 1
        self._rows: deque[EventRow] = deque(maxlen=limits.EVENTS_KEPT)
        self._followers: list[asyncio.Queue[EventRow | None]] = []
        self._closed = False

    def add(self, notice: Notice, wall_ms: int) -> EventRow:
        """Keep a notice and hand it to every follower."""
        row = EventRow(self._next, wall_ms, notice.event, notice.level, notice.job, notice.fields)
        self._next += 1
        self._rows.append(row)
        for queue in list(self._followers):
            try:
                queue.put_nowait(row)
            except asyncio.QueueFull:
                self._followers.remove(queue)
                queue.get_nowait()
                queue.put_nowait(None)
        return row

    def close(self) -> None:
        """End every follower; who comes later gets what is kept, and its end."""
        self._closed = True
        for queue in self._followers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
        self._followers.clear()

    async def read(self, *, after: int | None, job: JobId | None, follow: bool) -> AsyncIterator[EventRow]:
        """Kept rows after the id, then new ones while `follow`; ends when the log closes or the reader is too slow."""
        queue: asyncio.Queue[EventRow | None] = asyncio.Queue(maxsize=limits.EVENTS_KEPT)
        kept = [row for row in self._rows if (after is None or row.id > after)]
        follow = follow and not self._closed
        if follow:
            self._followers.append(queue)
        try:
            for row in kept:
                if job is None or row.job == job:
                    yield row
            while follow and (fresh := await queue.get()) is not None:
                if job is None or fresh.job == job:
                    yield fresh
        finally:
            if queue in self._followers:
                self._followers.remove(queue)
