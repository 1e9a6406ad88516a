"""What a thief has to tell an owner and has not been thanked for: resent until acknowledged, to whoever owns the job now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol import limits
from protocol.ids import AttemptId, JobId, PeerId
from protocol.wire.work import InspectReport, Report


@dataclass(slots=True)
class _Open:
    owner: PeerId
    report: Report | InspectReport
    resend_at: float
    sends: int = 1


class Reports:
    """Invariant: one open report per attempt. Bounded by the frames of the leases in hand."""

    def __init__(self) -> None:
        self._open: dict[AttemptId, _Open] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, owner: PeerId, report: Report | InspectReport, now_s: float) -> None:
        """The report has just been sent for the first time."""
        self._open[report.attempt] = _Open(owner, report, now_s + limits.REPORT_RESEND_S)

    def drop(self, attempt: AttemptId) -> Report | InspectReport | None:
        """It was acknowledged, or nobody wants it any more."""
        found = self._open.pop(attempt, None)
        return None if found is None else found.report

    def drop_job(self, job: JobId) -> None:
        """The job has ended."""
        self._open = {attempt: one for attempt, one in self._open.items() if one.report.job != job}

    def move(self, job: JobId, owner: PeerId) -> None:
        """The job has another owner, who is told from now on."""
        for one in self._open.values():
            if one.report.job == job:
                one.owner = owner

    def due(self, now_s: float, is_reachable: Callable[[PeerId], bool]) -> list[tuple[PeerId, Report | InspectReport]]:
        """Reports to send again now; their next turn is set. One that was sent in vain for too long is given up."""
        self._open = {attempt: one for attempt, one in self._open.items() if one.sends < limits.REPORT_SENDS_MAX}
        due = [one for one in self._open.values() if one.resend_at <= now_s and is_reachable(one.owner)]
        for one in due:
            one.resend_at = now_s + limits.REPORT_RESEND_S
            one.sends += 1
        return [(one.owner, one.report) for one in due]

    def next_at(self, is_reachable: Callable[[PeerId], bool]) -> float | None:
        """When the next report of a reachable owner is due."""
        return min((one.resend_at for one in self._open.values() if is_reachable(one.owner)), default=None)
