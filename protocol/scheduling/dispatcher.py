"""The owner's side of stealing: answers thieves with leases, takes results, takes frames back from the gone and silent.

Decides who gets what. Leases are advice in monotonic time: their expiry allows a second attempt and invalidates nothing.
Refuses to know facts and copies: what has ended goes to the ledger as a signal, and comes back as a restated job.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from protocol import limits
from protocol.cards import PeerCard
from protocol.effects import Effect, FetchBlobs, Notice
from protocol.events import BlobsEnded, DrainAsked, Event, StreamFailed, StreamReceived, UndrainAsked
from protocol.ids import AttemptId, Fence, JobId, LeaseId, PeerId, Ticket
from protocol.jobs.steps import FrameStep
from protocol.kernel import Now
from protocol.scheduling.batches import batch_size
from protocol.scheduling.holdings import Holdings, Landing, LeaseHeld
from protocol.scheduling.leasing import duplicate_notice, lease_notice, lease_of, lost_notice, ranked
from protocol.scheduling.matching import fitting, unmet
from protocol.scheduling.outlook import eta_s, why_waiting
from protocol.signals import (
    FrameCommitted,
    MemberForgotten,
    PeerChanged,
    SceneInspected,
    Send,
    Signal,
    WorkClosed,
    WorkOpened,
    WorkProgress,
)
from protocol.views import Reason
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
RETRIED_ELSEWHERE = ("crash", "timeout", "stalled", "memory", "renderer", "infrastructure", "verification")


@dataclass(slots=True)
class _Peer:
    live: bool
    run_epoch: int
    card: PeerCard | None


class Dispatcher:
    """Invariants: hands out only what `WorkOpened` opened under this peer's fence; every lease has an end."""

    def __init__(self, *, me: PeerId, run_epoch: int, random: Random) -> None:
        self._me = me
        self._random = random
        self._counter = (run_epoch << 32) + (1 << 31)
        self._books: dict[JobId, Holdings] = {}
        self._ended: dict[JobId, None] = {}
        self._early: dict[LeaseId, tuple[PeerId, JobId, Fence, tuple[int, ...]]] = {}  # renewals of unopened jobs
        self._peers: dict[PeerId, _Peer] = {}
        self._tickets: dict[Ticket, JobId] = {}
        self._progress: dict[JobId, WorkProgress] = {}
        self._tick_at: float | None = None
        self._leaving = False

    # reading

    def runs_on(self, job: JobId, frame: int) -> PeerId | None:
        """Who renders a frame now."""
        book = self._books.get(job)
        return None if book is None else book.runs_on(frame)

    def explain(self, job: JobId) -> list[Reason]:
        """Why this job's frames wait, per requirement and per peer."""
        book = self._books.get(job)
        return [] if book is None else why_waiting(book, self._cards())

    def leases_out(self) -> int:
        """Leases that are held by anyone now."""
        return sum(len(book.leases) for book in self._books.values())

    def frames_waiting(self) -> int:
        """Pieces of work that wait in all owned jobs."""
        return sum(book.waiting for book in self._books.values())

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events: thieves' messages, fetched bytes. Signals from ledger and roster."""
        match event:
            case StreamReceived(sender, Steal() as steal):
                return self._answer(sender, steal, now)
            case StreamReceived(sender, Report() as report):
                return self._report(sender, report, now)
            case StreamReceived(sender, InspectReport() as report):
                return self._inspected(sender, report, now)
            case StreamReceived(sender, Renew() as renew):
                return self._renew(sender, renew, now)
            case StreamReceived(_, Release(lease, job, frames, reason)):
                return self._released(lease, job, frames, reason, now)
            case StreamFailed(_, Granted(leases=leases)):
                return self._undelivered(leases, now)
            case BlobsEnded(ticket, error) if ticket in self._tickets:
                return self._landed(ticket, error, now)
            case WorkOpened():
                return self._open(event, now)
            case WorkClosed():
                return self._close(event)
            case PeerChanged():
                return self._peer(event, now)
            case MemberForgotten(peer):
                self._peers.pop(peer, None)
            case DrainAsked(leave):
                self._leaving = self._leaving or leave
            case UndrainAsked():
                self._leaving = False
        return []

    def on_deadline(self, now: Now) -> list[Output]:
        """Take back what silent peers hold; wake idle peers again while work waits."""
        if self._tick_at is None or now.monotonic_s < self._tick_at:
            return []
        outputs: list[Output] = []
        for job, book in list(self._books.items()):
            expired = [held.lease for held in book.leases.values() if held.expires_at <= now.monotonic_s]
            for lease in expired:
                peer = book.leases[lease].peer
                count = book.give_back_lease(lease)
                outputs.append(Notice("lease_expired", "warning", job, {"lease": lease, "peer": peer, "frames": count}))
            outputs.extend([*self._tell(book, now), *self._wake(book)])
        self._tick_at = None
        self._arm(now)
        return outputs

    def next_deadline(self) -> float | None:
        return self._tick_at

    def _arm(self, now: Now) -> None:
        if self._tick_at is None and any(book.waiting or book.leases for book in self._books.values()):
            self._tick_at = now.monotonic_s + limits.IDLE_ASK_S / 2

    # jobs come and go

    def _open(self, opened: WorkOpened, now: Now) -> list[Output]:
        self._ended.pop(opened.job, None)
        book = self._books.get(opened.job)
        if book is None:
            book = self._books[opened.job] = Holdings.open(opened)
        else:
            book.restate(opened)
        self._arm(now)
        if not opened.resumed:
            return [*self._tell(book, now), *self._wake(book)]
        book.quiet_until = now.monotonic_s + limits.RECLAIM_S
        self._tick_at = min(self._tick_at or book.quiet_until, book.quiet_until)
        early = [(lease, row) for lease, row in self._early.items() if row[1] == opened.job and (opened.frames or not row[3])]
        outputs: list[Output] = []
        for lease, (sender, _, fence, frames) in early:
            del self._early[lease]
            if lease not in book.leases and (known := self._peers.get(sender)) is not None and known.live:
                outputs.extend(self._adopt(book, sender, lease, fence, frames, now))
        return [*outputs, *self._tell(book, now)]

    def _close(self, closed: WorkClosed) -> list[Output]:
        job, reason = closed.job, closed.reason
        if closed.ended:
            self._ended[job] = None
        while len(self._ended) > limits.ENDED_JOBS_KEPT:
            del self._ended[next(iter(self._ended))]
        book = self._books.pop(job, None)
        self._progress.pop(job, None)
        if book is None:
            return []
        self._tickets = {ticket: owner for ticket, owner in self._tickets.items() if owner != job}
        if not closed.ended:
            return []  # workers go on, and say to its next owner what they have in flight
        return [Send(held.peer, Revoke(held.lease, job, (), reason)) for held in book.leases.values()]

    # stealing

    def _answer(self, thief: PeerId, steal: Steal, now: Now) -> list[Output]:
        known = self._peers.get(thief)
        if self._leaving or known is None or not known.live:
            return [Send(thief, Nothing(steal.ask, None))]
        leases: list[Lease] = []
        touched: list[Holdings] = []
        for _ in range(steal.slots):
            found = self._grant_one(thief, known, steal, now)
            if found is None:
                break
            leases.append(found[0])
            touched.append(found[1])
        if not leases:
            return [Send(thief, Nothing(steal.ask, None))]
        self._arm(now)
        outputs = [told for book in touched for told in self._tell(book, now)]
        outputs.append(Send(thief, Granted(steal.ask, tuple(leases))))
        return [*outputs, *(lease_notice(lease, thief) for lease in leases)]

    def _grant_one(self, thief: PeerId, known: _Peer, steal: Steal, now: Now) -> tuple[Lease, Holdings] | None:
        for book in ranked(self._books.values()):
            card = known.card or PeerCard(slots_total=steal.slots)
            if book.waiting == 0 or book.room <= 0 or book.quiet_until > now.monotonic_s or self._unmet(book, thief, card, steal):
                continue
            inspects = book.wants_inspection
            lease = self._inspection(book, thief, known, now) if inspects else self._batch(book, thief, known, steal, now)
            if lease is not None:
                return lease, book
        return None

    def _unmet(self, book: Holdings, thief: PeerId, card: PeerCard, steal: Steal) -> bool:
        """What the thief says now outranks the card that it published a while ago."""
        if book.work.only_on not in (None, thief) or card.draining or card.critical:
            return True
        return fitting(book.work, steal.capabilities) is None

    def _inspection(self, book: Holdings, thief: PeerId, known: _Peer, now: Now) -> Lease | None:
        others = [peer for peer in self._capable(book) if peer not in book.inspect_failures]
        if thief in book.inspect_failures and others:
            return None
        attempt = self._attempt(book)
        held = self._held(thief, known, now, inspect=attempt, frames={})
        book.grant(held, [])
        return lease_of(book, held, inspect=True, attempts=(attempt,))

    def _batch(self, book: Holdings, thief: PeerId, known: _Peer, steal: Steal, now: Now) -> Lease | None:
        measured = book.times.of(thief) or dict(steal.seconds_per_frame).get(book.work.job)
        own = 1 / measured if measured else book.times.speed(thief)
        total = self._total_speed(book)
        size = min(batch_size(remaining=book.pending, own=own, total=total, measured=measured is not None), book.room)
        capable = self._capable(book)
        assert book.queue is not None
        assert book.work.frames is not None
        positions = book.queue.take(size, avoid=lambda at: self._avoids(book, at, thief, capable))
        if not positions:
            return None
        frames = {book.work.frames[at]: self._attempt(book) for at in positions}
        held = self._held(thief, known, now, inspect=None, frames=dict(frames))
        book.grant(held, positions)
        return lease_of(book, held, inspect=False, attempts=tuple(frames.values()))

    def _avoids(self, book: Holdings, at: int, thief: PeerId, capable: list[PeerId]) -> bool:
        """A frame that failed on this peer goes to another one first, while there is one that has not failed it."""
        assert book.work.frames is not None
        failed_on = book.failed_on(book.work.frames[at])
        return thief in failed_on and any(peer not in failed_on for peer in capable)

    def _held(
        self, thief: PeerId, known: _Peer, now: Now, *, inspect: AttemptId | None, frames: dict[int, AttemptId | None]
    ) -> LeaseHeld:
        lease = LeaseId(f"{self._random.getrandbits(64):016x}")
        return LeaseHeld(lease, thief, known.run_epoch, inspect, frames, now.monotonic_s, now.monotonic_s + limits.LEASE_TTL_S)

    def _attempt(self, book: Holdings) -> AttemptId:
        self._counter += 1
        return AttemptId(book.work.fence.epoch, self._me, self._counter)

    def _distrusts(self, peer: PeerId) -> bool:
        known = self._peers.get(peer)
        return known is not None and known.card is not None and known.card.distrusted

    def _total_speed(self, book: Holdings) -> float:
        """Frames per second of all slots that can render this job."""
        cards = self._cards()
        return sum((book.times.speed(peer) or 0.0) * max(cards[peer].slots_total, 1) for peer in self._capable(book))

    def _cards(self) -> dict[PeerId, PeerCard]:
        return {peer: known.card for peer, known in self._peers.items() if known.live and known.card is not None}

    def _capable(self, book: Holdings) -> list[PeerId]:
        return [peer for peer, card in self._cards().items() if not unmet(book.work, peer, card)]

    # results

    def _report(self, sender: PeerId, report: Report, now: Now) -> list[Output]:
        book = self._books.get(report.job)
        done: list[Output] = [Send(sender, Reported(report.job, report.attempt))]
        if book is None:
            return done if report.job in self._ended else []
        if book.is_early(report):
            return []  # its peer tells it again
        at = book.position(report.frame)
        if at is None or report.generation < book.generation(report.frame):
            return done
        if self._distrusts(sender):
            book.drop_lease_of(report)
            return [*self._tell(book, now), *done, *self._wake(book)]
        if book.step(at) is FrameStep.DONE:
            book.drop_frame(report.frame)
            return [*self._tell(book, now), *done, duplicate_notice(report, sender)]
        failure = report.result.failure
        if failure is not None:
            failed = self._failed(book, sender, report, now)
            return [*self._tell(book, now), *failed, *done, *self._wake(book)]
        self._renewed(book, report.lease, now)
        book.times.add(sender, report.result.seconds)
        if sender == self._me or not (report.result.outputs or report.result.log):
            committed = self._commit(book, sender, report)
            return [*self._tell(book, now), *committed, *done]
        return [*self._land(book, sender, report), *self._tell(book, now)]

    def _failed(self, book: Holdings, sender: PeerId, report: Report, now: Now) -> list[Output]:
        """Infrastructure costs no attempt; other failures are facts, and enough of them end the frame."""
        failure = report.result.failure
        assert failure is not None
        at = book.position(report.frame)
        assert at is not None
        book.drop_lease_of(report)
        if failure.kind == "infrastructure":
            return [lost_notice(report, sender, failure.reason)]
        if book.step(at) in (FrameStep.FAILED, FrameStep.LANDING) or book.has_failed(report.frame, report.attempt):
            return []
        book.failures.setdefault(report.frame, []).append((sender, report.attempt))
        if len(book.failures[report.frame]) >= book.work.spec.max_attempts:
            book.settle(report.frame, "give_up")
        return [self._committed(sender, report)]

    def _land(self, book: Holdings, sender: PeerId, report: Report) -> list[Output]:
        at = book.position(report.frame)
        assert at is not None
        if book.step(at) is FrameStep.LANDING:
            return []  # its bytes, or another attempt's, are on their way; the thief asks again if they never come
        book.settle(report.frame, "report")
        self._counter += 1
        ticket = Ticket(f"land-{self._counter}")
        book.landings[ticket] = Landing(report, sender)
        self._tickets[ticket] = report.job
        items = [(output.digest, output.size) for output in report.result.outputs]
        if report.result.log is not None:
            items.append((report.result.log, report.result.log_size))
        return [FetchBlobs(ticket, tuple(dict.fromkeys(items)), (sender,), report.job)]

    def _landed(self, ticket: Ticket, error: str, now: Now) -> list[Output]:
        book = self._books[self._tickets.pop(ticket)]
        landing = book.landings.pop(ticket, None)
        if landing is None:
            return []  # overtaken: the frame was settled in another way
        report, sender = landing.report, landing.peer
        error = error or ("its peer is not trusted any more" if self._distrusts(sender) else "")
        if report.generation < book.generation(report.frame):  # wanted anew while it landed
            book.settle(report.frame, "return")
            return [*self._tell(book, now), Send(sender, Reported(report.job, report.attempt)), *self._wake(book)]
        if error:
            book.settle(report.frame, "return")
            return [lost_notice(report, sender, error), *self._tell(book, now), *self._wake(book)]
        reported = Send(sender, Reported(report.job, report.attempt))
        committed = self._commit(book, sender, report)
        return [*self._tell(book, now), *committed, reported]

    def _commit(self, book: Holdings, sender: PeerId, report: Report) -> list[Output]:
        at = book.position(report.frame)
        assert at is not None
        overtaken = [ticket for ticket, landing in book.landings.items() if landing.report.frame == report.frame]
        for ticket in overtaken:  # our own slot finished while another copy was landing
            del book.landings[ticket], self._tickets[ticket]
        book.commit(report)
        return [self._committed(sender, report)]

    def _committed(self, sender: PeerId, report: Report) -> FrameCommitted:
        return FrameCommitted(report.job, report.frame, report.generation, report.attempt, sender, report.result)

    def _inspected(self, sender: PeerId, report: InspectReport, now: Now) -> list[Output]:
        done: list[Output] = [Send(sender, Reported(report.job, report.attempt))]
        book = self._books.get(report.job)
        if book is None:
            return done if report.job in self._ended else []
        book.leases.pop(report.lease, None)
        if book.work.frames is not None:
            return done
        error = report.inspection.error
        if error is not None and error.kind in RETRIED_ELSEWHERE:
            if error.kind != "infrastructure":
                book.inspect_failures.append(sender)
            if len(book.inspect_failures) < book.work.spec.max_attempts:
                fields = {"by": sender, "reason": error.reason}
                notice = Notice("inspection_failed", "warning", report.job, fields)
                return [*self._tell(book, now), *done, notice, *self._wake(book)]
        return [SceneInspected(report.job, report.attempt, sender, report.inspection), *done]

    # leases

    def _renewed(self, book: Holdings, lease: LeaseId, now: Now) -> None:
        held = book.leases.get(lease)
        if held is not None:
            held.expires_at = now.monotonic_s + limits.LEASE_TTL_S

    def _renew(self, sender: PeerId, renew: Renew, now: Now) -> list[Output]:
        outputs: list[Output] = []
        for lease, job, fence, frames in renew.leases:
            book = self._books.get(job)
            if book is None and job in self._ended:
                outputs.append(Send(sender, Revoke(lease, job, (), "the job has ended")))
                continue
            if book is None or (frames and book.work.frames is None):  # not yet, or not any more: its owner will be told too
                self._early[lease] = (sender, job, fence, frames)
                while len(self._early) > limits.EARLY_RENEWALS_MAX:
                    del self._early[next(iter(self._early))]
                continue
            held = book.leases.get(lease)
            if held is None:
                outputs.extend(self._adopt(book, sender, lease, fence, frames, now))
                continue
            self._renewed(book, lease, now)
            unknown = [frame for frame in held.frames if frame not in frames]
            if now.monotonic_s - held.granted_at > limits.LEASE_RENEW_S:
                for frame in unknown:  # reported long ago and lost, or never received
                    book.give_back(frame)
                outputs.extend(self._wake(book) if unknown else [])
        return outputs

    def _adopt(
        self, book: Holdings, sender: PeerId, lease: LeaseId, fence: Fence, frames: tuple[int, ...], now: Now
    ) -> list[Output]:
        """A lease by another owner, from before our restart, or thought expired: keep it where nobody else has its frames."""
        known = self._peers.get(sender)
        looks = not frames and book.wants_inspection
        usable = fence <= book.work.fence and book.work.open_ and (looks or (bool(frames) and book.queue is not None))
        if not usable or known is None:
            return [Send(sender, Revoke(lease, book.work.job, (), "the lease is not known here"))]
        inspect = AttemptId(fence.epoch, fence.peer, 0) if looks else None
        until = now.monotonic_s + limits.LEASE_TTL_S
        held = LeaseHeld(lease, sender, known.run_epoch, inspect, dict.fromkeys(frames), now.monotonic_s, until)
        if looks:
            book.grant(held, [])
        lost = book.adopt(held)
        self._arm(now)
        told = self._tell(book, now)
        return [*([Send(sender, Revoke(lease, book.work.job, tuple(lost), "somebody else has them"))] if lost else []), *told]

    def _released(self, lease: LeaseId, job: JobId, frames: tuple[int, ...], reason: str, now: Now) -> list[Output]:
        book = self._books.get(job)
        held = None if book is None else book.leases.get(lease)
        if book is None or held is None:
            return []
        if held.inspect is not None or not frames:
            book.give_back_lease(lease)
        for frame in frames:
            if book.leased.get(frame) == lease:
                book.give_back(frame)
        fields = {"lease": lease, "peer": held.peer, "frames": list(frames[:64]), "reason": reason}
        return [Notice("frames_returned", job=job, fields=fields), *self._tell(book, now), *self._wake(book)]

    def _undelivered(self, leases: tuple[Lease, ...], now: Now) -> list[Output]:
        outputs: list[Output] = []
        for lease in leases:
            book = self._books.get(lease.job)
            if book is not None and book.give_back_lease(lease.lease):
                outputs.extend([*self._tell(book, now), *self._wake(book)])
        return outputs

    # peers

    def _peer(self, changed: PeerChanged, now: Now) -> list[Output]:
        self._peers[changed.peer] = _Peer(changed.live, changed.run_epoch, changed.card)
        gone = not changed.live or self._distrusts(changed.peer)
        outputs: list[Output] = []
        for job, book in list(self._books.items()):
            lost = [
                held.lease
                for held in book.leases.values()
                if held.peer == changed.peer and (gone or held.run_epoch != changed.run_epoch)
            ]
            for lease in lost:
                fields = {"lease": lease, "peer": changed.peer, "state": changed.state, "frames": book.give_back_lease(lease)}
                outputs.append(Notice("frames_requeued", "warning", job, fields))
            if lost:
                outputs.extend([*self._tell(book, now), *self._wake(book)])
        return outputs

    def _wake(self, book: Holdings) -> list[Output]:
        """Idle peers are told at once, at most twice as many as there is work for; this peer first."""
        if self._leaving or not book.waiting:
            return []
        idle = [peer for peer, card in self._cards().items() if card.slots_free > 0 and not unmet(book.work, peer, card)]
        self._random.shuffle(idle)
        idle.sort(key=lambda peer: peer != self._me)
        return [Send(peer, Wake(book.work.job)) for peer in idle[: 2 * book.waiting]]

    def _tell(self, book: Holdings, now: Now) -> list[Output]:
        """Say what is going on, when it differs from what was said last.

        Goes out before any message: one to this very peer is answered at once, and what that leads to is newer."""
        waits = why_waiting(book, self._cards()) if book.waiting and not book.running else []
        said = WorkProgress(book.work.job, book.running, eta_s(book), tuple(waits[: limits.REASONS_PER_SUMMARY_MAX]))
        if self._progress.get(book.work.job) == said or book.work.job not in self._books:
            return []
        self._progress[book.work.job] = said
        self._arm(now)
        return [said]
