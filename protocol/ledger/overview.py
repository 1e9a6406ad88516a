"""What people see of a job and of its frames, computed from its facts and from what the dispatcher says is going on."""

from __future__ import annotations

from dataclasses import dataclass

from protocol import limits
from protocol.ids import PeerId
from protocol.jobs.identity import key_hash
from protocol.ledger.fold import JobFold
from protocol.ledger.lifecycle import held_because, job_state, refusal
from protocol.views import FINAL_STATES, Counts, FrameFiles, FrameState, FrameView, JobView, Reason


@dataclass(slots=True)
class Activity:
    """What is going on in a job besides its facts. `running` frames are with somebody now."""

    running: int = 0
    eta_s: float | None = None
    waiting_because: tuple[Reason, ...] = ()
    started_ms: int | None = None
    delivery_because: tuple[Reason, ...] = ()


def view(fold: JobFold, activity: Activity, *, copies: int) -> JobView:
    """The job as its owner sees it."""
    accepted, spec = fold.accepted, fold.spec
    assert accepted is not None
    assert spec is not None
    state = job_state(fold, running=activity.running)
    is_final = state in FINAL_STATES
    counts = _counts(fold, 0 if is_final else activity.running, held=state == "held")
    seen = fold.inspection
    return JobView(
        id=fold.job, name=spec.name or (accepted.manifest.main.rpartition("/")[2] or "null"), state=state, priority=fold.priority,
        owner=fold.fence.peer, epoch=fold.fence.epoch, replicas=fold.replicas, frames=counts,
        progress=round((counts.done + counts.failed) / counts.total, 6) if counts.total else 0.0,
        eta_s=activity.eta_s if state == "running" else None,
        waiting_because=() if is_final else (*activity.waiting_because, *activity.delivery_because),
        held_because=tuple(held_because(fold)) if state == "held" else (),
        error=_error(fold, counts, state), renderer=spec.renderer,
        engine=spec.engine or (seen.engine if seen else ""), blender=seen.blender if seen else "",
        frame_ranges=_ranges(fold), labels=spec.label, submitter=accepted.submitter, submitted_ms=accepted.wall_ms,
        started_ms=_started(fold, activity), finished_ms=fold.closed.wall_ms if fold.closed and is_final else None,
        copies=copies, only_on=accepted.only_on, version=fold.changes,
        destination=spec.destination or "", delivered=fold.delivered, conflicts=len(fold.conflicts),
        generation=fold.highest, key=key_hash(accepted.submitter, accepted.key),
    )  # fmt: skip


def _counts(fold: JobFold, running: int, *, held: bool) -> Counts:
    if fold.frames is None:
        return Counts()
    total, done = len(fold.frames), fold.done
    failed = len([frame for frame in fold.failed_frames() if frame in fold.frames])
    rest = max(total - done - failed, 0)
    running = min(running, rest)
    return Counts(
        total=total, pending=0 if held else rest - running, running=running, done=done, failed=failed, held=rest if held else 0
    )


def _error(fold: JobFold, counts: Counts, state: str) -> str | None:
    if state != "failed":
        return None
    reason = refusal(fold)
    if reason is not None:
        return reason
    failed = fold.failed_frames()
    if not failed:
        return None
    failure = fold.current_failures(failed[0])[-1].result.failure
    assert failure is not None
    text = f"{counts.failed} of {counts.total} frames failed; frame {failed[0]}: {failure.reason}"
    return text[: limits.REASON_CHARS_MAX]


def _ranges(fold: JobFold) -> str:
    """Before the frames are fixed: what the client asked for."""
    if fold.frames is not None:
        return fold.ranges
    asked = fold.spec.frames or "" if fold.spec else ""
    return asked[: limits.SUMMARY_RANGES_CHARS_MAX]


def _started(fold: JobFold, activity: Activity) -> int | None:
    return fold.winners.started_ms if activity.started_ms is None else activity.started_ms


def frame_state(fold: JobFold, frame: int, *, runs: bool) -> FrameState:
    """How one frame stands; `runs`: somebody renders it now."""
    if fold.is_done(frame):
        return "done"
    if fold.is_failed(frame):
        return "failed"
    if runs:
        return "running"
    return "held" if held_because(fold) else "pending"


def frame_view(fold: JobFold, frame: int, *, running_on: PeerId | None) -> FrameView:
    """One frame; `running_on` is who renders it now."""
    winner = fold.winners.get(frame)
    failures = fold.failures.get(frame, [])
    state = frame_state(fold, frame, runs=running_on is not None)
    main = winner.result.outputs[0] if winner is not None and winner.result.outputs else None
    last_failure = failures[-1].result.failure if failures and state != "done" else None
    return FrameView(
        frame=frame, state=state, peer=winner.peer if winner is not None and state == "done" else running_on,
        attempts=len(failures) + (1 if winner is not None else 0), generation=fold.generation(frame),
        digest=main.digest if main else None, pixel_hash=main.pixel_hash if main else None, size=main.size if main else None,
        seconds=winner.result.seconds if winner is not None else None,
        error=last_failure.reason if last_failure is not None else None,
    )  # fmt: skip


def frame_files(fold: JobFold, frame: int, *, me: PeerId) -> FrameFiles | None:
    """A done frame's outputs, or a failed frame's log; None while there is neither."""
    winner = fold.winners.get(frame)
    failures = fold.failures.get(frame, [])
    ended = winner if winner is not None else (failures[-1] if failures else None)
    if ended is None:
        return None
    holders = tuple(dict.fromkeys([me, ended.peer, *fold.replicas, fold.fence.peer]))
    return FrameFiles(frame, ended.generation, ended.result.outputs, ended.result.log, ended.result.log_size, holders)
