"""Each effect reaches its adapter; each fetch comes back as exactly one event, whatever happened to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from peer.eventlog import EventLog
from peer.hands import FETCHES_PER_TICKET, PeerHands
from peer.ports import Corrupt, StoreBroken, StoreFull
from peer.telemetry.metrics import Metrics
from peer.telemetry.notices import NoticeMetrics
from peer.workshop import Workshop
from protocol import limits
from protocol.effects import BelieveSalt, Compare, FetchBlobs, Inspect, Notice, Render, SendDatagram, SendStream, StopTask, Verify
from protocol.errors import Unavailable
from protocol.events import BlobsEnded, Event
from protocol.ids import Address, Digest, JobId, PeerId, TaskId, Ticket
from protocol.jobs.manifest import EMPTY
from protocol.jobs.spec import RenderSettings
from protocol.wire.gossip import Ping
from protocol.wire.work import Wake
from tests.fakes.memory_store import MemoryBlobs, digest_of
from tests.waiting import wait_until

PEER, JOB, THERE = PeerId("ab" * 32), JobId("cd" * 16), Address("127.0.0.1", 7701)


class Recorder:
    """Any adapter: every call is written down as (name, arguments)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str):
        return lambda *args, **named: self.calls.append((name, (*args, *named.values())))

    async def close(self) -> None:
        """Nothing is under way."""


@dataclass
class Fetcher:
    """Brings blobs out of `there`; `faults` are raised for their digests; holds while `held` is not set."""

    blobs: MemoryBlobs
    there: dict[Digest, bytes] = field(default_factory=dict)
    faults: dict[Digest, Exception] = field(default_factory=dict)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[Digest, int, Sequence[PeerId]]] = field(default_factory=list)
    pins_seen: list[dict[str, set[Digest]]] = field(default_factory=list)
    small: list[list[tuple[Digest, int]]] = field(default_factory=list)
    small_max: int = 0
    at_once: int = 0
    at_once_max: int = 0

    async def fetch_small(self, items: Sequence[tuple[Digest, int]], holders: Sequence[PeerId]) -> list[PeerId]:
        """Brings the first `small_max`; then whoever was asked first is to be asked last."""
        self.small.append(list(items))
        for digest, _ in items[: self.small_max]:
            self.blobs.add(self.there[digest])
        return [*holders[1:], *holders[:1]]

    async def fetch(self, digest: Digest, size: int, holders: Sequence[PeerId]) -> None:
        self.asked.append((digest, size, holders))
        self.pins_seen.append({owner: set(pins) for owner, pins in self.blobs.pins.items()})
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            await self.held.wait()
            if digest in self.faults:
                raise self.faults[digest]
            self.blobs.add(self.there[digest])
        finally:
            self.at_once -= 1


@dataclass(slots=True)
class Bench:
    """Hands, and everything that they reach for."""

    hands: PeerHands
    adapters: Recorder
    fetcher: Fetcher
    blobs: MemoryBlobs
    log: EventLog
    metrics: Metrics
    told: list[Event]
    store: list[Exception | None]

    async def fetched(self, *there: bytes, pin_for: JobId | None = None) -> str:
        """Ask for these blobs; the error of the one event that comes."""
        items = []
        for data in there:
            digest = digest_of(data)
            self.fetcher.there[digest] = data
            items.append((digest, len(data)))
        self.hands.fetch(FetchBlobs(Ticket("t"), tuple(items), (PEER,), pin_for))
        await wait_until(lambda: self.told)
        assert len(self.told) == 1
        ended = self.told.pop()
        assert isinstance(ended, BlobsEnded)
        assert ended.ticket == "t"
        return ended.error


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    adapters, blobs, log, metrics = Recorder(), MemoryBlobs(tmp_path), EventLog(1), Metrics()
    fetcher = Fetcher(blobs)
    told: list[Event] = []
    store: list[Exception | None] = []
    fetcher.held.set()
    hands = PeerHands(
        datagrams=adapters, streams=adapters, fetcher=fetcher, blobs=blobs, workshop=cast(Workshop, adapters), probes=adapters,
        comparer=adapters, keys=adapters,
        delivery=adapters,
        log=log, metrics=NoticeMetrics(metrics), tell=told.append, store_changed=store.append, wall_ms=lambda: 1_700,
    )  # fmt: skip
    yield Bench(hands, adapters, fetcher, blobs, log, metrics, told, store)
    await hands.close()


