"""Each checker of facts and bytes bites."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol.effects import Notice, Persist, SendStream
from protocol.ids import AuthorId, Fence, JobId, LeaseId
from protocol.ledger.facts import Closed, Fact, FrameEnded, Retried
from protocol.records import PutFact
from protocol.wire.work import Facts, FactsHeld, Report, Reported, WorkMessage
from tests.sim.commits import (
    ClosedIsComplete,
    ClosedIsSafe,
    FactsAreOne,
    HoldsWhatItSays,
    Outcome,
    RenderedAgainOnlyIfLost,
    ThankedIsCommitted,
    WinnerChangesAreTold,
    WinnersAreRight,
)
from tests.sim.test_checkers import a_frame, owner_of
from tests.sim.world import Host, Unsafe, World

Quiet = tuple[World, list[JobId]]


def to(host: Host, message: WorkMessage) -> SendStream:
    return SendStream(host.peer, host.address, message)


def ended(fact: Fact) -> FrameEnded:
    assert isinstance(fact.body, FrameEnded)
    return fact.body


def test_a_changed_winner_that_is_not_told_is_seen_and_one_that_has_not_changed(quiet: Quiet):
    world, jobs = quiet
    host, fact = a_frame(world, jobs)
    winner = ended(fact)
    rival = replace(fact, body=replace(winner, attempt=replace(winner.attempt, epoch=0)))
    told = Notice("winner_changed", "info", fact.job, {"frame": winner.frame})
    checker = WinnerChangesAreTold(world)
    checker.stepped(host, host.disk.booted(), [])
    checker.stepped(host, None, [Persist((PutFact(fact),))])
    with pytest.raises(Unsafe, match="have changed, and those of \\[\\] have"):
        checker.stepped(host, None, [told])
    checker.stepped(host, None, [Persist((PutFact(rival),)), told])
    checker.stepped(host, host.disk.booted(), [])
    with pytest.raises(Unsafe, match=f"and those of \\[{winner.frame}\\] have"):
        checker.stepped(host, None, [Persist((PutFact(rival),))])


def own(host: Host, job: JobId, body: Any) -> Persist:
    """The host's node writes one more fact of its own."""
    assert host.node is not None
    return Persist((PutFact(Fact(job, host.node.author, 999, body)),))


def test_another_fact_under_the_same_number_is_seen(quiet: Quiet):
    world, jobs = quiet
    host, fact = a_frame(world, jobs)
    checker = FactsAreOne(world)
    checker.stepped(host, None, [Persist((PutFact(fact), PutFact(replace(fact))))])
    other = replace(fact, body=replace(ended(fact), wall_ms=1))
    with pytest.raises(Unsafe, match="another fact"):
        checker.stepped(world.hosts[0], None, [Persist((PutFact(other),))])


