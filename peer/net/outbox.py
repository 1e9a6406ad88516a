"""Messages that wait for one peer: in order, at most once, never more than fit.

Decides what goes into one request and what a refusal or a failure does to what waits. Refuses to know how a request is
made.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, assert_never

from peer.net.batches import LENGTH_BYTES, join
from protocol.ids import Address
from protocol.limits import (
    MESSAGES_PER_POST_MAX,
    OUTBOX_BYTES_PER_PEER_MAX,
    OUTBOX_IDLE_S,
    OUTBOX_MESSAGES_PER_PEER_MAX,
    OUTBOX_REFUSALS_MAX,
    OUTBOX_REFUSED_WAIT_S,
    POST_BYTES_MAX,
)

TAKEN_HEADER = "Rendermesh-Taken"  # how many messages a peer took before its inbox was full

MessageT = TypeVar("MessageT")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The peer has taken every message of the request."""


@dataclass(frozen=True, slots=True)
class PushedBack:
    """The peer's inbox is full: it took the first `taken` messages and has not looked at the others."""

    taken: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Whether the peer has the messages is unknown, or certainly not. `refused`: nobody listens there."""

    refused: bool
    reason: str


Outcome = Delivered | PushedBack | Undelivered
Post = Callable[[Address, bytes], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[MessageT]):
    message: MessageT
    payload: bytes


@dataclass(slots=True)
class Outbox(Generic[MessageT]):
    """One lane to one peer.

    Invariants: at most `OUTBOX_MESSAGES_PER_PEER_MAX` messages and `OUTBOX_BYTES_PER_PEER_MAX` bytes wait; one request is
    under way at a time, so the order is kept; a message that may have arrived is never sent again.
    """

    address: Address  # the last one heard of: what waits goes there
    post: Post
    on_failed: Callable[[MessageT, Undelivered], None]
    _waiting: deque[_Waiting[MessageT]] = field(default_factory=deque)
    _bytes: int = 0
    _in_flight: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, message: MessageT, payload: bytes) -> bool:
        """Put a message at the end; False when it does not fit."""
        if len(self._waiting) >= OUTBOX_MESSAGES_PER_PEER_MAX or self._bytes + len(payload) > OUTBOX_BYTES_PER_PEER_MAX:
            return False
        self._waiting.append(_Waiting(message, payload))
        self._bytes += len(payload)
        self._settled.clear()
        self._arrived.set()
        return True

    @property
    def unsettled(self) -> int:
        """Messages that wait or are under way."""
        return len(self._waiting) + self._in_flight

    async def settled(self) -> None:
        """Return once nothing waits and nothing is under way."""
        while self.unsettled:
            await self._settled.wait()

    async def run(self) -> None:
        """Deliver until nothing has come for `OUTBOX_IDLE_S`; then nothing waits, and the owner may forget this outbox.

        From the return on, in the same turn of the loop, `offer` must not be called."""
        while await self._something():
            batch = self._take()
            self._in_flight = len(batch)
            await self._deliver(batch)
            self._in_flight = 0
            if not self._waiting:
                self._settled.set()

    async def _something(self) -> bool:
        if not self._waiting:
            self._arrived.clear()
            try:
                async with asyncio.timeout(OUTBOX_IDLE_S):
                    await self._arrived.wait()
            except TimeoutError:
                pass
        return bool(self._waiting)

    def _take(self) -> list[_Waiting[MessageT]]:
        batch: list[_Waiting[MessageT]] = []
        size = 0
        while self._waiting and len(batch) < MESSAGES_PER_POST_MAX:
            size += LENGTH_BYTES + len(self._waiting[0].payload)
            if batch and size > POST_BYTES_MAX:
                break
            batch.append(self._waiting.popleft())
            self._bytes -= len(batch[-1].payload)
        return batch

    async def _deliver(self, batch: list[_Waiting[MessageT]]) -> None:
        refusals = 0
        while batch:
            outcome = await self.post(self.address, join(each.payload for each in batch))
            match outcome:
                case Delivered():
                    return
                case Undelivered():
                    self._fail(batch, outcome)
                    return
                case PushedBack(taken=taken):
                    batch = batch[taken:]
                    self._in_flight = len(batch)
                    refusals = 0 if taken else refusals + 1
                    if refusals > OUTBOX_REFUSALS_MAX:
                        self._fail(batch, Undelivered(refused=False, reason="its inbox stays full"))
                        return
                    await asyncio.sleep(OUTBOX_REFUSED_WAIT_S)
                case _:
                    assert_never(outcome)

    def _fail(self, batch: Sequence[_Waiting[MessageT]], outcome: Undelivered) -> None:
        for each in batch:
            self.on_failed(each.message, outcome)