async def test_each_effect_reaches_its_adapter(bench: Bench):
    settings = RenderSettings()
    render = Render(TaskId("t1"), 0, JOB, EMPTY, settings, 7, None, "shot")
    inspect = Inspect(TaskId("t2"), 0, JOB, EMPTY, settings)
    verify, stop = Verify(TaskId("t1"), JOB), StopTask(TaskId("t1"))
    ping, wake, compare = Ping(1, PEER), Wake(JOB), Compare(Ticket("c"), (), 0.0)
    bench.hands.send_datagram(SendDatagram(THERE, PEER, (ping,)))
    bench.hands.send_stream(SendStream(PEER, THERE, wake))
    bench.hands.send_stream(SendStream(PEER, THERE, ping, urgent=True))
    bench.hands.believe(BelieveSalt(PEER, b"salt"))
    bench.hands.render(render)
    bench.hands.inspect(inspect)
    bench.hands.verify(verify)
    bench.hands.stop(stop)
    bench.hands.compare(compare)
    assert bench.adapters.calls == [
        ("send", (THERE, (ping,))),
        ("send", (PEER, THERE, wake, False)),
        ("send", (PEER, THERE, ping, True)),
        ("believe", (PEER, b"salt")),
        ("render", (render,)),
        ("inspect", (inspect,)),
        ("verify", (verify,)),
        ("stop", (stop,)),
        ("compare", (compare,)),
    ]


async def test_a_notice_is_one_name_in_log_metrics_and_event_log(bench: Bench):
    with structlog.testing.capture_logs() as lines:
        bench.hands.notice(Notice("frame_failed", "warning", JOB, {"frame": 7, "event": "another"}))
    assert lines == [{"event": "frame_failed", "log_level": "warning", "job": JOB, "frame": 7}]
    [row] = [row async for row in bench.log.read(after=None, job=JOB, follow=False)]
    assert (row.event, row.wall_ms) == ("frame_failed", 1_700)
    assert bench.metrics.registry.get_sample_value("rendermesh_frames_ended_total", {"result": "failed"}) == 1


async def test_the_store_is_measured_and_its_troubles_are_handed_on(bench: Bench):
    bench.hands.commit_took(0.5, 3)
    error = StoreFull("full")
    bench.hands.store_failed(error)
    bench.hands.store_failed(None)
    assert bench.metrics.registry.get_sample_value("rendermesh_store_commit_seconds_sum") == 0.5
    assert bench.store == [error, None]


# fetching


async def test_what_is_fetched_is_here_when_its_event_comes(bench: Bench):
    assert await bench.fetched(b"one", b"two") == ""
    assert set(bench.blobs.blobs.values()) == {b"one", b"two"}
    assert bench.blobs.pins == {}
    assert list(bench.fetcher.asked[0][2]) == [PEER]


async def test_small_blobs_come_together_and_what_is_left_by_itself(bench: Bench):
    contents = [b"one", b"two", b"three"]
    bench.fetcher.small_max = 2
    large = bytes(limits.SMALL_FILE_BYTES_MAX + 1)
    assert await bench.fetched(*contents, contents[0], large) == ""
    assert set(bench.blobs.blobs.values()) == {*contents, large}
    assert [[digest for digest, _ in small] for small in bench.fetcher.small] == [[digest_of(data) for data in contents]]
    assert {digest for digest, _, _ in bench.fetcher.asked} == {digest_of(contents[-1]), digest_of(large)}


async def test_what_came_together_is_not_asked_for_again(bench: Bench):
    bench.fetcher.small_max = 2
    assert await bench.fetched(b"one", b"two") == ""
    assert bench.fetcher.asked == []


