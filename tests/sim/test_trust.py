"""Who lies goes out, who rounds otherwise stays, and the checkers that say so bite."""

from __future__ import annotations

from random import Random

import pytest

from protocol.effects import Notice
from protocol.ids import JobId
from tests.sim.faults import Faults
from tests.sim.trust import UNDER_WAY, UNSEEN_MAX, HonestStayIn, LiarsAreOutInTime, run
from tests.sim.world import Unsafe, World

JOB = JobId("ab" * 16)


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_peer_that_lies_is_out_in_time_and_nobody_else(seed: int) -> None:
    world = run(seed)
    counts = world.trace.counts
    assert counts["audit_agreed"] > 0
    liars = [host for host in world.hosts if host.lies]
    made = sum(1 for host in world.hosts if host.node is not None and host.node.verdicts.against(liars[0].peer) is not None)
    assert made in (0, len(world.hosts))
    assert made or counts["audit_refuted"] == 0


def test_seeds_in_which_liars_were_found_are_not_rare() -> None:
    worlds = [run(seed) for seed in range(11, 17)]
    assert sum(world.trace.counts["audit_refuted"] > 0 for world in worlds) >= 3
    assert sum(world.trace.counts["frames_refuted"] for world in worlds) > 0
    assert sum(world.trace.counts["pictures compared"] for world in worlds) > 0  # peers of two levels were compared


def test_nobody_goes_out_where_nobody_lies() -> None:
    for seed in range(21, 24):
        counts = run(seed, liars=0).trace.counts
        assert counts["audit_agreed"] > 0
        assert counts["audit_refuted"] == counts["audit_undecided"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(31, 37))
def test_whatever_breaks_only_liars_go_out(seed: int) -> None:
    run(seed, faults=Faults.draw(Random(seed)))


def test_the_checkers_bite() -> None:
    world = World(1, peers=3)
    host, other = world.hosts[:2]
    with pytest.raises(Unsafe, match="never lied"):
        HonestStayIn(world).stepped(host, None, [Notice("peer_distrusted", "error", JOB, {"peer": other.peer, "reason": ""})])
    other.lies = True
    HonestStayIn(world).stepped(host, None, [Notice("peer_distrusted", "error", JOB, {"peer": other.peer, "reason": ""})])
    checker, too_many = LiarsAreOutInTime(world), int(UNSEEN_MAX + UNDER_WAY) + 1
    with pytest.raises(Unsafe, match="wrong frames"):
        checker.stepped(host, None, [Notice("frame_committed", job=JOB, fields={"by": other.peer})] * too_many)
