"""A real node and engine over an in-memory store, seen as the web layer sees them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from peer.engine import Engine
from peer.eventlog import EventLog
from peer.meshview import EngineMesh
from peer.ports import StoreFull
from protocol.cards import PeerCard
from protocol.errors import Conflict, NotFound, Unavailable
from protocol.events import Booted, HealthChanged, RenderersFound
from protocol.ids import Address, AuthorId, Digest, JobId, PeerId
from protocol.jobs.manifest import EMPTY
from protocol.jobs.results import Capabilities
from protocol.jobs.spec import JobSpec
from protocol.membership.options import LAN
from protocol.node import Node, NodeOptions
from tests.fakes.memory_store import MemoryBlobs, MemoryJournal, digest_of
from tests.fakes.registry import FakeRegistry
from tests.fakes.shell import RecordingHands
from tests.waiting import wait_until

ME, PEER = PeerId("01" * 32), PeerId("ab" * 32)
SPEC = JobSpec(renderer="null", frames="1-3", name="shot")


class Fetcher:
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Digest, int, Sequence[PeerId]]] = []

    async def fetch(self, digest: Digest, size: int, holders: Sequence[PeerId]) -> None:
        self.asked.append((digest, size, holders))


class Bench:
    """A mesh of one peer that runs."""

    def __init__(self, folder: Path) -> None:
        here = Address("127.0.0.1", 7700)
        node = Node(
            NodeOptions(
                me=ME, author=AuthorId("02" * 8), run_epoch=1, address=here, mesh_port=7701, nonce=bytes(8), token=lambda: 5,
                seed=3, card=PeerCard(name="oak", slots_total=1, slots_free=1), swim=LAN,
            )
        )  # fmt: skip
        self.blobs, self.journal, self.log, self.fetcher = MemoryBlobs(folder), MemoryJournal(), EventLog(1), Fetcher()
        self.engine = Engine(node=node, journal=self.journal, blobs=self.blobs, log=self.log, trace_dir=folder)
        self.mesh = EngineMesh(
            engine=self.engine, log=self.log, blobs=self.blobs, fetcher=self.fetcher, settings=lambda: [("name", "oak", "flag")],
            registry=FakeRegistry(ME, "oak"),
        )  # fmt: skip


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    running = asyncio.create_task(made.engine.run(RecordingHands(), Booted((), {})))
    await wait_until(lambda: made.mesh.peers())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_job_is_accepted_and_seen_by_every_view(bench: Bench):
    submitted = await bench.mesh.submit(SPEC, EMPTY, submitter="me", key="one")
    job = submitted.job.id
    assert (submitted.created, submitted.job.name) == (True, "shot")
    assert [view.id for view in bench.mesh.jobs()] == [job]
    for text in (job, job[:8], "shot"):
        found = bench.mesh.job(text)
        assert found is not None
        assert found.id == job
        assert (await bench.mesh.locate(text)).id == job
    assert bench.mesh.where(job) == [ME]
    assert bench.mesh.spec(job) == SPEC
    assert bench.mesh.scene(job) == EMPTY
    assert bench.journal.commits > 0


async def test_the_same_key_is_the_same_job_and_another_specification_under_it_a_conflict(bench: Bench):
    first = await bench.mesh.submit(SPEC, EMPTY, submitter="me", key="one")
    again = await bench.mesh.submit(SPEC, EMPTY, submitter="me", key="one")
    assert (again.created, again.job.id) == (False, first.job.id)
    with pytest.raises(Conflict):
        await bench.mesh.submit(JobSpec(renderer="null", frames="1-4"), EMPTY, submitter="me", key="one")


async def test_a_peer_that_cannot_store_accepts_nothing(bench: Bench):
    bench.engine.store_error = StoreFull("no space")
    with pytest.raises(Unavailable) as refused:
        await bench.mesh.submit(SPEC, EMPTY, submitter="me", key="one")
    assert (refused.value.code, refused.value.retry_after_s) == ("store_full", 30)
    assert bench.mesh.jobs() == []


async def test_a_job_for_this_very_peer_is_refused_while_it_is_busy(bench: Bench):
    bench.engine.tell(RenderersFound((Capabilities("null", "1.0.0", "null", "null"),), ()))
    await wait_until(lambda: bench.mesh.busy() is None)
    await bench.mesh.submit(SPEC, EMPTY, submitter="me", key="one", on_this_peer=True)
    with pytest.raises(Unavailable) as refused:
        await bench.mesh.submit(SPEC, EMPTY, submitter="me", key="two", on_this_peer=True)
    assert refused.value.code == "busy"
    assert refused.value.retry_after_s is not None


async def test_a_job_that_nobody_knows_is_looked_for_and_then_not_found(bench: Bench):
    assert bench.mesh.job("ab" * 16) is None
    with pytest.raises(NotFound) as refused:
        await bench.mesh.locate("ab" * 16)
    assert refused.value.code == "no_such_job"
    with pytest.raises(NotFound):
        bench.mesh.spec(JobId("ab" * 16))
    with pytest.raises(NotFound):
        bench.mesh.scene(JobId("ab" * 16))


async def test_a_prefix_of_two_jobs_is_a_conflict_that_shows_them(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    views = [(await bench.mesh.submit(SPEC, EMPTY, submitter="me", key=key)).job for key in "ab"]
    monkeypatch.setattr(bench.engine.node.board, "matches", lambda _text: views)
    with pytest.raises(Conflict) as refused:
        bench.mesh.job("")
    assert refused.value.code == "ambiguous_job"
    assert views[0].id[:4] in refused.value.message
    assert bench.mesh.job("shot") is not None, "of one name, the newest"


async def test_a_control_is_answered_with_the_job_as_it_is_then(bench: Bench):
    job = (await bench.mesh.submit(SPEC, EMPTY, submitter="me", key="one")).job.id
    assert (await bench.mesh.control(job, "pause")).state == "paused"
    assert (await bench.mesh.control(job, "priority", value="80")).priority == 80
    assert (await bench.mesh.control(job, "cancel")).state == "cancelled"
    with pytest.raises(NotFound):
        await bench.mesh.control(JobId("ab" * 16), "cancel")


async def test_what_is_here_is_not_fetched_and_nobody_asks_itself(bench: Bench):
    await bench.mesh.fetch(bench.blobs.add(b"here"), 4, [PEER])
    assert bench.fetcher.asked == []
    await bench.mesh.fetch(digest_of(b"there"), 5, [ME, PEER])
    assert bench.fetcher.asked == [(digest_of(b"there"), 5, [PEER])]


async def test_draining_is_seen_and_taken_back(bench: Bench):
    await bench.mesh.drain(leave=False)
    await wait_until(lambda: bench.mesh.peers()[0].draining)
    await bench.mesh.undrain()
    await wait_until(lambda: not bench.mesh.peers()[0].draining)


async def test_checks_settings_and_events_are_those_of_this_peer(bench: Bench):
    bench.engine.tell(HealthChanged((("disk", "warning", "little is left"),)))
    await wait_until(lambda: ("disk", "warning", "little is left") in bench.mesh.checks())
    assert bench.mesh.settings() == [("name", "oak", "flag")]
    assert bench.mesh.me == ME
    assert [row async for row in bench.mesh.events(after=None, job=None, follow=False)] == []


async def test_a_peer_speaks_for_others_and_not_for_itself(bench: Bench):
    await bench.mesh.readmit(PEER)
    with pytest.raises(Conflict, match="speak for itself"):
        await bench.mesh.readmit(ME)
