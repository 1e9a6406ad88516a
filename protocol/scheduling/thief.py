"""The worker's side of stealing: ask an owner for work when a slot is about to be idle, render, report until it is heard.

Decides whom to ask, what to start next and what to hand back. Refuses to know how a frame is rendered.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from random import Random

from protocol import limits
from protocol.cards import PeerCard
from protocol.effects import Effect, FetchBlobs, Inspect, Notice, Render, StopTask, Verify
from protocol.events import (
    BlobsEnded,
    Booted,
    DrainAsked,
    Event,
    FrameProgressed,
    FrameRendered,
    FrameVerified,
    GraceEnded,
    InspectEnded,
    StreamFailed,
    StreamReceived,
    UndrainAsked,
)
from protocol.ids import AttemptId, Fence, JobId, LeaseId, PeerId, TaskId, Ticket
from protocol.jobs.manifest import EMPTY
from protocol.jobs.results import FrameResult
from protocol.jobs.spec import JobSpec, render_settings
from protocol.kernel import Now
from protocol.scheduling.batches import FrameTimes
from protocol.scheduling.owners import Owners
from protocol.scheduling.reports import Reports
from protocol.scheduling.slots import Held, Slot, Task
from protocol.scheduling.victims import Victims
from protocol.signals import MemberForgotten, PeerChanged, Send, Signal, SlotsUsed, SummaryChanged
from protocol.views import FINAL_STATES, JobView
from protocol.wire.work import (
    Granted,
    InspectReport,
    Lease,
    Nothing,
    Release,
    Renew,
    Report,
    Reported,
    Revoke,
    Steal,
    Wake,
)

Output = Effect | Signal


class Thief:
    """Invariants: one question is under way at a time; every frame of a lease ends reported, released or revoked."""

    def __init__(self, *, me: PeerId, slots: int, labels: tuple[tuple[str, str], ...], run_epoch: int, random: Random) -> None:
        self._me = me
        self._labels = labels
        self._random = random
        self._slots = [Slot(index) for index in range(slots)]
        self._tasks: dict[TaskId, Task] = {}
        self._leases: dict[LeaseId, tuple[Slot, Held]] = {}
        self._tickets: dict[Ticket, LeaseId] = {}
        self._times: OrderedDict[JobId, FrameTimes] = OrderedDict()
        self._cached: OrderedDict[str, None] = OrderedDict()
        self._victims = Victims(me=me, random=random)
        self._reports = Reports()
        self._owners = Owners(me=me)
        self._card = PeerCard()
        self._draining = False
        self._asking: tuple[int, PeerId, float] | None = None
        self._next_id = run_epoch << 32
        self._said_free = -1
        self._renew_at: float | None = None
        self._seek_at: float | None = None

    # reading

    @property
    def is_idle(self) -> bool:
        """Nothing is rendering, being verified or waiting to be acknowledged."""
        return not self._tasks and not self._reports and not self._leases

    @property
    def free_slots(self) -> int:
        return sum(1 for slot in self._slots if slot.is_idle and not slot.leases)

    def busy_s(self, now: Now) -> float | None:
        """None when a slot is free, else the expected seconds until one is (at least 1)."""
        if any(slot.is_idle for slot in self._slots):
            return None
        left = [slot.left_s(self._times_of(slot), now.monotonic_s) for slot in self._slots]
        known = [seconds for seconds in left if seconds is not None]
        return max(min(known, default=limits.BATCH_SECONDS_MAX), 1.0)

    @property
    def may_leave(self) -> bool:
        """Nothing is rendering or being verified, and nobody who could be told waits: the outbox keeps the rest."""
        return not self._tasks and self._reports.next_at(self._owners.is_live) is None

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events: owners' messages, tasks and fetches that ended, draining. Signals: peers and summaries."""
        return [*self._handle(event, now), *self._after(now)]

    def _handle(self, event: Event | Signal, now: Now) -> list[Output]:
        match event:
            case StreamReceived(sender, message):
                return self._message(sender, message, now)
            case StreamFailed(peer, Steal(ask=ask)) if self._asking is not None and self._asking[0] == ask:
                self._asking = None
                self._victims.had_nothing(peer, now.monotonic_s + limits.IDLE_ASK_S)
            case FrameRendered(task, result):
                return self._rendered(task, result, now)
            case FrameProgressed(task, fraction):
                self._progressed(task, fraction, now)
            case FrameVerified(task, result):
                return self._verified(task, result, now)
            case InspectEnded():
                return self._inspected(event, now)
            case BlobsEnded(ticket, error) if ticket in self._tickets:
                return self._fetched(ticket, error, now)
            case Booted(values=values):
                self._reports.load(values, now.monotonic_s)
            case PeerChanged():
                self._peer(event)
            case MemberForgotten(peer):
                self._owners.forget(peer)
            case SummaryChanged(job, view):
                return self._summary(job, view, now)
            case DrainAsked():
                self._draining = True
                return self._hand_back_waiting("the peer is draining")
            case UndrainAsked():
                self._draining = False
            case GraceEnded():
                return self._stop_everything()
            case _:
                pass
        return []

    def _message(self, sender: PeerId, message: object, now: Now) -> list[Output]:
        match message:
            case Wake(job):
                self._victims.woken_by(sender, job, now.monotonic_s)
                return []
            case Granted(ask, leases):
                self._answered(ask)
                return [output for lease in leases for output in self._take(sender, lease, now)]
            case Nothing(ask, _):
                self._answered(ask)
                pause = limits.IDLE_ASK_S * self._random.uniform(0.3, 0.8)
                self._victims.had_nothing(sender, now.monotonic_s + pause)
                return []
            case Revoke(lease, _, frames, _):
                return self._revoked(lease, frames)
            case Reported(_, attempt):
                self._acknowledged(attempt)
                return []
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        """Renew leases, resend reports, ask again."""
        outputs: list[Output] = []
        if self._renew_at is not None and self._renew_at <= now.monotonic_s:
            self._renew_at = now.monotonic_s + limits.LEASE_RENEW_S
            outputs.extend(self._renewals())
        for owner, report in self._reports.due(now.monotonic_s, self._owners.is_live):
            outputs.append(Send(owner, report))
        if self._asking is not None and self._asking[2] <= now.monotonic_s:
            self._asking = None
        self._seek_at = None
        return [*outputs, *self._after(now)]

    def next_deadline(self) -> float | None:
        asking = None if self._asking is None else self._asking[2]
        times = [self._renew_at, self._seek_at, self._reports.next_at(self._owners.is_live), asking]
        return min((time for time in times if time is not None), default=None)

    # after every step: keep the renderers fed, the slots counted, the next question asked

    def _after(self, now: Now) -> list[Output]:
        outputs: list[Output] = []
        for slot in self._slots:
            outputs.extend(self._feed(slot, now))
        for lease, (slot, held) in list(self._leases.items()):
            if held.is_finished:
                slot.leases.remove(held)
                del self._leases[lease]
        if not self._leases:
            self._renew_at = None
        elif self._renew_at is None:
            self._renew_at = now.monotonic_s + limits.LEASE_RENEW_S
        free = self.free_slots
        if free != self._said_free:
            self._said_free = free
            outputs.append(SlotsUsed(free))
        outputs.extend([*self._reports.effects(), *self._seek(now)])
        return outputs

    def _feed(self, slot: Slot, now: Now) -> list[Output]:
        outputs: list[Output] = []
        while (held := slot.next_lease()) is not None and slot.may_start(self._times_for(held.lease.job)):
            task = self._task(slot, held, held.waiting.popleft(), now)
            held.under_way.append(task.at)
            lease = held.lease
            outputs.append(
                Render(
                    task=task.task, slot=slot.index, job=lease.job, manifest=lease.manifest,
                    settings=render_settings(held.spec, blender=lease.blender), frame=lease.frames[task.at],
                    frame_timeout_s=held.spec.frame_timeout_s, label=held.spec.name or lease.job[:8],
                )
            )  # fmt: skip
        if not slot.in_renderer:
            for held in slot.leases:
                if held.ready and held.inspecting:
                    task = self._task(slot, held, -1, now)
                    settings = render_settings(held.spec, blender=held.lease.blender)
                    outputs.append(Inspect(task.task, slot.index, held.lease.job, held.lease.manifest, settings))
                    break
        return outputs

    def _task(self, slot: Slot, held: Held, at: int, now: Now) -> Task:
        self._next_id += 1
        task = Task(TaskId(f"t{self._next_id:x}"), slot.index, held, at, now.monotonic_s)
        self._tasks[task.task] = task
        slot.in_renderer.append(task)
        return task

    # asking

    def _may_work(self) -> bool:
        return not self._draining and not self._card.critical and bool(self._card.capabilities)

    def _seek(self, now: Now) -> list[Output]:
        """One question at a time, on behalf of every slot that is idle or will be soon."""
        if self._asking is not None or not self._may_work():
            return []
        lefts = [slot.left_s(self._times_of(slot), now.monotonic_s) for slot in self._slots if not slot.has_reserve]
        hungry = sum(1 for left in lefts if left is not None and left <= limits.LOOKAHEAD_S)
        soon = [left - limits.LOOKAHEAD_S for left in lefts if left is not None and left > limits.LOOKAHEAD_S]
        if not hungry:
            self._seek_at = now.monotonic_s + max(min(soon), 0.01) if soon else None
            return []
        renderers = [one.renderer for one in self._card.capabilities]
        owner = self._victims.choose(now_s=now.monotonic_s, is_live=self._owners.is_live, renderers=renderers)
        if owner is None:
            if self._seek_at is None or self._seek_at <= now.monotonic_s:
                self._seek_at = now.monotonic_s + limits.IDLE_ASK_S * self._random.uniform(0.5, 1.0)
            return []
        self._next_id += 1
        self._asking = (self._next_id, owner, now.monotonic_s + limits.ASK_TIMEOUT_S)
        return [Send(owner, self._question(hungry))]

    def _question(self, hungry: int) -> Steal:
        seconds = tuple((job, typical) for job, times in self._times.items() if (typical := times.typical()) is not None)
        return Steal(
            ask=self._next_id, slots=hungry, capabilities=self._card.capabilities, labels=self._labels,
            seconds_per_frame=seconds[-limits.JOBS_TIMED_MAX :], cached=tuple(self._cached),
        )  # fmt: skip

    def _answered(self, ask: int) -> None:
        if self._asking is not None and self._asking[0] == ask:
            self._asking = None

    def _peer(self, changed: PeerChanged) -> None:
        if changed.peer == self._me and changed.card is not None:
            self._card = changed.card
        is_new_run = self._owners.heard(changed)
        if not changed.live:
            self._reports.owner_gone(changed.peer)
        elif is_new_run:
            for _, held in self._leases.values():
                held.unsettled = held.unsettled or held.owner == changed.peer

    # leases

    def _take(self, owner: PeerId, lease: Lease, now: Now) -> list[Output]:
        if lease.lease in self._leases:
            return []
        if not self._may_work():
            return [Send(owner, Release(lease.lease, lease.job, lease.frames, "the peer takes no work now"))]
        here = lease.manifest == EMPTY
        waiting = deque(range(len(lease.frames)))
        held = Held(lease, owner, JobSpec.model_validate_json(lease.spec), here, waiting, inspecting=lease.inspect)
        slot = min(self._slots, key=lambda one: (not one.is_idle, sum(len(h.waiting) for h in one.leases), one.index))
        slot.leases.append(held)
        self._leases[lease.lease] = (slot, held)
        if here:
            return []
        self._next_id += 1
        held.ticket = Ticket(f"scene-{self._next_id}")
        self._tickets[held.ticket] = lease.lease
        items = tuple(dict.fromkeys((entry.digest, entry.size) for entry in lease.manifest.files))
        holders = tuple(peer for peer in dict.fromkeys((*lease.holders, owner)) if peer != self._me)
        return [FetchBlobs(held.ticket, items, holders, None)]

    def _fetched(self, ticket: Ticket, error: str, now: Now) -> list[Output]:
        found = self._leases.get(self._tickets.pop(ticket))
        if found is None:
            return []
        _, held = found
        held.ticket = None
        if not error:
            held.ready = True
            self._remember_scene(held.lease)
            return []
        self._victims.could_not_reach(held.owner, held.lease.job, now.monotonic_s + 2 * limits.IDLE_ASK_S)
        fields = {"from": held.owner, "reason": error}
        notice = Notice("scene_fetch_failed", "warning", held.lease.job, fields)
        return [notice, *self._give_back(held, f"the scene could not be fetched: {error}")]

    def _remember_scene(self, lease: Lease) -> None:
        digest = lease.manifest.digest()
        self._cached[digest] = None
        self._cached.move_to_end(digest)
        while len(self._cached) > limits.CACHED_SCENES_TOLD_MAX:
            self._cached.popitem(last=False)

    def _give_back(self, held: Held, reason: str) -> list[Output]:
        """Hand unstarted frames (or the inspection) back to the owner."""
        frames = tuple(held.lease.frames[at] for at in held.waiting)
        held.waiting.clear()
        was_inspecting, held.inspecting = held.inspecting, False
        if not frames and not was_inspecting:
            return []
        return [Send(held.owner, Release(held.lease.lease, held.lease.job, frames, reason))]

    def _hand_back_waiting(self, reason: str) -> list[Output]:
        inspecting = [task.held.lease.lease for task in self._tasks.values() if task.at < 0]
        return [
            output
            for lease, (_, held) in list(self._leases.items())
            if lease not in inspecting
            for output in self._give_back(held, reason)
        ]

    def _stop_everything(self) -> list[Output]:
        outputs = self._hand_back_waiting("the peer is leaving")
        for task in self._tasks.values():
            task.stopped = True
            lease = task.held.lease
            frames = () if task.at < 0 else (lease.frames[task.at],)
            outputs.append(Send(task.held.owner, Release(lease.lease, lease.job, frames, "the peer is leaving")))
            outputs.append(StopTask(task.task))
        return outputs

    def _revoked(self, lease: LeaseId, frames: tuple[int, ...]) -> list[Output]:
        found = self._leases.get(lease)
        if found is None:
            return []
        _, held = found
        gone = [at for at, frame in enumerate(held.lease.frames) if not frames or frame in frames]
        held.waiting = deque(at for at in held.waiting if at not in gone)
        for at in gone:
            if at in held.unreported:
                held.unreported.remove(at)
                self._reports.drop(held.lease.attempts[at])
        if not frames:
            held.inspecting = False
        stopped = [task for task in self._tasks.values() if task.held is held and (task.at in gone or not frames)]
        for task in stopped:
            task.stopped = True
        return [StopTask(task.task) for task in stopped]

    def _renewals(self) -> list[Output]:
        by_owner: dict[PeerId, list[tuple[LeaseId, JobId, Held]]] = {}
        for lease, (_, held) in self._leases.items():
            by_owner.setdefault(held.owner, []).append((lease, held.lease.job, held))
        return [
            Send(owner, Renew(tuple((lease, job, held.lease.fence, held.open_frames()) for lease, job, held in rows)))
            for owner, rows in by_owner.items()
            if self._owners.is_live(owner)
        ]

    # tasks

    def _progressed(self, task_id: TaskId, fraction: float, now: Now) -> None:
        task = self._tasks.get(task_id)
        if task is not None:
            if task.fraction == 0.0:
                task.began_at = now.monotonic_s
            task.fraction = max(task.fraction, fraction)

    def _rendered(self, task_id: TaskId, result: FrameResult, now: Now) -> list[Output]:
        task = self._tasks.get(task_id)
        if task is None:
            return []
        self._leave_renderer(task, now)
        if task.stopped:
            self._finish(task)
            return []
        if result.failure is not None:
            self._finish(task)
            return self._send_report(task, result, now)
        self._times_for(task.held.lease.job).add(self._me, result.seconds)
        task.stage = "verifying"
        return [Verify(task_id, task.held.lease.job)]

    def _leave_renderer(self, task: Task, now: Now) -> None:
        slot = self._slots[task.slot]
        if task in slot.in_renderer:
            slot.in_renderer.remove(task)
        if slot.in_renderer:
            slot.in_renderer[0].began_at = max(slot.in_renderer[0].began_at, now.monotonic_s)

    def _finish(self, task: Task) -> None:
        del self._tasks[task.task]
        if task.at in task.held.under_way:
            task.held.under_way.remove(task.at)

    def _verified(self, task_id: TaskId, result: FrameResult, now: Now) -> list[Output]:
        task = self._tasks.get(task_id)
        if task is not None:
            self._finish(task)
        return [] if task is None or task.stopped else self._send_report(task, result, now)

    def _send_report(self, task: Task, result: FrameResult, now: Now) -> list[Output]:
        lease, at = task.held.lease, task.at
        report = Report(lease.lease, lease.job, lease.frames[at], lease.generations[at], lease.attempts[at], result)
        task.held.unreported.append(at)
        return self._report(task.held.owner, report, now)

    def _inspected(self, ended: InspectEnded, now: Now) -> list[Output]:
        task = self._tasks.get(ended.task)
        if task is None:
            return []
        self._leave_renderer(task, now)
        self._finish(task)
        task.held.inspecting = False
        if task.stopped:
            return []
        lease = task.held.lease
        return self._report(task.held.owner, InspectReport(lease.lease, lease.job, lease.attempts[0], ended.inspection), now)

    def _report(self, owner: PeerId, report: Report | InspectReport, now: Now) -> list[Output]:
        self._reports.add(owner, report, now.monotonic_s)
        if not self._owners.is_live(owner):
            self._reports.owner_gone(owner)
        return [Send(owner, report)]

    def _acknowledged(self, attempt: AttemptId) -> None:
        report = self._reports.drop(attempt)
        found = self._leases.get(report.lease) if isinstance(report, Report) else None
        if found is None or not isinstance(report, Report):
            return
        _, held = found
        at = held.lease.frames.index(report.frame)
        if at in held.unreported:
            held.unreported.remove(at)

    def _summary(self, job: JobId, view: JobView | None, now: Now) -> list[Output]:
        self._victims.heard(job, view)
        if view is None:
            return []  # nothing is known of it just now: its owner may be starting again
        if view.state in FINAL_STATES:
            outputs = [
                output
                for lease, (_, held) in list(self._leases.items())
                if held.lease.job == job
                for output in self._revoked(lease, ())
            ]
            self._reports.drop_job(job)
            return outputs
        self._reports.move(job, view.owner, view.epoch, now.monotonic_s)
        return self._moved(job, view)

    def _moved(self, job: JobId, view: JobView) -> list[Output]:
        """The job has another owner, or its owner has come back: say at once what is in flight here, so that it stays ours."""
        rows: list[tuple[LeaseId, JobId, Fence, tuple[int, ...]]] = []
        for lease, (_, held) in self._leases.items():
            news = held.owner != view.owner or held.unsettled
            if held.lease.job == job and news and Fence(view.epoch, view.owner) >= held.lease.fence:
                held.owner, held.unsettled = view.owner, False
                rows.append((lease, job, held.lease.fence, held.open_frames()))
        return [Send(view.owner, Renew(tuple(rows)))] if rows and self._owners.is_live(view.owner) else []

    # frame times

    def _times_for(self, job: JobId) -> FrameTimes:
        times = self._times.get(job)
        if times is None:
            times = self._times[job] = FrameTimes()
        self._times.move_to_end(job)
        while len(self._times) > limits.JOBS_TIMED_MAX:
            self._times.popitem(last=False)
        return times

    def _times_of(self, slot: Slot) -> FrameTimes:
        """Frame times of the job that the slot will be busy with last."""
        last = next((held for held in reversed(slot.leases) if held.needs_slot or held.under_way), None)
        return FrameTimes() if last is None else self._times_for(last.lease.job)
