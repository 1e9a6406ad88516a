"""The real engine over in-memory ports: what waits for the disk and what does not, when it is full, and when it is broken."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from peer import engine as engine_module
from peer.engine import Engine
from peer.eventlog import EventLog
from peer.ports import StoreBroken, StoreFull
from protocol import limits
from protocol.cards import PeerCard
from protocol.effects import (
    Deliver,
    Effect,
    Notice,
    Persist,
    PinBlobs,
    Render,
    Reply,
    SendDatagram,
    SendStream,
    StopTask,
    UnpinJob,
)
from protocol.errors import NotFound, Unavailable
from protocol.events import (
    Booted,
    ControlAsked,
    DatagramReceived,
    DrainAsked,
    Event,
    GraceEnded,
    LocateAsked,
    SeedsFound,
    StreamFailed,
    StreamReceived,
    SubmitAsked,
    UndrainAsked,
)
from protocol.ids import Address, AuthorId, JobId, PeerId, RequestId, TaskId, Ticket
from protocol.jobs.manifest import EMPTY
from protocol.jobs.spec import JobSpec, RenderSettings
from protocol.kernel import Now
from protocol.membership.options import LAN
from protocol.node import Node, NodeOptions
from protocol.records import PutValue
from protocol.wire.gossip import Ping
from protocol.wire.work import Wake
from tests.fakes.memory_store import MemoryBlobs, digest_of
from tests.fakes.shell import RecordingHands, ScriptedNode, StallingJournal
from tests.waiting import wait_until

THERE = Address("127.0.0.1", 7701)
PEER = PeerId("ab" * 32)
JOB = JobId("cd" * 16)
WAKE = SendStream(PEER, THERE, Wake(JOB))
URGENT = SendStream(PEER, THERE, Ping(1, PEER), urgent=True)
DATAGRAM = SendDatagram(THERE, PEER, (Ping(2, PEER),))
RENDER = Render(TaskId("t1"), 0, JOB, EMPTY, RenderSettings(renderer="null"), 7, None, "shot")
NOTICE = Notice("job_accepted", job=JOB)
STOP = StopTask(TaskId("t1"))


def real_node() -> Node:
    me, here = PeerId("01" * 32), Address("127.0.0.1", 7700)
    return Node(
        NodeOptions(
            me=me, author=AuthorId("02" * 8), run_epoch=1, address=here, mesh_port=7701, nonce=bytes(8), token=lambda: 5,
            seed=3, card=PeerCard(name="oak"), swim=LAN,
        )
    )  # fmt: skip


def put(key: str) -> Persist:
    return Persist((PutValue(key, b"value"),))


@dataclass(slots=True)
class Bench:
    """An engine that runs, and everything round it."""

    node: ScriptedNode
    journal: StallingJournal
    blobs: MemoryBlobs
    hands: RecordingHands
    engine: Engine
    running: list[asyncio.Task[None]] = field(default_factory=list)

    def says(self, *effects: Effect) -> None:
        """The node answers the next event, which comes now, with these effects."""
        self.node.script.append(list(effects))
        self.engine.tell(UndrainAsked())

    async def asked(self, *effects_before_reply: Effect, value: object = "yes") -> object:
        """A client asks; the node answers with a Reply after these effects."""

        def make(request: RequestId) -> Event:
            self.node.script.append([*effects_before_reply, Reply(request, value)])
            return ControlAsked(request, JobId("ab" * 16), "pause")

        return await self.engine.ask(make)

    async def start(self) -> None:
        self.running.append(asyncio.create_task(self.engine.run(self.hands, Booted((), {}))))
        await wait_until(lambda: self.node.heard)
        self.node.heard.clear()


def make_bench(folder: Path) -> Bench:
    node, journal, blobs = ScriptedNode(), StallingJournal(), MemoryBlobs(folder)
    engine = Engine(node=cast(Node, node), journal=journal, blobs=blobs, log=EventLog(1), trace_dir=folder)
    return Bench(node, journal, blobs, RecordingHands(), engine)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = make_bench(tmp_path)
    await made.start()
    yield made
    for task in made.running:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is tried again at once."""
    monkeypatch.setattr(engine_module, "STORE_RETRY_S", 0.0)


# persist, then speak


async def test_what_promises_something_waits_until_it_is_durable(bench: Bench):
    bench.journal.stall()
    bench.says(put("a"), WAKE)
    await wait_until(lambda: bench.journal.waiting)
    assert bench.hands.done == []
    bench.journal.resume()
    await wait_until(lambda: bench.hands.done == [WAKE])
    assert await bench.journal.values() == {"a": b"value"}


