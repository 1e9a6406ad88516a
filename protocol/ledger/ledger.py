"""The ledger: accepts jobs, commits what happens to them as facts, keeps copies on other peers, answers for them.

Decides when an acceptance may be said aloud (C1), which result of a frame counts (C4), when a job is over. Refuses to
know leases, renderers and sockets: the dispatcher tells it what has ended, the roster who is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from protocol import limits
from protocol.effects import Effect, Notice, Persist, PinBlobs, Reply, UnpinJob
from protocol.errors import Conflict, NotFound, Refusal, Unavailable
from protocol.events import BlobsEnded, Booted, ControlAsked, Event, StreamReceived, SubmitAsked
from protocol.ids import AttemptId, AuthorId, Fence, JobId, PeerId, RequestId
from protocol.jobs.identity import canonical, job_id
from protocol.jobs.manifest import EMPTY
from protocol.jobs.results import Inspection
from protocol.kernel import Now
from protocol.ledger.controls import control_facts
from protocol.ledger.copies import Copies, wanted_copies
from protocol.ledger.facts import Accepted, Body, Closed, Fact, FrameEnded, Inspected, Owner, ReplicaSet
from protocol.ledger.fold import JobFold, VersionMap
from protocol.ledger.keeper import Keeper, as_versions
from protocol.ledger.offers import job_version, work_opened
from protocol.ledger.overview import Activity, view
from protocol.ledger.placement import choose
from protocol.ledger.lifecycle import refusal
from protocol.records import DropValue, ForgetJob, PutFact, PutValue
from protocol.signals import (
    FrameCommitted,
    PeerChanged,
    Publish,
    SceneInspected,
    Send,
    Signal,
    WorkClosed,
    WorkProgress,
)
from protocol.summaries import job_key, summary_to_bytes
from protocol.views import JobView, Submitted
from protocol.wire import work
from protocol.wire.work import Facts, FactsHeld

Output = Effect | Signal
TOMBSTONE = "deleted/"


@dataclass(slots=True)
class _Promise:
    """A client waits until `versions` are durable on enough peers. `forget`: the job is not wanted when that fails."""

    request: RequestId
    versions: VersionMap
    with_bytes: bool
    until: float
    created: bool
    forget: bool


@dataclass(slots=True)
class _Peer:
    live: bool
    useful: bool  # may hold copies: live, not critical, not draining
    host: str
    run_epoch: int
    gone_since: float | None
    left: bool


class _Job:
    """One job's machinery on this peer; only an owner uses more than the fold."""

    __slots__ = ("activity", "copies", "dirty", "fold", "opened", "promises", "published", "published_at")

    def __init__(self, job: JobId) -> None:
        self.fold = JobFold(job)
        self.copies = Copies(self.fold)
        self.promises: list[_Promise] = []
        self.activity = Activity()
        self.opened = False
        self.published: JobView | None = None
        self.published_at = 0.0
        self.dirty = False


