"""The ledger: accepts jobs, commits what happens to them as facts, keeps copies on other peers, answers for them.

Decides when an acceptance may be said aloud (C1), which result of a frame counts (C4), when a job is over. Refuses to
know leases, renderers and sockets: the dispatcher tells it what has ended, the roster who is there.
"""

from __future__ import annotations

from random import Random

from protocol import limits
from protocol.effects import Effect, Notice, Persist, PinBlobs, Reply, UnpinJob
from protocol.errors import Conflict, NotFound, Refusal, Unavailable
from protocol.events import BlobsEnded, Booted, ControlAsked, Event, StreamReceived, SubmitAsked
from protocol.ids import AttemptId, AuthorId, Fence, JobId, PeerId, RequestId
from protocol.jobs.identity import canonical, job_id
from protocol.jobs.results import Inspection
from protocol.kernel import Now
from protocol.ledger.closing import known_inspection, last_word
from protocol.ledger.controls import control_facts
from protocol.ledger.delivering import NOT_SWEPT, delivered_facts, delivery_due, sweep_due
from protocol.ledger.facts import Body, Fact, FrameEnded, Inspected, ReplicaSet
from protocol.ledger.fold import JobFold
from protocol.ledger.held import HeldJob
from protocol.ledger.keeper import Keeper, as_versions
from protocol.ledger.offers import first_bodies, submission_refusal, work_opened
from protocol.ledger.overview import view
from protocol.ledger.promises import break_all, break_late, copies_of, keep, make_promise, owner_elsewhere, wanted
from protocol.ledger.publishing import publication
from protocol.ledger.replicas import Replicas
from protocol.ledger.telling import closed_notice, frame_notice, inspected_notice
from protocol.ledger.tombstones import Tombstones
from protocol.records import ForgetJob, PutFact
from protocol.signals import (
    DeliverySwept,
    DeliveryWaits,
    FrameCommitted,
    FramesDelivered,
    PeerChanged,
    Publish,
    SceneInspected,
    Send,
    Signal,
    SummaryChanged,
    WorkClosed,
    WorkProgress,
)
from protocol.summaries import job_key
from protocol.views import JobView, Submitted
from protocol.wire import work
from protocol.wire.work import Facts, FactsHeld

Output = Effect | Signal
DELETED_EPOCH = 2**62  # in a ForgetJob: not merely given up by its owner, but deleted


