"""A job in words: columns, why it waits, and what its state means for an exit code."""

from __future__ import annotations

from typing import Any, Final

from peer.cli.failures import Exit
from peer.cli.tables import Column, Item, bar, count, number, short, span, text_of

FINAL: Final = frozenset({"completed", "failed", "cancelled"})


def frames_of(job: Item) -> Item:
    """The counts of frames; empty before inspection."""
    frames = job.get("frames")
    return frames if isinstance(frames, dict) else {}


def done_text(job: Item) -> str:
    """`12/48`, with `, 2 failed` and `, 1 held` where there are any."""
    frames = frames_of(job)
    parts = [f"{count(frames, 'done')}/{count(frames, 'total')}"]
    parts += [f"{count(frames, key)} {key}" for key in ("failed", "held") if count(frames, key)]
    return ", ".join(parts)


def why_text(job: Item) -> str:
    """Why a job does not go on: holds first, then what it waits for, then its error. "" when it does."""
    held = job.get("held_because")
    reasons = [reason_text(entry) for entry in held if isinstance(entry, dict)] if isinstance(held, list) else []
    waiting = job.get("waiting_because")
    reasons += [reason_text(waiting)] if isinstance(waiting, dict) else [waiting] if isinstance(waiting, str) else []
    if isinstance(waiting, list):
        reasons += [reason_text(entry) if isinstance(entry, dict) else str(entry) for entry in waiting]
    error = job.get("error")
    reasons += [reason_text(error)] if isinstance(error, dict) else [error] if isinstance(error, str) else []
    return "\n".join(reason for reason in reasons if reason)


def reason_text(reason: Item) -> str:
    """`text [code]: remedy` of one reason."""
    text = text_of(reason, "text") or text_of(reason, "message") or text_of(reason, "detail") or text_of(reason, "code")
    code = text_of(reason, "code")
    remedy = text_of(reason, "remedy")
    return text + (f" [{code}]" if code and code != text else "") + (f"; {remedy}" if remedy else "")


def ended(job: Item) -> Exit | None:
    """The exit code of a wait for this job, or None while it may still go on without anybody."""
    frames = frames_of(job)
    match job.get("state"):
        case "completed":
            return Exit.INCOMPLETE if count(frames, "failed") or count(frames, "held") else Exit.OK
        case "failed":
            return Exit.INCOMPLETE if count(frames, "done") else Exit.ERROR
        case "cancelled":
            return Exit.ERROR
        case "held":
            return Exit.INCOMPLETE
        case _:
            return None


def outcome(job: Item) -> str:
    """One sentence about where a job stands."""
    name, state = text_of(job, "name") or short(text_of(job, "id")), text_of(job, "state")
    why = why_text(job).replace("\n", "; ")
    return f"job {name} {'is ' if state in ('held', 'paused', 'queued') else ''}{state}: {done_text(job)} frames done" + (
        f"; {why}" if why else ""
    )


def _labels(job: Item) -> str:
    labels = job.get("labels")
    if isinstance(labels, dict):
        return ",".join(f"{key}={value}" for key, value in labels.items())
    return ",".join(str(label) for label in labels) if isinstance(labels, list) else ""


def _list(job: Item, key: str) -> str:
    values: Any = job.get(key)
    return ",".join(short(str(value)) for value in values) if isinstance(values, list) else ""


def progress_text(job: Item) -> str:
    """A bar and percent."""
    return bar(number(job, "progress"))


COLUMNS: Final = (
    Column("ID", lambda job: short(text_of(job, "id"))),
    Column("NAME", lambda job: text_of(job, "name")),
    Column("STATE", lambda job: text_of(job, "state")),
    Column("FRAMES", done_text),
    Column("PROGRESS", progress_text),
    Column("ETA", lambda job: span(job.get("eta_s"))),
    Column("PRIORITY", lambda job: text_of(job, "priority")),
    Column("OWNER", lambda job: short(text_of(job, "owner")), wide=True),
    Column("EPOCH", lambda job: text_of(job, "epoch"), wide=True),
    Column("ENGINE", lambda job: text_of(job, "engine"), wide=True),
    Column("LABELS", _labels, wide=True),
    Column("SUBMITTED", lambda job: text_of(job, "submitted_at"), wide=True),
    Column("WHY", lambda job: why_text(job).replace("\n", "; ")),
)

FIELDS: Final = (
    Column("Id", lambda job: text_of(job, "id")),
    Column("Name", lambda job: text_of(job, "name")),
    Column("State", lambda job: text_of(job, "state")),
    Column("Frames", done_text),
    Column("Progress", progress_text),
    Column("ETA", lambda job: span(job.get("eta_s"))),
    Column("Waits", why_text),
    Column("Priority", lambda job: text_of(job, "priority")),
    Column("Renderer", lambda job: text_of(job, "renderer")),
    Column("Engine", lambda job: text_of(job, "engine")),
    Column("Labels", _labels),
    Column("Owner", lambda job: text_of(job, "owner")),
    Column("Epoch", lambda job: text_of(job, "epoch"), wide=True),
    Column("Replicas", lambda job: _list(job, "replicas")),
    Column("Same key", lambda job: _list(job, "same_key")),
    Column("Durability", lambda job: _durability(job.get("durability"))),
    Column("Submitted", lambda job: text_of(job, "submitted_at")),
    Column("Started", lambda job: text_of(job, "started_at")),
    Column("Finished", lambda job: text_of(job, "finished_at")),
)


def _durability(value: Any) -> str:
    if isinstance(value, dict):
        return f"{count(value, 'copies')} copies"
    return "" if value is None else str(value)
