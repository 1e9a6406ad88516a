"""A thief's slots: the leases that each works on, what is in its renderer, and how much work is left in seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from protocol import limits
from protocol.ids import AttemptId, PeerId, TaskId, Ticket
from protocol.jobs.spec import JobSpec
from protocol.scheduling.batches import FrameTimes
from protocol.wire.work import Lease


@dataclass(slots=True)
class Held:
    """A lease in this peer's hands. A frame is in exactly one of `waiting`, `under_way`, `unreported`, or done with."""

    lease: Lease
    owner: PeerId
    spec: JobSpec
    ready: bool
    waiting: deque[int]  # indices into lease.frames
    ticket: Ticket | None = None
    under_way: list[int] = field(default_factory=list)  # in the renderer or being verified
    unreported: list[int] = field(default_factory=list)  # reported, and not yet acknowledged
    inspecting: bool = False
    unsettled: bool = False  # its owner has started again, and does not know of it yet

    @property
    def is_finished(self) -> bool:
        """Nothing of it is left here."""
        return not (self.waiting or self.under_way or self.unreported or self.inspecting)

    @property
    def needs_slot(self) -> bool:
        """Whether something of it still has to go through the renderer."""
        return bool(self.waiting) or self.inspecting

    def open_frames(self) -> tuple[int, ...]:
        """Frames that the owner has no acknowledged report of, sorted."""
        return tuple(self.lease.frames[at] for at in sorted([*self.waiting, *self.under_way, *self.unreported]))


@dataclass(slots=True)
class Task:
    """One frame, or one inspection (`at` -1), in a slot. `began_at` is when its turn in the renderer came."""

    task: TaskId
    slot: int
    held: Held
    at: int
    began_at: float
    stage: str = "rendering"  # rendering, verifying
    stopped: bool = False
    fraction: float = 0.0

    @property
    def attempt(self) -> AttemptId:
        return self.held.lease.attempts[max(self.at, 0)]


@dataclass(slots=True)
class Slot:
    """One warm renderer's worth of work. `in_renderer` in the order in which the renderer has them."""

    index: int
    leases: list[Held] = field(default_factory=list)
    in_renderer: list[Task] = field(default_factory=list)

    @property
    def is_idle(self) -> bool:
        """No lease needs this slot and its renderer has nothing."""
        return not self.in_renderer and not any(held.needs_slot for held in self.leases)

    @property
    def has_reserve(self) -> bool:
        """Whether a whole lease waits here of which nothing has begun: nobody needs more than that ahead, however short the
        frames are."""
        return any(held.inspecting or (held.waiting and len(held.waiting) == len(held.lease.frames)) for held in self.leases)

    def left_s(self, times: FrameTimes, now_s: float) -> float | None:
        """Expected seconds of work left in this slot; None when a frame's time is not known yet; 0 when idle."""
        if self.is_idle:
            return 0.0
        frames = sum(len(held.waiting) for held in self.leases) + len(self.in_renderer)
        seconds = times.typical()
        if seconds is None or any(held.lease.inspect for held in self.leases):
            return None
        elapsed = now_s - self.in_renderer[0].began_at if self.in_renderer else 0.0
        return max(frames * seconds - min(elapsed, seconds), 0.0)

    def next_lease(self) -> Held | None:
        """The first lease whose scene is here and that has a frame for the renderer."""
        return next((held for held in self.leases if held.ready and held.waiting), None)

    def may_start(self, times: FrameTimes) -> bool:
        """Whether the renderer may be handed another frame: one, or two of short frames so that it never waits."""
        if not self.in_renderer:
            return True
        if any(task.at < 0 for task in self.in_renderer):
            return False
        seconds = times.typical()
        short = seconds is not None and seconds <= limits.SHORT_FRAME_S
        return short and len(self.in_renderer) < limits.FRAMES_IN_RENDERER_MAX