async def test_no_file_is_delivered_before_the_commit_of_its_frame_is_durable(bench: Bench):
    """A crash in between would leave a frame in the root that nobody has committed, in the way of the one that is."""
    delivery = Deliver(Ticket("carry"), JobId("ab" * 16), "farm", "", sweep=False, parcels=())
    bench.journal.stall()
    bench.says(put("a"), delivery)
    await wait_until(lambda: bench.journal.waiting)
    assert bench.hands.done == []
    bench.journal.resume()
    await wait_until(lambda: bench.hands.done == [delivery])


async def test_a_reply_waits_until_it_is_durable(bench: Bench):
    bench.journal.stall()
    answer = asyncio.create_task(bench.asked(put("a")))
    await wait_until(lambda: bench.journal.waiting)
    assert not answer.done()
    bench.journal.resume()
    assert await answer == "yes"


async def test_what_promises_nothing_never_waits_for_the_disk(bench: Bench):
    bench.journal.stall()
    bench.says(put("a"), DATAGRAM, URGENT, RENDER, NOTICE, STOP)
    await wait_until(lambda: len(bench.hands.done) == 5)
    assert bench.hands.done == [DATAGRAM, URGENT, RENDER, NOTICE, STOP]
    assert bench.journal.waiting == 1


async def test_a_stalled_disk_delays_no_send_of_membership(bench: Bench):
    bench.journal.stall()
    bench.says(put("a"), WAKE)
    await wait_until(lambda: bench.journal.waiting)
    for _ in range(100):
        bench.says(put("more"), DATAGRAM)
    await wait_until(lambda: bench.hands.done.count(DATAGRAM) == 100)
    assert WAKE not in bench.hands.done


async def test_without_anything_to_persist_nothing_waits(bench: Bench):
    bench.says(WAKE)
    await wait_until(lambda: bench.hands.done == [WAKE])
    assert bench.journal.commits == 0


async def test_what_is_said_later_is_not_said_before_what_waits(bench: Bench):
    later = SendStream(PEER, THERE, Wake(JobId("ee" * 16)))
    bench.journal.stall()
    bench.says(put("a"), WAKE)
    await wait_until(lambda: bench.journal.waiting)
    bench.says(later)
    await wait_until(lambda: len(bench.node.heard) == 2)
    bench.journal.resume()
    await wait_until(lambda: len(bench.hands.done) == 2)
    assert bench.hands.done == [WAKE, later]


async def test_steps_that_come_while_a_commit_is_under_way_share_the_next(bench: Bench):
    bench.journal.stall()
    bench.says(put("first"))
    await wait_until(lambda: bench.journal.waiting)
    for number in range(50):
        bench.says(put(f"k{number}"), WAKE)
    await wait_until(lambda: len(bench.node.heard) == 51)
    bench.journal.resume()
    await wait_until(lambda: len(bench.hands.done) == 50)
    assert bench.hands.commits == [1, 50]


async def test_bytes_are_pinned_before_the_fact_that_speaks_of_them_and_let_go_after_it_is_gone(bench: Bench):
    digest = digest_of(b"scene")
    bench.journal.stall()
    bench.says(put("accepted"), PinBlobs(JOB, (digest,)))
    await wait_until(lambda: bench.journal.waiting)
    assert bench.blobs.pins == {JOB: {digest}}
    bench.says(put("forgotten"), UnpinJob(JOB), WAKE)
    bench.journal.resume()
    await wait_until(lambda: bench.hands.done == [WAKE])
    assert bench.blobs.pins == {}


async def test_a_job_that_comes_back_after_it_was_let_go_keeps_its_pins(bench: Bench):
    digest = digest_of(b"scene")
    bench.says(put("gone"), UnpinJob(JOB), put("again"), PinBlobs(JOB, (digest,)), WAKE)
    await wait_until(lambda: bench.hands.done == [WAKE])
    assert bench.blobs.pins == {JOB: {digest}}


# the disk


async def test_a_full_disk_refuses_whoever_waits_and_goes_on_when_there_is_space(bench: Bench, hasty: None):
    bench.journal.fault = StoreFull("no space")
    with pytest.raises(Unavailable) as refused:
        await bench.asked(put("a"))
    assert (refused.value.code, refused.value.retry_after_s) == ("store_full", 30)
    assert isinstance(bench.engine.store_error, StoreFull)
    bench.says(WAKE)
    bench.journal.fault = None
    await wait_until(lambda: bench.hands.done == [WAKE])
    assert bench.engine.store_error is None
    assert len(bench.hands.store_said) == 2
    assert bench.hands.store_said[-1] is None
    assert await bench.asked(put("b")) == "yes"


