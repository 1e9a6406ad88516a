"""Bringing blobs here: from any holder, resumed where another broke off, believed only when the digest is right.

Decides whom to ask next and whom to blame. Refuses to know why a blob is wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from peer.net.meshclient import TransferFailed
from peer.net.smallblobs import bring
from peer.ports import Blobs, BlobWriter, Corrupt, StoreFull
from protocol.errors import Unavailable
from protocol.ids import Address, Digest, PeerId
from protocol.limits import FETCH_TRIES_PER_HOLDER_MAX, FETCHES_AT_ONCE_MAX, HOLDERS_PER_FETCH_MAX


class BlobSource(Protocol):
    """Where bytes come from: `MeshClient` is one."""

    async def copy_blob(
        self, peer: PeerId, address: Address, digest: Digest, *, start: int, size: int, sink: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Hand bytes [start, size) to `sink` in order. Raises `TransferFailed`."""
        ...


class FetchFailed(Unavailable):
    """No holder could give the blob; the text names each one and its failure."""

    def __init__(self, digest: Digest, faults: dict[PeerId, str]) -> None:
        told = "; ".join(f"{peer[:16]}: {fault}" for peer, fault in faults.items()) or "no holder is known"
        super().__init__("blob_unreachable", f"Blob {digest[:16]} could not be fetched: {told}.")
        self.faults = faults


class _Verdict(Enum):
    """How it went with one holder."""

    DONE = auto()
    FAILED = auto()
    MIXED = auto()  # wrong bytes, but from more than one hand: nobody is to blame yet


@dataclass(slots=True)
class _Flight:
    """One transfer under way and those who wait for it. `holders` may grow while it runs.

    `givers`: whose bytes the partial file holds, None standing for an earlier transfer. `liars`: who alone gave bytes that
    have another digest.
    """

    digest: Digest
    size: int
    holders: list[PeerId]
    faults: dict[PeerId, str] = field(default_factory=dict)
    givers: set[PeerId | None] = field(default_factory=set)
    liars: set[PeerId] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    waiters: int = 0
    ending: bool = False

    def welcome(self, holders: Sequence[PeerId]) -> None:
        """Add holders that are not known yet, up to the limit."""
        new = [peer for peer in dict.fromkeys(holders) if peer not in self.holders]
        self.holders.extend(new[: HOLDERS_PER_FETCH_MAX - len(self.holders)])


