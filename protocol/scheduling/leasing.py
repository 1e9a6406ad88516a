"""How a lease is made from a book, whose job comes first, and what people hear of a lease. Decides no size and no taker."""

from __future__ import annotations

from collections.abc import Collection

from protocol import limits
from protocol.effects import Notice
from protocol.ids import AttemptId, PeerId
from protocol.scheduling.holdings import Holdings, LeaseHeld
from protocol.wire.work import Lease, Report


def ranked(books: Collection[Holdings]) -> list[Holdings]:
    """Highest priority first; then the submitter with the least under way; then the oldest."""
    running: dict[str, int] = {}
    for book in books:
        running[book.work.submitter] = running.get(book.work.submitter, 0) + book.running
    return sorted(
        books, key=lambda book: (-book.work.priority, running[book.work.submitter], book.work.submitted_ms, book.work.job)
    )


def lease_of(book: Holdings, held: LeaseHeld, *, inspect: bool, attempts: tuple[AttemptId, ...]) -> Lease:
    """The message that hands `held` to its thief."""
    work = book.work
    frames = tuple(held.frames)
    return Lease(
        lease=held.lease, job=work.job, fence=work.fence, inspect=inspect, frames=frames,
        generations=tuple(book.generation(frame) for frame in frames), attempts=attempts, ttl_s=limits.LEASE_TTL_S,
        spec=work.spec_json, manifest=work.manifest, holders=work.holders, blender=work.blender, trace="",
    )  # fmt: skip


def lost_notice(report: Report, by: PeerId, reason: str) -> Notice:
    """An attempt has come to nothing, and costs none."""
    return Notice("attempt_lost", "warning", report.job, {"frame": report.frame, "by": by, "reason": reason})


def duplicate_notice(report: Report, by: PeerId) -> Notice:
    """A frame that is done was rendered once more."""
    return Notice("duplicate_result", job=report.job, fields={"frame": report.frame, "by": by})


def lease_notice(lease: Lease, thief: PeerId) -> Notice:
    """Frames, or an inspection, have gone out."""
    fields = {"lease": lease.lease, "to": thief, "frames": list(lease.frames[:64]), "count": len(lease.frames)}
    return Notice("inspection_leased" if lease.inspect else "frames_leased", job=lease.job, fields=fields)
