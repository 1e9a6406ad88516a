"""The promises of the ledger by their names, where no checker alone holds them: C3, C4, C7, C9 and C10. Time is virtual."""

from __future__ import annotations

from collections import Counter

import pytest

from protocol import limits
from protocol.effects import Effect, Render
from protocol.events import Event
from protocol.ids import JobId
from protocol.ledger.facts import FrameEnded
from protocol.ledger.fold import JobFold
from tests.sim.campaign import Trouble, build
from tests.sim.checker import authored
from tests.sim.faults import CALM, Faults
from tests.sim.liveness import demand
from tests.sim.test_failpoints import owner_of_an_open_job
from tests.sim.workload import Workload
from tests.sim.world import Host, World

SEEDS = range(2, 7)
STEP_S = 0.05


class Watched:
    """A small mesh, which frames its hosts begin to render, and when their owners commit one."""

    def __init__(self, seed: int, faults: Faults = CALM) -> None:
        self.world, self.workload, self.trouble = build(seed, peers=4, faults=faults)
        self.renders: Counter[tuple[JobId, int]] = Counter()
        self.commits: list[tuple[float, JobId]] = []
        self.world.on_step.append(self._stepped)

    def _stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        self.renders.update((effect.job, effect.frame) for effect in effects if isinstance(effect, Render))
        for fact in authored(host, effects):
            if isinstance(fact.body, FrameEnded) and fact.body.result.failure is None:
                self.commits.append((self.world.at, fact.job))

    def end(self) -> list[JobFold]:
        """All is well until every job has ended; the jobs as their owners know them."""
        all_ends(self.world, self.workload, self.trouble)
        folds = [fold for host in self.world.hosts if host.node for fold in host.node.ledger.folds() if owns(host, fold)]
        assert len(folds) == len(self.workload.clients)
        return folds


def all_ends(world: World, workload: Workload, trouble: Trouble) -> None:
    trouble.end()
    workload.all_well = True
    world.run_until(world.at + 10.0)
    demand(world, [client.job for client in workload.clients], within_s=300.0)


def owns(host: Host, fold: JobFold) -> bool:
    return fold.fence.peer == host.peer


def test_c3_every_frame_ends_as_done_or_failed_with_a_reason():
    failed = 0
    for seed in SEEDS:
        watched = Watched(seed, Faults(poison=0.2, memory=0.05, crash_every_s=10.0))
        watched.world.run_until(60.0)
        for fold in watched.end():
            for frame in () if fold.cancelled or fold.frames is None else fold.frames:
                assert fold.is_done(frame) != fold.is_failed(frame)
                if fold.is_failed(frame):
                    failed += 1
                    assert all(one.result.failure is not None and one.result.failure.reason for one in fold.failures[frame])
    assert failed


def test_c4_a_frame_that_is_rendered_more_than_once_is_committed_once():
    again = 0
    for seed in SEEDS:
        watched = Watched(seed, Faults(straggler=0.2, link_every_s=3.0, stream_break=0.05))
        watched.world.run_until(60.0)
        for fold in watched.end():
            done = Counter(
                (author, fact.body.frame, fact.body.generation)
                for author, facts in fold.log.items()
                for fact in facts
                if isinstance(fact.body, FrameEnded) and fact.body.result.failure is None
            )
            assert set(done.values()) <= {1}
            again += sum(number > 1 for (job, _), number in watched.renders.items() if job == fold.job)
    assert again


def a_worker_at_work(watched: Watched, owner: Host) -> Host | None:
    """Another host that has just begun a frame; None when there never is one."""
    world, before = watched.world, watched.world.at
    while world.at < before + 20.0:
        world.run_until(world.at + STEP_S)
        for host in world.up():
            if host is not owner and host.node is not None and host.node.thief._leases and host.node.thief._tasks:
                return host
    return None


def test_c7_a_worker_that_dies_costs_at_most_the_frames_that_it_had_in_hand():
    lost = 0
    for seed in SEEDS:
        watched = Watched(seed, Faults(straggler=0.3))
        worker = a_worker_at_work(watched, owner_of_an_open_job(watched.world))
        if worker is None:
            continue
        assert worker.node is not None
        in_hand = sum(len(held.lease.frames) for _, held in worker.node.thief._leases.values())
        before = sum(watched.renders.values()) - len(watched.renders)
        watched.world.crash(worker)
        watched.world.run_until(watched.world.at + 60.0)
        watched.end()
        again = sum(watched.renders.values()) - len(watched.renders) - before
        assert again <= in_hand
        lost += again
    assert lost


def test_c9_a_replica_that_was_cut_off_holds_everything_within_two_ledger_rounds():
    compared = 0
    for seed in SEEDS:
        watched = Watched(seed, Faults(straggler=0.2))
        world = watched.world
        owner = owner_of_an_open_job(world)
        assert owner.node is not None
        fold = next(one for one in owner.node.ledger.folds() if owns(owner, one) and len(one.replicas) > 1)
        replica = world.by_peer[next(peer for peer in fold.replicas if peer != owner.peer)]
        pairs = [(host.index, replica.index) for host in world.hosts if host is not replica]
        pairs += [(other, one) for one, other in pairs]
        world.network.block(pairs)
        world.run_until(world.at + 2.0)
        world.network.unblock(pairs, world.at)
        known = dict(fold.versions)
        world.run_until(world.at + 2 * limits.LEDGER_ROUND_S)
        held = replica.disk.facts.get(fold.job, {})
        assert all((author, seq) in held for author, last in known.items() for seq in range(1, last + 1))
        compared += 1
    assert compared == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_c10_the_next_frame_is_committed_within_the_detection_and_a_batch(seed: int):
    watched = Watched(seed)
    world = watched.world
    owner = owner_of_an_open_job(world)
    assert owner.node is not None
    jobs = [fold.job for fold in owner.node.ledger.folds() if owns(owner, fold) and not fold.is_closed and fold.frames]
    killed_at = world.at
    world.crash(owner)
    while any(owner.peer in host.node.roster.live() for host in world.up() if host.node):
        world.run_until(world.at + STEP_S)
    detected_at = world.at
    assert detected_at - killed_at < 20.0
    world.run_until(detected_at + limits.MERGE_S + limits.CLAIM_S + limits.RECLAIM_S + limits.BATCH_SECONDS_MAX)
    went_on = {job for at, job in watched.commits if at > killed_at}
    ended = {fold.job for host in world.up() if host.node for fold in host.node.ledger.folds() if fold.is_closed}
    assert set(jobs) <= went_on | ended
