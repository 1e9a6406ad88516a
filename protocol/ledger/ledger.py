"""The ledger: accepts jobs, commits what happens to them as facts, takes what others know of them, answers for them.

Decides when an acceptance may be said aloud (C1), which result of a frame counts (C4), when a job is over. Refuses to
know leases, renderers and sockets: the dispatcher tells it what has ended, the roster who is there.
"""

from __future__ import annotations

from protocol import limits
from protocol.effects import Notice, Persist, PinBlobs, Reply, UnpinJob
from protocol.errors import Conflict, NotFound, Refusal, Unavailable
from protocol.events import (
    BlobLost,
    BlobsEnded,
    Booted,
    ControlAsked,
    DrainAsked,
    Event,
    StreamFailed,
    StreamReceived,
    SubmitAsked,
)
from protocol.ids import Fence, JobId, PeerId, RequestId
from protocol.jobs.identity import canonical, job_id
from protocol.kernel import Now
from protocol.ledger.controls import control_facts
from protocol.ledger.delivering import delivered_facts, delivery_due, sweep_on, void
from protocol.ledger.facts import FrameEnded
from protocol.ledger.held import HeldJob
from protocol.ledger.inquiry import Known
from protocol.ledger.keeper import as_versions
from protocol.ledger.offers import first_bodies, submission_refusal
from protocol.ledger.overview import view
from protocol.ledger.ownership import Output, Ownership
from protocol.ledger.promises import break_all, break_late, make_promise, owner_elsewhere, wanted
from protocol.ledger.succession import claim_after_boot, failed_in_error
from protocol.ledger.telling import frame_notice, left_unsafe_notice, winner_notice
from protocol.records import ForgetJob, PutFact
from protocol.signals import (
    DeliverySwept,
    DeliveryWaits,
    FrameCommitted,
    FramesDelivered,
    MemberForgotten,
    PeerChanged,
    Publish,
    SceneInspected,
    Send,
    Signal,
    SummaryChanged,
    TrustChanged,
    WorkClosed,
    WorkProgress,
)
from protocol.summaries import job_key
from protocol.views import JobView, Submitted
from protocol.wire import work
from protocol.wire.work import Facts, FactsHeld

DELETED_EPOCH = 2**62  # in a ForgetJob: not merely given up by its owner, but deleted


