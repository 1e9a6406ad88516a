"""What must always hold, one class per invariant, and what must hold once the faults have ended.

A checker looks at effects, at disks and at nodes' own books; it never changes anything. Safety raises `Unsafe`, liveness
raises `Stuck`.
"""

from __future__ import annotations

from typing import Any

from protocol import limits
from protocol.effects import Effect, Persist, Reply, SendStream
from protocol.events import Event
from protocol.ids import AuthorId, JobId, PeerId, RequestId
from protocol.ledger.facts import Accepted, FrameEnded
from protocol.ledger.fold import JobFold
from protocol.records import ForgetJob, PutFact
from protocol.views import FINAL_STATES, Submitted
from protocol.wire.work import Granted
from tests.sim.world import Host, Stuck, Unsafe, World

GATE_MAX = 5_000
LEASES_PER_SLOT_MAX = 8


class Checker:
    """Watches a world. Override what is needed."""

    def __init__(self, world: World) -> None:
        self.world = world

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        """A node has taken a step; nothing of it is performed yet."""

    def committed(self, host: Host, batch: list[Effect]) -> None:
        """These effects are durable on that host as of now; nothing that waited for them is performed yet."""


class AcceptedIsNeverLost(Checker):
    """Once a client has its 202, some disk holds the job's acceptance, always; and its owner never forgets it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.accepted: dict[JobId, None] = {}

    def told(self, job: JobId) -> None:
        """A client has heard that the job is accepted."""
        self.accepted[job] = None
        self._look(job)

    def committed(self, host: Host, batch: list[Effect]) -> None:
        for effect in batch:
            for record in effect.records if isinstance(effect, Persist) else ():
                if isinstance(record, ForgetJob) and record.job in self.accepted:
                    self._look(record.job)

    def _look(self, job: JobId) -> None:
        for host in self.world.hosts:
            if any(isinstance(fact.body, Accepted) for fact in host.disk.facts.get(job, {}).values()):
                return
        raise Unsafe(f"job {job[:6]} was accepted and is on no disk")


class CommittedOnce(Checker):
    """An owner commits one result per frame and generation, over all its restarts; with another disk it is another owner."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.seen: dict[tuple[PeerId, int, JobId, int, int], tuple[AuthorId, int]] = {}

    def committed(self, host: Host, batch: list[Effect]) -> None:
        for effect in batch:
            for record in effect.records if isinstance(effect, Persist) else ():
                if isinstance(record, PutFact) and isinstance(record.fact.body, FrameEnded):
                    self._frame(host, record.fact.body, record.fact.job, (record.fact.author, record.fact.seq))

    def _frame(self, host: Host, ended: FrameEnded, job: JobId, fact: tuple[AuthorId, int]) -> None:
        if ended.result.failure is not None or self.world.authors[fact[0]] != host.peer:
            return
        key = (host.peer, self.world.stores[fact[0]], job, ended.frame, ended.generation)
        if self.seen.setdefault(key, fact) != fact:
            raise Unsafe(f"{host.name} committed frame {ended.frame} of {job[:6]} twice in generation {ended.generation}")


class CommittedBytesAreHeld(Checker):
    """Whoever makes a done frame a fact holds every byte of it, durably."""

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            for record in effect.records if isinstance(effect, Persist) else ():
                fact = record.fact if isinstance(record, PutFact) else None
                if fact is None or host.node is None or fact.author != host.node.author:
                    continue  # somebody else's, or its own of an earlier run that a wiped disk gets back
                if isinstance(fact.body, FrameEnded):
                    self._held(host, fact.body)

    def _held(self, host: Host, ended: FrameEnded) -> None:
        for output in ended.result.outputs:
            if output.digest not in host.disk.blobs:
                raise Unsafe(f"{host.name} commits frame {ended.frame} without the bytes of {output.name}")