class Ledger:
    """Invariants: a fact is persisted in the step that makes it; only the owner of a job authors facts about it;
    a promise is answered once."""

    def __init__(self, *, me: PeerId, author: AuthorId, run_epoch: int, host: str, replicas: int, random: Random) -> None:
        self._me = me
        self._author = author
        self._random = random
        self._counter = run_epoch << 32
        self._jobs: dict[JobId, HeldJob] = {}
        self._keys: dict[tuple[str, str], JobId] = {}
        self._deleted = Tombstones()
        self._heard: dict[JobId, JobView] = {}  # newest summaries of jobs that others own
        self._keeper = Keeper(me=me)
        self._replicas = Replicas(me=me, host=host, run_epoch=run_epoch, count=replicas)
        self._round_at: float | None = None

    # reading

    def fold(self, job: JobId) -> JobFold | None:
        """A job's folded facts, where this peer holds them."""
        held = self._jobs.get(job)
        return held.fold if held is not None and held.fold.accepted is not None else None

    def folds(self) -> list[JobFold]:
        """Every job that is held here."""
        return [held.fold for held in self._jobs.values() if held.fold.accepted is not None]

    def owns(self, job: JobId) -> bool:
        """Whether this peer dispatches the job."""
        held = self._jobs.get(job)
        return held is not None and held.owner == self._me

    def view(self, job: JobId) -> JobView | None:
        """The job as this peer's facts say."""
        held = self._jobs.get(job)
        if held is None or held.fold.accepted is None:
            return None
        return view(held.fold, held.activity, copies=copies_of(held, self._replicas))

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events about jobs and facts; signals from roster and dispatcher."""
        match event:
            case Booted():
                return self._boot(event, now)
            case SubmitAsked():
                return self._submit(event, now)
            case ControlAsked():
                return self._control(event, now)
            case StreamReceived(sender, Facts() as facts):
                return self._take_facts(sender, facts, now)
            case StreamReceived(sender, FactsHeld() as held):
                return self._heard_held(sender, held, now)
            case StreamReceived(sender, work.ForgetJob(job, fence)):
                return self._told_to_forget(sender, job, fence)
            case BlobsEnded(ticket, error):
                kept = self._keeper.owns(ticket)
                return [] if kept is None else self._keeper.ended(self._jobs[kept].fold, ticket, error)
            case PeerChanged():
                return self._peer(event, now)
            case SummaryChanged(job, seen):
                return self._summary(job, seen, now)
            case WorkProgress():
                return self._progress(event, now)
            case FrameCommitted():
                return self._commit_frame(event, now)
            case SceneInspected(job, attempt, peer, inspection):
                return self._record_inspection(job, attempt, peer, inspection, now)
            case FramesDelivered() | DeliverySwept() | DeliveryWaits():
                return self._delivered(event, now)
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        """A ledger round: resend what was lost, choose replicas, end promises that cannot be kept, publish counts."""
        if self._round_at is None or now.monotonic_s < self._round_at:
            return []
        outputs: list[Output] = []
        for held in list(self._jobs.values()):
            outputs.extend(self._round(held, now))
        busy = any(self._needs_rounds(held) for held in self._jobs.values())
        self._round_at = now.monotonic_s + self._round_s() if busy else None
        return outputs

    def next_deadline(self) -> float | None:
        return self._round_at

    def _round_s(self) -> float:
        return limits.LEDGER_ROUND_S / 2 * self._random.uniform(0.9, 1.1)

    def _needs_rounds(self, held: HeldJob) -> bool:
        if held.fold.accepted is None:
            return False
        open_ = held.owner == self._me and (bool(held.promises) or held.dirty or not held.fold.is_closed)
        return open_ or bool(self._replicas.lacking(held))

    def _wake_rounds(self, now: Now) -> None:
        if self._round_at is None:
            self._round_at = now.monotonic_s + self._round_s()

    # facts

    def _append(self, held: HeldJob, bodies: list[Body], now: Now) -> list[Output]:
        """Author facts: persist first, then tell the replicas. The caller re-opens and publishes."""
        log = held.fold.log.get(self._author, [])
        facts = [Fact(held.fold.job, self._author, len(log) + 1 + at, body) for at, body in enumerate(bodies)]
        for fact in facts:
            held.fold.add(fact)
        self._wake_rounds(now)
        return [Persist(tuple(PutFact(fact) for fact in facts)), *self._push_all(held)] if facts else []

    def _push_all(self, held: HeldJob) -> list[Output]:
        return [output for peer in self._replicas.targets(held) for output in self._push(held, peer)]

    def _push(self, held: HeldJob, peer: PeerId, *, always: bool = False) -> list[Output]:
        facts = held.copies.news_for(peer)
        if not facts and not always:
            return []
        message = Facts(held.fold.job, tuple(facts), as_versions(held.fold.versions), replicate=True)
        return [Send(peer, message)]

    def _take_facts(self, sender: PeerId, facts: Facts, now: Now) -> list[Output]:
        if facts.job in self._deleted:
            return [Send(sender, work.ForgetJob(facts.job, Fence(DELETED_EPOCH, self._me)))]
        held = self._jobs.setdefault(facts.job, HeldJob(facts.job))
        taken = tuple(PutFact(fact) for fact in facts.facts if fact.job == facts.job and held.fold.add(fact))
        held.copies.told(sender, dict(facts.versions))
        outputs: list[Output] = [Persist(taken)] if taken else []
        outputs.extend(self._after_change(held, now) if taken else [])
        if facts.replicate and held.fold.accepted is not None:
            outputs.extend(self._keeper.asked(held.fold, sender))
        elif facts.replicate:
            outputs.append(Send(sender, FactsHeld(facts.job, as_versions(held.fold.versions), ())))
        missing = held.fold.since(dict(facts.versions), limits.FACTS_PER_MESSAGE_MAX)
        if missing:
            outputs.append(Send(sender, Facts(facts.job, tuple(missing), as_versions(held.fold.versions), replicate=False)))
        if held.fold.accepted is None and not held.fold.log:
            del self._jobs[facts.job]
        elif self._replicas.lacking(held):
            self._wake_rounds(now)
        return outputs

    def _heard_held(self, sender: PeerId, message: FactsHeld, now: Now) -> list[Output]:
        held = self._jobs.get(message.job)
        if held is None or not held.copies.heard(sender, dict(message.versions), dict(message.safe)):
            return []
        if held.owner != self._me:
            return self._push(held, sender) if sender in self._replicas.targets(held) else []
        outputs = self._push(held, sender)
        outputs.extend(self._record_replicas(held, now))
        outputs.extend(self._settle(held, now))
        return [*outputs, *self._publish(held, now)]

    def _after_change(self, held: HeldJob, now: Now) -> list[Output]:
        """Facts have changed: who owns it now, is it over, what may be handed out, what do people see."""
        fold = held.fold
        if fold.accepted is not None:
            self._keys.setdefault((fold.accepted.submitter, fold.accepted.key), fold.job)
        if held.owner != self._me:
            return self._step_down(held, now)
        closing = self._closing(held, now)
        opening = self._open(held)
        return [*closing, *opening, *self._publish(held, now)]

    def _step_down(self, held: HeldJob, now: Now) -> list[Output]:
        """Another peer owns the job: hand out nothing more, and bring it everything that is known here."""
        outputs: list[Output] = [*break_all(held, owner_elsewhere(held.owner))]
        if held.opened:
            outputs.append(WorkClosed(held.fold.job, "another peer owns this job now", ended=False))
        held.opened = False
        held.sweeping = held.swept = NOT_SWEPT
        if self._replicas.lacking(held):
            self._wake_rounds(now)
        return outputs

    def _open(self, held: HeldJob) -> list[Output]:
        if held.fold.accepted is None or held.is_promised:
            return []
        if held.fold.is_closed or held.fold.cancelled:
            outputs: list[Output] = [WorkClosed(held.fold.job, "the job has ended")] if held.opened else []
            held.opened = False
            return outputs
        held.opened = True
        holders = self._scene_holders(held)
        return [work_opened(held.fold, holders), *delivery_due(held, holders)]

    def _scene_holders(self, held: HeldJob) -> tuple[PeerId, ...]:
        live = [peer for peer in held.fold.replicas if peer != self._me and self._replicas.is_live(peer)]
        return (self._me, *live)

    def _closing(self, held: HeldJob, now: Now) -> list[Output]:
        """The last word on a job, once there is nothing left to do."""
        closed = last_word(held, self._replicas, now, me=self._me)
        if closed is None:
            return []
        sweep = sweep_due(held, self._scene_holders(held))
        if sweep is not None:
            return [*sweep]
        notice = closed_notice(held, closed)
        return [*self._append(held, [closed], now), notice]

    # accepting

    def _submit(self, asked: SubmitAsked, now: Now) -> list[Output]:
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
        held = self._jobs.setdefault(job, HeldJob(job))
        self._keys[asked.submitter, asked.key] = job
        bodies = first_bodies(asked, spec_json, now, me=self._me)
        digests = tuple(entry.digest for entry in asked.manifest.files)
        outputs: list[Output] = [PinBlobs(job, digests)] if digests else []
        outputs.extend(self._append(held, bodies, now))
        if held.owner != self._me:  # facts of a greater owner came before the job's acceptance did
            return [*outputs, Reply(asked.request, owner_elsewhere(held.owner))]
        return [*outputs, *self._promise(held, asked.request, now, submits=True, created=True)]

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

    def _settle(self, held: HeldJob, now: Now) -> list[Output]:
        """Answer every promise that holds now, then see what else follows from more copies."""
        replies, is_accepted = keep(held, self._replicas)
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

    # what the dispatcher reports

    def _record_inspection(self, job: JobId, attempt: AttemptId, peer: PeerId, inspection: Inspection, now: Now) -> list[Output]:
        held = self._jobs.get(job)
        if held is None or held.owner != self._me or held.fold.inspected is not None:
            return []
        outputs = self._append(held, [Inspected(attempt, peer, inspection, now.wall_ms)], now)
        return [*outputs, inspected_notice(job, peer, inspection), *self._after_change(held, now)]

    def _commit_frame(self, ended: FrameCommitted, now: Now) -> list[Output]:
        held = self._jobs.get(ended.job)
        if held is None or held.owner != self._me:
            return []
        body = FrameEnded(ended.frame, ended.generation, ended.attempt, ended.peer, ended.result, now.wall_ms)
        outputs = [*self._append(held, [body], now), frame_notice(ended)]
        if not held.is_promised:
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
                held.swept = held.sweeping
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
            message = f"the job's owner {held.fold.fence.peer[:8]} cannot be reached now, and only it may change the job"
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
        self._keeper.forget(job)
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
                held.copies.forget(changed.peer)
            if held.owner == self._me or self._me in held.fold.owners:
                outputs.extend(self._round(held, now))
        self._wake_rounds(now)
        return outputs

    def _summary(self, job: JobId, seen: JobView | None, now: Now) -> list[Output]:
        """What others say of a job. Of two owners the lesser fence brings the greater everything, and then steps down."""
        if seen is None or seen.owner == self._me:
            self._heard.pop(job, None)
            return []
        self._heard[job] = seen
        held = self._jobs.get(job)
        if held is None or held.owner != self._me or held.rival == seen.owner:
            return []
        if Fence(seen.epoch, seen.owner) <= held.fold.fence:
            return []
        held.rival = seen.owner
        self._wake_rounds(now)
        return self._push(held, seen.owner, always=True)

    def _record_replicas(self, held: HeldJob, now: Now) -> list[Output]:
        fold = held.fold
        together = None if fold.accepted is None else self._replicas.to_record(held, now)
        if together is None:
            return []
        version = 1 + (fold.replica_set.version if fold.replica_set else 0)
        return [*self._append(held, [ReplicaSet(fold.fence, version, together)], now), *self._publish(held, now)]

    def _round(self, held: HeldJob, now: Now) -> list[Output]:
        outputs: list[Output] = []
        if held.fold.accepted is None:
            return outputs
        for peer in self._replicas.lacking(held):
            held.copies.resend(peer)
            outputs.extend(self._push(held, peer, always=True))
        if held.owner != self._me:
            return outputs
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
        outputs.extend(Send(peer, work.ForgetJob(held.fold.job, held.fold.fence)) for peer in self._replicas.others())
        return [*outputs, *self._forget(held, deleted=False)]

    # publishing

    def _publish(self, held: HeldJob, now: Now) -> list[Output]:
        return [*publication(held, now, copies=copies_of(held, self._replicas), peers=len(self._replicas))]

    # boot

    def _boot(self, booted: Booted, now: Now) -> list[Output]:
        self._deleted.load(booted.values)
        for fact in booted.facts:
            self._jobs.setdefault(fact.job, HeldJob(fact.job)).fold.add(fact)
        outputs: list[Output] = []
        for held in self._jobs.values():
            outputs.extend(self._after_change(held, now))
            if held.fold.is_closed and held.owner == self._me:
                outputs.append(WorkClosed(held.fold.job, "the job has ended"))
        if self._jobs:
            self._wake_rounds(now)
        return outputs
