"""What must hold soon after the faults have ended: every job is over, all views agree, nothing is left over."""

from __future__ import annotations

from protocol.ids import JobId
from protocol.ledger.fold import JobFold
from protocol.views import FINAL_STATES
from tests.sim.world import Stuck, Unsafe, World


def unfinished(world: World, jobs: list[JobId]) -> str | None:
    """The first thing that is not as it must be in the end, or None."""
    for host in world.hosts:
        if host.node is None:
            return f"{host.name} is down"
        missing = [other.name for other in world.hosts if other.peer not in host.node.roster.live()]
        if missing:
            return f"{host.name} does not see {missing}"
        known = {member.peer: member.nonce for member in host.node.swim.members()}
        stale = [one.name for one in world.hosts if one.node is not None and known[one.peer] != one.node.swim.me().nonce]
        if stale:
            return f"{host.name} knows earlier starts of {stale}, and counts on what they held"
    for job in jobs:
        why = _job(world, job)
        if why is not None:
            return f"job {job[:6]}: {why}"
    return _leftovers(world) or _catalogues(world)


def _job(world: World, job: JobId) -> str | None:
    views = {host.name: host.node.job(job) for host in world.hosts if host.node is not None}
    unknown = [name for name, view in views.items() if view is None]
    if unknown:
        return f"{unknown} have not heard of it"
    owners = list(dict.fromkeys(view.owner for view in views.values() if view is not None))
    if len(owners) != 1:
        return f"views name the owners {[owner[:6] for owner in owners]}"
    owner = world.by_peer[owners[0]]
    assert owner.node is not None
    view = owner.node.job(job)
    fold = owner.node.ledger.fold(job)
    if view is None or fold is None or view.owner != owner.peer:
        return f"{owner.name} does not know that it owns it"
    if view.state not in FINAL_STATES:
        return f"{owner.name} says {view.state}: {view.frames}, {[reason.code for reason in view.waiting_because]}"
    differs = _agree(world, job, fold)
    if differs is not None:
        return differs
    stale = [
        name for name, other in views.items() if other is not None and (other.state, other.frames) != (view.state, view.frames)
    ]
    return f"{stale} see another state than {view.state}" if stale else _ended(world, fold, view.state)


def _agree(world: World, job: JobId, fold: JobFold) -> str | None:
    """No fact of an accepted job is lost, and whoever holds the job says the same of every frame."""
    for host in world.hosts:
        lost = [key for key in host.disk.facts.get(job, {}) if fold.versions.get(key[0], 0) < key[1]]
        if lost:
            return f"{host.name} knows {len(lost)} facts that its owner does not know"
        assert host.node is not None
        theirs = host.node.ledger.fold(job)
        if host.peer not in fold.replicas:
            continue
        if theirs is None:
            return f"{host.name} is a replica and holds nothing"
        if theirs.versions != fold.versions:
            return f"{host.name} is a replica and holds {theirs.versions}, its owner {fold.versions}"
        if theirs.winners != fold.winners:
            raise Unsafe(f"{host.name} holds the same facts of {job[:6]} as its owner, and sees other winners")
    return None


def _ended(world: World, fold: JobFold, state: str) -> str | None:
    """A job that ended did so for a reason, and its frames are safe."""
    if state == "cancelled":
        return None
    seen = fold.inspection
    if state == "failed" and seen is not None and (seen.error is not None or fold.register("on_warning", "") == "fail"):
        return None
    assert fold.frames is not None
    for frame in fold.frames:
        if not fold.is_done(frame) and not fold.is_failed(frame):
            return f"it is {state}, and frame {frame} is neither done nor failed"
        winner = fold.winners.get(frame)
        if fold.is_done(frame) and winner is not None:
            short = [output.name for output in winner.result.outputs if len(world.holders(output.digest)) < 2]
            if short and len(world.hosts) > 1:
                return f"{short} are on fewer than two peers"
        poison = world.truths[fold.job].poison
        if frame in poison and fold.is_done(frame):
            raise Unsafe(f"frame {frame} of {fold.job[:6]} is done, and no renderer can render it")
    failed = fold.failed_frames()
    return f"it is {state} with failed frames {failed}" if bool(failed) != (state == "failed") else None


def _leftovers(world: World) -> str | None:
    for host in world.hosts:
        node = host.node
        assert node is not None
        if not node.thief.is_idle:
            tasks, leases, reports = node.thief._tasks, node.thief._leases, node.thief._reports._open
            return f"{host.name} still works: {len(tasks)} tasks, {len(leases)} leases, {len(reports)} reports"
        if node.dispatcher.leases_out():
            return f"{host.name} still has {node.dispatcher.leases_out()} leases out"
        if node.dispatcher._tickets or node.ledger._keeper._tickets:
            return f"{host.name} still waits for blobs"
        if host.gate:
            return f"{host.name} still waits for its disk"
    return None


def _catalogues(world: World) -> str | None:
    roots = {host.name: host.node.catalog.root() for host in world.hosts if host.node is not None}
    return None if len({*roots.values()}) == 1 else "catalogues differ"


def demand(world: World, jobs: list[JobId], *, within_s: float, step_s: float = 2.0) -> float:
    """Run until everything is as it must be in the end; how many seconds that took. Raises `Stuck`."""
    began = world.at
    while True:
        why = unfinished(world, jobs)
        if why is None:
            return world.at - began
        if world.at - began > within_s:
            raise Stuck(f"{within_s:.0f} s after the faults have ended: {why}")
        world.run_until(world.at + step_s)
