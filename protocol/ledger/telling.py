"""What people hear when something has happened to a job: the notices of the ledger, in one wording. Decides nothing."""

from __future__ import annotations

from protocol.effects import Notice
from protocol.ids import Digest, Fence, JobId, PeerId
from protocol.jobs.results import Inspection
from protocol.ledger.facts import Closed, FrameEnded
from protocol.ledger.fold import JobFold
from protocol.ledger.held import HeldJob
from protocol.ledger.overview import view
from protocol.signals import FrameCommitted


def frame_notice(ended: FrameCommitted) -> Notice:
    """A frame was committed, or an attempt at it has failed."""
    fields = {
        "frame": ended.frame, "by": ended.peer, "seconds": round(ended.result.seconds, 4), "attempt": ended.attempt.counter,
    }  # fmt: skip
    failure = ended.result.failure
    if failure is None:
        return Notice("frame_committed", job=ended.job, fields=fields)
    return Notice("frame_failed", "warning", ended.job, {**fields, "kind": failure.kind, "reason": failure.reason})


def winner_notice(fold: JobFold, before: FrameEnded, after: FrameEnded) -> Notice:
    """Two owners have committed a frame, and the result that counts is another one by now. Neither's bytes go, and a file
    that was delivered stays: whose it is, its pixels tell."""
    was, is_now = ([output.pixel_hash for output in one.result.outputs] for one in (before, after))
    fields = {
        "frame": after.frame, "generation": after.generation, "from": before.peer, "to": after.peer, "was": _main(before),
        "now": _main(after), "same_pixels": was == is_now, "delivered": fold.is_delivered(after.frame),
    }  # fmt: skip
    return Notice("winner_changed", "info" if was == is_now else "warning", fold.job, fields)


def _main(ended: FrameEnded) -> Digest | None:
    """The digest of the main picture."""
    return ended.result.outputs[0].digest if ended.result.outputs else None


def inspected_notice(job: JobId, peer: PeerId, inspection: Inspection) -> Notice:
    """Somebody has looked at the scene."""
    fields = {"by": peer, "warnings": [warning.code for warning in inspection.warnings], "blender": inspection.blender}
    if inspection.error is not None:
        fields["error"] = inspection.error.reason
    return Notice("scene_inspected", job=job, fields=fields)


def closed_notice(held: HeldJob, closed: Closed) -> Notice:
    """The job has ended; `seconds` since its first frame began."""
    started = view(held.fold, held.activity, copies=0).started_ms
    seconds = None if started is None else round((closed.wall_ms - started) / 1000, 3)
    return Notice("job_" + closed.state, job=held.fold.job, fields={"state": closed.state, "seconds": seconds})


def succession_notice(job: JobId, before: PeerId, fence: Fence, *, was_there: bool) -> Notice:
    """This peer owns the job from now on, after `before`: which is gone, or is there and hands over. After itself: the job had
    ended, and goes on."""
    event = "job_reopened" if before == fence.peer else "job_handed_over" if was_there else "job_taken_over"
    return Notice(event, "warning", job, {"from": before, "to": fence.peer, "epoch": fence.epoch})


def left_unsafe_notice(jobs: list[JobId]) -> Notice:
    """A peer leaves, and these jobs are nowhere else, as far as it knows."""
    fields = {"count": len(jobs), "jobs": list(jobs[:64])}
    return Notice("left_unsafe", "warning", fields=fields)
