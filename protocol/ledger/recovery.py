"""Frames whose bytes nobody has any more: the owner looks for them one by one, and at last wants them rendered again.

A finished frame whose only holder is gone counts as in flight on it (C7), a damaged one is fetched from every holder first (C6).
Refuses to know how the owner noticed, and how bytes travel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from protocol import limits
from protocol.effects import FetchBlobs
from protocol.ids import AttemptId, Digest, JobId, PeerId, Ticket
from protocol.jobs.frames import format_frames
from protocol.kernel import Now
from protocol.ledger.facts import FrameEnded, Retried
from protocol.ledger.held import HeldJob
from protocol.ledger.keeper import wins
from protocol.ledger.replicas import Replicas


@dataclass(slots=True)
class _Search:
    """`ended` is the attempt whose bytes are looked for since `since` (monotonic seconds), under `ticket` while that lasts; they
    were asked for last at `asked_at`, and in vain last at `missed_at`."""

    ended: FrameEnded
    since: float
    asked_at: float
    missed_at: float = 0.0
    ticket: Ticket | None = None
    state: Literal["new", "found", "failed", "left"] = "new"


class Recovery:
    """Invariant: one search per attempt; none of a job that this peer does not own."""

    def __init__(self, *, me: PeerId) -> None:
        self._me = me
        self._searches: dict[JobId, dict[AttemptId, _Search]] = {}
        self._tickets: dict[Ticket, tuple[JobId, AttemptId]] = {}
        self._next = 0

    def owns(self, ticket: Ticket) -> JobId | None:
        """The job that this ticket belongs to, or None when it is not ours."""
        found = self._tickets.get(ticket)
        return None if found is None else found[0]

    def look_for(self, held: HeldJob, lacking: Iterable[FrameEnded], replicas: Replicas, now: Now) -> list[FetchBlobs]:
        """Look for the bytes of these results, each by itself, so that one that is lost keeps no other back."""
        searches = self._searches.setdefault(held.fold.job, {})
        found = [searches.setdefault(ended.attempt, _Search(ended, now.monotonic_s, now.monotonic_s)) for ended in lacking]
        return self._ask(held, [one for one in found if one.state != "found" and not _rests(one, now)], replicas, now)

    def look_again(self, held: HeldJob, replicas: Replicas, now: Now) -> list[FetchBlobs]:
        """Look a last time for what `lost` would give up: it may have come in the meantime, with something else."""
        searches = self._searches.get(held.fold.job, {}).values()
        return self._ask(held, [one for one in searches if self._is_due(held, one, replicas, now, asked=False)], replicas, now)

    def _ask(self, held: HeldJob, searches: Iterable[_Search], replicas: Replicas, now: Now) -> list[FetchBlobs]:
        outputs: list[FetchBlobs] = []
        for search in searches:
            if search.ticket is not None:
                continue
            if len(self._tickets) >= limits.SEARCHES_AT_ONCE_MAX:
                break
            self._next += 1
            search.ticket, search.asked_at = Ticket(f"find-{self._next}"), now.monotonic_s
            self._tickets[search.ticket] = (held.fold.job, search.ended.attempt)
            holders = self._holders(held, search.ended, replicas)
            outputs.append(FetchBlobs(search.ticket, _blobs(search.ended), holders, held.fold.job))
        return outputs

    def _is_due(self, held: HeldJob, search: _Search, replicas: Replicas, now: Now, *, asked: bool) -> bool:
        """Whether it was looked for long enough; `asked`: and in vain once more since then."""
        patience_s = self._patience_s(held, search.ended, replicas)
        is_over = search.state == "failed" and now.monotonic_s - search.since >= patience_s
        return is_over and (search.missed_at - search.since >= patience_s) == asked

    def ended(self, ticket: Ticket, error: str) -> None:
        """A search has ended: its bytes are here, or nobody who was asked has them."""
        job, attempt = self._tickets.pop(ticket)
        search = self._searches.get(job, {}).get(attempt)
        if search is not None and search.ticket == ticket:
            search.ticket, search.state = None, "failed" if error else "found"
            search.missed_at = search.asked_at

    def is_patient(self, job: JobId) -> bool:
        """Whether something of the job has not been found yet, and not been given up."""
        return any(search.state in ("new", "failed") for search in self._searches.get(job, {}).values())

    def is_in_vain(self, job: JobId) -> bool:
        """Whether something of the job was looked for by itself and not found."""
        return any(search.state in ("failed", "left") for search in self._searches.get(job, {}).values())

    def lost(self, held: HeldJob, replicas: Replicas, now: Now) -> list[Retried]:
        """Frames whose results were looked for long enough are wanted again.

        A job that has ended is left to people, but for a frame whose result another owner's has replaced since: what was there
        when it ended is not what it has now."""
        searches = self._searches.get(held.fold.job, {})
        by_generation: dict[int, list[int]] = {}
        for attempt, search in list(searches.items()):
            ended = search.ended
            if not self._is_due(held, search, replicas, now, asked=True):
                continue
            if not wins(held.fold, ended):
                del searches[attempt]
            elif held.fold.is_closed and not held.fold.has_rivals(ended.frame):
                search.state = "left"
            else:
                del searches[attempt]
                by_generation.setdefault(ended.generation + 1, []).append(ended.frame)
        return [Retried(format_frames(sorted(f)), generation, now.wall_ms) for generation, f in sorted(by_generation.items())]

    def forget(self, job: JobId) -> None:
        """The job is not owned here any more, or over, or its bytes must be looked at again."""
        self._searches.pop(job, None)

    def _holders(self, held: HeldJob, ended: FrameEnded, replicas: Replicas) -> tuple[PeerId, ...]:
        """Whoever may have them, the likeliest first: who made them, who keeps the job, who has ever owned it, anybody else
        who has said that it holds something of the job, or has delivered some of it."""
        fold = held.fold
        said = [peer for peer, copy in held.copies.by_peer.items() if copy.held]
        known = [*fold.replicas, *sorted(fold.owners), *said, *sorted(fold.carriers)]
        asked = dict.fromkeys([ended.peer, *known])
        return tuple(peer for peer in asked if peer != self._me and (replicas.is_live(peer) or peer == ended.peer))

    def _patience_s(self, held: HeldJob, ended: FrameEnded, replicas: Replicas) -> float:
        """A holder that lives may only be out of reach; one that has left comes back with nothing; a dead one may be starting."""
        likely = [ended.peer, *(peer for peer in held.fold.replicas if held.copies.is_synced(peer))]
        others = [peer for peer in likely if peer != self._me]
        if any(replicas.is_live(peer) for peer in others):
            return limits.LOST_WITH_HOLDER_S
        return 0.0 if all(replicas.has_left(peer) for peer in others) else limits.LOST_WITHOUT_HOLDER_S


def _rests(search: _Search, now: Now) -> bool:
    """Whether a result was left a moment ago. Later somebody may be within reach who holds it, or the job may go on."""
    return search.state == "left" and now.monotonic_s - search.asked_at < limits.LOST_WITHOUT_HOLDER_S


def _blobs(ended: FrameEnded) -> tuple[tuple[Digest, int], ...]:
    """Distinct blobs (digest, bytes) of a result; its log is not worth a render."""
    return tuple({output.digest: output.size for output in ended.result.outputs}.items())
