"""The engine's hands: each effect to the adapter that performs it, each outcome back as an event. No decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from peer.eventlog import EventLog
from peer.ports import Blobs, Corrupt, StoreBroken, StoreFull
from peer.telemetry.notices import NoticeMetrics
from peer.workshop import Workshop
from protocol import limits
from protocol.effects import (
    BelieveSalt,
    Compare,
    Deliver,
    FetchBlobs,
    Inspect,
    Notice,
    Render,
    RunCheck,
    SendDatagram,
    SendStream,
    SendToSeed,
    StopTask,
    UseKeys,
    Verify,
)
from protocol.errors import Refusal
from protocol.events import BlobsEnded, Event
from protocol.ids import Address, Digest, PeerId
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Inspection
from protocol.jobs.spec import RenderSettings
from protocol.wire.gossip import GossipMessage
from protocol.wire.work import WorkMessage

FETCHES_PER_TICKET = 4


class Datagrams(Protocol):
    """See `peer.net.datagrams.DatagramEndpoint`."""

    def send(self, address: Address, messages: Sequence[GossipMessage]) -> None: ...
    def believe(self, peer: PeerId, salt: bytes) -> None: ...


class Streams(Protocol):
    """See `peer.net.meshclient.MeshClient`."""

    def send(self, peer: PeerId, address: Address, message: WorkMessage | GossipMessage, *, urgent: bool = False) -> None: ...
    def send_to_seed(self, address: Address, message: GossipMessage) -> None: ...


class Fetcher(Protocol):
    """See `peer.net.fetch.BlobFetcher`."""

    async def fetch(self, digest: Digest, size: int, holders: Sequence[PeerId]) -> None: ...


class ManyFetcher(Fetcher, Protocol):
    """One that knows a short cut for many small blobs."""

    async def fetch_small(self, items: Sequence[tuple[Digest, int]], holders: Sequence[PeerId]) -> Sequence[PeerId]: ...


class Deliveries(Protocol):
    """See `peer.delivery.Delivery`."""

    def deliver(self, effect: Deliver) -> None: ...


class Probes(Protocol):
    """See `peer.checks.Probes`."""

    def run(self, effect: RunCheck) -> None: ...


class Comparisons(Protocol):
    """See `peer.comparing.Comparer`."""

    def compare(self, effect: Compare) -> None: ...
    async def close(self) -> None: ...


class Keys(Protocol):
    """See `peer.keyturn.KeyTurner`."""

    def turn(self, effect: UseKeys) -> None: ...


class PeerHands:
    """Satisfies `peer.engine.Hands`. Invariant: every fetch comes back as one `BlobsEnded`."""

    def __init__(
        self, *, datagrams: Datagrams, streams: Streams, fetcher: ManyFetcher, blobs: Blobs, workshop: Workshop,
        probes: Probes, comparer: Comparisons,
        keys: Keys, delivery: Deliveries, log: EventLog, metrics: NoticeMetrics, tell: Callable[[Event], None],
        store_changed: Callable[[Exception | None], None], wall_ms: Callable[[], int],
        noticed: Callable[[Notice], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._datagrams = datagrams
        self._streams = streams
        self._fetcher = fetcher
        self._blobs = blobs
        self._workshop = workshop
        self._probes = probes
        self._comparer = comparer
        self._keys = keys
        self._delivery = delivery
        self._log = log
        self._metrics = metrics
        self._tell = tell
        self._store_changed = store_changed
        self._wall_ms = wall_ms
        self._noticed = noticed
        self._fetches: set[asyncio.Task[None]] = set()
        self._logger = structlog.get_logger("rendermesh")

    def send_datagram(self, effect: SendDatagram) -> None:
        self._datagrams.send(effect.address, effect.messages)

    def send_stream(self, effect: SendStream) -> None:
        self._streams.send(effect.peer, effect.address, effect.message, urgent=effect.urgent)

    def send_to_seed(self, effect: SendToSeed) -> None:
        self._streams.send_to_seed(effect.address, effect.message)

    def believe(self, effect: BelieveSalt) -> None:
        self._datagrams.believe(effect.peer, effect.salt)

    def render(self, effect: Render) -> None:
        self._workshop.render(effect)

    def verify(self, effect: Verify) -> None:
        self._workshop.verify(effect)

    def inspect(self, effect: Inspect) -> None:
        self._workshop.inspect(effect)

    async def look(self, manifest: Manifest, settings: RenderSettings) -> Inspection:
        """See `Workshop.look`."""
        return await self._workshop.look(manifest, settings)

    def stop(self, effect: StopTask) -> None:
        self._workshop.stop(effect)

    def check(self, effect: RunCheck) -> None:
        self._probes.run(effect)

    def compare(self, effect: Compare) -> None:
        self._comparer.compare(effect)

    def use_keys(self, effect: UseKeys) -> None:
        self._keys.turn(effect)

    def deliver(self, effect: Deliver) -> None:
        self._delivery.deliver(effect)

    def notice(self, effect: Notice) -> None:
        """One event name per fact: event log, metrics and log line say the same."""
        self._log.add(effect, self._wall_ms())
        self._metrics.count(effect)
        fields = {key: value for key, value in effect.fields.items() if key != "event"}
        level = getattr(self._logger, effect.level)
        level(effect.event, **({"job": effect.job} if effect.job else {}), **fields)
        self._noticed(effect)

    def commit_took(self, seconds: float, rows: int) -> None:
        self._metrics.committed(seconds, rows)

    def store_failed(self, error: Exception | None) -> None:
        self._store_changed(error)

    # fetching

    def fetch(self, effect: FetchBlobs) -> None:
        self._own(self._fetch(effect))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)

    async def _fetch(self, effect: FetchBlobs) -> None:
        """Pin first, so that what arrives stays; then every blob that is not here yet."""
        error = ""
        try:
            if effect.pin_for is not None and effect.items:
                await self._blobs.pin(effect.pin_for, [digest for digest, _ in effect.items])
            await self._bring(effect)
        except* (Refusal, StoreFull, StoreBroken, Corrupt, OSError) as errors:
            error = _text(errors)
        except* Exception as errors:
            self._logger.error("fetch_broke", exc_info=errors)
            error = error or f"the peer itself failed: {_text(errors)}"
        self._tell(BlobsEnded(effect.ticket, error))

    async def _bring(self, effect: FetchBlobs) -> None:
        """A frame's few small files come together, as a scene's thousands do; the others, and what is left, one by one."""
        holders: Sequence[PeerId] = effect.holders
        sizes = dict(effect.items)
        lacking = await self._blobs.missing(list(sizes))
        small = [(digest, sizes[digest]) for digest in lacking if sizes[digest] <= limits.SMALL_FILE_BYTES_MAX]
        if small:
            holders = await self._fetcher.fetch_small(small, holders)
            lacking = await self._blobs.missing(lacking)
        free = asyncio.Semaphore(FETCHES_PER_TICKET)

        async def one(digest: Digest) -> None:
            async with free:
                await self._fetcher.fetch(digest, sizes[digest], holders)

        async with asyncio.TaskGroup() as group:
            for digest in lacking:
                _ = group.create_task(one(digest))

    async def close(self) -> None:
        """Stop what is being fetched or compared; the engine is gone already."""
        await self._comparer.close()
        for task in list(self._fetches):
            task.cancel()
        await asyncio.gather(*self._fetches, return_exceptions=True)


def _text(errors: BaseExceptionGroup[Any]) -> str:
    error = errors.exceptions[0]
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
