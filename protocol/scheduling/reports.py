"""What a thief has to tell an owner and has not been thanked for: resent until acknowledged, to whoever owns the job now.

While the owner is gone a report is also kept on the disk with its bytes pinned (the outbox), so that it outlives this peer's
own restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from protocol import limits
from protocol.effects import Effect, Persist, PinBlobs, UnpinJob
from protocol.errors import Malformed
from protocol.ids import AttemptId, JobId, PeerId
from protocol.records import DropValue, PutValue
from protocol.wire.codec import decode, encode
from protocol.wire.work import InspectReport, Report

OUTBOX: Final = "outbox/"


@dataclass(slots=True)
class _Open:
    owner: PeerId
    report: Report | InspectReport
    resend_at: float
    sends: int = 1
    stored: bool = False


class Reports:
    """Invariants: one open report per attempt; what is in the outbox is open here. Bounded by the frames of the leases in hand
    and by the outbox."""

    def __init__(self) -> None:
        self._open: dict[AttemptId, _Open] = {}
        self._effects: list[Effect] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, owner: PeerId, report: Report | InspectReport, now_s: float) -> None:
        """The report has just been sent for the first time."""
        self._open[report.attempt] = _Open(owner, report, now_s + limits.REPORT_RESEND_S)

    def drop(self, attempt: AttemptId) -> Report | InspectReport | None:
        """It was acknowledged, or nobody wants it any more."""
        found = self._open.pop(attempt, None)
        if found is None:
            return None
        if found.stored:
            key = outbox_key(attempt)
            self._effects += [Persist((DropValue(key),)), UnpinJob(JobId(key))]
        return found.report

    def drop_job(self, job: JobId) -> None:
        """The job has ended."""
        for attempt in [attempt for attempt, one in self._open.items() if one.report.job == job]:
            self.drop(attempt)

    # the outbox

    def load(self, values: Mapping[str, bytes], now_s: float) -> None:
        """What an earlier run of this peer could not tell."""
        for key in sorted(key for key in values if key.startswith(OUTBOX)):
            try:
                report = decode(values[key])
            except Malformed:
                continue  # a newer version's: it stays on the disk
            if isinstance(report, Report | InspectReport):
                self._open[report.attempt] = _Open(report.attempt.owner, report, now_s, stored=True)

    def owner_gone(self, owner: PeerId) -> None:
        """The owner is not there: what it has not acknowledged is kept on the disk, as far as there is room for it."""
        stored = sum(1 for one in self._open.values() if one.stored)
        for attempt, one in self._open.items():
            if one.owner != owner or one.stored or stored >= limits.OUTBOX_REPORTS_MAX:
                continue
            one.stored, stored = True, stored + 1
            key = outbox_key(attempt)
            digests = () if isinstance(one.report, InspectReport) else tuple(out.digest for out in one.report.result.outputs)
            self._effects += [PinBlobs(JobId(key), digests), Persist((PutValue(key, encode(one.report)),))]

    def effects(self) -> list[Effect]:
        """What must be done about the outbox since this was asked last."""
        effects, self._effects = self._effects, []
        return effects

    def move(self, job: JobId, owner: PeerId, epoch: int, now_s: float) -> None:
        """The job has another owner, who is told from now on, and at once. Hearsay older than the attempt moves nothing."""
        for one in self._open.values():
            if one.report.job == job and one.owner != owner and epoch >= one.report.attempt.epoch:
                one.owner, one.resend_at = owner, now_s

    def due(self, now_s: float, is_reachable: Callable[[PeerId], bool]) -> list[tuple[PeerId, Report | InspectReport]]:
        """Reports to send again now; their next turn is set. One that was sent in vain for too long is given up."""
        for attempt in [attempt for attempt, one in self._open.items() if one.sends >= limits.REPORT_SENDS_MAX]:
            self.drop(attempt)
        due = [one for one in self._open.values() if one.resend_at <= now_s and is_reachable(one.owner)]
        for one in due:
            one.resend_at = now_s + limits.REPORT_RESEND_S
            one.sends += 1
        return [(one.owner, one.report) for one in due]

    def next_at(self, is_reachable: Callable[[PeerId], bool]) -> float | None:
        """When the next report of a reachable owner is due."""
        return min((one.resend_at for one in self._open.values() if is_reachable(one.owner)), default=None)


def outbox_key(attempt: AttemptId) -> str:
    """Under which a report, and the pins of its bytes, are kept."""
    return f"{OUTBOX}{attempt.epoch}-{attempt.owner}-{attempt.counter}"