class Ledger(Ownership):
    """Invariants: a fact is persisted in the step that makes it; only the owner of a job authors facts about it;
    a promise is answered once."""

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events about jobs and facts; signals from roster and dispatcher."""
        match event:
            case Booted():
                return self._boot(event, now)
            case SubmitAsked(named=False):
                return self.submit(event, now)
            case ControlAsked():
                return self._control(event, now)
            case StreamReceived(sender, Facts() as facts):
                return self._take_facts(sender, facts, now)
            case StreamReceived(sender, FactsHeld() as held):
                return self._heard_held(sender, held, now)
            case StreamFailed(peer, FactsHeld(job)):
                self._keeper.unheard(job, peer)
                self._wake_rounds(now)
                return []
            case StreamReceived(sender, work.ForgetJob(job, fence)):
                return self._told_to_forget(sender, job, fence)
            case BlobsEnded(ticket, error) if kept := self._keeper.owns(ticket):
                return self._bytes_came(self._jobs[kept], ticket, error, now)
            case BlobsEnded(ticket, error) if self._recovery.owns(ticket):
                self._recovery.ended(ticket, error)
                return []
            case BlobLost(digest):
                return self._bytes_lost(digest)
            case PeerChanged():
                return self._peer(event, now)
            case MemberForgotten(peer):
                self._drop_peer(peer)
                return []
            case SummaryChanged(job, seen):
                return self._summary(job, seen, now)
            case WorkProgress():
                return self._progress(event, now)
            case FrameCommitted():
                return self._commit_frame(event, now)
            case TrustChanged(peer, reason, job) if reason:
                return self._distrusted(peer, job, now)
            case SceneInspected(job, attempt, peer, inspection):
                return self._record_inspection(job, attempt, peer, inspection, now)
            case FramesDelivered() | DeliverySwept() | DeliveryWaits():
                return self._delivered(event, now)
            case DrainAsked(leave=True) if alone := self.held_alone():
                return [left_unsafe_notice(alone)]
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        """A ledger round: resend what was lost, choose replicas, end promises that cannot be kept, publish counts."""
        outputs = [output for job in self._succession.due(now) for output in self._succeed(self._jobs[job], now)]
        if self._round_at is None or now.monotonic_s < self._round_at:
            return outputs
        for held in list(self._jobs.values()):
            outputs.extend(self._round(held, now))
        busy = any(self._needs_rounds(held) for held in self._jobs.values())
        self._round_at = now.monotonic_s + self._round_s() if busy else None
        return outputs

    def next_deadline(self) -> float | None:
        times = (self._round_at, self._succession.next_at())
        return min((at for at in times if at is not None), default=None)

    def _needs_rounds(self, held: HeldJob) -> bool:
        if held.fold.accepted is None:
            return False
        is_busy = bool(held.promises) or held.dirty or not held.fold.is_closed or self._recovery.is_patient(held.fold.job)
        open_ = held.owner == self._me and is_busy
        keeps = self._keeper.has_extras(held.fold.job) or self._must_tell(held)
        return open_ or bool(self._replicas.lacking(held)) or keeps

    def _must_tell(self, held: HeldJob) -> bool:
        """Whether the owner is there and has not heard what is held here."""
        owner = self._keeper.to_tell(held.fold.job)
        return owner is not None and self._replicas.is_live(owner)

    # facts

    def _take_facts(self, sender: PeerId, facts: Facts, now: Now) -> list[Output]:
        if facts.job in self._deleted:
            return [Send(sender, work.ForgetJob(facts.job, Fence(DELETED_EPOCH, self._me)))]
        is_question = not (facts.facts or facts.replicate)
        held = self._held(facts.job)
        merged, replaced = held.fold.merge(facts.facts)
        taken = tuple(PutFact(fact) for fact in merged)
        held.hearsay = held.hearsay or any(isinstance(fact.body, FrameEnded) for fact in merged)
        held.copies.told(sender, dict(facts.versions))
        outputs: list[Output] = [Persist(taken)] if taken else []
        outputs.extend(winner_notice(held.fold, before, after) for before, after in replaced.values())
        outputs.extend(void(held, (fact.body for fact in merged), replaced=bool(replaced)))
        outputs.extend(self._after_change(held, now) if taken or failed_in_error(held) else [])
        if taken and held.owner == self._me:
            outputs.append(Notice("late_facts", "debug", facts.job, {"from": sender, "count": len(taken)}))
        if facts.replicate and held.fold.accepted is not None:
            outputs.extend(self._keeper.asked(held.fold, sender))
        elif facts.replicate or is_question:
            if is_question and not held.fold.log and facts.job in self._given_up:
                outputs.append(Send(sender, work.ForgetJob(facts.job, self._given_up[facts.job])))
            safe = as_versions(self._keeper.safe(facts.job))
            outputs.append(Send(sender, FactsHeld(facts.job, as_versions(held.fold.versions), safe)))
        missing = held.fold.since(dict(facts.versions), limits.FACTS_PER_MESSAGE_MAX)
        if missing:
            outputs.append(Send(sender, Facts(facts.job, tuple(missing), as_versions(held.fold.versions), replicate=False)))
        if held.fold.accepted is None and not held.fold.log:
            del self._jobs[facts.job]
        elif self._replicas.lacking(held) or self._keeper.has_extras(facts.job):
            self._wake_rounds(now)
        return outputs

    def _heard_held(self, sender: PeerId, message: FactsHeld, now: Now) -> list[Output]:
        held = self._jobs.get(message.job)
        if held is None:
            return []
        is_news = held.copies.heard(sender, dict(message.versions), dict(message.safe))
        self._succession.answered(held, sender, now)
        if not is_news:
            return []
        if held.owner != self._me:
            return self._push(held, sender) if sender in self._replicas.targets(held) else []
        holds = bool(message.versions) or sender in self._replicas.targets(held)
        outputs = self._push(held, sender) if holds else []
        outputs.extend(self._record_replicas(held, now))
        outputs.extend(self._settle(held, now))
        return [*outputs, *self._publish(held, now)]

    # accepting

    def known(self, submitter: str, key: str, job: JobId) -> Known:
        """What is known here of a submission."""
        held = self._jobs.get(job)
        holds = held is not None and held.fold.accepted is not None
        said = held is not None and holds and held.owner == self._me and not held.is_unsaid
        view = self.view(job) if said else self._heard.get(job)
        return Known(self._keys.get((submitter, key)), job in self._deleted, holds, view)

    def submit(self, asked: SubmitAsked, now: Now) -> list[Output]:
        """Accept a job, unless its key says otherwise; one that a client has named comes from the inquiries."""
        spec_json = canonical(asked.spec)
        scene = asked.manifest.digest()
        job = job_id(submitter=asked.submitter, key=asked.key, spec_json=spec_json, scene=scene)
        refused = submission_refusal(job, self._keys.get((asked.submitter, asked.key)), deleted=job in self._deleted)
        if refused is not None:
            return [Reply(asked.request, refused)]
        held = self._jobs.get(job)
        if held is not None and held.fold.accepted is not None and held.owner == self._me:
            return self._promise(held, asked.request, now, submits=True, created=False)
        if (held is not None and held.fold.accepted is not None) or job in self._heard:
            return self._submit_elsewhere(held, job, asked.request)
        held = self._held(job)
        self._given_up.pop(job, None)
        self._keys[asked.submitter, asked.key] = job
        bodies = first_bodies(asked, spec_json, now, me=self._me)
        digests = tuple(entry.digest for entry in asked.manifest.files)
        outputs: list[Output] = [PinBlobs(job, digests)] if digests else []
        outputs.extend(self._again(held, now) if job in self._written else self._append(held, bodies, now))
        if held.owner != self._me:  # facts of a greater owner came before the job's acceptance did
            return [*outputs, Reply(asked.request, owner_elsewhere(held.owner))]
        return [*outputs, *self._promise(held, asked.request, now, submits=True, created=True)]

    def _again(self, held: HeldJob, now: Now) -> list[Output]:
        """A job that this run has given up is accepted after all. Others may hold what was written of it then, under numbers that
        must not mean anything else: the very same facts are written again."""
        written = self._written.pop(held.fold.job)
        for fact in written:
            held.fold.add(fact)
        self._wake_rounds(now)
        return [Persist(tuple(PutFact(fact) for fact in written)), *self._push_all(held)]

    def _submit_elsewhere(self, held: HeldJob | None, job: JobId, request: RequestId) -> list[Output]:
        """The same submission as one that another peer has accepted: its word is passed on, or it is reminded of the job."""
        seen = self._heard.get(job)
        needed = min(2, 1 + len(self._replicas.others())) if held is None else wanted(held, self._replicas)
        if seen is not None and seen.copies >= needed:
            return [Reply(request, Submitted(seen, seen.copies, created=False))]
        owner = held.owner if held is not None else self._heard[job].owner
        reminder = [] if held is None else self._push(held, owner, always=True)
        return [*reminder, Reply(request, owner_elsewhere(owner))]

    def _promise(self, held: HeldJob, request: RequestId, now: Now, *, submits: bool, created: bool) -> list[Output]:
        make_promise(held, request, now, submits=submits, created=created)
        self._wake_rounds(now)
        return self._settle(held, now)

    # what the dispatcher reports

    def _commit_frame(self, ended: FrameCommitted, now: Now) -> list[Output]:
        held = self._jobs.get(ended.job)
        if held is None or held.owner != self._me:
            return []
        body = FrameEnded(ended.frame, ended.generation, ended.attempt, ended.peer, ended.result, now.wall_ms)
        outputs = [*self._append(held, [body], now), frame_notice(ended)]
        if not held.is_quiet:
            outputs.extend(delivery_due(held, self._scene_holders(held), [ended.frame]))
        closing = self._closing(held, now)
        return [*outputs, *closing, *(self._open(held) if closing else []), *self._publish(held, now)]

    # what the delivery reports

    def _delivered(self, event: FramesDelivered | DeliverySwept | DeliveryWaits, now: Now) -> list[Output]:
        held = self._jobs.get(event.job)
        if held is None or held.owner != self._me:
            return []
        outputs: list[Output] = []
        match event:
            case FramesDelivered(_, peer, placed):
                outputs.extend(self._append(held, [*delivered_facts(held.fold, placed, peer, now)], now))
            case DeliverySwept():
                more = sweep_on(held, self._scene_holders(held))
                if more:
                    return [*more]
            case DeliveryWaits(_, reasons):
                held.activity.delivery_because = reasons
        return [*outputs, *self._after_copies(held, now), *self._publish(held, now)]

    def _progress(self, progress: WorkProgress, now: Now) -> list[Output]:
        held = self._jobs.get(progress.job)
        if held is None:
            return []
        activity = held.activity
        activity.running, activity.eta_s, activity.waiting_because = progress.running, progress.eta_s, progress.waiting_because
        if progress.running and activity.started_ms is None:
            activity.started_ms = view(held.fold, activity, copies=0).started_ms or now.wall_ms
        return self._publish(held, now)

    # controls

    def _control(self, asked: ControlAsked, now: Now) -> list[Output]:
        held = self._jobs.get(asked.job)
        if held is None or held.fold.accepted is None:
            return [Reply(asked.request, NotFound("no_such_job", f"this peer does not hold job {asked.job}"))]
        if held.owner != self._me:
            owner = held.fold.fence.peer[:8]
            message = f"the job's owner {owner} cannot be reached; a peer that holds the job takes it over soon: try again"
            return [Reply(asked.request, Unavailable("owner_unreachable", message, retry_after_s=5))]
        if asked.action == "delete":
            return self._delete(held, asked)
        bodies = control_facts(held.fold, asked, now)
        if isinstance(bodies, Refusal):
            return [Reply(asked.request, bodies)]
        outputs = self._append(held, bodies, now)
        if bodies:
            outputs.append(Notice("job_" + asked.action, job=asked.job, fields={"value": asked.value, "frames": asked.frames}))
        outputs.extend(self._after_change(held, now) if bodies else [])
        return [*outputs, *self._promise(held, asked.request, now, submits=False, created=False)]

    def _delete(self, held: HeldJob, asked: ControlAsked) -> list[Output]:
        if not held.fold.is_closed:
            return [Reply(asked.request, Conflict("job_not_ended", "only an ended job can be deleted; cancel it first"))]
        last = view(held.fold, held.activity, copies=1)
        told = [peer for peer in held.copies.by_peer if self._replicas.is_live(peer)]
        outputs = self._forget(held, deleted=True)
        outputs.extend(Send(peer, work.ForgetJob(asked.job, Fence(DELETED_EPOCH, self._me))) for peer in told)
        return [*outputs, Notice("job_deleted", job=asked.job), Reply(asked.request, last)]

    def _forget(self, held: HeldJob, *, deleted: bool) -> list[Output]:
        job = held.fold.job
        accepted = held.fold.accepted
        del self._jobs[job]
        held.fold.release()
        self._keeper.forget(job)
        self._recovery.forget(job)
        self._succession.forget(job)
        self._sweep()
        if accepted is not None and self._keys.get((accepted.submitter, accepted.key)) == job:
            del self._keys[accepted.submitter, accepted.key]
        marks = self._deleted.bury(job) if deleted else ()
        broken = break_all(held, Unavailable("not_durable", "the job was given up; submit it again", retry_after_s=1))
        forgotten = Persist((ForgetJob(job), *marks))
        return [forgotten, UnpinJob(job), WorkClosed(job, "deleted"), Publish(job_key(job), None), *broken]

    def _told_to_forget(self, sender: PeerId, job: JobId, fence: Fence) -> list[Output]:
        """Deleted jobs go for good. A job that its only owner gave up goes, unless somebody else has ever owned it."""
        held = self._jobs.get(job)
        if held is None or held.owner == self._me:
            return []
        if fence.epoch >= DELETED_EPOCH:
            return self._forget(held, deleted=True)
        given_up = list(held.fold.owners) == [sender] and fence == held.fold.fence and not held.fold.is_closed
        return self._forget(held, deleted=False) if given_up else []

    # peers, replicas, rounds

    def _peer(self, changed: PeerChanged, now: Now) -> list[Output]:
        fresh = self._replicas.heard(changed, now)
        if fresh is None:
            return []
        outputs: list[Output] = []
        for held in list(self._jobs.values()):
            if fresh:
                held.doubt(changed.peer)
            outputs.extend([*self._round(held, now), *self._succeed(held, now)])
        self._wake_rounds(now)
        return outputs

    def _drop_peer(self, peer: PeerId) -> None:
        """Membership has forgotten it: what it said that it holds is void, as if it came back with nothing."""
        for held in self._jobs.values():
            held.doubt(peer)
        self._replicas.forgotten(peer)
        self._sweep()

    def _sweep(self) -> None:
        self._replicas.sweep(self._jobs.values(), (view.owner for job, view in self._heard.items() if job in self._jobs))

    def _summary(self, job: JobId, seen: JobView | None, now: Now) -> list[Output]:
        """What others say of a job. Of two owners the lesser fence brings the greater everything, and then steps down."""
        held = self._jobs.get(job)
        if seen is None or seen.owner == self._me:
            self._heard.pop(job, None)
            if held is not None:
                held.rival = None
            return []
        self._heard[job] = seen
        if held is None:
            return []
        outputs = [*self._withdraw(held), *self._succeed(held, now)]
        if Fence(seen.epoch, seen.owner) <= held.fold.fence or held.rival == seen.owner:
            return outputs
        held.rival = seen.owner
        self._wake_rounds(now)
        return [*outputs, *self._bring(held, seen.owner)]

    def _round(self, held: HeldJob, now: Now) -> list[Output]:
        outputs: list[Output] = []
        if held.fold.accepted is None:
            return outputs
        for peer in self._replicas.lacking(held):
            outputs.extend(self._bring(held, peer))
        outputs.extend(self._keeper.fetch_extras(held.fold.job))
        outputs.extend(self._keeper.tell_again(held.fold) if self._must_tell(held) else [])
        if held.owner != self._me:
            return outputs
        outputs.extend(self._keep_own(held))
        outputs.extend(self._render_lost(held, now))
        outputs.extend(self._record_replicas(held, now))
        outputs.extend(self._settle(held, now))
        outputs.extend(self._break_promises(held, now))
        return [*outputs, *(self._publish(held, now) if held.dirty else [])]

    def _break_promises(self, held: HeldJob, now: Now) -> list[Output]:
        """Refuse openly what cannot be kept (C8). A job that was never acknowledged is forgotten with it."""
        replies, was_never_accepted = break_late(held, now)
        outputs: list[Output] = [*replies]
        if not was_never_accepted:
            return outputs
        if list(held.fold.owners) != [self._me]:  # another peer has accepted it too, and may have said so
            return [*outputs, *self._after_change(held, now)]
        self._given_up[held.fold.job] = held.fold.fence
        self._written[held.fold.job] = tuple(held.fold.log.get(self._author, ()))
        while len(self._given_up) > limits.GIVEN_UP_MAX:
            oldest = next(iter(self._given_up))
            del self._given_up[oldest]
            self._written.pop(oldest, None)
        outputs.extend(Send(peer, work.ForgetJob(held.fold.job, held.fold.fence)) for peer in self._replicas.others())
        return [*outputs, *self._forget(held, deleted=False)]

    # publishing

    # boot

    def _boot(self, booted: Booted, now: Now) -> list[Output]:
        self._deleted.load(booted.values)
        for fact in booted.facts:
            self._held(fact.job).fold.add(fact)
        outputs: list[Output] = []
        for held in self._jobs.values():
            held.hearsay = True
            if held.owner == self._me and held.fold.accepted is not None:
                held.claim = claim_after_boot(held, now, me=self._me)
                held.resumes = held.claim is not None
            outputs.extend(self._after_change(held, now))
            if held.fold.is_closed and held.owner == self._me:
                outputs.append(WorkClosed(held.fold.job, "the job has ended"))
        if self._jobs:
            self._wake_rounds(now)
        return outputs
