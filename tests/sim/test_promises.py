"""A control that is not durable when it is answered is seen; what a disk loses unheard is no lie of others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.effects import Reply
from protocol.events import ControlAsked
from protocol.ids import Digest, JobId, RequestId
from protocol.jobs.manifest import ManifestEntry, make_manifest
from protocol.ledger.facts import Accepted, Control, Fact
from protocol.views import Submitted
from tests.sim.checker import HEARD_S
from tests.sim.network import Network
from tests.sim.promises import AcceptedIsNeverLost, AcceptedOnEnoughDisks, ControlsAreDurable, Seen
from tests.sim.test_checkers import owner_of
from tests.sim.world import Unsafe, World, runs_known_to

REQUEST = RequestId("c1")
SCENE = ManifestEntry("scene.blend", Digest("5c" * 32), 1)


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


def test_a_scene_that_is_on_fewer_disks_than_was_said_is_seen_unless_one_rots_where_nobody_can_say_so(
    quiet: tuple[World, list[JobId]], monkeypatch: pytest.MonkeyPatch
):
    world, jobs = quiet
    owner, digest = owner_of(world, jobs[0]), SCENE.digest
    assert owner.node is not None
    view, holding = owner.node.job(jobs[0]), [host for host in world.hosts if jobs[0] in host.disk.facts]
    assert view is not None
    for host in holding:
        kept = {key: _with_scene(fact) for key, fact in host.disk.facts[jobs[0]].items()}
        monkeypatch.setitem(host.disk.facts, jobs[0], kept)
        monkeypatch.setitem(host.disk.blobs, digest, 1)
    said, checker = Submitted(view, len(holding), created=True), AcceptedOnEnoughDisks(world, AcceptedIsNeverLost(world))
    checker.stepped(owner, None, [Reply(REQUEST, said)])
    checker.replied(owner, REQUEST, said)
    rotten = next(host for host in holding if host is not owner)
    monkeypatch.delitem(rotten.disk.blobs, digest)
    monkeypatch.setitem(rotten.dropped, digest, world.at - HEARD_S - 0.1)
    with pytest.raises(Unsafe, match=f"says that {said.copies} peers hold"):
        checker.replied(owner, REQUEST, said)
    with monkeypatch.context() as patch:
        patch.setattr(Network, "calm_since", lambda network, one, other: world.at - HEARD_S + 0.1)
        checker.replied(owner, REQUEST, said)
    monkeypatch.setitem(rotten.dropped, digest, world.at - HEARD_S + 0.1)
    checker.replied(owner, REQUEST, said)


def _with_scene(fact: Fact) -> Fact:
    if not isinstance(fact.body, Accepted):
        return fact
    return replace(fact, body=replace(fact.body, manifest=make_manifest(SCENE.name, [SCENE])))


def test_another_disk_excuses_whoever_cannot_have_heard_of_it(quiet: tuple[World, list[JobId]], monkeypatch: pytest.MonkeyPatch):
    world, _ = quiet
    one, other = world.hosts[:2]
    before = Seen(1, runs_known_to(one))
    assert not other.lost_unknown_to(before.runs)
    monkeypatch.setattr(other, "stores", 2)
    monkeypatch.setattr(other, "renewed_run", 2)
    assert other.lost_unknown_to(before.runs)
    assert not other.lost_unknown_to({other.peer: 2})
