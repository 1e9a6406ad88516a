"""What this peer holds and owns, and what follows from a change of it: work opened and closed, copies brought, owners changed.

The ledger's lower half. Decides when a job may be handed out, when it is over, and when it passes from one owner to another.
Refuses to know who asked.
"""

from __future__ import annotations

from random import Random

from protocol import limits
from protocol.effects import Effect, Notice, Persist
from protocol.ids import AttemptId, AuthorId, Digest, Fence, JobId, PeerId, Ticket
from protocol.jobs.results import Inspection
from protocol.kernel import Now
from protocol.ledger.attic import Attic, MemoryAttic
from protocol.ledger.closing import known_inspection, last_word
from protocol.ledger.delivering import deliver_anew, delivery_due, sweep_due, void
from protocol.ledger.facts import Body, Fact, Inspected, ReplicaSet, Retried
from protocol.ledger.fold import JobFold
from protocol.ledger.healing import needs_blob
from protocol.ledger.held import HeldJob
from protocol.ledger.keeper import Keeper, as_versions
from protocol.ledger.offers import work_opened
from protocol.ledger.overview import view
from protocol.ledger.promises import break_all, copies_of, keep, owner_elsewhere
from protocol.ledger.publishing import publication
from protocol.ledger.recovery import Recovery
from protocol.ledger.refuted import anew, doubtful_notice, made_by
from protocol.ledger.replicas import Replicas
from protocol.ledger.succession import (
    Succession,
    claim,
    claim_holds,
    failed_in_error,
    greatest_fence,
    takeover_bodies,
)
from protocol.ledger.telling import closed_notice, inspected_notice, succession_notice
from protocol.ledger.tombstones import Tombstones
from protocol.records import PutFact
from protocol.signals import (
    Publish,
    Send,
    Signal,
    WorkClosed,
)
from protocol.summaries import job_key
from protocol.views import JobView
from protocol.wire.work import Facts

Output = Effect | Signal


