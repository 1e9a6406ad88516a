"""Who takes a job over whose owner is gone, or is there and cannot own it (draining, critical), and when.

Decides from liveness, recorded replicas and time alone: takeover, hand-over and adoption are one rule. The heir first asks
everybody who may know more, so that it merges before it speaks; two heirs at once cost duplicate renders, never a frame.
Refuses to know what the job is about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from protocol import limits
from protocol.ids import Fence, JobId, PeerId
from protocol.kernel import Now
from protocol.ledger.facts import Body, Closed, Owner, ReplicaSet
from protocol.ledger.fold import JobFold
from protocol.ledger.held import Claim, HeldJob
from protocol.ledger.lifecycle import refusal
from protocol.ledger.placement import candidates
from protocol.ledger.replicas import Replicas
from protocol.views import JobView


@dataclass(slots=True)
class _Vacancy:
    """`due`: when the others are to be asked, or, once `merging`, until when the answers of the `silent` are waited for.
    `asked` were so far, `asking` of them by the last look."""

    fence: Fence
    due: float
    since: float
    merging: bool = False
    asked: dict[PeerId, None] = field(default_factory=dict)
    asking: tuple[PeerId, ...] = ()
    silent: dict[PeerId, None] = field(default_factory=dict)


class Succession:
    """Jobs that wait for a new owner. Invariant: nobody takes a job over whose owner is merely suspected."""

    def __init__(self, *, me: PeerId) -> None:
        self._me = me
        self._vacant: dict[JobId, _Vacancy] = {}

    def next_at(self) -> float | None:
        """When the next vacancy is due."""
        return min((one.due for one in self._vacant.values()), default=None)

    def due(self, now: Now) -> list[JobId]:
        """Jobs that must be looked at now, some of them; the others are due still."""
        jobs = [job for job, one in self._vacant.items() if one.due <= now.monotonic_s]
        return jobs[: limits.TAKEOVERS_AT_ONCE_MAX]

    def forget(self, job: JobId) -> None:
        """The job is not held any more."""
        self._vacant.pop(job, None)

    def answered(self, held: HeldJob, peer: PeerId, now: Now) -> None:
        """A peer that was asked has said what it holds; when all have, and nothing more is on its way, nobody is waited for."""
        vacancy = self._vacant.get(held.fold.job)
        if vacancy is None or not vacancy.merging or held.copies.is_ahead(peer):
            return
        vacancy.silent.pop(peer, None)
        if not vacancy.silent:
            vacancy.due = now.monotonic_s

    def asking(self, job: JobId) -> tuple[PeerId, ...]:
        """Whom the last look at this job wants to be asked."""
        return self._vacant[job].asking

    def look(self, held: HeldJob, replicas: Replicas, heard: JobView | None, now: Now) -> Literal["wait", "ask", "take"]:
        """What is to be done about this job now; "ask": those in `asking`. `heard` is the newest summary that somebody else has
        published of it.

        The answers may name replicas and owners that were not known here: they are asked as well before this peer takes over."""
        job, fence = held.fold.job, greatest_fence(held, heard)
        wait_s = self._wait_s(held, replicas, fence)
        if wait_s is None:
            self.forget(job)
            return "wait"
        vacancy = self._vacant.get(job)
        if vacancy is None or vacancy.fence != fence:
            vacancy = self._vacant[job] = _Vacancy(fence, now.monotonic_s + wait_s, now.monotonic_s)
        if not vacancy.merging:
            vacancy.due = vacancy.since + wait_s
        unasked = tuple(peer for peer in to_ask(held, replicas, me=self._me) if peer not in vacancy.asked)
        hears_of_more = vacancy.merging and bool(unasked)
        if vacancy.due > now.monotonic_s and not hears_of_more:
            return "wait"
        if not vacancy.merging or hears_of_more:
            vacancy.merging, vacancy.due, vacancy.asking = True, now.monotonic_s + limits.MERGE_S, unasked
            vacancy.asked.update(dict.fromkeys(unasked))
            vacancy.silent.update(dict.fromkeys(unasked))
            return "ask"
        self.forget(job)
        return "take"

    def _wait_s(self, held: HeldJob, replicas: Replicas, fence: Fence) -> float | None:
        """How long after its owner was missed this peer's turn comes; None: the job has an owner, or this peer can't be it."""
        fold = held.fold
        if fold.accepted is None or fence.peer == self._me or not replicas.can_own(self._me):
            return None
        if replicas.can_own(fence.peer):
            return None
        wait_s = 0.0
        if not replicas.is_known(fence.peer):
            wait_s += limits.OWNER_UNHEARD_S
        elif replicas.is_live(fence.peer):
            wait_s += limits.HANDOVER_WAIT_S
        elif fold.is_closed and not replicas.has_left(fence.peer):
            wait_s += limits.REPLICA_GRACE_S
        heirs = [peer for peer in fold.replicas if peer != fence.peer and replicas.can_own(peer)]
        if self._me in heirs:
            return wait_s + heirs.index(self._me) * limits.HEIR_TURN_S
        rank = candidates(fold.job, [self._me, *replicas.others()]).index(self._me)
        return wait_s + limits.ADOPT_S + len(heirs) * limits.HEIR_TURN_S + min(rank, limits.ADOPT_RANKS_MAX) * limits.MERGE_S


def greatest_fence(held: HeldJob, heard: JobView | None) -> Fence:
    """The greatest fence that is known of a job, by facts or by hearsay."""
    said = held.fold.fence if heard is None else Fence(heard.epoch, heard.owner)
    return max(held.fold.fence, said)


def to_ask(held: HeldJob, replicas: Replicas, *, me: PeerId) -> list[PeerId]:
    """Who may hold facts that an heir lacks: live ones among the recorded replicas and all who have ever owned it."""
    known = dict.fromkeys([*held.fold.replicas, *sorted(held.fold.owners)])
    return [peer for peer in known if peer != me and replicas.is_live(peer)]


def takeover_bodies(fold: JobFold, fence: Fence, now: Now) -> list[Body]:
    """The facts by which `fence.peer` becomes the owner. The recorded replicas stay: the set changes by sync and by grace.

    A job that had ended stays ended, unless the heir's own facts do not bear it out: then it concludes anew."""
    others = [peer for peer in fold.replicas if peer != fence.peer][: limits.REPLICAS_PER_JOB_MAX - 1]
    version = 1 + (fold.replica_set.version if fold.replica_set else 0)
    bodies: list[Body] = [Owner(fence), ReplicaSet(fence, version, (fence.peer, *others))]
    if fold.is_closed and _bears_out(fold):
        assert fold.closed is not None
        bodies.append(Closed(fold.closed.state, fence, len(fold.retries), fold.closed.wall_ms))
    return bodies


