"""Checkers of who owns a job and what follows from it: fences, leases, takeovers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol import limits
from protocol.effects import Effect, SendStream
from protocol.events import Event
from protocol.ids import AuthorId, Fence, JobId
from protocol.ledger.facts import Fact, Owner
from protocol.ledger.fold import JobFold
from protocol.wire.work import Granted
from tests.sim.checker import Checker, authored, facts_in, usable
from tests.sim.world import Host, Unsafe, World

CALM_S = 6.0  # so long have two peers talked without trouble that nothing excuses ignorance
SETTLED_S = 2.5  # a fact that is durable for so long is told to an heir that asks


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


class FencesGrow(Checker):
    """An heir takes an epoch above every fence that it has seen; whom it succeeds is gone, or cannot own, as it sees it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._heard: dict[int, dict[JobId, Fence]] = {}  # by host: the owners that summaries name

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for fact in authored(host, effects):
            if isinstance(fact.body, Owner) and not self._is_first(host, fact):
                self._look(host, fact, fact.body.fence)
        assert host.node is not None
        self._heard[host.index] = {job: Fence(seen.epoch, seen.owner) for job, seen in host.node.ledger._heard.items()}

    def _is_first(self, host: Host, fact: Fact) -> bool:
        """Whether the job is accepted here, not taken over: whoever owns it by then is heard of later."""
        return isinstance(fact.body, Owner) and fact.body.fence == Fence(1, host.peer) and fact.seq == 2

    def _said(self, host: Host, job: JobId) -> list[Fence]:
        """The greater owner that a summary names, whose facts have not come: as it was before this step, since an heir that
        publishes the job at once, as one that had ended, takes note of no other summary any more."""
        return [said for known, said in self._heard.get(host.index, {}).items() if known == job]

    def _look(self, host: Host, fact: Fact, fence: Fence) -> None:
        assert host.node is not None
        fold = host.node.ledger.fold(fact.job)
        assert fold is not None
        before = [owner for owner in _owners(fold) if owner != fence] or [fence]
        last = max([*before, *self._said(host, fact.job)])
        if fence.epoch <= last.epoch:
            raise Unsafe(f"{host.name} takes {fact.job[:6]} over by {fence}, and {last} owns it")
        card = host.node.roster.card_of(last.peer)
        is_there = last.peer in host.node.roster.live() and (card is None or not (card.draining or card.critical))
        if is_there and last.peer != host.peer:
            raise Unsafe(f"{host.name} takes {fact.job[:6]} over from {last.peer[:6]}, which is there")


def _owners(fold: JobFold) -> list[Fence]:
    return [fact.body.fence for facts in fold.log.values() for fact in facts if isinstance(fact.body, Owner)]


@dataclass(slots=True)
class _Claim:
    at: float
    fence: Fence
    key: tuple[AuthorId, int]
    run: int
    was_alone: bool = False


class HeirsAreHeld(Checker):
    """An heir hands nothing out until a second peer holds its ownership, or was waited for."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._claims: dict[tuple[int, JobId], _Claim] = {}

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for fact in authored(host, effects):
            if isinstance(fact.body, Owner) and fact.body.fence.epoch > 1:
                claim = _Claim(self.world.at, fact.body.fence, (fact.author, fact.seq), host.run)
                self._claims[host.index, fact.job] = claim
        for (index, _), claim in self._claims.items():
            if index == host.index and not claim.was_alone:
                claim.was_alone = not usable(host)
        for effect in effects:
            if isinstance(effect, SendStream) and isinstance(effect.message, Granted):
                for lease in effect.message.leases:
                    self._granted(host, lease.job, lease.fence)

    def _granted(self, host: Host, job: JobId, fence: Fence) -> None:
        claim = self._claims.pop((host.index, job), None)
        if claim is None or claim.was_alone or (claim.fence, claim.run) != (fence, host.run):
            return
        waited_s = (self.world.at - claim.at) * host.clock.rate
        holding = sum(self._knows(other, job, claim.key) for other in self.world.hosts)
        if waited_s < limits.CLAIM_S and holding < 2:
            raise Unsafe(f"{host.name} hands out {job[:6]} {waited_s:.2f} s after it took it over, and {holding} know")

    def _knows(self, host: Host, job: JobId, key: tuple[AuthorId, int]) -> bool:
        return key in host.disk.facts.get(job, {}) or key in host.lost_facts.get(job, ())


class HeirsMerge(Checker):
    """An heir knows, when it takes a job over, what any replica or former owner holds that it could ask."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._durable: dict[tuple[int, int, JobId], dict[tuple[AuthorId, int], float]] = {}

    def committed(self, host: Host, batch: list[Effect]) -> None:
        for fact in facts_in(batch):
            self._durable.setdefault((host.index, host.stores, fact.job), {}).setdefault((fact.author, fact.seq), self.world.at)

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for fact in authored(host, effects):
            if isinstance(fact.body, Owner) and fact.body.fence.epoch > 1:
                assert host.node is not None
                fold = host.node.ledger.fold(fact.job)
                assert fold is not None
                self._look(host, fold)

    def _look(self, host: Host, fold: JobFold) -> None:
        asked = [*fold.replicas, *fold.owners]
        for other in self.world.hosts:
            if other is host or other.peer not in asked or not self._could_ask(host, other):
                continue
            known = self._durable.get((other.index, other.stores, fold.job), {})
            since = self.world.at - SETTLED_S
            unheard = [
                key for key in other.disk.facts.get(fold.job, {})
                if known.get(key, self.world.at) < since and fold.versions.get(key[0], 0) < key[1]
            ]  # fmt: skip
            if unheard:
                raise Unsafe(f"{host.name} takes {fold.job[:6]} over without {len(unheard)} facts that {other.name} holds")

    def _could_ask(self, host: Host, other: Host) -> bool:
        if host.node is None or other.node is None:
            return False
        sees = other.peer in host.node.roster.live() and host.peer in other.node.roster.live()
        since = self.world.at - CALM_S
        return sees and self.world.calm_between(host, other, since)