async def test_a_refusal_that_waits_is_told_as_it_is_when_the_disk_is_full(bench: Bench, hasty: None):
    bench.journal.fault = StoreFull("no space")
    asked = asyncio.create_task(bench.asked(put("a"), value=NotFound("no_such_job", "nobody knows it")))
    await wait_until(lambda: bench.engine.store_error)
    bench.journal.fault = None
    with pytest.raises(NotFound):
        await asked


async def test_what_waits_for_others_is_refused_too_when_the_disk_is_full_but_not_what_needs_no_disk(bench: Bench, hasty: None):
    """An acceptance is answered when other peers hold it; they hear of it only after this peer's own disk has it."""
    bench.node.script.append([put("a")])
    waiting = asyncio.create_task(bench.engine.ask(lambda request: ControlAsked(request, JobId("ab" * 16), "pause")))
    bench.node.script.append([])
    looking = asyncio.create_task(bench.engine.ask(lambda request: LocateAsked(request, "job")))
    await wait_until(lambda: len(bench.node.heard) == 2)
    bench.journal.fault = StoreFull("no space")
    bench.says(put("b"))
    with pytest.raises(Unavailable, match="no space"):
        await waiting
    assert not looking.done()
    looking.cancel()
    bench.journal.fault = None


async def test_a_full_disk_does_not_silence_membership(bench: Bench, hasty: None):
    bench.journal.fault = StoreFull("no space")
    bench.says(put("a"), WAKE)
    await wait_until(lambda: bench.engine.store_error)
    bench.says(DATAGRAM)
    await wait_until(lambda: bench.hands.done == [DATAGRAM])


async def test_while_the_disk_stalls_peers_are_pushed_back_before_too_much_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "GATE_EFFECTS_MAX", 10)
    bench.journal.stall()
    bench.says(put("a"), *[WAKE] * 9)
    await wait_until(lambda: bench.journal.waiting)
    assert not bench.engine.offer(StreamReceived(PEER, Wake(JOB)))
    assert bench.engine.offer(DatagramReceived(PEER, THERE, True, ()))
    bench.says(WAKE)
    await wait_until(lambda: StreamFailed(PEER, Wake(JOB), refused=False) in bench.node.heard)
    bench.journal.resume()
    await wait_until(lambda: bench.engine.offer(StreamReceived(PEER, Wake(JOB))))
    assert bench.hands.done == [WAKE] * 9


async def test_a_broken_disk_ends_the_run_and_nothing_that_waited_is_said(bench: Bench):
    bench.journal.fault = StoreBroken("input/output error")
    bench.says(put("a"), WAKE)
    with pytest.raises(BaseExceptionGroup) as ended:
        await bench.running[0]
    assert ended.group_contains(StoreBroken)
    assert bench.hands.done == []
    assert isinstance(bench.hands.store_said[0], StoreBroken)


# the loop


async def test_under_a_flood_a_deadline_is_met_before_the_events_that_wait(bench: Bench):
    asked_at: list[int] = []

    def due(now: Now) -> list[Effect]:
        asked_at.append(len(bench.node.heard))
        bench.node.deadline = now.monotonic_s if len(asked_at) < 5 else None
        return []

    bench.node.due, bench.node.deadline = due, 0.0
    for _ in range(1_000):
        bench.engine.tell(GraceEnded())
    await wait_until(lambda: len(bench.node.heard) == 1_005)
    assert asked_at == [1, 2, 3, 4, 5]


async def test_a_deadline_is_met_without_any_event(bench: Bench):
    bench.node.deadline = 0.0
    bench.engine.tell(UndrainAsked())
    await wait_until(lambda: bench.node.heard == ["deadline", UndrainAsked()])


async def test_a_flood_leaves_the_loop_to_others(bench: Bench):
    for _ in range(10 * limits.EVENTS_PER_TURN_MAX):
        bench.engine.tell(GraceEnded())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < len(bench.node.heard) < 10 * limits.EVENTS_PER_TURN_MAX


async def test_the_network_is_pushed_back_when_the_inbox_is_full_and_completions_never(tmp_path: Path):
    bench = make_bench(tmp_path)
    for _ in range(limits.INBOX_EVENTS_MAX):
        assert bench.engine.offer(SeedsFound(()))
    assert not bench.engine.offer(SeedsFound(()))
    bench.engine.tell(DrainAsked(leave=False))
    await bench.start()
    await wait_until(lambda: bench.node.heard[-1:] == [DrainAsked(leave=False)])
    bench.running[0].cancel()


async def test_events_reach_the_node_in_the_order_in_which_they_came(bench: Bench):
    events = [SeedsFound((Address("127.0.0.1", port),)) for port in range(1, 200)]
    for event in events:
        bench.engine.tell(event)
    await wait_until(lambda: len(bench.node.heard) == len(events))
    assert bench.node.heard == events


