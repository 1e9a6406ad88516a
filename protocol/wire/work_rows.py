"""Messages about work as plain lists and back: `[tag, field, ...]`, the fields in the order of the dataclass.

Tags are never used twice. Trailing fields of a newer version are ignored. Facts, results, manifests and inspections have
the layout of `protocol.ledger.rows`. Every reader raises `Malformed` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from protocol import limits
from protocol.access.keys import key_from_row, key_row
from protocol.errors import Malformed
from protocol.ids import AuthorId, Fence, JobId, LeaseId, PeerId
from protocol.jobs.foreign import spec_text
from protocol.jobs.results import Capabilities
from protocol.ledger.rows import (
    fact_from_wire,
    fact_to_wire,
    inspection_from_wire,
    inspection_to_wire,
    manifest_from_wire,
    manifest_to_wire,
    result_from_wire,
    result_to_wire,
)
from protocol.wire.fields import (
    Row,
    attempt,
    attempt_row,
    blob,
    duration,
    fence,
    fence_row,
    flag,
    hexadecimal,
    items,
    octets,
    peer,
    sequence,
    text,
    uint,
    whole,
)
from protocol.wire.work import (
    AccessRoot,
    AccessRows,
    Audit,
    Audited,
    CatalogDelta,
    CatalogRoot,
    CatalogVersions,
    Draining,
    Facts,
    FactsHeld,
    ForgetJob,
    Granted,
    InspectReport,
    JobAnswer,
    JobQuery,
    Lease,
    Nothing,
    Progress,
    Release,
    Renew,
    Report,
    Reported,
    Revoke,
    Steal,
    SubmissionAnswer,
    SubmissionQuery,
    Versions,
    Wake,
    WorkMessage,
)

WAKE: Final = 32
STEAL: Final = 33
GRANTED: Final = 34
NOTHING: Final = 35
RENEW: Final = 36
REVOKE: Final = 37
RELEASE: Final = 38
REPORT: Final = 39
INSPECT_REPORT: Final = 40
REPORTED: Final = 41
PROGRESS: Final = 42
FACTS: Final = 43
FACTS_HELD: Final = 44
FORGET_JOB: Final = 45
CATALOG_ROOT: Final = 46
CATALOG_VERSIONS: Final = 47
CATALOG_DELTA: Final = 48
JOB_QUERY: Final = 49
JOB_ANSWER: Final = 50
DRAINING: Final = 51
ACCESS_ROOT: Final = 52
ACCESS_ROWS: Final = 53
SUBMISSION_QUERY: Final = 54
SUBMISSION_ANSWER: Final = 55
AUDIT: Final = 56
AUDITED: Final = 57

_raw = bytes.fromhex


# ---- writing -----------------------------------------------------------------------------------------------------


def _steal_row(one: Steal) -> Row:
    rates = [[_raw(job), seconds] for job, seconds in one.seconds_per_frame]
    labels = [list(label) for label in one.labels]
    cached = [_raw(digest) for digest in one.cached]
    return [STEAL, one.ask, one.slots, [_capabilities_row(each) for each in one.capabilities], labels, rates, cached]


def _capabilities_row(one: Capabilities) -> Row:
    return [
        one.renderer,
        one.version,
        one.build,
        one.home,
        list(one.engines),
        list(one.devices),
        one.oidn,
        one.sandbox,
        one.kernel,
    ]


def _lease_row(one: Lease) -> Row:
    attempts = [attempt_row(each) for each in one.attempts]
    head = [_raw(one.lease), _raw(one.job), fence_row(one.fence), one.inspect]
    work = [list(one.frames), list(one.generations), attempts, one.ttl_s]
    return [*head, *work, one.spec, manifest_to_wire(one.manifest), [_raw(each) for each in one.holders], one.blender, one.trace]


def _renew_row(one: Renew) -> Row:
    return [RENEW, [[_raw(lease), _raw(job), fence_row(held), list(frames)] for lease, job, held, frames in one.leases]]


def _taken_row(tag: int, one: Revoke | Release) -> Row:
    return [tag, _raw(one.lease), _raw(one.job), list(one.frames), one.reason]


def _report_row(one: Report) -> Row:
    ids = [_raw(one.lease), _raw(one.job), one.frame, one.generation, attempt_row(one.attempt)]
    return [REPORT, *ids, result_to_wire(one.result)]


def _inspect_report_row(one: InspectReport) -> Row:
    return [INSPECT_REPORT, _raw(one.lease), _raw(one.job), attempt_row(one.attempt), inspection_to_wire(one.inspection)]


def _versions_row(versions: Versions) -> Row:
    return [[_raw(author), seq] for author, seq in versions]


def _facts_row(one: Facts) -> Row:
    return [FACTS, _raw(one.job), [fact_to_wire(fact) for fact in one.facts], _versions_row(one.versions), one.replicate]


def _delta_row(one: CatalogDelta) -> Row:
    spans = [[_raw(writer), epoch, base, top] for writer, epoch, base, top in one.spans]
    return [CATALOG_DELTA, spans, [[_raw(writer), version, key, value] for writer, version, key, value in one.records]]


WRITERS: Final[dict[type[Any], Callable[[Any], Row]]] = {
    Wake: lambda one: [WAKE, _raw(one.job)],
    Steal: _steal_row,
    Granted: lambda one: [GRANTED, one.ask, [_lease_row(lease) for lease in one.leases]],
    Nothing: lambda one: [NOTHING, one.ask, one.better and _raw(one.better)],
    Renew: _renew_row,
    Revoke: lambda one: _taken_row(REVOKE, one),
    Release: lambda one: _taken_row(RELEASE, one),
    Report: _report_row,
    InspectReport: _inspect_report_row,
    Reported: lambda one: [REPORTED, _raw(one.job), attempt_row(one.attempt)],
    Progress: lambda one: [PROGRESS, [[_raw(job), *rest] for job, *rest in one.frames]],
    Facts: _facts_row,
    FactsHeld: lambda one: [FACTS_HELD, _raw(one.job), _versions_row(one.versions), _versions_row(one.safe)],
    ForgetJob: lambda one: [FORGET_JOB, _raw(one.job), fence_row(one.fence)],
    CatalogRoot: lambda one: [CATALOG_ROOT, one.root],
    CatalogVersions: lambda one: [CATALOG_VERSIONS, [[_raw(who), epoch, at] for who, epoch, at in one.versions], one.reply],
    CatalogDelta: _delta_row,
    JobQuery: lambda one: [JOB_QUERY, one.ask, one.text],
    JobAnswer: lambda one: [JOB_ANSWER, one.ask, list(one.summaries)],
    Draining: lambda one: [DRAINING, one.state],
    AccessRoot: lambda one: [ACCESS_ROOT, list(one.buckets), one.reply],
    AccessRows: lambda one: [ACCESS_ROWS, [key_row(record) for record in one.rows]],
    Audit: lambda one: [AUDIT, _lease_row(one.lease)],
    Audited: lambda one: [AUDITED, _raw(one.job), attempt_row(one.attempt), result_to_wire(one.result)],
    SubmissionQuery: lambda one: [SUBMISSION_QUERY, one.ask, one.submitter, one.key, _raw(one.job)],
    SubmissionAnswer: lambda one: [SUBMISSION_ANSWER, one.ask, one.verdict, one.job and _raw(one.job), one.summary],
}


# ---- reading -----------------------------------------------------------------------------------------------------


def _job(value: object) -> JobId:
    return JobId(hexadecimal(value, 16))


def _lease_id(value: object) -> LeaseId:
    return LeaseId(hexadecimal(value, 8))


def _frame(value: object) -> int:
    return whole(value, limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX)


def _frames(value: object) -> tuple[int, ...]:
    return items(value, limits.FRAMES_PER_BATCH_MAX, _frame)


def _generation(value: object) -> int:
    return uint(value, limits.GENERATIONS_MAX)


def _epoch(value: object) -> int:
    return uint(value, limits.EPOCH_MAX)


def _word(value: object) -> str:
    return text(value, limits.TEXT_CHARS_MAX)


def _reason(value: object) -> str:
    return text(value, limits.REASON_CHARS_MAX)


def _capabilities(value: object) -> Capabilities:
    row = sequence(value, 7, limits.MESSAGE_ITEMS_MAX)
    return Capabilities(
        renderer=_word(row[0]),
        version=_word(row[1]),
        build=_word(row[2]),
        home=_word(row[3]),
        engines=items(row[4], limits.CAPABILITIES_MAX, _word),
        devices=items(row[5], limits.CAPABILITIES_MAX, _word),
        oidn=flag(row[6]),
        sandbox=_word(row[7]) if len(row) > 7 else "none",
        kernel=_word(row[8]) if len(row) > 8 else "",
    )


def _label(value: object) -> tuple[str, str]:
    key, said = sequence(value, 2, 2)
    return text(key, limits.LABEL_CHARS_MAX), text(said, limits.LABEL_CHARS_MAX)


def _rate(value: object) -> tuple[JobId, float]:
    job, seconds = sequence(value, 2, 2)
    return _job(job), duration(seconds)


def _one_frame(value: object) -> Lease:
    lease = _lease(value)
    if lease.inspect or len(lease.frames) != 1:
        raise Malformed("an audit is of one frame")
    return lease


def _read_steal(row: Row) -> Steal:
    return Steal(
        ask=uint(row[1]),
        slots=uint(row[2], limits.SLOTS_MAX),
        capabilities=items(row[3], limits.CAPABILITIES_MAX, _capabilities),
        labels=items(row[4], limits.LABELS_PER_PEER_MAX, _label),
        seconds_per_frame=items(row[5], limits.MESSAGE_ITEMS_MAX, _rate),
        cached=items(row[6], limits.MESSAGE_ITEMS_MAX, lambda one: hexadecimal(one, 32)),
    )


def _lease(value: object) -> Lease:
    row = sequence(value, 13, limits.MESSAGE_ITEMS_MAX)
    lease = Lease(
        lease=_lease_id(row[0]),
        job=_job(row[1]),
        fence=fence(row[2]),
        inspect=flag(row[3]),
        frames=_frames(row[4]),
        generations=items(row[5], limits.FRAMES_PER_BATCH_MAX, _generation),
        attempts=items(row[6], limits.FRAMES_PER_BATCH_MAX, attempt),
        ttl_s=duration(row[7]),
        spec=spec_text(row[8]),
        manifest=manifest_from_wire(row[9]),
        holders=items(row[10], limits.HOLDERS_PER_LEASE_MAX, peer),
        blender=_word(row[11]),
        trace=_word(row[12]),
    )
    counts = (len(lease.generations), len(lease.attempts))
    if not (lease.inspect and not lease.frames) and counts != (len(lease.frames), len(lease.frames)):
        raise Malformed("a lease whose frames, generations and attempts do not match")
    return lease


def _renewed(value: object) -> tuple[LeaseId, JobId, Fence, tuple[int, ...]]:
    lease, job, held, frames = sequence(value, 4, 4)
    return _lease_id(lease), _job(job), fence(held), _frames(frames)


def _under_way(value: object) -> tuple[JobId, int, float, float]:
    job, frame, seconds, fraction = sequence(value, 4, 4)
    return _job(job), _frame(frame), duration(seconds), duration(fraction, 1.0)


def _versions(value: object) -> Versions:
    return items(value, limits.MESSAGE_ITEMS_MAX, _author_version)


def _author_version(value: object) -> tuple[AuthorId, int]:
    author, seq = sequence(value, 2, 2)
    return AuthorId(hexadecimal(author, 8)), _epoch(seq)


def _writer_version(value: object) -> tuple[PeerId, int, int]:
    writer, epoch, version = sequence(value, 3, 3)
    return peer(writer), _epoch(epoch), _epoch(version)


def _span(value: object) -> tuple[PeerId, int, int, int]:
    writer, epoch, base, top = sequence(value, 4, 4)
    return peer(writer), _epoch(epoch), _epoch(base), _epoch(top)


def _record(value: object) -> tuple[PeerId, int, str, bytes | None]:
    writer, version, key, said = sequence(value, 4, 4)
    kept = None if said is None else blob(said, limits.CATALOG_VALUE_BYTES_MAX)
    return peer(writer), _epoch(version), text(key, limits.CATALOG_KEY_CHARS_MAX), kept


def _read_delta(row: Row) -> CatalogDelta:
    return CatalogDelta(items(row[1], limits.MESSAGE_ITEMS_MAX, _span), items(row[2], limits.MESSAGE_ITEMS_MAX, _record))


def _read_report(row: Row) -> Report:
    lease, job = _lease_id(row[1]), _job(row[2])
    return Report(lease, job, _frame(row[3]), _generation(row[4]), attempt(row[5]), result_from_wire(row[6]))


def _read_facts(row: Row) -> Facts:
    facts = items(row[2], limits.FACTS_PER_MESSAGE_MAX, fact_from_wire)
    return Facts(_job(row[1]), facts, _versions(row[3]), flag(row[4]))


def _read_answer(row: Row) -> JobAnswer:
    return JobAnswer(uint(row[1]), items(row[2], limits.SUMMARIES_PER_ANSWER_MAX, _summary))


def _summary(value: object) -> bytes:
    return blob(value, limits.CATALOG_VALUE_BYTES_MAX)


def _read_submission(row: Row) -> SubmissionQuery:
    submitter, key = text(row[2], limits.SUBMITTER_CHARS_MAX), text(row[3], limits.IDEMPOTENCY_KEY_CHARS_MAX)
    return SubmissionQuery(uint(row[1]), submitter, key, _job(row[4]))


def _read_known(row: Row) -> SubmissionAnswer:
    verdict: Literal["unknown", "same", "other", "deleted", "busy"]
    match row[2]:
        case "unknown" | "same" | "other" | "deleted" | "busy" as verdict:
            pass
        case _:
            raise Malformed("expected unknown, same, other, deleted or busy")
    job, summary = None if row[3] is None else _job(row[3]), None if row[4] is None else _summary(row[4])
    return SubmissionAnswer(uint(row[1]), verdict, job, summary)


def _drain_state(value: object) -> Literal["draining", "active"]:
    if value == "draining":
        return "draining"
    if value == "active":
        return "active"
    raise Malformed("expected draining or active")


def _buckets(value: object) -> tuple[bytes, ...]:
    row = sequence(value, limits.ACCESS_BUCKETS, limits.ACCESS_BUCKETS)
    return tuple([octets(one, limits.ACCESS_BUCKET_HASH_BYTES) for one in row])


# tag: (number of items with the tag, reader); a shorter row is malformed, a longer one comes from a newer version
READERS: Final[dict[int, tuple[int, Callable[[Row], WorkMessage]]]] = {
    WAKE: (2, lambda row: Wake(_job(row[1]))),
    STEAL: (7, _read_steal),
    GRANTED: (3, lambda row: Granted(uint(row[1]), items(row[2], limits.LEASES_PER_MESSAGE_MAX, _lease))),
    NOTHING: (3, lambda row: Nothing(uint(row[1]), None if row[2] is None else peer(row[2]))),
    RENEW: (2, lambda row: Renew(items(row[1], limits.LEASES_PER_MESSAGE_MAX, _renewed))),
    REVOKE: (5, lambda row: Revoke(_lease_id(row[1]), _job(row[2]), _frames(row[3]), _reason(row[4]))),
    RELEASE: (5, lambda row: Release(_lease_id(row[1]), _job(row[2]), _frames(row[3]), _reason(row[4]))),
    REPORT: (7, _read_report),
    INSPECT_REPORT: (
        5,
        lambda row: InspectReport(_lease_id(row[1]), _job(row[2]), attempt(row[3]), inspection_from_wire(row[4])),
    ),
    REPORTED: (3, lambda row: Reported(_job(row[1]), attempt(row[2]))),
    PROGRESS: (2, lambda row: Progress(items(row[1], limits.MESSAGE_ITEMS_MAX, _under_way))),
    FACTS: (5, _read_facts),
    FACTS_HELD: (4, lambda row: FactsHeld(_job(row[1]), _versions(row[2]), _versions(row[3]))),
    FORGET_JOB: (3, lambda row: ForgetJob(_job(row[1]), fence(row[2]))),
    CATALOG_ROOT: (2, lambda row: CatalogRoot(blob(row[1], 64))),
    CATALOG_VERSIONS: (3, lambda row: CatalogVersions(items(row[1], limits.MESSAGE_ITEMS_MAX, _writer_version), flag(row[2]))),
    CATALOG_DELTA: (3, _read_delta),
    JOB_QUERY: (3, lambda row: JobQuery(uint(row[1]), _word(row[2]))),
    JOB_ANSWER: (3, _read_answer),
    DRAINING: (2, lambda row: Draining(_drain_state(row[1]))),
    ACCESS_ROOT: (3, lambda row: AccessRoot(_buckets(row[1]), flag(row[2]))),
    AUDIT: (2, lambda row: Audit(_one_frame(row[1]))),
    AUDITED: (4, lambda row: Audited(_job(row[1]), attempt(row[2]), result_from_wire(row[3]))),
    SUBMISSION_QUERY: (5, _read_submission),
    SUBMISSION_ANSWER: (5, _read_known),
    ACCESS_ROWS: (2, lambda row: AccessRows(items(row[1], limits.KEY_ROWS_PER_MESSAGE_MAX, key_from_row))),
}
