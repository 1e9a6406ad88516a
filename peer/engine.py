"""The engine: inbox -> node -> persist -> perform. One loop, one node, no decisions.

What promises something to others (streams about work, replies, files in output roots) waits behind every earlier `Persist`,
whose commits are grouped; what promises nothing (renders, fetches, notices) and membership's traffic never wait for the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import pickle
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, assert_never

from peer import failpoints
from peer.eventlog import EventLog
from peer.ports import Blobs, Journal, StoreBroken, StoreFull
from peer.tape import Tape
from protocol import limits
from protocol.effects import (
    BelieveSalt,
    Compare,
    Deliver,
    Effect,
    FetchBlobs,
    Inspect,
    Notice,
    Persist,
    PinBlobs,
    Render,
    Reply,
    RunCheck,
    SendDatagram,
    SendStream,
    SendToSeed,
    StopTask,
    UnpinJob,
    UseKeys,
    Verify,
)
from protocol.errors import Refusal, Unavailable
from protocol.events import Booted, Event, LocateAsked, PingAsked, StreamFailed, StreamReceived
from protocol.ids import RequestId
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Inspection
from protocol.jobs.spec import RenderSettings
from protocol.kernel import Now
from protocol.node import Node

STORE_RETRY_S = 1.0
NEED_NO_DISK = (LocateAsked, PingAsked)


class Hands(Protocol):
    """Performs effects; completions come back through the engine's `tell`. No method waits."""

    def send_datagram(self, effect: SendDatagram) -> None: ...
    def send_stream(self, effect: SendStream) -> None: ...
    def send_to_seed(self, effect: SendToSeed) -> None: ...
    def believe(self, effect: BelieveSalt) -> None: ...
    def fetch(self, effect: FetchBlobs) -> None: ...
    def render(self, effect: Render) -> None: ...
    def verify(self, effect: Verify) -> None: ...
    def inspect(self, effect: Inspect) -> None: ...
    async def look(self, manifest: Manifest, settings: RenderSettings) -> Inspection: ...
    def stop(self, effect: StopTask) -> None: ...
    def check(self, effect: RunCheck) -> None: ...
    def compare(self, effect: Compare) -> None: ...
    def use_keys(self, effect: UseKeys) -> None: ...
    def deliver(self, effect: Deliver) -> None: ...
    def notice(self, effect: Notice) -> None: ...
    def commit_took(self, seconds: float, rows: int) -> None: ...
    def store_failed(self, error: Exception | None) -> None: ...


