"""Jobs that were deleted: remembered by id, so that nobody brings them back. Bounded; the oldest go first."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from protocol import limits
from protocol.ids import JobId
from protocol.records import DropValue, PutValue

TOMBSTONE: Final = "deleted/"


class Tombstones:
    """Invariant: what is remembered here is on the disk once the records of `bury` are."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, None] = {}

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    def load(self, keys: Iterable[str]) -> None:
        """Remember what the disk does."""
        for key in keys:
            if key.startswith(TOMBSTONE):
                self._jobs[JobId(key.removeprefix(TOMBSTONE))] = None

    def bury(self, job: JobId) -> tuple[PutValue | DropValue, ...]:
        """Remember one more; the records that make it last."""
        self._jobs[job] = None
        oldest = list(islice(self._jobs, max(len(self._jobs) - limits.TOMBSTONES_MAX, 0)))
        for old in oldest:
            del self._jobs[old]
        return (PutValue(TOMBSTONE + job, b"deleted"), *(DropValue(TOMBSTONE + old) for old in oldest))
