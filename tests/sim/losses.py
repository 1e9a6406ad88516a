"""Disks that lose something: they come back empty or put back to an earlier state, or the bytes of a blob rot on them.

Nothing is lost by that but what has to be made again: every fact, and every byte but results of open jobs, is elsewhere too.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocol.events import BlobLost
from protocol.ids import Digest
from protocol.ledger.facts import Accepted, Closed, FrameEnded
from tests.sim.disk import Disk
from tests.sim.world import Host, World, runs_known_to


def wipe(world: World, host: Host) -> bool:
    """A new disk, and whether there is one: False where too much would be lost with the old one."""
    return _replace(world, host, Disk(run=host.disk.run), "disks wiped")


def roll_back(world: World, host: Host, earlier: Disk, *, what: str = "disks rolled back") -> bool:
    """The disk as it was, with the count of starts that it had then; False where too much would be lost."""
    if earlier.run < host.disk.run and _replace(world, host, earlier, what):
        world.trace.count("disks rolled back beyond a start")
        return True
    return earlier.run == host.disk.run and _replace(world, host, earlier, what)


def _replace(world: World, host: Host, disk: Disk, what: str) -> bool:
    others = [other.disk for other in world.hosts if other is not host]
    lacking = [(job, key) for job, kept in host.disk.facts.items() for key in kept if key not in disk.facts.get(job, {})]
    kept = all(any(key in other.facts.get(job, {}) for other in others) for job, key in lacking)
    gone = [digest for digest in host.disk.blobs if digest not in disk.blobs]
    alone = only_here(gone, others)
    if not (kept and set(alone) <= results_of_open_jobs(world)):
        return False
    for _ in alone:
        world.trace.count("results lost with a disk")
    for job, key in lacking:
        host.lost_facts.setdefault(job, {})[key] = None
    host.lost_blobs.update(dict.fromkeys(gone))
    host.disk = disk
    host.stores += 1
    host.renewed_run = 1 + max((runs_known_to(other).get(host.peer, 0) for other in world.up() if other is not host), default=0)
    world.trace.count(what)
    world.trace.note(world.at, f"{host.name}: {what}, {len(lacking)} facts and {len(gone)} blobs are gone")
    return True


def only_here(digests: Iterable[Digest], others: list[Disk]) -> list[Digest]:
    """Those of the blobs that no other disk has."""
    return [digest for digest in digests if not any(disk.is_whole(digest) for disk in others)]


def results_of_open_jobs(world: World) -> set[Digest]:
    """Blobs that are in no scene and in no job that anybody takes for over; membership only, never iterated."""
    open_: set[Digest] = set()
    needed: set[Digest] = set()
    for job in dict.fromkeys(job for host in world.hosts for job in host.disk.facts):
        bodies = [fact.body for host in world.hosts for fact in host.disk.facts.get(job, {}).values()]
        folds = [host.node.ledger.fold(job) for host in world.hosts if host.node is not None]
        over = any(isinstance(body, Closed) for body in bodies) or any(fold and fold.closed for fold in folds)
        for body in bodies:
            if isinstance(body, Accepted):
                needed.update(entry.digest for entry in body.manifest.files)
            elif isinstance(body, FrameEnded):
                (needed if over else open_).update(output.digest for output in body.result.outputs)
    return open_ - needed


def damage(world: World, host: Host, digest: Digest) -> bool:
    """A blob rots, and whether it did: not the last copy of what cannot be made again.

    Where it was the last one, every disk that has it finds out at once: nobody takes it for safe meanwhile."""
    if not host.disk.is_whole(digest):
        return False
    others = [other for other in world.hosts if other is not host]
    host.disk.damaged[digest] = None
    if only_here([digest], [other.disk for other in others]):
        rotten = [one for one in world.hosts if digest in one.disk.damaged]
        if digest not in results_of_open_jobs(world) or not all(one.is_up for one in rotten):
            del host.disk.damaged[digest]
            return False
        world.trace.count("results lost with a disk")
        for one in rotten:
            world.later(0.0, lambda one=one: found_out(world, one, digest), one)  # type: ignore[misc]
    world.trace.count("blobs damaged")
    return True


def damage_all(world: World, digest: Digest) -> list[Host]:
    """Every copy of a result that can be made again, where all are within reach: whoever made it wrote it on bad memory."""
    holders = world.holders(digest)
    if digest not in results_of_open_jobs(world) or not all(one.is_up for one in holders):
        return []
    return [host for host in holders if damage(world, host, digest)]


def found_out(world: World, host: Host, digest: Digest) -> None:
    """The scrubber, or a reader, has hashed a blob that has rotted, if it still is there; the node hears of it."""
    if digest in host.disk.damaged:
        host.disk.drop(digest)
        host.dropped[digest] = world.at
        world.trace.count("blobs found damaged")
        world.tell(host, BlobLost(digest))


def needed_blobs(host: Host) -> list[Digest]:
    """Blobs that its facts speak of: scenes and results."""
    found: dict[Digest, None] = {}
    for kept in host.disk.facts.values():
        for fact in kept.values():
            if isinstance(fact.body, Accepted):
                found.update(dict.fromkeys(entry.digest for entry in fact.body.manifest.files))
            elif isinstance(fact.body, FrameEnded):
                found.update(dict.fromkeys(output.digest for output in fact.body.result.outputs))
    return [digest for digest in found if host.disk.is_whole(digest)]