class AcceptedOnEnoughDisks(Checker):
    """C1: a 202 leaves only when as many peers as it says hold the job and its scene, durably, at that moment."""

    def __init__(self, world: World, lost: AcceptedIsNeverLost) -> None:
        super().__init__(world)
        self._lost = lost
        self._seen: dict[RequestId, int] = {}  # how many others could hold copies when the answer was decided

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Reply) and isinstance(effect.value, Submitted):
                self._seen[effect.request] = len(self._usable(host))

    def _usable(self, host: Host) -> list[PeerId]:
        assert host.node is not None
        roster = host.node.roster
        cards = {peer: roster.card_of(peer) for peer in roster.live() if peer != host.peer}
        return [peer for peer, card in cards.items() if card is None or not (card.draining or card.critical)]

    def replied(self, host: Host, request: RequestId, value: Submitted) -> None:
        """The reply is leaving `host` now."""
        assert host.node is not None
        job = value.job.id
        holding = [other for other in self.world.hosts if self._holds(other, job)]
        if len(holding) < value.copies:
            raise Unsafe(f"{host.name} says that {value.copies} peers hold {job[:6]}; {len(holding)} do")
        spec = host.node.spec(job)
        if value.created and spec is not None and spec.durability == "two":
            others = self._seen[request]
            if value.copies < min(2, 1 + others):
                raise Unsafe(f"{host.name} accepts {job[:6]} on one peer while it sees {others} others")
        self._lost.told(job)

    def _holds(self, host: Host, job: JobId) -> bool:
        for fact in host.disk.facts.get(job, {}).values():
            if isinstance(fact.body, Accepted):
                return all(entry.digest in host.disk.blobs for entry in fact.body.manifest.files)
        return False


class OwnLeasesOnly(Checker):
    """A lease leaves only from the job's owner, under the fence that it holds, for frames that no other lease has."""

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendStream) and isinstance(effect.message, Granted):
                for lease in effect.message.leases:
                    self._granted(host, lease)

    def _granted(self, host: Host, lease: Any) -> None:
        assert host.node is not None
        fold = host.node.ledger.fold(lease.job)
        if lease.fence.peer != host.peer or fold is None or fold.fence != lease.fence:
            raise Unsafe(f"{host.name} grants {lease.job[:6]} under {lease.fence}, the job's fence is {fold and fold.fence}")
        if fold.cancelled or fold.is_closed:
            raise Unsafe(f"{host.name} grants frames of {lease.job[:6]}, which has ended")
        book = host.node.dispatcher._books[lease.job]
        for frame in lease.frames:
            owners = [held.lease for held in book.leases.values() if frame in held.frames]
            if owners != [lease.lease]:
                raise Unsafe(f"{host.name}: frame {frame} of {lease.job[:6]} is in the leases {owners}")


class QueuesAreBounded(Checker):
    """Nothing that waits grows with time."""

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        node = host.node
        assert node is not None
        if len(host.gate) > GATE_MAX:
            raise Unsafe(f"{host.name}: {len(host.gate)} effects wait for the disk")
        if len(node.thief._leases) > LEASES_PER_SLOT_MAX * host.slots + LEASES_PER_SLOT_MAX:
            raise Unsafe(f"{host.name} holds {len(node.thief._leases)} leases in {host.slots} slots")
        frames = sum(len(held.lease.frames) for _, held in node.thief._leases.values())
        if len(node.thief._reports._open) > frames + limits.FRAMES_PER_BATCH_MAX:
            raise Unsafe(f"{host.name} keeps {len(node.thief._reports._open)} reports")


class Checkers:
    """All of them, hung into a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lost = AcceptedIsNeverLost(world)
        self.copies = AcceptedOnEnoughDisks(world, self.lost)
        self.all: list[Checker] = [
            self.lost, self.copies, CommittedOnce(world), CommittedBytesAreHeld(world), OwnLeasesOnly(world),
            QueuesAreBounded(world),
        ]  # fmt: skip
        for checker in self.all:
            if type(checker).stepped is not Checker.stepped:
                world.on_step.append(checker.stepped)
            if type(checker).committed is not Checker.committed:
                world.on_commit.append(checker.committed)
        self._answer = world.perform_reply
        world.perform_reply = self._replied

    def _replied(self, host: Host, effect: Reply) -> None:
        if isinstance(effect.value, Submitted):
            self.copies.replied(host, effect.request, effect.value)
        self._answer(host, effect)


# Liveness: what must hold soon after the faults have ended


def unfinished(world: World, jobs: list[JobId]) -> str | None:
    """The first thing that is not as it must be in the end, or None."""
    for host in world.hosts:
        if host.node is None:
            return f"{host.name} is down"
        missing = [other.name for other in world.hosts if other.peer not in host.node.roster.live()]
        if missing:
            return f"{host.name} does not see {missing}"
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
        if host.peer not in fold.replicas or theirs is None:
            continue
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
