"""A job's summary as its owner publishes it: `JobView` to bytes and back, under the key `job/<id>`."""

from __future__ import annotations

from typing import Any, Final

from protocol import limits
from protocol.errors import Malformed
from protocol.ids import JobId, PeerId, is_hex
from protocol.rows import Reader, pack, unpack_list
from protocol.views import Counts, JobState, JobView, Reason

JOB_STATES: Final[tuple[JobState, ...]] = (
    "inspecting", "queued", "running", "paused", "held", "completed", "failed", "cancelled",
)  # fmt: skip


def job_key(job: JobId) -> str:
    """The catalogue key of a job's summary."""
    return f"job/{job}"


def summary_to_bytes(view: JobView) -> bytes:
    """At most `limits.REASONS_PER_SUMMARY_MAX` reasons of each kind travel."""
    f = view.frames
    return pack(
        [
            view.id, view.name, view.state, view.priority, view.owner, view.epoch, list(view.replicas),
            [f.total, f.pending, f.running, f.done, f.failed, f.held], view.progress, view.eta_s,
            _reasons_row(view.waiting_because), _reasons_row(view.held_because), view.error,
            view.renderer, view.engine, view.blender, view.frame_ranges, list(view.labels), view.submitter,
            view.submitted_ms, view.started_ms, view.finished_ms, view.copies, view.only_on, view.version,
            view.destination, view.delivered, view.conflicts, view.generation, view.key,
        ]
    )  # fmt: skip


def summary_from_bytes(data: bytes) -> JobView:
    """Raises `Malformed`."""
    r = Reader(unpack_list(data, bytes_max=limits.CATALOG_VALUE_BYTES_MAX))
    return JobView(
        id=JobId(_hex(r.text(32), 32)), name=r.text(limits.JOB_NAME_CHARS_MAX), state=r.choice(JOB_STATES),
        priority=r.integer(0, 100), owner=_peer(r.text(64)), epoch=r.integer(),
        replicas=tuple(_peer(text) for text in r.texts(64, 64)), frames=_counts(r.each(_count, 6)),
        progress=r.number(), eta_s=r.optional_number(),
        waiting_because=r.each(_reason, limits.REASONS_PER_SUMMARY_MAX),
        held_because=r.each(_reason, limits.REASONS_PER_SUMMARY_MAX), error=r.optional_text(),
        renderer=r.text(64), engine=r.text(64), blender=r.text(64), frame_ranges=r.text(limits.SUMMARY_RANGES_CHARS_MAX),
        labels=r.texts(limits.LABELS_PER_JOB_MAX, limits.LABEL_CHARS_MAX), submitter=r.text(256),
        submitted_ms=r.integer(), started_ms=r.optional_integer(), finished_ms=r.optional_integer(),
        copies=r.integer(0, 10_000), only_on=_optional_peer(r.optional_text(64)), version=r.integer(),
        destination=r.text(limits.DESTINATION_CHARS_MAX) if r.more else "", delivered=r.integer() if r.more else 0,
        conflicts=r.integer() if r.more else 0, generation=r.integer() if r.more else 0,
        key=_key(r.text(16)) if r.more else "",
    )  # fmt: skip


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limits.FRAMES_PER_JOB_MAX:
        raise Malformed("frame count expected")
    return value


def _counts(values: tuple[int, ...]) -> Counts:
    if len(values) != 6:
        raise Malformed("six frame counts expected")
    return Counts(*values)


def _reasons_row(reasons: tuple[Reason, ...]) -> list[Any]:
    return [[one.code, one.text, one.remedy, one.peer] for one in reasons[: limits.REASONS_PER_SUMMARY_MAX]]


def _reason(row: object) -> Reason:
    r = Reader(row)
    return Reason(code=r.text(64), text=r.text(), remedy=r.text(), peer=r.text(64))


def _hex(text: str, length: int) -> str:
    if not is_hex(text, length):
        raise Malformed("hexadecimal id expected")
    return text


def _key(text: str) -> str:
    return _hex(text, 16) if text else ""


def _peer(text: str) -> PeerId:
    return PeerId(_hex(text, 64))


def _optional_peer(text: str | None) -> PeerId | None:
    return None if text is None else _peer(text)