def clock() -> Now:
    """The moment, as the machines see it."""
    return Now(time.monotonic(), time.time_ns() // 1_000_000)


class Engine:
    """Invariants: events reach the node one at a time; a gated effect is performed after every earlier Persist is
    durable; a datagram may be dropped when the inbox is full, a completion never."""

    def __init__(
        self, *, node: Node, journal: Journal, blobs: Blobs, log: EventLog, trace_dir: Path,
        after_step: Callable[[], None] = lambda: None, tape: Tape | None = None,
    ) -> None:  # fmt: skip
        self.node = node
        self._journal = journal
        self._blobs = blobs
        self._log = log
        self._trace_dir = trace_dir
        self._after_step = after_step
        self._inbox: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._gate: deque[Effect] = deque()
        self._gate_filled = asyncio.Event()
        self._asks: dict[RequestId, asyncio.Future[Any]] = {}
        self._need_disk: dict[RequestId, None] = {}  # of those, the ones that nobody can answer while the disk is full
        self._request_ids = itertools.count(1)
        self._tape = Tape() if tape is None else tape
        self._hands: Hands | None = None
        self.store_error: Exception | None = None
        self.last_step_at = time.monotonic()

    # in

    def tell(self, event: Event) -> None:
        """Hand in an event that must not be lost: a completion, an ask, a signal of the operator."""
        self._inbox.append(event)
        self._arrived.set()

    def offer(self, event: Event) -> bool:
        """Hand in an event from the network; False when there is no room for it (push back, or drop a datagram).

        While the disk stalls, what waits for it grows: then only membership's datagrams are still taken."""
        stalled = len(self._gate) >= limits.GATE_EFFECTS_MAX and isinstance(event, StreamReceived)
        if stalled or len(self._inbox) >= limits.INBOX_EVENTS_MAX:
            return False
        self.tell(event)
        return True

    async def ask(self, make: Callable[[RequestId], Event], *, timeout_s: float | None = None) -> Any:
        """Hand in an ask and wait for its Reply. Raises the `Refusal` that it carries, or Unavailable (`timeout`)."""
        request = RequestId(f"r{next(self._request_ids)}")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        event = make(request)
        self._asks[request] = future
        if not isinstance(event, NEED_NO_DISK):
            self._need_disk[request] = None
        self.tell(event)
        try:
            async with asyncio.timeout(timeout_s):
                value = await future
        except TimeoutError:
            raise Unavailable("timeout", "the peer did not answer in time; try again", retry_after_s=2) from None
        finally:
            self._asks.pop(request, None)
            self._need_disk.pop(request, None)
        if isinstance(value, Refusal):
            raise value
        return value

    # the loop

    async def look(self, manifest: Manifest, settings: RenderSettings) -> Inspection:
        """What a scene is whose files are here, for whoever asks without a job. Raises `RenderFailed`, `Unavailable`."""
        if self._hands is None:
            raise Unavailable("starting", "this peer has only just started", retry_after_s=1.0)
        return await self._hands.look(manifest, settings)

    async def run(self, hands: Hands, booted: Booted) -> None:
        """Run until cancelled. Raises StoreBroken when the disk must not be trusted any more."""
        self._hands = hands
        now = clock()
        self._step(now, self._guarded(partial(self.node.start, booted), now, booted), booted)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._think())
            group.create_task(self._commit())

    async def _think(self) -> None:
        """The deadline is looked at before the inbox: under load the failure detector must not starve."""
        while True:
            for _ in range(limits.EVENTS_PER_TURN_MAX):
                now = clock()
                deadline = self.node.next_deadline()
                if deadline is not None and deadline <= now.monotonic_s:
                    self._step(now, self._guarded(self.node.on_deadline, now, None), None)
                elif self._inbox:
                    event = self._inbox.popleft()
                    self._step(now, self._guarded(partial(self.node.handle, event), now, event), event)
                else:
                    break
            self.last_step_at = time.monotonic()
            await self._wait(self.node.next_deadline())

    async def _wait(self, deadline: float | None) -> None:
        if self._inbox:
            await asyncio.sleep(0)
            return
        self._arrived.clear()
        timeout = limits.ENGINE_IDLE_S if deadline is None else min(max(deadline - time.monotonic(), 0), limits.ENGINE_IDLE_S)
        try:
            async with asyncio.timeout(timeout):
                await self._arrived.wait()
        except TimeoutError:
            pass

    def _guarded(self, step: Callable[[Now], list[Effect]], now: Now, event: Event | None) -> list[Effect]:
        """A machine that raises is our own mistake: keep the trace for `scripts/replay`, then fail loudly."""
        try:
            return step(now)
        except Exception:
            self._tape.add(now, event, [])  # the step that broke stands last
            with contextlib.suppress(OSError, pickle.PicklingError, TypeError, AttributeError):
                self.dump_trace("crash")  # the mistake is what must be heard of, even when its trace cannot be kept
            raise

    def _step(self, now: Now, effects: list[Effect], event: Event | None) -> None:
        self._tape.add(now, event, effects)
        for effect in effects:
            self._dispatch(effect)
        self._after_step()

    def dump_trace(self, why: str) -> Path:
        """Write the ring of the last steps; returns the file."""
        return self._tape.write(self._trace_dir, why)

    # out

    def _dispatch(self, effect: Effect) -> None:
        if isinstance(effect, Persist | PinBlobs | UnpinJob) or (self._gate and _promises(effect)):
            if isinstance(effect, SendStream) and len(self._gate) >= limits.GATE_EFFECTS_MAX:
                self.tell(StreamFailed(effect.peer, effect.message, refused=False))
                return
            self._gate.append(effect)
            self._gate_filled.set()
        else:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        failpoints.reach_effect(effect, "before", self.node.author)
        hands = self._hands
        assert hands is not None
        match effect:
            case SendDatagram():
                hands.send_datagram(effect)
            case SendStream():
                hands.send_stream(effect)
            case SendToSeed():
                hands.send_to_seed(effect)
            case BelieveSalt():
                hands.believe(effect)
            case FetchBlobs():
                hands.fetch(effect)
            case Render():
                hands.render(effect)
            case Verify():
                hands.verify(effect)
            case Inspect():
                hands.inspect(effect)
            case Compare():
                hands.compare(effect)
            case StopTask():
                hands.stop(effect)
            case RunCheck():
                hands.check(effect)
            case UseKeys():
                hands.use_keys(effect)
            case Deliver():
                hands.deliver(effect)
            case Notice():
                hands.notice(effect)
            case Reply(request, value):
                self._reply(request, value)
            case Persist() | PinBlobs() | UnpinJob():
                raise AssertionError("durable effects go through the gate")
            case _:
                assert_never(effect)
        failpoints.reach_effect(effect, "after", self.node.author)

    def _reply(self, request: RequestId, value: Any) -> None:
        future = self._asks.get(request)
        if future is not None and not future.done():
            future.set_result(value)

    async def _commit(self) -> None:
        """Make durable everything that has gathered, in one commit, then perform what waited for it, in order."""
        while True:
            self._gate_filled.clear()
            if not self._gate:
                await self._gate_filled.wait()
            batch = self._next_batch()
            await self._make_durable(batch)
            for effect in batch:
                self._gate.popleft()
                if not isinstance(effect, Persist | PinBlobs | UnpinJob):
                    self._perform(effect)

    def _next_batch(self) -> list[Effect]:
        """What becomes durable together. It ends with an unpinning: nothing may be pinned before and unpinned after by it."""
        batch: list[Effect] = []
        for effect in itertools.islice(self._gate, limits.EFFECTS_PER_COMMIT_MAX):
            batch.append(effect)
            if isinstance(effect, UnpinJob):
                break
        return batch

    async def _make_durable(self, batch: list[Effect]) -> None:
        while True:
            try:
                await self._store(batch)
                self._store_is(None)
                return
            except StoreFull as error:
                self._store_is(error)
                self._refuse_waiting(error)
                await asyncio.sleep(STORE_RETRY_S)
            except StoreBroken as error:
                self._store_is(error)
                raise

    async def _store(self, batch: list[Effect]) -> None:
        """Bytes are pinned before a fact speaks of them, and let go after it is forgotten: a crash between leaves too much."""
        started = time.monotonic()
        for effect in batch:
            if isinstance(effect, PinBlobs):
                await self._blobs.pin(effect.job, effect.digests)
        records = [record for effect in batch if isinstance(effect, Persist) for record in effect.records]
        if records:
            facts = Persist(tuple(records))
            failpoints.reach_effect(facts, "before", self.node.author)
            await self._journal.commit(records)
            failpoints.reach_effect(facts, "after", self.node.author)
            assert self._hands is not None
            self._hands.commit_took(time.monotonic() - started, len(records))
        if isinstance(batch[-1], UnpinJob):
            await self._blobs.unpin(batch[-1].job)

    def _store_is(self, error: Exception | None) -> None:
        if (error is None) != (self.store_error is None):
            assert self._hands is not None
            self._hands.store_failed(error)
        self.store_error = error

    def _refuse_waiting(self, error: Exception) -> None:
        """Nobody waits for a full disk: every client whose answer depends on it, here or by way of what must be written first
        and then said to others, is refused openly (C8)."""
        for request in list(self._need_disk):
            self._reply(request, Unavailable("store_full", f"this peer's disk is full: {error}", retry_after_s=30))


def _promises(effect: Effect) -> bool:
    """Whether an effect says something to others that must be durable first: so does a file in an output root. A refusal
    promises nothing."""
    if isinstance(effect, Reply):
        return not isinstance(effect.value, Refusal)
    if isinstance(effect, Deliver):
        return True
    return isinstance(effect, SendStream) and not effect.urgent
