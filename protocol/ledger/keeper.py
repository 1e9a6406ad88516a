"""Bring the bytes of a job's facts here, and say honestly up to where they are held: to an owner that asks, or to oneself.

Refuses to know why it was chosen. Facts are accepted from anyone at any epoch. What must be here are the scene and the result
that each frame has; logs and results that did not win are brought where somebody has them, many at a time, and hold nothing back.
The job and its scene come before results: one that nobody has any more must not hold back that the job is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol import limits
from protocol.effects import Effect, FetchBlobs
from protocol.ids import AuthorId, Digest, JobId, PeerId, Ticket
from protocol.ledger.facts import Accepted, Fact, FrameEnded
from protocol.ledger.fold import JobFold, VersionMap
from protocol.signals import Send, Signal
from protocol.wire.work import FactsHeld, Versions

Output = Effect | Signal
Blobs = tuple[tuple[Digest, int], ...]


@dataclass(slots=True)
class _Kept:
    """`safe`: everything up to here has its bytes. `fetching`: the versions that the ticket under way leads to.

    `asked_by` None: the owner is this peer itself, and nobody is told. `unheard`: it was told last in vain. `extras` are
    welcome, and `extras_from` may have them. `together`: the scene is not fetched before the results the next time, since it was
    looked for by itself in vain."""

    asked_by: PeerId | None
    unheard: bool = False
    safe: VersionMap = field(default_factory=dict)
    fetching: VersionMap | None = None
    ticket: Ticket | None = None
    together: bool = False
    extras: dict[Digest, int] = field(default_factory=dict)
    extras_from: dict[PeerId, None] = field(default_factory=dict)


class Keeper:
    """Invariant: `safe` never runs ahead of bytes that `BlobsEnded` has confirmed in this run."""

    def __init__(self, *, me: PeerId) -> None:
        self._me = me
        self._kept: dict[JobId, _Kept] = {}
        self._tickets: dict[Ticket, JobId] = {}
        self._next = 0

    def asked(self, fold: JobFold, owner: PeerId) -> list[Output]:
        """The owner wants this job kept here: say what is held, and fetch what is lacking."""
        kept = self._kept.setdefault(fold.job, _Kept(owner))
        kept.asked_by = owner
        outputs: list[Output] = [] if kept.ticket else list(self._fetch(fold, kept))
        return [*self._held(fold, kept), *outputs]

    def keep(self, fold: JobFold) -> list[Output]:
        """This peer owns the job, and needs its bytes as well as any replica."""
        kept = self._kept.setdefault(fold.job, _Kept(None))
        kept.asked_by = None
        return [] if kept.ticket else self._fetch(fold, kept)

    def authored(self, job: JobId, author: AuthorId, first: int, last: int) -> None:
        """This peer's own facts from `first` to `last`: whoever makes one of a result or a scene has its bytes."""
        safe = self._kept.setdefault(job, _Kept(None)).safe
        if safe.get(author, 0) == first - 1:
            safe[author] = last

    def lacking(self, fold: JobFold) -> list[FrameEnded]:
        """Results among the next facts whose bytes are not known to be here."""
        facts = fold.since(self.safe(fold.job), limits.FACTS_PER_MESSAGE_MAX)
        return [fact.body for fact in facts if isinstance(fact.body, FrameEnded) and wins(fold, fact.body)]

    def damaged(self, fold: JobFold) -> list[Output]:
        """Bytes that were here are not: nothing is taken for safe until it was looked at again."""
        kept = self._kept.get(fold.job)
        if kept is None:
            return []
        kept.safe = {}
        if kept.ticket is not None:
            kept.fetching = None
            return self._held(fold, kept)
        return [*self._held(fold, kept), *self._fetch(fold, kept)]

    def unheard(self, job: JobId, owner: PeerId) -> None:
        """What is held here was said to `owner`, and did not come there: it may count on bytes that are damaged by now."""
        kept = self._kept.get(job)
        if kept is not None and kept.asked_by == owner:
            kept.unheard = True

    def to_tell(self, job: JobId) -> PeerId | None:
        """Who must be told once more what is held here."""
        kept = self._kept.get(job)
        return kept.asked_by if kept is not None and kept.unheard else None

    def tell_again(self, fold: JobFold) -> list[Output]:
        """Say once more what is held here."""
        return self._held(fold, self._kept[fold.job])

    def ended(self, fold: JobFold, ticket: Ticket, error: str) -> list[Output]:
        """A fetch of ours has ended. After an error the owner's next round starts it again."""
        kept = self._kept[self._tickets.pop(ticket)]
        fetched, kept.fetching, kept.ticket = kept.fetching, None, None
        if error:
            kept.together = not kept.together
            return []
        if fetched is not None:
            kept.safe = {author: max(fetched.get(author, 0), kept.safe.get(author, 0)) for author in {**kept.safe, **fetched}}
        return [*self._held(fold, kept), *self._fetch(fold, kept)]

    def has_extras(self, job: JobId) -> bool:
        """Whether `fetch_extras` has something to fetch."""
        kept = self._kept.get(job)
        return kept is not None and bool(kept.extras)

    def fetch_extras(self, job: JobId) -> list[Output]:
        """Bring what is only welcome and has come up since the last time. Nobody waits for it, and it is asked for once."""
        kept = self._kept.get(job)
        if kept is None or not kept.extras:
            return []
        items, holders = tuple(kept.extras.items()), tuple(kept.extras_from)
        kept.extras, kept.extras_from = {}, {}
        self._next += 1
        return [FetchBlobs(Ticket(f"extra-{self._next}"), items, holders, job)]

    def owns(self, ticket: Ticket) -> JobId | None:
        """The job whose bytes this ticket fetches, or None when it is not ours."""
        return self._tickets.get(ticket)

    def safe(self, job: JobId) -> VersionMap:
        """Up to where this job's facts are held with all their bytes."""
        kept = self._kept.get(job)
        return {} if kept is None else kept.safe

    def forget(self, job: JobId) -> None:
        """Stop keeping a job."""
        kept = self._kept.pop(job, None)
        if kept is not None and kept.ticket is not None:
            self._tickets.pop(kept.ticket, None)

    def _held(self, fold: JobFold, kept: _Kept) -> list[Output]:
        kept.unheard = False
        if kept.asked_by is None:
            return []
        return [Send(kept.asked_by, FactsHeld(fold.job, as_versions(fold.versions), as_versions(kept.safe)))]

    def _fetch(self, fold: JobFold, kept: _Kept) -> list[Output]:
        facts = fold.since(kept.safe, limits.FACTS_PER_MESSAGE_MAX)
        if not facts:
            return []
        holders = self._holders(fold, facts, kept.asked_by)
        if not kept.together:
            facts = _acceptances_before(fold, kept.safe, facts) or facts
        reached = dict(kept.safe)
        for fact in facts:
            reached[fact.author] = fact.seq
        items, extras = _items(fold, facts)
        kept.extras.update(extras)
        kept.extras_from.update(dict.fromkeys(holders if extras else ()))
        if not items:
            kept.safe = reached
            return [*self._held(fold, kept), *self._fetch(fold, kept)]
        self._next += 1
        kept.ticket, kept.fetching = Ticket(f"keep-{self._next}"), reached
        self._tickets[kept.ticket] = fold.job
        return [FetchBlobs(kept.ticket, items, holders, fold.job)]

    def _holders(self, fold: JobFold, facts: list[Fact], owner: PeerId | None) -> tuple[PeerId, ...]:
        holders = [] if owner is None else [owner]
        for fact in facts:
            if isinstance(fact.body, FrameEnded) and fact.body.peer not in holders:
                holders.append(fact.body.peer)
        holders.extend(peer for peer in fold.replicas if peer not in holders)
        return tuple(peer for peer in holders if peer != self._me)


