"""What follows when a blob here was found damaged: it is fetched again for every job that needs it, from whoever holds a copy.

A machine beside the ledger that only reads its jobs. A corrupt copy is refetched first; when no holder has whole bytes after
some tries, that is said aloud with the frame to be rendered again (an owner of a job that goes on does so by itself, see
`recovery`). Refuses to know disks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from protocol import limits
from protocol.effects import Effect, FetchBlobs, Notice
from protocol.events import BlobLost, BlobsEnded, Event
from protocol.ids import Digest, JobId, PeerId, Ticket
from protocol.kernel import Now
from protocol.ledger.facts import Accepted, Fact, FrameEnded
from protocol.ledger.fold import JobFold
from protocol.signals import Signal


@dataclass(slots=True)
class _Heal:
    """`frame` None: a file of the scene. `at` is when it is tried (again), None while a fetch is under way."""

    job: JobId
    digest: Digest
    size: int
    frame: int | None
    holders: tuple[PeerId, ...]
    tries: int = 0
    at: float | None = None


class Healing:
    """Invariant: one heal per job and blob; each ends with `blob_healed` or, after so many tries, `blob_unrecoverable`."""

    def __init__(self, *, me: PeerId, folds: Callable[[], Iterable[JobFold]]) -> None:
        """`folds` are the jobs that are held here, to be read."""
        self._me = me
        self._folds = folds
        self._heals: dict[Ticket, _Heal] = {}

    def handle(self, event: Event | Signal, now: Now) -> list[Effect | Signal]:
        """A blob was lost, or a fetch of ours has ended."""
        match event:
            case BlobLost(digest):
                return self._lost(digest)
            case BlobsEnded(ticket, error) if ticket in self._heals:
                return self._ended(ticket, error, now)
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Effect | Signal]:
        """Try again."""
        due = [ticket for ticket, heal in self._heals.items() if heal.at is not None and heal.at <= now.monotonic_s]
        return [self._fetch(ticket) for ticket in due]

    def next_deadline(self) -> float | None:
        return min((heal.at for heal in self._heals.values() if heal.at is not None), default=None)

    def _lost(self, digest: Digest) -> list[Effect | Signal]:
        outputs: list[Effect | Signal] = []
        for fold in self._folds():
            ticket = Ticket(f"heal-{fold.job}-{digest}")
            heal = self._need(fold, digest)
            if heal is None or ticket in self._heals or len(self._heals) >= limits.HEALS_MAX:
                continue
            self._heals[ticket] = heal
            fields = {"digest": digest, "frame": heal.frame, "holders": list(heal.holders)}
            outputs.extend([Notice("blob_lost", "warning", fold.job, fields), self._fetch(ticket)])
        return outputs

    def _need(self, fold: JobFold, digest: Digest) -> _Heal | None:
        """What a job needs the blob for, and who should have it; None when it does not."""
        for log in fold.log.values():
            for fact in log.speaking_of(digest):
                size = _size_in(fold, fact, digest)
                if size is None:
                    continue
                makers = [fact.body.peer] if isinstance(fact.body, FrameEnded) else []
                frame = fact.body.frame if isinstance(fact.body, FrameEnded) else None
                assert isinstance(fact.body, Accepted | FrameEnded)
                asked = dict.fromkeys([*makers, fold.fence.peer, *fold.replicas, *sorted(fold.carriers)])
                return _Heal(fold.job, digest, size, frame, tuple(peer for peer in asked if peer != self._me))
        return None

    def _fetch(self, ticket: Ticket) -> FetchBlobs:
        heal = self._heals[ticket]
        heal.at = None
        heal.tries += 1
        return FetchBlobs(ticket, ((heal.digest, heal.size),), heal.holders, heal.job)

    def _ended(self, ticket: Ticket, error: str, now: Now) -> list[Effect | Signal]:
        heal = self._heals[ticket]
        fields = {"digest": heal.digest, "frame": heal.frame}
        if not error:
            del self._heals[ticket]
            return [Notice("blob_healed", job=heal.job, fields=fields)]
        if heal.tries < limits.HEAL_TRIES_MAX:
            heal.at = now.monotonic_s + limits.HEAL_RETRY_S
            return []
        del self._heals[ticket]
        fold = next((one for one in self._folds() if one.job == heal.job), None)
        if fold is None or not needs_blob(fold, heal.digest):
            return []  # deleted, or rendered again meanwhile
        remedy = "send the scene again as a new job" if heal.frame is None else f"render it again: frames={heal.frame}"
        return [Notice("blob_unrecoverable", "error", heal.job, {**fields, "reason": error, "remedy": remedy})]


def needs_blob(fold: JobFold, digest: Digest) -> bool:
    """Whether a job needs these bytes: a file of its scene, an output or a log of an attempt that is not wanted anew."""
    return any(_size_in(fold, fact, digest) is not None for log in fold.log.values() for fact in log.speaking_of(digest))


def _size_in(fold: JobFold, fact: Fact, digest: Digest) -> int | None:
    """Bytes of a blob that a fact speaks of; None when it does not, or nobody needs them any more."""
    if isinstance(fact.body, FrameEnded) and fact.body.generation < fold.generation(fact.body.frame):
        return None
    return next((size for found, size in fold.blobs_of(fact) if found == digest), None)