class Ownership:
    """Invariants: a fact is persisted in the step that makes it; only the owner of a job authors facts about it."""

    def __init__(
        self, *, me: PeerId, author: AuthorId, run_epoch: int, host: str, replicas: int, random: Random,
        attic: Attic | None = None,
    ) -> None:  # fmt: skip
        """`attic` takes facts that are not new any more."""
        self._me = me
        self._attic = MemoryAttic() if attic is None else attic
        self._author = author
        self._random = random
        self._counter = run_epoch << 32
        self._jobs: dict[JobId, HeldJob] = {}
        self._keys: dict[tuple[str, str], JobId] = {}
        self._deleted = Tombstones()
        self._heard: dict[JobId, JobView] = {}  # newest summaries of jobs that others own
        self._keeper = Keeper(me=me)
        self._recovery = Recovery(me=me)
        self._replicas = Replicas(me=me, host=host, run_epoch=run_epoch, count=replicas)
        self._succession = Succession(me=me)
        self._given_up: dict[JobId, Fence] = {}  # never acknowledged by this run
        self._written: dict[JobId, tuple[Fact, ...]] = {}  # what it wrote of them: no number is used twice
        self._round_at: float | None = None

    def fold(self, job: JobId) -> JobFold | None:
        """A job's folded facts, where this peer holds them."""
        held = self._jobs.get(job)
        return held.fold if held is not None and held.fold.accepted is not None else None

    def folds(self) -> list[JobFold]:
        """Every job that is held here."""
        return [held.fold for held in self._jobs.values() if held.fold.accepted is not None]

    def _held(self, job: JobId) -> HeldJob:
        """The job, which is held from now on."""
        return self._jobs.get(job) or self._jobs.setdefault(job, HeldJob(job, self._attic))

    def owns(self, job: JobId) -> bool:
        """Whether this peer dispatches the job."""
        held = self._jobs.get(job)
        return held is not None and held.owner == self._me

    def held_alone(self) -> list[JobId]:
        """Jobs of which no other peer is known to be the owner, holding every fact that is held here."""
        known = [held for held in self._jobs.values() if held.fold.accepted is not None]
        return [held.fold.job for held in known if held.owner == self._me or not held.copies.holds_facts(held.owner)]

    def waits_for_heirs(self) -> bool:
        """Whether there is somebody who could take over what is held here alone."""
        return bool(self._replicas.others()) and bool(self.held_alone())

    def view(self, job: JobId) -> JobView | None:
        """The job as this peer's facts say."""
        held = self._jobs.get(job)
        if held is None or held.fold.accepted is None:
            return None
        return view(held.fold, held.activity, copies=copies_of(held, self._replicas))

    def _append(self, held: HeldJob, bodies: list[Body], now: Now) -> list[Output]:
        """Author facts: persist first, then tell the replicas. The caller re-opens and publishes."""
        first = 1 + len(held.fold.log.get(self._author, ()))
        facts = [Fact(held.fold.job, self._author, first + at, body) for at, body in enumerate(bodies)]
        for fact in facts:
            held.fold.add(fact)
        self._wake_rounds(now)
        if not facts:
            return []
        self._keeper.authored(held.fold.job, self._author, facts[0].seq, facts[-1].seq)
        again = void(held, (body for body in bodies if isinstance(body, Retried)), replaced=False)
        return [Persist(tuple(PutFact(fact) for fact in facts)), *again, *self._push_all(held), *self._keep_own(held)]

    def _keep_own(self, held: HeldJob) -> list[Output]:
        """An owner's copy counts as one of the two that a frame needs: what others have made and it lacks is brought here."""
        if held.owner != self._me or held.fold.accepted is None or held.fold.cancelled:
            return []
        return self._keeper.keep(held.fold)

    def _push_all(self, held: HeldJob) -> list[Output]:
        return [output for peer in self._replicas.targets(held) for output in self._push(held, peer)]

    def _push(self, held: HeldJob, peer: PeerId, *, always: bool = False) -> list[Output]:
        facts = held.copies.news_for(peer)
        if not facts and not always:
            return []
        message = Facts(held.fold.job, tuple(facts), as_versions(held.fold.versions), replicate=True)
        return [Send(peer, message)]

    def _ask(self, held: HeldJob, peer: PeerId) -> Send:
        """No facts, and nothing to be kept: what do you hold of this job, and what of it is news to me?"""
        return Send(peer, Facts(held.fold.job, (), as_versions(held.fold.versions), replicate=False))

    def _bring(self, held: HeldJob, peer: PeerId) -> list[Output]:
        """Everything to a peer that should hold it; to another, or one of which nothing is known, a question first."""
        is_target = peer in self._replicas.targets(held)
        if not is_target or (held.owner != self._me and not held.copies.has_said(peer)):
            return [self._ask(held, peer)]
        held.copies.resend(peer)
        return self._push(held, peer, always=True)

    def _after_change(self, held: HeldJob, now: Now) -> list[Output]:
        """Facts have changed: who owns it now, is it over, what may be handed out, what do people see."""
        fold = held.fold
        if fold.accepted is not None:
            self._keys.setdefault((fold.accepted.submitter, fold.accepted.key), fold.job)
        seen = self._heard.get(fold.job)
        if seen is None or Fence(seen.epoch, seen.owner) <= fold.fence:
            held.rival = None
        if held.owner != self._me:
            return self._step_down(held, now)
        if failed_in_error(held):  # under the next fence it has not ended
            return self._take_over(held, now)
        keeping = self._keep_own(held)
        closing = self._closing(held, now)
        opening = self._open(held)
        return [*keeping, *closing, *opening, *self._publish(held, now)]

    def _bytes_came(self, held: HeldJob, ticket: Ticket, error: str, now: Now) -> list[Output]:
        """Bytes that a job is kept with are here, or a holder could not give them: then each is looked for by itself."""
        outputs = self._keeper.ended(held.fold, ticket, error)
        if self._keeper.has_extras(held.fold.job):
            self._wake_rounds(now)
        if held.owner != self._me:
            return outputs
        if error:
            outputs.extend(self._ask_around(held))
            return [*outputs, *self._recovery.look_for(held, self._keeper.lacking(held.fold), self._replicas, now)]
        return [*outputs, *self._after_copies(held, now)]

    def _ask_around(self, held: HeldJob) -> list[Send]:
        """Bytes were looked for in vain at whoever is known to hold something: who has not said yet whether it does?"""
        if not self._recovery.is_in_vain(held.fold.job):
            return []
        return [self._ask(held, peer) for peer in self._replicas.living() if not held.copies.has_said(peer)]

    def _render_lost(self, held: HeldJob, now: Now) -> list[Output]:
        """Frames whose bytes nobody has are wanted again; it costs no attempt."""
        if held.is_quiet or held.fold.cancelled:
            return []
        again, looking = self._recovery.lost(held, self._replicas, now), self._recovery.look_again(held, self._replicas, now)
        if not again:
            return [*looking]
        frames = ",".join(one.frames for one in again)
        outputs = [*looking, *self._append(held, [*again], now)]
        notice = Notice("frames_lost", "warning", held.fold.job, {"frames": frames[: limits.SUMMARY_RANGES_CHARS_MAX]})
        return [*outputs, notice, *self._after_change(held, now)]

    def _distrusted(self, peer: PeerId, found_in: JobId | None, now: Now) -> list[Output]:
        """What a peer has rendered is wanted again wherever a job goes on, and where it was found out."""
        outputs: list[Output] = []
        for held in list(self._jobs.values()):
            fold = held.fold
            frames = made_by(fold, peer) if held.owner == self._me and not (held.is_quiet or fold.cancelled) else []
            if not frames:
                continue
            if fold.is_closed and fold.job != found_in:
                outputs.extend([doubtful_notice(fold.job, peer, frames)] if found_in is not None else [])
                continue
            outputs.extend(self._append(held, [*anew(fold, frames, now)], now))
            fields = {"peer": peer, "frames": len(frames)}
            outputs.append(Notice("frames_refuted", "warning", fold.job, fields))
            outputs.extend(self._after_change(held, now))
        return outputs

    def _bytes_lost(self, digest: Digest) -> list[Output]:
        """A blob here is damaged: whoever counts on this copy hears that it is not whole."""
        outputs: list[Output] = []
        for held in self._jobs.values():
            if held.fold.accepted is not None and needs_blob(held.fold, digest):
                self._recovery.forget(held.fold.job)
                outputs.extend(self._keeper.damaged(held.fold))
        return outputs

    def _step_down(self, held: HeldJob, now: Now) -> list[Output]:
        """Another peer owns the job: hand out nothing more, and bring it everything that is known here."""
        outputs: list[Output] = [*break_all(held, owner_elsewhere(held.owner))]
        if held.opened:
            outputs.append(WorkClosed(held.fold.job, "another peer owns this job now", ended=False))
            outputs.append(Notice("job_yielded", job=held.fold.job, fields={"to": held.owner, "epoch": held.fold.fence.epoch}))
        held.opened = False
        held.claim = None
        deliver_anew(held)
        self._recovery.forget(held.fold.job)
        outputs.extend([*self._withdraw(held), *self._succeed(held, now)])
        if self._replicas.lacking(held):
            self._wake_rounds(now)
        return outputs

    def _withdraw(self, held: HeldJob) -> list[Output]:
        """Who owned the job keeps its last word in view until the next owner's is there."""
        seen = self._heard.get(held.fold.job)
        if held.owner == self._me or held.published is None or seen is None or seen.owner != held.owner:
            return []
        held.published = None
        return [Publish(job_key(held.fold.job), None)]

    def _open(self, held: HeldJob) -> list[Output]:
        if held.fold.accepted is None or held.is_quiet:
            return []
        if held.fold.is_closed or held.fold.cancelled:
            outputs: list[Output] = [WorkClosed(held.fold.job, "the job has ended")] if held.opened else []
            held.opened = False
            return outputs
        held.opened = True
        holders = self._scene_holders(held)
        resumed, held.resumes = held.resumes, False
        return [work_opened(held.fold, holders, resumed=resumed), *delivery_due(held, holders)]

    def _scene_holders(self, held: HeldJob) -> tuple[PeerId, ...]:
        live = [peer for peer in held.fold.replicas if peer != self._me and self._replicas.is_live(peer)]
        return (self._me, *live)

    def _closing(self, held: HeldJob, now: Now) -> list[Output]:
        """The last word on a job, once there is nothing left to do."""
        closed = last_word(held, self._replicas, now, me=self._me, own=self._keeper.safe(held.fold.job))
        if closed is None:
            return []
        sweep = sweep_due(held, self._scene_holders(held))
        if sweep is not None:
            return [*sweep]
        notice = closed_notice(held, closed)
        return [*self._append(held, [closed], now), notice]

    def _settle(self, held: HeldJob, now: Now) -> list[Output]:
        """Answer every promise that holds now, then see what else follows from more copies."""
        replies, is_accepted = keep(held, self._replicas)
        if held.claim is not None and claim_holds(held, self._replicas, now, me=self._me):
            held.claim = None
            return [*replies, *(self._accepted(held, now) if is_accepted else self._after_change(held, now))]
        return [*replies, *(self._accepted(held, now) if is_accepted else self._after_copies(held, now))]

    def _after_copies(self, held: HeldJob, now: Now) -> list[Output]:
        closing = self._closing(held, now)
        return [*closing, *self._open(held), *self._publish(held, now)] if closing else []

    def _accepted(self, held: HeldJob, now: Now) -> list[Output]:
        """The client has our word: look at the scene, or know it already, and hand out the work."""
        fold = held.fold
        assert fold.accepted is not None
        known = known_inspection(held, reversed(list(self._jobs.values())))
        notice = Notice("job_accepted", job=fold.job, fields={"copies": copies_of(held, self._replicas)})
        if known is None:
            return [notice, *self._after_change(held, now)]
        return [notice, *self._record_inspection(fold.job, self._attempt(fold), self._me, known, now)]

    def _attempt(self, fold: JobFold) -> AttemptId:
        self._counter += 1
        return AttemptId(fold.fence.epoch, self._me, self._counter)

    def _record_inspection(self, job: JobId, attempt: AttemptId, peer: PeerId, inspection: Inspection, now: Now) -> list[Output]:
        held = self._jobs.get(job)
        if held is None or held.owner != self._me or held.fold.inspected is not None:
            return []
        outputs = self._append(held, [Inspected(attempt, peer, inspection, now.wall_ms)], now)
        return [*outputs, inspected_notice(job, peer, inspection), *self._after_change(held, now)]

    def _succeed(self, held: HeldJob, now: Now) -> list[Output]:
        """Take the job over when its owner is gone, or cannot own it, and it is this peer's turn; ask the others before."""
        match self._succession.look(held, self._replicas, self._heard.get(held.fold.job), now):
            case "wait":
                return []
            case "ask":
                return [self._ask(held, peer) for peer in self._succession.asking(held.fold.job)]
            case "take":
                return self._take_over(held, now)

    def _take_over(self, held: HeldJob, now: Now) -> list[Output]:
        fold, before = held.fold, greatest_fence(held, self._heard.get(held.fold.job))
        outputs: list[Output] = [WorkClosed(fold.job, "taken over again", ended=False)] if held.opened else []
        fence = Fence(before.epoch + 1, self._me)
        held.opened, held.resumes, held.rival = False, True, None
        deliver_anew(held)
        outputs.extend(self._append(held, takeover_bodies(fold, fence, now), now))
        held.claim = None if fold.is_closed else claim(held, now)
        outputs.append(succession_notice(fold.job, before.peer, fence, was_there=self._replicas.is_live(before.peer)))
        return [*outputs, *self._settle(held, now), *self._after_change(held, now)]

    def _record_replicas(self, held: HeldJob, now: Now) -> list[Output]:
        fold = held.fold
        together = None if fold.accepted is None else self._replicas.to_record(held, now)
        if together is None:
            return []
        version = 1 + (fold.replica_set.version if fold.replica_set else 0)
        return [*self._append(held, [ReplicaSet(fold.fence, version, together)], now), *self._publish(held, now)]

    def _publish(self, held: HeldJob, now: Now) -> list[Output]:
        return [*publication(held, now, copies=copies_of(held, self._replicas), peers=len(self._replicas))]

    def _wake_rounds(self, now: Now) -> None:
        if self._round_at is None:
            self._round_at = now.monotonic_s + self._round_s()

    def _round_s(self) -> float:
        return limits.LEDGER_ROUND_S / 2 * self._random.uniform(0.9, 1.1)