async def test_a_holder_that_gave_no_small_blobs_is_asked_last_for_the_rest(bench: Bench):
    other = PeerId("ef" * 32)
    bench.fetcher.there[digest_of(b"one")] = b"one"
    bench.hands.fetch(FetchBlobs(Ticket("t"), ((digest_of(b"one"), 3),), (PEER, other), None))
    await wait_until(lambda: bench.told)
    assert [list(holders) for _, _, holders in bench.fetcher.asked] == [[other, PEER]]


async def test_blobs_are_pinned_before_they_are_fetched(bench: Bench):
    assert await bench.fetched(b"one", pin_for=JOB) == ""
    assert bench.fetcher.pins_seen == [{JOB: {digest_of(b"one")}}]


async def test_what_is_here_already_is_not_fetched_and_still_pinned(bench: Bench):
    bench.blobs.add(b"one")
    assert await bench.fetched(b"one", pin_for=JOB) == ""
    assert bench.fetcher.asked == []
    assert bench.blobs.pins == {JOB: {digest_of(b"one")}}


async def test_a_fetch_of_nothing_ends_at_once(bench: Bench):
    assert await bench.fetched(pin_for=JOB) == ""


@pytest.mark.parametrize(
    "fault",
    [
        Unavailable("blob_unreachable", "nobody has it"),
        StoreFull("the disk is full"),
        StoreBroken("input/output error"),
        Corrupt("damaged"),
        OSError("no such place"),
    ],
)
async def test_a_fetch_that_fails_says_why_once(bench: Bench, fault: Exception):
    bench.fetcher.faults = {digest_of(data): fault for data in (b"one", b"two")}
    assert await bench.fetched(b"one", b"two", b"three") == str(fault)


async def test_faults_of_two_kinds_at_once_are_still_one_event(bench: Bench):
    bench.fetcher.held.clear()
    bench.fetcher.faults = {digest_of(b"one"): OSError("no such place"), digest_of(b"two"): ZeroDivisionError("by nought")}
    with structlog.testing.capture_logs() as lines:
        asked = asyncio.create_task(bench.fetched(b"one", b"two"))
        await wait_until(lambda: bench.fetcher.at_once == 2)
        bench.fetcher.held.set()
        assert await asked == "no such place"
    assert [line["event"] for line in lines] == ["fetch_broke"]


async def test_a_mistake_of_ours_is_an_answer_too_and_is_logged(bench: Bench):
    bench.fetcher.faults = {digest_of(b"one"): ZeroDivisionError("by nought")}
    with structlog.testing.capture_logs() as lines:
        assert await bench.fetched(b"one") == "the peer itself failed: by nought"
    assert lines[0]["event"] == "fetch_broke"


async def test_a_pin_that_cannot_be_kept_is_told_and_nothing_is_fetched(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    async def pin(_owner: str, _digests: Sequence[Digest]) -> None:
        raise StoreFull("the disk is full")

    monkeypatch.setattr(bench.blobs, "pin", pin)
    assert await bench.fetched(b"one", pin_for=JOB) == "the disk is full"
    assert bench.fetcher.asked == []


async def test_only_a_few_blobs_of_a_ticket_are_fetched_at_once(bench: Bench):
    bench.fetcher.held.clear()
    asked = asyncio.create_task(bench.fetched(*(b"%d" % number for number in range(20))))
    await wait_until(lambda: bench.fetcher.at_once == FETCHES_PER_TICKET)
    bench.fetcher.held.set()
    assert await asked == ""
    assert bench.fetcher.at_once_max == FETCHES_PER_TICKET


async def test_closing_ends_what_is_being_fetched(bench: Bench):
    bench.fetcher.held.clear()
    digest = digest_of(b"one")
    bench.hands.fetch(FetchBlobs(Ticket("t"), ((digest, 3),), (PEER,), None))
    await wait_until(lambda: bench.fetcher.at_once == 1)
    await bench.hands.close()
    assert bench.fetcher.at_once == 0
    assert bench.told == []
