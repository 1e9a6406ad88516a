"""What state a job is in, whether something holds it or has failed it as a whole, and whether frames may go out."""

from __future__ import annotations

from protocol.jobs.results import SceneWarning
from protocol.ledger.fold import JobFold
from protocol.views import JobState, Reason


def job_state(fold: JobFold, *, running: int) -> JobState:
    """The state that people see; `running` counts frames that somebody renders now."""
    if fold.cancelled:
        return "cancelled"
    if fold.is_closed:
        assert fold.closed is not None
        return fold.closed.state
    if held_because(fold):
        return "held"
    if fold.paused:
        return "paused"
    if fold.inspected is None:
        return "inspecting"
    started = running > 0 or fold.done > 0 or bool(fold.failures)
    return "running" if started else "queued"


def held_because(fold: JobFold) -> list[Reason]:
    """Picture-class warnings that nobody has accepted yet; empty: nothing holds the job."""
    seen = fold.inspection
    if seen is None or fold.spec is None or fold.register("on_warning", fold.spec.on_warning) != "hold":
        return []
    return [Reason(code=w.code, text=w.text, remedy=w.remedy) for w in unaccepted(fold)]


def unaccepted(fold: JobFold) -> list[SceneWarning]:
    """Picture-class warnings whose codes nobody has accepted."""
    accepted = fold.register("accepted_warnings", "").split(",")
    seen = fold.inspection
    warnings = () if seen is None else seen.warnings
    return [warning for warning in warnings if warning.kind == "picture" and warning.code not in accepted]


def refusal(fold: JobFold) -> str | None:
    """Why the job fails as a whole before its first frame, or None: a broken scene, or warnings under `on_warning=fail`."""
    seen = fold.inspection
    if seen is None or fold.spec is None:
        return None
    if seen.error is not None:
        return seen.error.reason
    if fold.register("on_warning", fold.spec.on_warning) == "fail" and unaccepted(fold):
        return "; ".join(warning.text for warning in unaccepted(fold))
    return None


def wants_frames(fold: JobFold) -> bool:
    """Whether frames of this job may be handed out now."""
    return (
        fold.frames is not None
        and not fold.cancelled
        and not fold.is_closed
        and not fold.paused
        and refusal(fold) is None
        and not held_because(fold)
    )
