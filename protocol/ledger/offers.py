"""How a job begins, how an owned one is laid before the dispatcher, and which part of its view others must hear of at once."""

from __future__ import annotations

from protocol.errors import Conflict
from protocol.events import SubmitAsked
from protocol.ids import Fence, JobId, PeerId
from protocol.jobs.steps import FrameStep
from protocol.kernel import Now
from protocol.ledger.facts import Accepted, Body, Owner, ReplicaSet
from protocol.ledger.fold import JobFold
from protocol.ledger.lifecycle import wants_frames
from protocol.signals import WorkOpened
from protocol.views import JobView

VARYING = ("not_comparable", "unbaked_simulation")  # what inspection finds where each render is another picture


def submission_refusal(job: JobId, known: JobId | None, *, deleted: bool) -> Conflict | None:
    """Why a submission cannot become `job`; `known` is the job that its Idempotency-Key was used for."""
    if deleted:
        return Conflict("job_deleted", "this very job was submitted before and deleted; use a new Idempotency-Key")
    if known is not None and known != job:
        message = f"the Idempotency-Key was used for job {known} with other fields or another scene; use a new key"
        return Conflict("key_reused", message)
    return None


def first_bodies(asked: SubmitAsked, spec_json: str, now: Now, *, me: PeerId) -> list[Body]:
    """The first facts of a job that `me` accepts, and owns until somebody takes over."""
    fence = Fence(1, me)
    accepted = Accepted(
        spec=spec_json, manifest=asked.manifest, submitter=asked.submitter, key=asked.key, wall_ms=now.wall_ms,
        only_on=me if asked.on_this_peer else None,
    )  # fmt: skip
    return [accepted, Owner(fence), ReplicaSet(fence, 1, (me,))]


def work_opened(fold: JobFold, holders: tuple[PeerId, ...], *, resumed: bool = False) -> WorkOpened:
    """The whole job for the dispatcher. Cost: one byte per frame."""
    accepted, spec = fold.accepted, fold.spec
    assert accepted is not None
    assert spec is not None
    failures = {frame: tuple((end.peer, end.attempt) for end in fold.current_failures(frame)) for frame in fold.failures}
    frames = fold.frames
    generations = [] if frames is None else [(frame, fold.generation(frame)) for frame in _regenerated(fold)]
    return WorkOpened(
        job=fold.job, fence=fold.fence, spec=spec, spec_json=accepted.spec, manifest=accepted.manifest, holders=holders,
        priority=fold.priority, submitter=accepted.submitter, submitted_ms=accepted.wall_ms, only_on=accepted.only_on,
        blender=_major_minor(fold), open_=(fold.inspected is None and not fold.paused) or wants_frames(fold),
        frames=frames, steps=_steps(fold), failures=tuple((frame, ends) for frame, ends in failures.items() if ends),
        generations=tuple(generations), resumed=resumed, engine=_engine(fold), comparable=_comparable(fold),
    )  # fmt: skip


def _engine(fold: JobFold) -> str:
    assert fold.spec is not None
    return fold.spec.engine or ("" if fold.inspection is None else fold.inspection.engine)


def _comparable(fold: JobFold) -> bool:
    """Not where a time limit, a stamp or a simulation makes every render another picture (see the driver's inspection)."""
    return fold.inspection is None or all(warning.code not in VARYING for warning in fold.inspection.warnings)


def _steps(fold: JobFold) -> bytes:
    if fold.frames is None:
        return b""
    steps = bytearray(len(fold.frames))
    for frame in fold.winners.all_done():
        at = fold.frames.index(frame)
        if at is not None:
            steps[at] = FrameStep.DONE
    for frame in fold.failed_frames():
        at = fold.frames.index(frame)
        if at is not None:
            steps[at] = FrameStep.FAILED
    return bytes(steps)


def _regenerated(fold: JobFold) -> list[int]:
    return [frame for frame in fold.winners.regenerated() if fold.frames is not None and frame in fold.frames]


def _major_minor(fold: JobFold) -> str:
    """The one Blender version of this job: as asked for, else the one that looked at the scene."""
    assert fold.spec is not None
    if fold.spec.blender is not None:
        return fold.spec.blender
    seen = fold.inspection
    return ".".join(seen.blender.split(".")[:2]) if seen is not None and seen.blender else ""


def job_version(view: JobView) -> tuple[object, ...]:
    """The part of a view whose change is published at once."""
    held = tuple(reason.code for reason in view.held_because)
    waiting = tuple(reason.code for reason in view.waiting_because)
    has_work = view.frames.pending > 0 or view.state == "inspecting"
    standing = (view.state, view.owner, view.epoch, view.replicas, view.priority, view.error)
    return *standing, held, waiting, has_work, view.frames.total, view.generation