async def test_a_real_node_answers_a_ping_while_its_disk_stalls_and_a_client_only_afterwards(tmp_path: Path):
    journal, hands = StallingJournal(), RecordingHands()
    engine = Engine(node=real_node(), journal=journal, blobs=MemoryBlobs(tmp_path), log=EventLog(1), trace_dir=tmp_path)
    running = asyncio.create_task(engine.run(hands, Booted((), {})))
    journal.stall()
    spec = JobSpec(renderer="null", frames="1-3")
    asked = asyncio.create_task(engine.ask(lambda request: SubmitAsked(request, spec, EMPTY, "me", "key")))
    await wait_until(lambda: journal.waiting)
    engine.offer(DatagramReceived(PEER, THERE, True, (Ping(77, engine.node.me),)))
    await wait_until(lambda: any(isinstance(one, SendDatagram) and one.address == THERE for one in hands.done))
    assert not asked.done()
    journal.resume()
    assert (await asked).created
    running.cancel()


# asking


async def test_an_ask_that_is_refused_raises_the_refusal(bench: Bench):
    with pytest.raises(NotFound) as refused:
        await bench.asked(value=NotFound("no_such_job", "nobody knows it"))
    assert refused.value.code == "no_such_job"


async def test_an_ask_that_nobody_answers_times_out_and_its_late_answer_harms_nobody(bench: Bench):
    requests: list[RequestId] = []

    def make(request: RequestId) -> Event:
        requests.append(request)
        return LocateAsked(request, "job")

    with pytest.raises(Unavailable) as refused:
        await bench.engine.ask(make, timeout_s=0)
    assert refused.value.code == "timeout"
    bench.says(Reply(requests[0], "late"))
    assert await bench.asked() == "yes"


async def test_a_client_that_has_gone_leaves_nothing_behind(bench: Bench):
    bench.journal.stall()
    asked = asyncio.create_task(bench.asked(put("a")))
    await wait_until(lambda: bench.journal.waiting)
    asked.cancel()
    await asyncio.wait([asked])
    bench.journal.resume()
    assert await bench.asked() == "yes"


# the trace


def read_trace(path: Path) -> list[Any]:
    return list(pickle.loads(path.read_bytes()).steps)


async def test_the_trace_holds_each_step_with_its_event_and_effects(bench: Bench):
    bench.says(DATAGRAM, NOTICE)
    await wait_until(lambda: len(bench.hands.done) == 2)
    rows = read_trace(bench.engine.dump_trace("asked"))
    assert [(number, event, effects) for number, _, event, effects in rows] == [
        (1, Booted((), {}), []),
        (2, UndrainAsked(), [DATAGRAM, NOTICE]),
    ]
    assert rows[0][1].monotonic_s <= rows[1][1].monotonic_s


async def test_the_trace_keeps_the_last_steps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "TRACE_STEPS_KEPT", 5)
    bench = make_bench(tmp_path)
    await bench.start()
    for _ in range(20):
        bench.engine.tell(UndrainAsked())
    await wait_until(lambda: len(bench.node.heard) == 20)
    assert [row[0] for row in read_trace(bench.engine.dump_trace("asked"))] == [17, 18, 19, 20, 21]
    bench.running[0].cancel()


async def test_a_machine_that_raises_leaves_its_trace_and_ends_the_run(bench: Bench, tmp_path: Path):
    def due(_now: Now) -> list[Effect]:
        raise AssertionError("our own mistake")

    bench.says(NOTICE)
    await wait_until(lambda: bench.hands.done)
    bench.node.due, bench.node.deadline = due, 0.0
    bench.engine.tell(UndrainAsked())
    with pytest.raises(BaseExceptionGroup) as ended:
        await bench.running[0]
    assert ended.group_contains(AssertionError, match="our own mistake")
    [path] = tmp_path.glob("trace-crash-*")
    said, broke = read_trace(path)[-2:]
    assert said[3] == [NOTICE]
    assert broke[2:] == (UndrainAsked(), []) or broke[2:] == (None, [])


async def test_a_trace_that_cannot_be_kept_does_not_hide_the_mistake(bench: Bench, tmp_path: Path):
    def due(_now: Now) -> list[Effect]:
        raise AssertionError("our own mistake")

    tmp_path.joinpath("gone").mkdir()
    bench.engine._trace_dir = tmp_path / "nowhere"
    bench.node.due, bench.node.deadline = due, 0.0
    bench.engine.tell(UndrainAsked())
    with pytest.raises(BaseExceptionGroup) as ended:
        await bench.running[0]
    assert ended.group_contains(AssertionError, match="our own mistake")
