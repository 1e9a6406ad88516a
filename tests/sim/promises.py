"""Checkers of what clients were told: an accepted job is there, on as many disks as was said, and so is a control."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.effects import Effect, Persist, Reply
from protocol.events import ControlAsked, Event
from protocol.ids import AuthorId, JobId, PeerId, RequestId
from protocol.ledger.facts import Accepted, Control, Retried
from protocol.records import ForgetJob
from protocol.views import JobView, Submitted
from tests.sim.checker import Checker, is_damage_unheard, usable
from tests.sim.world import Host, Unsafe, World, runs_known_to


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


@dataclass(frozen=True, slots=True)
class Seen:
    """What an owner knew when it decided on an answer: how many others could hold copies, and in which runs."""

    others: int
    runs: dict[PeerId, int]


def seen_by(host: Host) -> Seen:
    """What a host knows of the others now."""
    assert host.node is not None
    return Seen(len(usable(host)), runs_known_to(host))


class AcceptedOnEnoughDisks(Checker):
    """C1: a 202 leaves only when as many peers as it says hold the job and its scene, durably, at that moment.

    All of them have; of one whose copy has rotted since (C6 fetches it again) the owner knows only when it can be told."""

    def __init__(self, world: World, lost: AcceptedIsNeverLost) -> None:
        super().__init__(world)
        self._lost = lost
        self._seen: dict[RequestId, Seen] = {}

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Reply) and isinstance(effect.value, Submitted):
                self._seen[effect.request] = seen_by(host)

    def replied(self, host: Host, request: RequestId, value: Submitted) -> None:
        """The reply is leaving `host` now."""
        assert host.node is not None
        job = value.job.id
        seen = self._seen[request]
        holding = [other for other in self.world.hosts if self._holds(host, other, job) or self._held(other, job, seen)]
        if len(holding) < value.copies:
            raise Unsafe(f"{host.name} says that {value.copies} peers hold {job[:6]}; {len(holding)} do")
        spec = host.node.spec(job)
        wants_two = value.created and spec is not None and spec.durability == "two"
        if wants_two and value.copies < min(2, 1 + seen.others):
            raise Unsafe(f"{host.name} accepts {job[:6]} on one peer while it sees {seen.others} others")
        self._lost.told(job)

    def _holds(self, owner: Host, host: Host, job: JobId) -> bool:
        for fact in host.disk.facts.get(job, {}).values():
            if isinstance(fact.body, Accepted):
                lacking = [entry.digest for entry in fact.body.manifest.files if entry.digest not in host.disk.blobs]
                return all(is_damage_unheard(self.world, owner, host, digest) for digest in lacking)
        return False

    def _held(self, host: Host, job: JobId, seen: Seen) -> bool:
        """Whether it did until its disk was lost, which could not be known yet."""
        return host.lost_unknown_to(seen.runs) and job in host.lost_facts


class ControlsAreDurable(Checker):
    """A control is answered only when two peers hold every control of the job, durably, where there are two that can."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._asked: dict[RequestId, list[tuple[AuthorId, int]]] = {}
        self._seen: dict[RequestId, Seen] = {}

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        if isinstance(event, ControlAsked):
            assert host.node is not None
            fold = host.node.ledger.fold(event.job)
            log = [] if fold is None else [fact for facts in fold.log.values() for fact in facts]
            keys = [(fact.author, fact.seq) for fact in log if isinstance(fact.body, Control | Retried)]
            self._asked[event.request] = keys
        for effect in effects:
            if isinstance(effect, Reply) and isinstance(effect.value, JobView):
                self._seen[effect.request] = seen_by(host)

    def replied(self, host: Host, request: RequestId, value: JobView) -> None:
        """The reply is leaving `host` now."""
        keys, seen = self._asked.get(request), self._seen[request]
        spec = None if host.node is None else host.node.spec(value.id)
        if not keys or spec is None or spec.durability not in ("two", "all"):
            return
        holding = [one for one in self.world.hosts if all(self._holds(one, value.id, key, seen) for key in keys)]
        if len(holding) < min(2, 1 + seen.others):
            raise Unsafe(f"{host.name} has carried out a control of {value.id[:6]} that is on {len(holding)} disks")

    def _holds(self, host: Host, job: JobId, key: tuple[AuthorId, int], seen: Seen) -> bool:
        lost = host.lost_unknown_to(seen.runs) and key in host.lost_facts.get(job, ())
        return lost or key in host.disk.facts.get(job, {})
