"""One owned job's frames on their way to its destination: what waits, what is under way, what is still to be swept.

Refuses to know who carries.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol import limits
from protocol.ids import JobId, PeerId
from protocol.jobs.naming import output_names
from protocol.jobs.parcels import Parcel, Placed
from protocol.kernel import Now
from protocol.ledger.facts import FrameEnded
from protocol.signals import DeliveryDue
from protocol.views import Reason
from protocol.wire.delivery import Carried, Carry

Waiting = dict[int, tuple[FrameEnded, tuple[str, ...]]]


@dataclass(slots=True)
class Flight:
    """A batch under way with `peer`; asked about again at `resend_at`."""

    peer: PeerId
    carry: Carry
    resend_at: float


class Consignment:
    """Invariant: a frame waits in its newest generation only; what is swept was delivered before."""

    def __init__(self, due: DeliveryDue) -> None:
        self._due = due
        self._waiting: Waiting = {}
        self._to_sweep: Waiting | None = None
        self.flight: Flight | None = None
        self.failures = 0
        self.retry_at = 0.0
        self.reasons: tuple[Reason, ...] = ()

    @property
    def job(self) -> JobId:
        return self._due.job

    @property
    def root(self) -> str:
        return self._due.root

    @property
    def folder(self) -> str:
        return self._due.folder

    @property
    def has_work(self) -> bool:
        """Whether there is a batch to hand out."""
        return bool(self._waiting or self._to_sweep)

    @property
    def is_swept(self) -> bool:
        """Whether all that was to be swept has been looked at, and what was missing delivered again."""
        return self._to_sweep is not None and not self._to_sweep and not self._waiting and self.flight is None

    def add(self, due: DeliveryDue) -> None:
        """More frames of the same job."""
        self._due = due
        if due.sweep:
            self._to_sweep = {ended.frame: (ended, older) for ended, older in due.ended}
            return
        for ended, older in due.ended:
            held = self._waiting.get(ended.frame)
            if held is None or held[0].generation <= ended.generation:
                self._waiting[ended.frame] = (ended, older)

    def next_carry(self, number: int) -> Carry:
        """The next batch: what waits first, then what is to be swept. Only when `has_work`."""
        sweep = not self._waiting
        source = self._to_sweep if sweep else self._waiting
        assert source
        parcels: list[Parcel] = []
        outputs = 0
        holders: dict[PeerId, None] = {}
        for frame in list(source)[: limits.PARCELS_PER_CARRY_MAX]:
            ended, older = source[frame]
            outputs += len(ended.result.outputs)
            if parcels and outputs > limits.OUTPUTS_PER_CARRY_MAX:
                break
            parcels.append(self._parcel(ended, older))
            holders[ended.peer] = None
        due = self._due
        asked = tuple(dict.fromkeys([*due.holders, *holders]))
        return Carry(due.job, number, due.root, due.folder, sweep, tuple(parcels), asked)

    def _parcel(self, ended: FrameEnded, older: tuple[str, ...]) -> Parcel:
        outputs = ended.result.outputs
        due = self._due
        names = output_names(due.template, job=due.job, name=due.name, frame=ended.frame, outputs=outputs)
        return Parcel(ended.frame, ended.generation, tuple(names), outputs, older)

    def landed(self, carried: Carried) -> tuple[Placed, ...]:
        """The batch under way has come to an end: what it dealt with. What a sweep did not find waits again."""
        assert self.flight is not None
        carry, self.flight = self.flight.carry, None
        asked = {parcel.frame: parcel.generation for parcel in carry.parcels}
        placed = tuple(one for one in carried.placed if asked.get(one.frame) == one.generation)
        there = {one.frame for one in placed}
        if carry.sweep and self._to_sweep is not None:
            looked_at = there if carried.code else set(asked)
            for frame in sorted(looked_at):
                found = self._to_sweep.pop(frame, None)
                if found is not None and frame not in there:
                    self._waiting.setdefault(frame, found)
        elif not carry.sweep:
            for one in placed:
                held = self._waiting.get(one.frame)
                if held is not None and held[0].generation <= one.generation:
                    del self._waiting[one.frame]
        return placed

    def fail(self, now: Now) -> None:
        """Wait before the next try, longer each time."""
        self.failures += 1
        pause_s = limits.DELIVERY_RETRY_S * 2 ** min(self.failures - 1, 8)
        self.retry_at = now.monotonic_s + min(pause_s, limits.DELIVERY_RETRY_S_MAX)

    def next_at(self) -> float | None:
        """When something is to be done without being told: the next try, or the next question."""
        if self.flight is not None:
            return self.flight.resend_at
        return self.retry_at if self.has_work and self.retry_at > 0 and not self._nobody else None

    @property
    def _nobody(self) -> bool:
        """Whether it waits for a peer that has the root, which will be heard of."""
        return any(reason.code == "no_output_root" for reason in self.reasons)
