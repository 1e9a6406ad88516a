"""Each checker bites: shown a world that is wrong, or a node with a mistake built in, it says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol.effects import Effect, Persist, Reply, SendStream
from protocol.ids import JobId, RequestId
from protocol.ledger.copies import Copies
from protocol.ledger.facts import Accepted, Body, Fact, FrameEnded
from protocol.ledger.ledger import Ledger
from protocol.records import ForgetJob, PutFact
from protocol.scheduling.reports import Reports
from protocol.views import Submitted
from protocol.wire.work import Granted
from tests.protocol.making import lease
from tests.sim import checkers
from tests.sim.campaign import Outcome, run
from tests.sim.checkers import QueuesAreBounded
from tests.sim.commits import CommittedBytesAreHeld, CommittedOnce
from tests.sim.faults import CALM, Faults
from tests.sim.liveness import demand, unfinished
from tests.sim.owners import OwnLeasesOnly
from tests.sim.promises import AcceptedIsNeverLost, AcceptedOnEnoughDisks
from tests.sim.world import Host, Stuck, Unsafe, World

STORMY = Faults(stream_break=0.1, loss=0.1, crash_every_s=4.0, restart_s=3.0, torn_commit=0.5, failpoint=0.01, disk_stall=0.02)


def owner_of(world: World, job: JobId) -> Host:
    host = world.hosts[0]
    assert host.node is not None
    view = host.node.job(job)
    assert view is not None
    return world.by_peer[view.owner]


def a_frame(world: World, jobs: list[JobId]) -> tuple[Host, Fact]:
    """Some frame that an owner has committed, as a fact on its disk."""
    for job in jobs:
        host = owner_of(world, job)
        for fact in host.disk.facts[job].values():
            if isinstance(fact.body, FrameEnded) and fact.body.result.outputs and world.authors[fact.author] == host.peer:
                return host, fact
    raise AssertionError("no frame was committed")


def test_a_quiet_world_is_finished_and_nothing_in_it_is_wrong(quiet: tuple[World, list[JobId]]):
    world, jobs = quiet
    assert jobs
    assert unfinished(world, jobs) is None


def test_a_job_that_is_on_no_disk_any_more_was_lost(quiet: tuple[World, list[JobId]], monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    checker = AcceptedIsNeverLost(world)
    checker.told(jobs[0])
    for host in world.hosts:
        monkeypatch.setattr(host.disk, "facts", {job: kept for job, kept in host.disk.facts.items() if job != jobs[0]})
    with pytest.raises(Unsafe, match="is on no disk"):
        checker.committed(world.hosts[0], [Persist((ForgetJob(jobs[0]),))])


def test_a_second_commit_of_a_frame_is_seen(quiet: tuple[World, list[JobId]]):
    world, jobs = quiet
    host, fact = a_frame(world, jobs)
    checker = CommittedOnce(world)
    checker.committed(host, [Persist((PutFact(fact),))])
    checker.committed(host, [Persist((PutFact(fact),))])  # the very same row again is no second commit
    with pytest.raises(Unsafe, match="twice"):
        checker.committed(host, [Persist((PutFact(replace(fact, seq=fact.seq + 100)),))])


def test_a_commit_without_bytes_is_seen(quiet: tuple[World, list[JobId]], monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    host, fact = a_frame(world, jobs)
    checker = CommittedBytesAreHeld(world)
    checker.stepped(host, None, [Persist((PutFact(fact),))])
    monkeypatch.setattr(host.disk, "blobs", {})
    with pytest.raises(Unsafe, match="without the bytes"):
        checker.stepped(host, None, [Persist((PutFact(fact),))])


def test_a_promise_of_copies_that_are_not_there_is_seen(quiet: tuple[World, list[JobId]]):
    world, jobs = quiet
    host = owner_of(world, jobs[0])
    assert host.node is not None
    view = host.node.job(jobs[0])
    assert view is not None
    checker = AcceptedOnEnoughDisks(world, AcceptedIsNeverLost(world))
    for copies in (2, 9):
        checker.stepped(host, None, [Reply(RequestId(f"r{copies}"), Submitted(view, copies, created=False))])
    checker.replied(host, RequestId("r2"), Submitted(view, 2, created=False))
    with pytest.raises(Unsafe, match="says that 9 peers hold"):
        checker.replied(host, RequestId("r9"), Submitted(view, 9, created=False))


def test_an_acceptance_on_one_disk_where_there_are_two_is_seen(quiet: tuple[World, list[JobId]]):
    world, jobs = quiet
    for job in jobs:
        host = owner_of(world, job)
        assert host.node is not None
        view, spec = host.node.job(job), host.node.spec(job)
        if view is not None and spec is not None and spec.durability == "two":
            checker = AcceptedOnEnoughDisks(world, AcceptedIsNeverLost(world))
            hasty = Submitted(view, 1, created=True)
            checker.stepped(host, None, [Reply(RequestId("r"), hasty)])
            with pytest.raises(Unsafe, match="on one peer"):
                checker.replied(host, RequestId("r"), hasty)
            return
    raise AssertionError("no job asked for two copies")


def test_a_lease_under_another_fence_or_of_an_ended_job_is_seen(quiet: tuple[World, list[JobId]]):
    world, jobs = quiet
    host = owner_of(world, jobs[0])
    checker = OwnLeasesOnly(world)

    def grant(given: Any) -> list[Effect]:
        return [SendStream(world.hosts[0].peer, host.address, Granted(1, (given,)))]

    with pytest.raises(Unsafe, match="under Fence"):
        checker.stepped(host, None, grant(lease(1, owner=world.hosts[-1].peer, job=jobs[0])))
    assert host.node is not None
    fold = host.node.ledger.fold(jobs[0])
    assert fold is not None
    with pytest.raises(Unsafe, match="has ended"):
        checker.stepped(host, None, grant(replace(lease(1, job=jobs[0]), fence=fold.fence)))


def test_a_queue_that_grows_is_seen(quiet: tuple[World, list[JobId]], monkeypatch: pytest.MonkeyPatch):
    world, _ = quiet
    monkeypatch.setattr(checkers, "GATE_MAX", 1)
    host = world.hosts[0]
    monkeypatch.setattr(host, "gate", [Reply(RequestId("r"), None)] * 2)
    with pytest.raises(Unsafe, match="wait for the disk"):
        QueuesAreBounded(world).stepped(host, None, [])


def test_whatever_is_left_over_is_named(quiet: tuple[World, list[JobId]], monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    host = world.hosts[1]
    assert host.node is not None
    assert "have not heard of it" in str(unfinished(world, [JobId("0" * 32)]))
    with monkeypatch.context() as patch:
        patch.setattr(host, "gate", [Reply(RequestId("r"), None)])
        assert "waits for its disk" in str(unfinished(world, jobs))
    with monkeypatch.context() as patch:
        patch.setattr(host.node.catalog, "_root", b"other")
        assert unfinished(world, jobs) == "catalogues differ"
    with monkeypatch.context() as patch:
        patch.setattr(host.node.thief, "_reports", {1: 1})
        with pytest.raises(AttributeError):
            unfinished(world, jobs)
    with monkeypatch.context() as patch:
        patch.setattr(host, "node", None)
        assert unfinished(world, jobs) == "p1 is down"


def test_what_never_happens_is_demanded_in_vain(quiet: tuple[World, list[JobId]]):
    world, _ = quiet
    with pytest.raises(Stuck, match="have not heard of it"):
        demand(world, [JobId("0" * 32)], within_s=4.0)


# Mistakes built into a node: somewhere in a few seeds the checkers must notice


def outcomes(faults: Faults, seeds: range) -> list[Outcome]:
    return [run(seed, peers=5, faults=faults, chaos_s=30.0) for seed in seeds]


def noticed(faults: Faults, kind: str, seeds: range = range(1, 9)) -> str:
    for outcome in outcomes(faults, seeds):
        if outcome.kind == kind:
            return outcome.message
    return ""


def test_a_peer_that_speaks_before_it_persists_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def hasty(world: World, host: Host, effect: Effect) -> None:
        if isinstance(effect, SendStream | Reply):
            world._perform(host, effect)
        else:
            dispatch(world, host, effect)

    dispatch = World._dispatch
    monkeypatch.setattr(World, "_dispatch", hasty)
    assert noticed(replace(STORMY, disk_stall=0.3), "safety") != ""


def test_an_owner_that_counts_what_it_has_merely_sent_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def gullible(copies: Copies, versions: Any, live: Any, *, with_bytes: bool) -> int:
        return sum(1 for peer in live if peer in copies.by_peer)

    monkeypatch.setattr(Copies, "count", gullible)
    assert "peers hold" in noticed(CALM, "safety")


def test_an_owner_that_commits_what_it_has_committed_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def doubled(ledger: Ledger, held: Any, bodies: list[Body], now: Any) -> Any:
        return append(ledger, held, [body for body in bodies for _ in range(1 + isinstance(body, FrameEnded))], now)

    append = Ledger._append
    monkeypatch.setattr(Ledger, "_append", doubled)
    assert "twice" in noticed(CALM, "safety")


def test_a_thief_that_reports_only_once_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Reports, "due", lambda reports, now_s, is_reachable: [])
    monkeypatch.setattr(Reports, "next_at", lambda reports, is_reachable: None)
    assert noticed(replace(CALM, stream_break=0.4), "liveness", range(1, 5)) != ""


def test_accepted_facts_are_what_a_promise_is_about(quiet: tuple[World, list[JobId]]):
    world, jobs = quiet
    host = owner_of(world, jobs[0])
    assert any(isinstance(fact.body, Accepted) for fact in host.disk.facts[jobs[0]].values())