def _acceptances_before(fold: JobFold, safe: VersionMap, facts: list[Fact]) -> list[Fact]:
    """Acceptances that come before `facts`, the next ones after `safe`, where some of these need bytes of results.

    An acceptance is its author's first fact."""
    if not any(isinstance(fact.body, FrameEnded) and wins(fold, fact.body) for fact in facts):
        return []
    firsts = [fold.log[author][0] for author in sorted(fold.log) if author not in safe]
    return [fact for fact in firsts if isinstance(fact.body, Accepted)]


def _items(fold: JobFold, facts: list[Fact]) -> tuple[Blobs, Blobs]:
    """Distinct blobs of these facts, in order: those that must be here, and those that are welcome."""
    needed: dict[Digest, int] = {}
    welcome: dict[Digest, int] = {}
    for fact in facts:
        outputs = {output.digest for output in fact.body.result.outputs} if isinstance(fact.body, FrameEnded) else set()
        must = isinstance(fact.body, Accepted) or (isinstance(fact.body, FrameEnded) and wins(fold, fact.body))
        for digest, size in fold.blobs_of(fact):
            is_log = isinstance(fact.body, FrameEnded) and digest not in outputs
            (needed if must and not is_log else welcome)[digest] = size
    return tuple(needed.items()), tuple((digest, size) for digest, size in welcome.items() if digest not in needed)


def wins(fold: JobFold, ended: FrameEnded) -> bool:
    """Whether this is the result that its frame has. What does not win never will: only a lower attempt or a higher generation
    replaces a winner."""
    return fold.winners.get(ended.frame) == ended and ended.generation >= fold.generation(ended.frame)


def as_versions(versions: VersionMap) -> Versions:
    """The wire form: sorted pairs."""
    return tuple(sorted(versions.items()))
