"""What a client's wish does to a job: the facts that it adds, or a refusal that says why not."""

from __future__ import annotations

from protocol.errors import Conflict, Invalid, Refusal
from protocol.events import ControlAsked
from protocol.jobs.frames import format_frames, parse_frames
from protocol.kernel import Now
from protocol.ledger.facts import Body, Control, Register, Retried
from protocol.ledger.fold import JobFold
from protocol.ledger.lifecycle import held_because, refusal


def control_facts(fold: JobFold, asked: ControlAsked, now: Now) -> list[Body] | Refusal:
    """The bodies that carry out `asked`; an empty list when it is so already (controls are idempotent)."""
    match asked.action:
        case "cancel":
            return _unless_closed(fold, "cancel", _register(fold, "cancelled", "1", now))
        case "pause":
            return _unless_closed(fold, "pause", _register(fold, "paused", "1", now))
        case "resume":
            return [] if fold.is_closed else _register(fold, "paused", "", now)
        case "priority":
            return _priority(fold, asked.value, now)
        case "on_warning":
            if asked.value not in ("hold", "fail", "accept"):
                return Invalid("bad_on_warning", f"on_warning is hold, fail or accept, not {asked.value[:40]!r}")
            return _register(fold, "on_warning", asked.value, now)
        case "accept":
            return _accept(fold, asked.value, now)
        case "retry":
            return _retry(fold, asked, now)
        case "delete":
            return []


def _register(fold: JobFold, name: Register, value: str, now: Now, *, default: str = "") -> list[Body]:
    """Nothing when the owner of this epoch has said so already. What an older one has said may be overruled by something
    that is not known here yet, from the other side of a partition: then the same value is said again."""
    before = fold.registers.get(name)
    said_by = 1 if before is None else before.fence.epoch
    if fold.register(name, default) == value and (said_by >= fold.fence.epoch or name == "cancelled"):
        return []
    counter = max((control.counter for control in fold.registers.values()), default=0) + 1
    return [Control(name, value, fold.fence, counter, now.wall_ms)]


def _unless_closed(fold: JobFold, action: str, bodies: list[Body]) -> list[Body] | Refusal:
    if not bodies or not fold.is_closed:
        return bodies
    assert fold.closed is not None
    return Conflict("job_ended", f"the job is {fold.closed.state} already; there is nothing to {action}")


def _priority(fold: JobFold, value: str, now: Now) -> list[Body] | Refusal:
    if not value.isdecimal() or not 0 <= int(value) <= 100:
        return Invalid("bad_priority", f"priority is a whole number from 0 to 100, not {value[:40]!r}")
    default = str(fold.priority) if "priority" not in fold.registers else ""
    return _register(fold, "priority", str(int(value)), now, default=default)


def _accept(fold: JobFold, codes: str, now: Now) -> list[Body] | Refusal:
    wanted = [code.strip() for code in codes.split(",") if code.strip()]
    seen = fold.inspection
    known = [] if seen is None else [warning.code for warning in seen.warnings]
    unknown = [code for code in wanted if code not in known]
    if unknown:
        held = ", ".join(dict.fromkeys(reason.code for reason in held_because(fold))) or "nothing"
        return Conflict("no_such_warning", f"the job has no warning {unknown[0][:40]!r}; it is held by {held}")
    accepted = [code for code in fold.register("accepted_warnings", "").split(",") if code]
    return _register(fold, "accepted_warnings", ",".join(dict.fromkeys([*accepted, *wanted])), now)


def _retry(fold: JobFold, asked: ControlAsked, now: Now) -> list[Body] | Refusal:
    if fold.cancelled:
        return Conflict("job_cancelled", "the job was cancelled, which is final; submit it again")
    if fold.frames is None or refusal(fold) is not None:
        message = "the scene itself could not be rendered, so there are no frames to retry; mend it and submit it again"
        return Conflict("not_retriable", message)
    try:
        wanted = _named(fold, asked)
    except Invalid as error:
        return error
    if asked.replaces is not None and asked.replaces > fold.highest:
        text = f"the job's frames were rendered in generations 0 to {fold.highest}; there is no {asked.replaces} to replace"
        return Invalid("no_such_generation", text)
    foreign = [frame for frame in wanted if frame not in fold.frames]
    if foreign:
        return Invalid("no_such_frame", f"frame {foreign[0]} is not one of the job's frames {format_frames(fold.frames)[:200]}")
    moved = [frame for frame in wanted if fold.is_failed(frame) or (asked.include_done and fold.is_done(frame))]
    by_generation: dict[int, list[int]] = {}
    for frame in moved:
        generation = fold.generation(frame)
        if asked.replaces is None or generation <= asked.replaces:
            by_generation.setdefault(1 + (generation if asked.replaces is None else asked.replaces), []).append(frame)
    return [Retried(format_frames(frames), generation, now.wall_ms) for generation, frames in sorted(by_generation.items())]


def _named(fold: JobFold, asked: ControlAsked) -> list[int]:
    """The frames that a retry is about. Raises `Invalid`."""
    assert fold.frames is not None
    if asked.frames is not None:
        return list(parse_frames(asked.frames))
    return list(fold.frames) if asked.include_done else fold.failed_frames()
