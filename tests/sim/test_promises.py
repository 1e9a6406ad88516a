"""A control that is not durable when it is answered is seen; what a disk loses unheard is no lie of others."""

from __future__ import annotations

import pytest

from protocol.effects import Reply
from protocol.events import ControlAsked
from protocol.ids import JobId, RequestId
from protocol.ledger.facts import Control, Fact
from tests.sim.promises import ControlsAreDurable, Seen
from tests.sim.test_checkers import owner_of
from tests.sim.world import Unsafe, World, runs_known_to

REQUEST = RequestId("c1")


def test_a_control_that_one_disk_knows_of_is_seen(quiet: tuple[World, list[JobId]], monkeypatch: pytest.MonkeyPatch):
    world, jobs = quiet
    checker = ControlsAreDurable(world)
    for job in jobs:
        host = owner_of(world, job)
        assert host.node is not None
        fold, spec, view = host.node.ledger.fold(job), host.node.spec(job), host.node.job(job)
        assert fold is not None
        assert view is not None
        if spec is None or spec.durability != "two":
            continue
        fact = Fact(job, host.node.author, 999, Control("paused", "1", fold.fence, 1, 1))
        monkeypatch.setitem(fold.log, host.node.author, [*fold.log[host.node.author], fact])
        checker.stepped(host, ControlAsked(REQUEST, job, "pause"), [Reply(REQUEST, view)])
        monkeypatch.setitem(host.disk.facts[job], (fact.author, fact.seq), fact)
        with pytest.raises(Unsafe, match="that is on 1 disks"):
            checker.replied(host, REQUEST, view)
        other = next(one for one in world.hosts if one is not host)
        monkeypatch.setitem(other.disk.facts.setdefault(job, {}), (fact.author, fact.seq), fact)
        checker.replied(host, REQUEST, view)
        return
    raise AssertionError("no job asked for two copies")


def test_another_disk_excuses_whoever_cannot_have_heard_of_it(quiet: tuple[World, list[JobId]], monkeypatch: pytest.MonkeyPatch):
    world, _ = quiet
    one, other = world.hosts[:2]
    before = Seen(1, runs_known_to(one))
    assert not other.lost_unknown_to(before.runs)
    monkeypatch.setattr(other, "stores", 2)
    monkeypatch.setattr(other, "renewed_run", 2)
    assert other.lost_unknown_to(before.runs)
    assert not other.lost_unknown_to({other.peer: 2})
