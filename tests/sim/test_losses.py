"""A disk is replaced only where nothing is lost that cannot be made again, and the world knows what is gone."""

from __future__ import annotations

import pytest

from protocol.events import BlobLost
from protocol.ids import JobId
from tests.sim.losses import damage, damage_all, found_out, needed_blobs, roll_back, wipe
from tests.sim.test_checkers import a_frame
from tests.sim.world import World, runs_known_to

Quiet = tuple[World, list[JobId]]


@pytest.fixture
def restored(quiet: Quiet, monkeypatch: pytest.MonkeyPatch) -> Quiet:
    """The quiet world, whose first disks are put back after the test."""
    for host in quiet[0].hosts:
        for name in ("disk", "stores", "renewed_run", "lost_facts", "lost_blobs"):
            monkeypatch.setattr(host, name, getattr(host, name))
        monkeypatch.setattr(host, "lost_facts", {})
        monkeypatch.setattr(host, "lost_blobs", {})
    return quiet


def test_an_older_disk_counts_fewer_starts_and_lacks_what_came_since(restored: Quiet):
    world, jobs = restored
    host, fact = a_frame(world, jobs)
    earlier = host.disk.copied()
    earlier.facts = {}
    earlier.run -= 1
    known = runs_known_to(world.hosts[-1] if world.hosts[-1] is not host else world.hosts[0])
    assert roll_back(world, host, earlier)
    assert host.disk is earlier
    assert (fact.author, fact.seq) in host.lost_facts[fact.job]
    assert host.lost_blobs == {}
    assert host.lost_unknown_to(known)
    assert host.renewed_run == known[host.peer] + 1
    assert world.trace.counts["disks rolled back beyond a start"] == 1


def test_what_is_nowhere_else_keeps_a_disk_in_its_place(restored: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = restored
    host, _ = a_frame(world, jobs)
    disk = host.disk
    for other in world.hosts:
        if other is not host:
            monkeypatch.setattr(other.disk, "facts", {})
    assert not wipe(world, host)
    assert not roll_back(world, host, type(disk)(run=disk.run))
    assert host.disk is disk
    assert host.stores == 1
    assert roll_back(world, host, disk.copied()), "nothing is lacking on this one"


def test_the_last_copy_of_what_cannot_be_made_again_does_not_rot(restored: Quiet, monkeypatch: pytest.MonkeyPatch):
    world, jobs = restored
    host, _ = a_frame(world, jobs)
    digest = needed_blobs(host)[0]
    copies = world.holders(digest)
    assert len(copies) > 1
    for one in world.hosts:
        monkeypatch.setattr(one, "disk", one.disk.copied())
        monkeypatch.setattr(one, "dropped", {})
    assert [damage(world, one, digest) for one in copies] == [True] * (len(copies) - 1) + [False]
    assert world.holders(digest) == copies[-1:]
    assert not damage(world, copies[0], digest), "it is damaged already"
    assert damage_all(world, digest) == []
    assert digest in copies[0].disk.blobs, "nobody has looked"
    heard: list[object] = []
    monkeypatch.setattr(world, "tell", lambda host, event: heard.append(event))
    for _ in range(2):
        found_out(world, copies[0], digest)
    assert heard == [BlobLost(digest)]
    assert digest not in copies[0].disk.blobs
    assert copies[0].dropped == {digest: world.at}
