"""The owner's book of one job: which frames are pending, who holds a lease on what, what has landed.

Every move of a frame goes through the lifecycle table; an illegal one raises with the frame's story.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from protocol import limits
from protocol.ids import AttemptId, LeaseId, PeerId, Ticket
from protocol.jobs.steps import FrameMove, FrameStep, move
from protocol.scheduling.batches import FrameTimes
from protocol.scheduling.queue import FrameQueue
from protocol.signals import WorkOpened
from protocol.wire.work import Report

STORY_LINES = 40


@dataclass(slots=True)
class LeaseHeld:
    """A lease that is out. `frames` not yet reported, with their attempts (None: adopted after a restart)."""

    lease: LeaseId
    peer: PeerId
    run_epoch: int
    inspect: AttemptId | None
    frames: dict[int, AttemptId | None]
    granted_at: float
    expires_at: float


@dataclass(slots=True)
class Landing:
    """A reported frame whose bytes are being fetched."""

    report: Report
    peer: PeerId


@dataclass(slots=True)
class Holdings:
    """Invariants: a frame is leased by at most one lease at a time; `queue` holds exactly the PENDING ones."""

    work: WorkOpened
    quiet_until: float = 0.0  # workers that got frames from another run or owner say first what they have in flight
    times: FrameTimes = field(default_factory=FrameTimes)
    steps: bytearray = field(default_factory=bytearray)
    queue: FrameQueue | None = None
    leases: dict[LeaseId, LeaseHeld] = field(default_factory=dict)
    leased: dict[int, LeaseId] = field(default_factory=dict)
    landings: dict[Ticket, Landing] = field(default_factory=dict)
    failures: dict[int, list[tuple[PeerId, AttemptId]]] = field(default_factory=dict)
    generations: dict[int, int] = field(default_factory=dict)
    inspect_failures: list[PeerId] = field(default_factory=list)
    _story: deque[str] = field(default_factory=lambda: deque(maxlen=STORY_LINES))

    @classmethod
    def open(cls, work: WorkOpened) -> Holdings:
        """A fresh book from what the ledger says."""
        book = cls(work)
        book.restate(work)
        return book

    def restate(self, work: WorkOpened) -> None:
        """The ledger has said the job anew: take over what it knows, keep leases and landings."""
        self.work = work
        self.failures = {frame: list(ends) for frame, ends in work.failures}
        self.generations = dict(work.generations)
        if work.frames is None:
            return
        if self.queue is None:
            self.steps = bytearray(work.steps)
            self.queue = FrameQueue(len(self.steps), work.spec.order, is_pending=self._is_pending)
            return
        for at, (mine, said) in enumerate(zip(self.steps, work.steps, strict=True)):
            if mine != said:
                self._agree(at, FrameStep(said))

    def _agree(self, at: int, said: FrameStep) -> None:
        """The ledger knows better: a frame is wanted again, or another owner's word about it has come in."""
        mine = self.step(at)
        if said is FrameStep.PENDING and mine in (FrameStep.DONE, FrameStep.FAILED):
            self._move(at, "retry")
        elif said is FrameStep.DONE:
            assert self.work.frames is not None
            self.end_landing(self.work.frames[at])
            self.settle(self.work.frames[at], "commit")
        elif said is FrameStep.FAILED and mine in (FrameStep.PENDING, FrameStep.LEASED):
            assert self.work.frames is not None
            self.settle(self.work.frames[at], "give_up")

    def _is_pending(self, at: int) -> bool:
        return self.steps[at] == FrameStep.PENDING

    # questions

    @property
    def wants_inspection(self) -> bool:
        """Whether nobody has looked at the scene, and nobody is looking."""
        return self.work.frames is None and not any(lease.inspect for lease in self.leases.values())

    @property
    def pending(self) -> int:
        return 0 if self.queue is None else len(self.queue)

    @property
    def waiting(self) -> int:
        """Pieces of work that somebody could take now."""
        if not self.work.open_:
            return 0
        return 1 if self.wants_inspection else self.pending

    @property
    def running(self) -> int:
        """Frames that are with somebody, or on their way here."""
        return len(self.leased) + len(self.landings)

    @property
    def room(self) -> int:
        """How many frames more may be handed out before those that were rendered elsewhere have come here: an owner that cannot
        keep up with its workers must not be buried under what they have done."""
        return limits.LANDINGS_PER_JOB_MAX - len(self.landings)

    def position(self, frame: int) -> int | None:
        return None if self.work.frames is None else self.work.frames.index(frame)

    def step(self, at: int) -> FrameStep:
        return FrameStep(self.steps[at])

    def generation(self, frame: int) -> int:
        return self.generations.get(frame, 0)

    def is_early(self, report: Report) -> bool:
        """Whether what it takes to judge this report is not known here yet: which frames the job has, or why one that is done
        was rendered in a higher generation. An heir may have taken the job over before those facts came."""
        at = self.position(report.frame)
        is_done = at is not None and self.step(at) is FrameStep.DONE
        return self.work.frames is None or (is_done and report.generation > self.generation(report.frame))

    def runs_on(self, frame: int) -> PeerId | None:
        """Who renders this frame now."""
        lease = self.leased.get(frame)
        if lease is not None:
            return self.leases[lease].peer
        return next((landing.peer for landing in self.landings.values() if landing.report.frame == frame), None)

    # moves

    def grant(self, lease: LeaseHeld, positions: list[int]) -> None:
        """`positions` were taken from the queue for `lease`, whose frames they are."""
        self.leases[lease.lease] = lease
        for at in positions:
            self._move(at, "grant")
        for frame in lease.frames:
            self.leased[frame] = lease.lease

    def adopt(self, lease: LeaseHeld) -> list[int]:
        """A thief holds a lease that this run has not granted: keep what is still pending; the frames that are not."""
        lost = [frame for frame in lease.frames if (at := self.position(frame)) is None or not self._is_pending(at)]
        for frame in lost:
            del lease.frames[frame]
        for frame in lease.frames:
            at = self.position(frame)
            assert at is not None
            assert self.queue is not None
            self._move(at, "grant")
            self.queue.removed()
            self.leased[frame] = lease.lease
        if lease.frames:
            self.leases[lease.lease] = lease
        return lost

    def drop_frame(self, frame: int) -> None:
        """The frame's lease, if any, no longer counts."""
        lease = self.leased.pop(frame, None)
        if lease is not None:
            held = self.leases[lease]
            held.frames.pop(frame, None)
            if not held.frames and held.inspect is None:
                del self.leases[lease]

    def give_back(self, frame: int) -> bool:
        """A leased frame is pending again; False when it was not leased."""
        if frame not in self.leased:
            return False
        self.drop_frame(frame)
        at = self.position(frame)
        assert at is not None
        self._move(at, "return")
        return True

    def drop_lease_of(self, report: Report) -> None:
        """The frame is pending again, if this report's lease still has it."""
        if self.leased.get(report.frame) == report.lease:
            self.give_back(report.frame)

    def give_back_lease(self, lease: LeaseId) -> int:
        """Everything of a lease is pending again; how many frames (an inspection counts as one)."""
        held = self.leases.get(lease)
        if held is None:
            return 0
        returned = sum(1 for frame in list(held.frames) if self.give_back(frame))
        if self.leases.pop(lease, None) is not None and held.inspect is not None:
            returned += 1
        return returned

    def failed_on(self, frame: int) -> list[PeerId]:
        """Peers that have failed this frame in its wanted generation."""
        return [peer for peer, _ in self.failures.get(frame, ())]

    def has_failed(self, frame: int, attempt: AttemptId) -> bool:
        """Whether this very attempt is known to have failed: a report may come twice."""
        return any(known == attempt for _, known in self.failures.get(frame, ()))

    def end_landing(self, frame: int) -> None:
        """Whatever of this frame is on its way here is not waited for any more."""
        for ticket in [ticket for ticket, landing in self.landings.items() if landing.report.frame == frame]:
            del self.landings[ticket]

    def settle(self, frame: int, name: FrameMove) -> None:
        """Move a frame by what has been reported of it, and end its lease."""
        at = self.position(frame)
        assert at is not None
        self.drop_frame(frame)
        self._move(at, name)

    def commit(self, report: Report) -> None:
        """The frame has this result. It may be of a generation that the ledger has not heard of."""
        self.settle(report.frame, "commit")
        if report.generation > self.generation(report.frame):
            self.generations[report.frame] = report.generation

    def _move(self, at: int, name: FrameMove) -> None:
        was = self.step(at)
        assert self.work.frames is not None
        frame = self.work.frames[at]
        about = f"job {self.work.job} frame {frame}; lately: {' | '.join(self._story)}"
        became = move(was, name, about=about)
        self.steps[at] = became
        self._story.append(f"{frame} {was.name}-{name}->{became.name}")
        if self.queue is None:
            return
        if became is FrameStep.PENDING:
            self.queue.put_back(at)
        elif was is FrameStep.PENDING and name != "grant":
            self.queue.removed()