def _bears_out(fold: JobFold) -> bool:
    if fold.cancelled or refusal(fold) is not None:
        return True
    if fold.frames is None:
        return False
    failed = [frame for frame in fold.failed_frames() if frame in fold.frames]
    assert fold.closed is not None
    return fold.done + len(failed) >= len(fold.frames) and (fold.closed.state == "failed") == bool(failed)


def failed_in_error(held: HeldJob) -> bool:
    """Whether a job was closed as failed, and what is known by now gives no reason for it: another owner's renderers could do
    what this one's could not. Not while somebody is known to hold facts that have not come yet."""
    fold = held.fold
    if fold.closed is None or fold.closed.state != "failed" or not fold.is_closed or fold.frames is None or _bears_out(fold):
        return False
    return not any(held.copies.is_ahead(peer) for peer in held.copies.by_peer)


def claim(held: HeldJob, now: Now) -> Claim:
    """An heir waits until a second peer holds its ownership, before it hands anything out."""
    return Claim(now.monotonic_s + limits.CLAIM_S, held.fold.versions)


def claim_after_boot(held: HeldJob, now: Now, *, me: PeerId) -> Claim | None:
    """An owner that was away hears its replicas first: one of them may have taken the job over. None: there are none."""
    if held.fold.is_closed or all(peer == me for peer in held.fold.replicas):
        return None
    return Claim(now.monotonic_s + limits.BOOT_HEAR_S, None)


def claim_holds(held: HeldJob, replicas: Replicas, now: Now, *, me: PeerId) -> bool:
    """Whether what a claim waits for is there, or was waited for long enough."""
    assert held.claim is not None
    if held.claim.until <= now.monotonic_s:
        return True
    if held.claim.versions is None:
        return all(held.copies.has_said(peer) for peer in held.fold.replicas if peer != me)
    others = replicas.others()
    return 1 + held.copies.count(held.claim.versions, others, with_bytes=False) >= min(2, 1 + len(others))