class Ledger:
    """Invariants: a fact is persisted in the step that makes it; only the owner of a job authors facts about it;
    a promise is answered once."""

    def __init__(self, *, me: PeerId, author: AuthorId, run_epoch: int, host: str, replicas: int, random: Random) -> None:
        self._me = me
        self._author = author
        self._replicas = replicas
        self._random = random
        self._counter = run_epoch << 32
        self._jobs: dict[JobId, _Job] = {}
        self._keys: dict[tuple[str, str], JobId] = {}
        self._deleted: dict[JobId, None] = {}
        self._keeper = Keeper(me=me)
        self._peers: dict[PeerId, _Peer] = {me: _Peer(True, True, host, run_epoch, None, False)}
        self._round_at: float | None = None

    # reading

    def fold(self, job: JobId) -> JobFold | None:
        """A job's folded facts, where this peer holds them."""
        held = self._jobs.get(job)
        return held.fold if held is not None and held.fold.accepted is not None else None

    def owns(self, job: JobId) -> bool:
        """Whether this peer dispatches the job."""
        held = self._jobs.get(job)
        return held is not None and held.fold.fence.peer == self._me

    def view(self, job: JobId) -> JobView | None:
        """The job as this peer's facts say."""
        held = self._jobs.get(job)
        if held is None or held.fold.accepted is None:
            return None
        return view(held.fold, held.activity, copies=self._copies(held))

    def _copies(self, job: _Job) -> int:
        base = {} if job.fold.accepted is None else {author: 1 for author in job.fold.log if author == self._author}
        return 1 + job.copies.count(base, self._others(), with_bytes=True)

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
            case WorkProgress():
                return self._progress(event, now)
            case FrameCommitted():
                return self._commit_frame(event, now)
            case SceneInspected(job, attempt, peer, inspection):
                return self._record_inspection(job, attempt, peer, inspection, now)
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        """A ledger round: resend what was lost, choose replicas, end promises that cannot be kept, publish counts."""
        if self._round_at is None or now.monotonic_s < self._round_at:
            return []
        outputs: list[Output] = []
        for held in list(self._jobs.values()):
            if held.fold.fence.peer == self._me:
                outputs.extend(self._round(held, now))
        busy = any(self._needs_rounds(held) for held in self._jobs.values())
        self._round_at = now.monotonic_s + self._round_s() if busy else None
        return outputs

    def next_deadline(self) -> float | None:
        return self._round_at

    def _round_s(self) -> float:
        return limits.LEDGER_ROUND_S / 2 * self._random.uniform(0.9, 1.1)

    def _needs_rounds(self, held: _Job) -> bool:
        if held.fold.fence.peer != self._me:
            return False
        lacking = any(held.copies.is_behind(peer) for peer in self._wanted(held) if peer != self._me)
        return bool(held.promises) or held.dirty or lacking or not held.fold.is_closed

    def _wake_rounds(self, now: Now) -> None:
        if self._round_at is None:
            self._round_at = now.monotonic_s + self._round_s()

    # facts

    def _append(self, held: _Job, bodies: list[Body], now: Now) -> list[Output]:
        """Author facts: persist first, then tell the replicas. The caller re-opens and publishes."""
        log = held.fold.log.get(self._author, [])
        facts = [Fact(held.fold.job, self._author, len(log) + 1 + at, body) for at, body in enumerate(bodies)]
        for fact in facts:
            held.fold.add(fact)
        self._wake_rounds(now)
        return [Persist(tuple(PutFact(fact) for fact in facts)), *self._push_all(held)] if facts else []

    def _push_all(self, held: _Job) -> list[Output]:
        return [output for peer in self._wanted(held) if peer != self._me for output in self._push(held, peer)]

    def _push(self, held: _Job, peer: PeerId, *, always: bool = False) -> list[Output]:
        facts = held.copies.news_for(peer)
        if not facts and not always:
            return []
        message = Facts(held.fold.job, tuple(facts), as_versions(held.fold.versions), replicate=True)
        return [Send(peer, message)]

    def _take_facts(self, sender: PeerId, facts: Facts, now: Now) -> list[Output]:
        if facts.job in self._deleted:
            return [Send(sender, work.ForgetJob(facts.job, Fence(2**62, self._me)))]
        held = self._jobs.setdefault(facts.job, _Job(facts.job))
        taken = tuple(PutFact(fact) for fact in facts.facts if fact.job == facts.job and held.fold.add(fact))
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
        return outputs

    def _heard_held(self, sender: PeerId, message: FactsHeld, now: Now) -> list[Output]:
        held = self._jobs.get(message.job)
        if held is None or held.fold.fence.peer != self._me:
            return []
        outputs: list[Output] = []
        if held.copies.heard(sender, dict(message.versions), dict(message.safe)):
            outputs.extend(self._push(held, sender))
            outputs.extend(self._record_replicas(held, now))
            outputs.extend(self._settle(held, now))
        return outputs

    def _after_change(self, held: _Job, now: Now) -> list[Output]:
        """Facts have changed: who owns it now, is it over, what may be handed out, what do people see."""
        fold = held.fold
        if fold.accepted is not None:
            self._keys.setdefault((fold.accepted.submitter, fold.accepted.key), fold.job)
        if fold.fence.peer != self._me:
            outputs: list[Output] = [WorkClosed(fold.job, "another peer owns this job now")] if held.opened else []
            held.opened = False
            return outputs
        closing = self._closing(held, now)
        opening = self._open(held)
        return [*closing, *opening, *self._publish(held, now)]

    def _open(self, held: _Job) -> list[Output]:
        if held.fold.accepted is None or (any(promise.forget for promise in held.promises)):
            return []
        if held.fold.is_closed or held.fold.cancelled:
            outputs: list[Output] = [WorkClosed(held.fold.job, "the job has ended")] if held.opened else []
            held.opened = False
            return outputs
        held.opened = True
        return [work_opened(held.fold, self._scene_holders(held))]

    def _scene_holders(self, held: _Job) -> tuple[PeerId, ...]:
        live = [peer for peer in held.fold.replicas if peer != self._me and self._is_live(peer)]
        return (self._me, *live)

    def _closing(self, held: _Job, now: Now) -> list[Output]:
        """The last word on a job, once there is nothing left to do."""
        fold = held.fold
        if fold.is_closed:
            return []
        retries = len(fold.retries)
        if fold.cancelled:
            return self._close(held, Closed("cancelled", fold.fence, retries, now.wall_ms), now)
        if refusal(fold) is not None:
            return self._close(held, Closed("failed", fold.fence, retries, now.wall_ms), now)
        if fold.frames is None:
            return []
        failed = [frame for frame in fold.failed_frames() if frame in fold.frames]
        if fold.done + len(failed) < len(fold.frames) or not self._all_safe(held):
            return []
        return self._close(held, Closed("failed" if failed else "completed", fold.fence, retries, now.wall_ms), now)

    def _close(self, held: _Job, closed: Closed, now: Now) -> list[Output]:
        started = view(held.fold, held.activity, copies=0).started_ms
        outputs = self._append(held, [closed], now)
        fields = {"state": closed.state, "seconds": None if started is None else round((closed.wall_ms - started) / 1000, 3)}
        outputs.append(Notice("job_" + closed.state, job=held.fold.job, fields=fields))
        return outputs

    def _all_safe(self, held: _Job) -> bool:
        """Whether every committed frame's bytes are on two peers, where there are two that can hold them."""
        others = self._others()
        if not others:
            return True
        if any(held.copies.is_synced(peer) for peer in others):
            return True
        return all(
            ended.peer != self._me and self._is_live(ended.peer) for ended in held.fold.winners.values()
        ) and bool(held.fold.winners)

    # accepting

    def _submit(self, asked: SubmitAsked, now: Now) -> list[Output]:
        spec_json = canonical(asked.spec)
        scene = asked.manifest.digest()
        job = job_id(submitter=asked.submitter, key=asked.key, spec_json=spec_json, scene=scene)
        if job in self._deleted:
            return [Reply(asked.request, Conflict("job_deleted", "this very job was submitted before and deleted; use a new Idempotency-Key"))]
        known = self._keys.get((asked.submitter, asked.key))
        if known is not None and known != job:
            message = f"the Idempotency-Key was used for job {known} with other fields or another scene; use a new key"
            return [Reply(asked.request, Conflict("key_reused", message))]
        held = self._jobs.get(job)
        if held is not None and held.fold.accepted is not None:
            return self._promise(held, asked.request, now, created=False, with_bytes=True, forget=False)
        held = self._jobs.setdefault(job, _Job(job))
        self._keys[asked.submitter, asked.key] = job
        fence = Fence(1, self._me)
        accepted = Accepted(
            spec=spec_json, manifest=asked.manifest, submitter=asked.submitter, key=asked.key,
            wall_ms=now.wall_ms, only_on=self._me if asked.on_this_peer else None,
        )  # fmt: skip
        bodies: list[Body] = [accepted, Owner(fence), ReplicaSet(fence, 1, (self._me,))]
        digests = tuple(entry.digest for entry in asked.manifest.files)
        outputs: list[Output] = [PinBlobs(job, digests)] if digests else []
        outputs.extend(self._append(held, bodies, now))
        outputs.extend(self._promise(held, asked.request, now, created=True, with_bytes=True, forget=True))
        return outputs

    def _promise(
        self, held: _Job, request: RequestId, now: Now, *, created: bool, with_bytes: bool, forget: bool
    ) -> list[Output]:
        assert held.fold.accepted is not None
        wait_s = limits.ACCEPT_S + held.fold.accepted.manifest.size / limits.ACCEPT_BYTES_PER_S
        mine = {self._author: held.fold.versions[self._author]} if self._author in held.fold.versions else {}
        until = now.monotonic_s + wait_s
        held.promises.append(_Promise(request, mine, with_bytes, until, created, forget))
        self._wake_rounds(now)
        return self._settle(held, now)

    def _settle(self, held: _Job, now: Now) -> list[Output]:
        """Answer every promise that holds now, then see what else follows from more copies."""
        assert held.fold.spec is not None
        useful = 1 + len(self._others())
        wanted = wanted_copies(held.fold.spec.durability, peers=useful, replicas=self._replicas)
        outputs: list[Output] = []
        kept: list[_Promise] = []
        accepted_now = False
        for promise in held.promises:
            copies = 1 + held.copies.count(promise.versions, self._others(), with_bytes=promise.with_bytes)
            if copies < wanted:
                kept.append(promise)
                continue
            accepted_now = accepted_now or promise.forget
            outputs.append(Reply(promise.request, self._kept(held, promise, copies)))
        held.promises = kept
        if accepted_now:
            outputs = [*outputs, *self._accepted(held, now)]
        if not accepted_now and held.fold.fence.peer == self._me:
            outputs.extend(self._after_copies(held, now))
        return outputs

    def _kept(self, held: _Job, promise: _Promise, copies: int) -> Submitted | JobView:
        now_view = view(held.fold, held.activity, copies=copies)
        return Submitted(now_view, copies, promise.created) if promise.with_bytes else now_view

    def _after_copies(self, held: _Job, now: Now) -> list[Output]:
        closing = self._closing(held, now)
        return [*closing, *self._open(held), *self._publish(held, now)] if closing else []

    def _accepted(self, held: _Job, now: Now) -> list[Output]:
        """The client has our word: look at the scene, or know it already, and hand out the work."""
        fold = held.fold
        assert fold.accepted is not None
        known = self._known_inspection(held)
        notice = Notice("job_accepted", job=fold.job, fields={"copies": self._copies(held)})
        if known is None:
            return [notice, *self._after_change(held, now)]
        return [notice, *self._record_inspection(fold.job, self._attempt(fold), self._me, known, now)]

    def _known_inspection(self, held: _Job) -> Inspection | None:
        """A job without a scene needs no look; the same scene under the same settings needs no second one."""
        fold = held.fold
        assert fold.accepted is not None
        if fold.accepted.manifest == EMPTY:
            return Inspection()
        scene, settings = fold.accepted.manifest.digest(), fold.settings
        for other in reversed(list(self._jobs.values())):
            seen, accepted = other.fold.inspection, other.fold.accepted
            if other is held or seen is None or accepted is None or seen.error is not None:
                continue
            if accepted.manifest.digest() == scene and other.fold.settings == settings:
                return seen
        return None

    def _attempt(self, fold: JobFold) -> AttemptId:
        self._counter += 1
        return AttemptId(fold.fence.epoch, self._me, self._counter)

    # what the dispatcher reports

    def _record_inspection(self, job: JobId, attempt: AttemptId, peer: PeerId, inspection: Inspection, now: Now) -> list[Output]:
        held = self._jobs.get(job)
        if held is None or held.fold.fence.peer != self._me or held.fold.inspected is not None:
            return []
        outputs = self._append(held, [Inspected(attempt, peer, inspection, now.wall_ms)], now)
        fields = {"by": peer, "warnings": [warning.code for warning in inspection.warnings], "blender": inspection.blender}
        if inspection.error is not None:
            fields["error"] = inspection.error.reason
        return [*outputs, Notice("scene_inspected", job=job, fields=fields), *self._after_change(held, now)]

    def _commit_frame(self, ended: FrameCommitted, now: Now) -> list[Output]:
        held = self._jobs.get(ended.job)
        if held is None or held.fold.fence.peer != self._me:
            return []
        failure = ended.result.failure
        body = FrameEnded(ended.frame, ended.generation, ended.attempt, ended.peer, ended.result, now.wall_ms)
        outputs = self._append(held, [body], now)
        fields = {"frame": ended.frame, "by": ended.peer, "seconds": round(ended.result.seconds, 4), "attempt": ended.attempt.counter}
        if failure is None:
            outputs.append(Notice("frame_committed", job=ended.job, fields=fields))
        else:
            fields |= {"kind": failure.kind, "reason": failure.reason}
            outputs.append(Notice("frame_failed", "warning", ended.job, fields))
        closing = self._closing(held, now)
        return [*outputs, *closing, *(self._open(held) if closing else []), *self._publish(held, now)]

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
        if held.fold.fence.peer != self._me:
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
        return [*outputs, *self._promise(held, asked.request, now, created=False, with_bytes=False, forget=False)]

    def _delete(self, held: _Job, asked: ControlAsked) -> list[Output]:
        if not held.fold.is_closed:
            return [Reply(asked.request, Conflict("job_not_ended", "only an ended job can be deleted; cancel it first"))]
        last = view(held.fold, held.activity, copies=1)
        told = [peer for peer in held.copies.by_peer if self._is_live(peer)]
        outputs = self._forget(held, deleted=True)
        outputs.extend(Send(peer, work.ForgetJob(asked.job, held.fold.fence)) for peer in told)
        return [*outputs, Notice("job_deleted", job=asked.job), Reply(asked.request, last)]

    def _forget(self, held: _Job, *, deleted: bool) -> list[Output]:
        job = held.fold.job
        accepted = held.fold.accepted
        del self._jobs[job]
        self._keeper.forget(job)
        if accepted is not None and self._keys.get((accepted.submitter, accepted.key)) == job:
            del self._keys[accepted.submitter, accepted.key]
        mark = (PutValue(TOMBSTONE + job, b"deleted"),) if deleted else ()
        drops: tuple[DropValue, ...] = ()
        if deleted:
            self._deleted[job] = None
            drops = tuple(DropValue(TOMBSTONE + old) for old in list(self._deleted)[: -limits.TOMBSTONES_MAX])
            for drop in drops:
                self._deleted.pop(JobId(drop.key.removeprefix(TOMBSTONE)), None)
        return [Persist((ForgetJob(job), *mark, *drops)), UnpinJob(job), WorkClosed(job, "deleted"), Publish(job_key(job), None)]

    def _told_to_forget(self, sender: PeerId, job: JobId, fence: Fence) -> list[Output]:
        held = self._jobs.get(job)
        if held is None or fence < held.fold.fence or held.fold.fence.peer == self._me:
            return []
        return self._forget(held, deleted=held.fold.is_closed and sender == held.fold.fence.peer)

    # peers, replicas, rounds

    def _others(self) -> list[PeerId]:
        """Live peers besides this one that can hold copies."""
        return [peer for peer, known in self._peers.items() if known.useful and peer != self._me]

    def _is_live(self, peer: PeerId) -> bool:
        known = self._peers.get(peer)
        return known is not None and known.live

    def _peer(self, changed: PeerChanged, now: Now) -> list[Output]:
        known = self._peers.get(changed.peer)
        card = changed.card
        useful = changed.live and (changed.peer == self._me or not (card is not None and (card.critical or card.draining)))
        gone = None if changed.live else (known.gone_since if known and known.gone_since is not None else now.monotonic_s)
        fresh = known is None or known.run_epoch != changed.run_epoch or (changed.live and not known.live)
        unchanged = known is not None and not fresh and known.live == changed.live and known.useful == useful
        self._peers[changed.peer] = _Peer(changed.live, useful, changed.host, changed.run_epoch, gone, changed.state == "left")
        if changed.peer == self._me or unchanged:
            return []
        outputs: list[Output] = []
        for held in list(self._jobs.values()):
            if held.fold.fence.peer != self._me or held.fold.accepted is None:
                continue
            if fresh:
                held.copies.forget(changed.peer)
            outputs.extend(self._round(held, now))
        self._wake_rounds(now)
        return outputs

    def _wanted(self, held: _Job) -> list[PeerId]:
        """Who should hold this job now: recorded replicas that live or may come back, then new ones by rendezvous."""
        useful = [peer for peer, known in self._peers.items() if known.useful]
        hosts = {peer: known.host for peer, known in self._peers.items()}
        keep = [self._me, *(peer for peer in held.fold.replicas if peer != self._me and peer in useful)]
        return choose(held.fold.job, useful, hosts, keep, self._replicas)

    def _record_replicas(self, held: _Job, now: Now) -> list[Output]:
        """Add peers that are synced; drop the dead only when enough others hold the job, and after their grace."""
        fold = held.fold
        if fold.accepted is None:
            return []
        recorded = list(fold.replicas)
        synced = [peer for peer in self._wanted(held) if peer == self._me or held.copies.is_synced(peer)]
        together = recorded + [peer for peer in synced if peer not in recorded]
        if len(synced) >= min(self._replicas, 1 + len(self._others())):
            together = [peer for peer in together if peer in synced or not self._is_given_up(peer, now)]
        if together == recorded:
            return []
        version = 1 + (fold.replica_set.version if fold.replica_set else 0)
        outputs = self._append(held, [ReplicaSet(fold.fence, version, tuple(together))], now)
        return [*outputs, *self._publish(held, now)]

    def _is_given_up(self, peer: PeerId, now: Now) -> bool:
        known = self._peers.get(peer)
        if known is None or known.live:
            return False
        return known.left or known.gone_since is None or now.monotonic_s - known.gone_since >= limits.REPLICA_GRACE_S

    def _round(self, held: _Job, now: Now) -> list[Output]:
        outputs: list[Output] = []
        if held.fold.accepted is None:
            return outputs
        for peer in self._wanted(held):
            if peer != self._me and held.copies.is_behind(peer):
                held.copies.resend(peer)
                outputs.extend(self._push(held, peer, always=True))
        outputs.extend(self._record_replicas(held, now))
        outputs.extend(self._settle(held, now))
        outputs.extend(self._break_promises(held, now))
        if held.dirty:
            outputs.extend(self._publish(held, now))
        return outputs

    def _break_promises(self, held: _Job, now: Now) -> list[Output]:
        """Refuse openly what cannot be kept (C8). A job that was never acknowledged is forgotten with it."""
        late = [promise for promise in held.promises if promise.until <= now.monotonic_s]
        held.promises = [promise for promise in held.promises if promise.until > now.monotonic_s]
        outputs: list[Output] = []
        for promise in late:
            message = "not enough peers could store this durably in time; try again, or ask for durability=local"
            outputs.append(Reply(promise.request, Unavailable("not_durable", message, retry_after_s=5)))
        if any(promise.forget for promise in late):
            for peer in self._others():
                outputs.append(Send(peer, work.ForgetJob(held.fold.job, held.fold.fence)))
            outputs.extend(self._forget(held, deleted=False))
        return outputs

    # publishing

    def _publish(self, held: _Job, now: Now) -> list[Output]:
        """States are published at once, counts alone now and then."""
        if held.fold.accepted is None or any(promise.forget for promise in held.promises):
            return []
        fresh = view(held.fold, held.activity, copies=self._copies(held))
        before = held.published
        urgent = before is None or job_version(before) != job_version(fresh)
        small = len(self._peers) <= limits.CATALOG_PUSH_PEERS
        pause = limits.SUMMARY_COUNTS_SMALL_MESH_S if small else limits.SUMMARY_COUNTS_S
        if not urgent and now.monotonic_s - held.published_at < pause:
            held.dirty = before != fresh
            return []
        held.dirty = False
        if before == fresh:
            return []
        held.published, held.published_at = fresh, now.monotonic_s
        return [Publish(job_key(held.fold.job), summary_to_bytes(fresh))]

    # boot

    def _boot(self, booted: Booted, now: Now) -> list[Output]:
        for key in booted.values:
            if key.startswith(TOMBSTONE):
                self._deleted[JobId(key.removeprefix(TOMBSTONE))] = None
        for fact in booted.facts:
            self._jobs.setdefault(fact.job, _Job(fact.job)).fold.add(fact)
        outputs: list[Output] = []
        for held in self._jobs.values():
            outputs.extend(self._after_change(held, now))
        if self._jobs:
            self._wake_rounds(now)
        return outputs
