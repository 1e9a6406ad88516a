"""Each checker of fences, claims and takeovers bites."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest

from protocol.effects import Persist, SendStream
from protocol.ids import Fence, JobId
from protocol.ledger.facts import Fact, Owner
from protocol.records import PutFact
from protocol.wire.work import Granted
from tests.protocol.making import job_view, lease
from tests.sim.network import Network
from tests.sim.owners import FencesGrow, HeirsAreHeld, HeirsMerge
from tests.sim.test_checkers import owner_of
from tests.sim.world import Host, Unsafe, World

Quiet = tuple[World, list[JobId]]


def takes_over(heir: Host, job: JobId, fence: Fence, monkeypatch: pytest.MonkeyPatch) -> Persist:
    """The heir's node has written that it owns the job."""
    assert heir.node is not None
    fold = heir.node.ledger.fold(job)
    assert fold is not None
    fact = Fact(job, heir.node.author, 1 + len(fold.log.get(heir.node.author, ())), Owner(fence))
    monkeypatch.setitem(fold.log, heir.node.author, [*fold.log.get(heir.node.author, ()), fact])
    return Persist((PutFact(fact),))


def an_heir(world: World, jobs: list[JobId]) -> tuple[Host, JobId, Host]:
    """A peer that holds some job, the job, and its owner."""
    for job in jobs:
        owner = owner_of(world, job)
        for host in world.hosts:
            if host is not owner and host.node is not None and host.node.ledger.fold(job) is not None:
                return host, job, owner
    raise AssertionError("nobody keeps a copy")


def test_an_epoch_that_does_not_grow_is_seen(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    heir, job, owner = an_heir(world, jobs)
    assert heir.node is not None
    monkeypatch.setattr(heir.node.roster, "live", lambda: [heir.peer])
    with monkeypatch.context() as patch:
        FencesGrow(world).stepped(heir, None, [takes_over(heir, job, Fence(2, heir.peer), patch)])
    with pytest.raises(Unsafe, match=f"and Fence.epoch=1, peer='{owner.peer}'. owns it"):
        FencesGrow(world).stepped(heir, None, [takes_over(heir, job, Fence(1, heir.peer), monkeypatch)])


def test_a_takeover_from_somebody_who_is_there_is_seen(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    heir, job, _ = an_heir(world, jobs)
    with pytest.raises(Unsafe, match="which is there"):
        FencesGrow(world).stepped(heir, None, [takes_over(heir, job, Fence(2, heir.peer), monkeypatch)])


def test_who_succeeds_the_greater_owner_of_a_summary_is_judged_by_that_one(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    """Two have accepted the job. The one whose facts are here is there; the other, the greater, is known by its summary."""
    world, jobs = quiet
    heir, job, owner = an_heir(world, jobs)
    assert heir.node is not None
    greater = next(one for one in world.hosts if one not in (heir, owner))
    said = job_view(job, owner=greater.peer, epoch=2)
    for live, is_right in ([heir.peer, owner.peer], True), ([heir.peer, greater.peer], False):
        checker = FencesGrow(world)
        with monkeypatch.context() as patch:
            patch.setattr(heir.node.roster, "live", lambda live=live: live)
            patch.setitem(heir.node.ledger._heard, job, said)
            checker.stepped(heir, None, [])
            patch.delitem(heir.node.ledger._heard, job)  # it has published the job in the step in which it took it over
            taken = takes_over(heir, job, Fence(3, heir.peer), patch)
            with nullcontext() if is_right else pytest.raises(Unsafe, match="which is there"):
                checker.stepped(heir, None, [taken])


def test_an_heir_that_hands_out_work_too_early_is_seen(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    heir, job, owner = an_heir(world, jobs)
    fence = Fence(2, heir.peer)
    taken = takes_over(heir, job, fence, monkeypatch)
    grant = SendStream(owner.peer, owner.address, Granted(1, (replace(lease(1, owner=heir.peer, job=job), fence=fence),)))
    checker = HeirsAreHeld(world)
    checker.stepped(heir, None, [taken])
    with pytest.raises(Unsafe, match="and 0 know"):
        checker.stepped(heir, None, [grant])
    checker.stepped(heir, None, [taken])
    monkeypatch.setattr(world, "at", world.at + 60.0)
    checker.stepped(heir, None, [grant])


def test_an_heir_that_knows_less_than_whom_it_could_ask_is_seen(quiet: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    heir, job, owner = an_heir(world, jobs)
    checker = HeirsMerge(world)
    checker.committed(owner, [Persist(tuple(PutFact(fact) for fact in owner.disk.facts[job].values()))])
    monkeypatch.setattr(world, "at", world.at + 60.0)
    taken = takes_over(heir, job, Fence(2, heir.peer), monkeypatch)
    checker.stepped(heir, None, [taken])
    assert heir.node is not None
    fold = heir.node.ledger.fold(job)
    assert fold is not None
    author = max(fold.log, key=lambda one: len(fold.log[one]))
    monkeypatch.setitem(fold.log, author, fold.log[author][:1])
    with monkeypatch.context() as patch:
        patch.setattr(Network, "calm_since", lambda network, one, other: world.at)
        checker.stepped(heir, None, [taken])
    with pytest.raises(Unsafe, match=f"facts that {owner.name} holds"):
        checker.stepped(heir, None, [taken])