class BlobFetcher:
    """Invariants: one transfer per digest however many ask, at most `FETCHES_AT_ONCE_MAX` transfers at a time; a blob is
    there only when its digest was right; a transfer ends when nobody waits for it any more."""

    def __init__(
        self,
        source: BlobSource,
        blobs: Blobs,
        addresses: Callable[[PeerId], Address | None],
        *,
        on_corrupt: Callable[[PeerId, Digest], None] = lambda peer, digest: None,
    ) -> None:
        """`addresses` gives a peer's mesh port; `on_corrupt` hears of a peer that alone gave bytes with a wrong digest."""
        self._source = source
        self._blobs = blobs
        self._addresses = addresses
        self._on_corrupt = on_corrupt
        self._flights: dict[Digest, _Flight] = {}
        self._slots = asyncio.Semaphore(FETCHES_AT_ONCE_MAX)
        self._closed = False

    async def fetch(self, digest: Digest, size: int, holders: Sequence[PeerId]) -> None:
        """Return once the blob is here, verified and durable. `holders` in the order of preference.

        Raises `FetchFailed` when no holder could give it, `Unavailable` (`shutting_down`) after `close`, and what the store
        raises (`StoreFull`, `StoreBroken`).
        """
        if self._closed:
            raise _closing()
        if await self._blobs.has(digest):
            return
        flight = await self._join(digest, size, holders)
        assert flight.task is not None
        flight.waiters += 1
        try:
            await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.task.cancelled() and self._closed:  # it was not the caller who gave up
                raise _closing() from None
            raise
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                await self._end(flight)

    async def fetch_small(self, items: Sequence[tuple[Digest, int]], holders: Sequence[PeerId]) -> list[PeerId]:
        """Bring small blobs from the first holder the quick way. What is still not here afterwards is to be fetched, from the
        holders in the order that is returned: one that gave nothing is asked last.

        Raises what the store raises (`StoreFull`, `StoreBroken`)."""
        place = next(((peer, address) for peer in holders if (address := self._addresses(peer)) is not None), None)
        if place is None or self._closed or await bring(self._source, self._blobs, *place, items):
            return list(holders)
        return [*(peer for peer in holders if peer != place[0]), place[0]]

    async def close(self) -> None:
        """Stop every transfer; partial files stay for a later resume."""
        self._closed = True
        for flight in list(self._flights.values()):
            await self._end(flight)

    async def _join(self, digest: Digest, size: int, holders: Sequence[PeerId]) -> _Flight:
        while (flight := self._flights.get(digest)) is not None and flight.ending:
            assert flight.task is not None
            await asyncio.wait([flight.task])
            await asyncio.sleep(0)  # its done callback comes first
        if flight is None:
            flight = _Flight(digest, size, [])
            flight.welcome(holders)
            flight.task = asyncio.create_task(self._fly(flight), name=f"fetch {digest[:8]}")
            flight.task.add_done_callback(lambda _: self._flights.pop(digest, None))
            self._flights[digest] = flight
        else:
            flight.welcome(holders)
        return flight

    async def _end(self, flight: _Flight) -> None:
        assert flight.task is not None
        flight.ending = True
        flight.task.cancel()
        await asyncio.wait([flight.task])

    async def _fly(self, flight: _Flight) -> None:
        async with self._slots:
            if await self._blobs.has(flight.digest):
                return
            if not await self._ask_round(flight):
                raise FetchFailed(flight.digest, flight.faults)

    async def _ask_round(self, flight: _Flight) -> bool:
        """Ask one holder after the other; the next one goes on where the last one broke off.

        When bytes of several hands turn out wrong, everybody is asked again, each alone and from the first byte on."""
        alone = False
        position = 0
        while position < len(flight.holders):
            holder = flight.holders[position]
            position += 1
            if holder in flight.liars:
                continue
            verdict = await self._ask(flight, holder, fresh=alone)
            if verdict is _Verdict.DONE:
                return True
            if verdict is _Verdict.MIXED and not alone:
                alone, position = True, 0
        return False

    async def _ask(self, flight: _Flight, holder: PeerId, *, fresh: bool) -> _Verdict:
        address = self._addresses(holder)
        if address is None:
            flight.faults[holder] = "no address is known"
            return _Verdict.FAILED
        for _ in range(FETCH_TRIES_PER_HOLDER_MAX):
            writer = await self._writer(flight, fresh=fresh)
            fresh = False
            began = writer.offset
            if not began:
                flight.givers = set()
            try:
                await self._copy(flight, holder, address, writer)
            except TransferFailed as error:
                flight.faults[holder] = str(error)
                gained = writer.offset - began
                await writer.abort(keep=True)
                if not gained:
                    return _Verdict.FAILED
            else:
                return await self._finish(flight, holder, writer)
        return _Verdict.FAILED

    async def _writer(self, flight: _Flight, *, fresh: bool) -> BlobWriter:
        writer = await self._blobs.writer(flight.digest, size=flight.size)
        if writer.offset > flight.size or (fresh and writer.offset):
            await writer.abort(keep=False)
            writer = await self._blobs.writer(flight.digest, size=flight.size)
        if writer.offset and not flight.givers:
            flight.givers = {None}
        return writer

    async def _copy(self, flight: _Flight, holder: PeerId, address: Address, writer: BlobWriter) -> None:
        async def sink(piece: bytes) -> None:
            if writer.offset + len(piece) > flight.size:
                raise TransferFailed(f"sends more than {flight.size} bytes")
            await writer.write(piece)
            flight.givers.add(holder)

        try:
            if writer.offset < flight.size:
                await self._source.copy_blob(holder, address, flight.digest, start=writer.offset, size=flight.size, sink=sink)
            if writer.offset < flight.size:
                raise TransferFailed(f"ended after {writer.offset} of {flight.size} bytes")
        except TransferFailed:
            raise
        except StoreFull:
            await writer.abort(keep=False)
            raise
        except BaseException:  # cancelled above all: the next try goes on from here
            await writer.abort(keep=True)
            raise

    async def _finish(self, flight: _Flight, holder: PeerId, writer: BlobWriter) -> _Verdict:
        try:
            await writer.finish()
        except Corrupt:
            flight.faults[holder] = "its bytes have another digest"
            sole = flight.givers == {holder}
            flight.givers = set()
            if not sole:
                return _Verdict.MIXED
            flight.liars.add(holder)
            self._on_corrupt(holder, flight.digest)
            return _Verdict.FAILED
        return _Verdict.DONE


def _closing() -> Unavailable:
    return Unavailable("shutting_down", "This peer is shutting down and fetches nothing more.")