def test_a_winner_that_another_result_should_beat_is_seen(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    host, fact = a_frame(world, jobs)
    assert host.node is not None
    fold = host.node.ledger.fold(fact.job)
    assert fold is not None
    checker = WinnersAreRight(world)
    checker.committed(host, [Persist((PutFact(fact),))])
    late = replace(ended(fact), attempt=replace(ended(fact).attempt, counter=2**62))
    monkeypatch.setattr(fold, "winners", {**fold.winners, late.frame: late})
    with pytest.raises(Unsafe, match=f"frame {late.frame} of"):
        checker.committed(host, [Persist((PutFact(fact),))])


def test_facts_and_bytes_that_are_said_to_be_held_and_are_not_are_seen(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    host, fact = a_frame(world, jobs)
    checker = HoldsWhatItSays(world)
    known = ((fact.author, fact.seq),)
    checker.leaving(host, to(host, FactsHeld(fact.job, known, known)))
    for message in (FactsHeld(fact.job, ((fact.author, 999),), ()), Facts(fact.job, (), ((fact.author, 999),), replicate=True)):
        with pytest.raises(Unsafe, match="and lacks"):
            checker.leaving(host, to(host, message))
        with monkeypatch.context() as patch:  # what was so when it was said may be gone with the whole job when it leaves
            patch.setitem(host.forgot, fact.job, world.at)
            checker.leaving(host, to(host, message))
    monkeypatch.setattr(host.disk, "blobs", {})
    with pytest.raises(Unsafe, match="is safe there and lacks"):
        checker.leaving(host, to(host, FactsHeld(fact.job, known, known)))


def test_thanks_for_a_frame_that_is_not_done_on_the_disk_are_seen(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    host, fact = a_frame(world, jobs)
    done = ended(fact)
    checker = ThankedIsCommitted(world)
    report = Report(LeaseId("l"), fact.job, done.frame, done.generation, done.attempt, done.result)
    worker, thanks = world.hosts[-1], Reported(fact.job, done.attempt)
    checker.leaving(worker, to(host, report))
    checker.leaving(host, to(worker, thanks))
    assert host.node is not None
    fold = host.node.ledger.fold(fact.job)
    assert fold is not None
    monkeypatch.setattr(fold, "closed", None)
    checker.leaving(host, to(worker, thanks))
    others = {key: one for key, one in host.disk.facts[fact.job].items() if one != fact}
    monkeypatch.setitem(host.disk.facts, fact.job, others)
    with pytest.raises(Unsafe, match="not done on its disk"):
        checker.leaving(host, to(worker, thanks))


def test_a_job_that_is_closed_too_early_is_seen(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    _, fact = a_frame(world, jobs)
    host, frame = owner_of(world, fact.job), ended(fact).frame
    assert host.node is not None
    fold = host.node.ledger.fold(fact.job)
    assert fold is not None
    closing = own(host, fact.job, Closed("completed", fold.fence, 0, 1))
    ClosedIsComplete(world).stepped(host, None, [closing])
    ClosedIsSafe(world).stepped(host, None, [closing])
    with monkeypatch.context() as patch:
        patch.setitem(fold.log, fact.author, [*fold.log[fact.author], replace(fact, body=Retried(str(frame), 7, 1))])
        with pytest.raises(Unsafe, match=f"frame {frame} is open"):
            ClosedIsComplete(world).stepped(host, None, [closing])
    for other in world.hosts:
        if other is not host:
            monkeypatch.setattr(other.disk, "blobs", {})
    with pytest.raises(Unsafe, match="is on 1 of 2 disks"):
        ClosedIsSafe(world).stepped(host, None, [closing])
    heirs = own(host, fact.job, Closed("completed", Fence(fold.fence.epoch + 1, host.peer), 0, 1))
    with pytest.raises(Unsafe, match="is on 1 of 2 disks"):
        ClosedIsSafe(world).stepped(host, None, [heirs])
    said = replace(fact, author=AuthorId("e" * 16), seq=1, body=Closed("completed", fold.fence, 0, 1))
    monkeypatch.setitem(host.disk.facts, fact.job, {**host.disk.facts[fact.job], (said.author, 1): said})
    ClosedIsSafe(world).stepped(host, None, [heirs])
    with pytest.raises(Unsafe, match="is on 1 of 2 disks"):
        ClosedIsSafe(world).stepped(host, None, [own(host, fact.job, Closed("completed", fold.fence, 0, 2))])


def test_the_checkers_own_word_on_frames_is_that_of_the_fold(quiet: Quiet):
    world, jobs = quiet
    for job in jobs:
        node = owner_of(world, job).node
        assert node is not None
        fold = node.ledger.fold(job)
        assert fold is not None
        outcome = Outcome(fold)
        assert outcome.winners == fold.winners
        assert [frame for frame in fold.frames or () if outcome.done(frame)] == [
            one for one in fold.frames or () if fold.is_done(one)
        ]


def test_a_frame_that_is_wanted_again_though_somebody_has_it_is_seen(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    host, fact = a_frame(world, jobs)
    checker, frame, lost = RenderedAgainOnlyIfLost(world), ended(fact).frame, Notice("frames_lost", "warning", fact.job)
    again = own(host, fact.job, Retried(str(frame), ended(fact).generation + 1, 1))
    checker.stepped(host, None, [again])  # a person wants it
    with pytest.raises(Unsafe, match=f"wants frame {frame} of"):
        checker.stepped(host, None, [again, lost])
    for one in world.hosts:
        monkeypatch.setattr(one.disk, "damaged", dict.fromkeys(one.disk.blobs))
    checker.stepped(host, None, [again, lost])
