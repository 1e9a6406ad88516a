"""Messages about jobs, leases and catalogues, over the mesh port (authenticated, ordered per peer, at most once).

Plain rows; `wire.codec` turns them into bytes and, by hand, back. Durations are relative seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocol.access.keys import KeyRecord
from protocol.ids import AttemptId, AuthorId, Fence, JobId, LeaseId, PeerId
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Capabilities, FrameResult, Inspection
from protocol.ledger.facts import Fact
from protocol.wire.delivery import DeliveryMessage
from protocol.wire.keys import KeyMessage

Versions = tuple[tuple[AuthorId, int], ...]  # a version vector: highest gap-free sequence per author, sorted


@dataclass(frozen=True, slots=True)
class Wake:
    """An owner to an idle peer: there is work here."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Steal:
    """An idle slot asks an owner for work. `ask` is drawn by the thief and returns in the answer.

    `seconds_per_frame`: (job, robust mean) for jobs that it has rendered; `open_scene`: manifest digest of the
    slot's open scene; `cached`: manifest digests at hand."""

    ask: int
    slots: int
    capabilities: tuple[Capabilities, ...]
    labels: tuple[tuple[str, str], ...]
    seconds_per_frame: tuple[tuple[JobId, float], ...]
    cached: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """Frames of one job handed to one peer for a time. With `inspect` there are no frames: open the scene and look.

    `attempts` run parallel to `frames`. `spec` is the job's canonical JSON; `blender` the version to use, or ''."""

    lease: LeaseId
    job: JobId
    fence: Fence
    inspect: bool
    frames: tuple[int, ...]
    generations: tuple[int, ...]
    attempts: tuple[AttemptId, ...]
    ttl_s: float
    spec: str
    manifest: Manifest
    holders: tuple[PeerId, ...]
    blender: str
    trace: str


@dataclass(frozen=True, slots=True)
class Granted:
    """The owner's answer to Steal `ask`."""

    ask: int
    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    """The owner's answer when it has nothing for this thief; `better` names an owner that may."""

    ask: int
    better: PeerId | None


@dataclass(frozen=True, slots=True)
class Renew:
    """A thief's daemon still holds these leases: (lease, job, fence, frames not yet reported)."""

    leases: tuple[tuple[LeaseId, JobId, Fence, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Revoke:
    """The owner takes frames of a lease back; with `frames` empty the whole lease."""

    lease: LeaseId
    job: JobId
    frames: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """A thief hands unstarted frames back (draining, scene not to be had, cannot render)."""

    lease: LeaseId
    job: JobId
    frames: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """One attempt of a lease has ended on the sender; resent until `Reported`."""

    lease: LeaseId
    job: JobId
    frame: int
    generation: int
    attempt: AttemptId
    result: FrameResult


@dataclass(frozen=True, slots=True)
class InspectReport:
    """The inspection of a lease has ended on the sender; resent until `Reported` (frame 0)."""

    lease: LeaseId
    job: JobId
    attempt: AttemptId
    inspection: Inspection


@dataclass(frozen=True, slots=True)
class Reported:
    """The owner has committed the report durably, or needs it no more."""

    job: JobId
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Progress:
    """Frames under way on the sender: (job, frame, seconds so far, fraction as a lower bound)."""

    frames: tuple[tuple[JobId, int, float, float], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one job, for a replica; `versions` is all that the sender has. `replicate`: keep it, with its bytes."""

    job: JobId
    facts: tuple[Fact, ...]
    versions: Versions
    replicate: bool


@dataclass(frozen=True, slots=True)
class FactsHeld:
    """What the sender holds of a job, durably: facts by `versions`, and facts *with all their bytes* by `safe`."""

    job: JobId
    versions: Versions
    safe: Versions


@dataclass(frozen=True, slots=True)
class ForgetJob:
    """The owner forgets a job that was never acknowledged, or was deleted."""

    job: JobId
    fence: Fence


@dataclass(frozen=True, slots=True)
class CatalogRoot:
    """A hash over all (writer, version) pairs that the sender holds."""

    root: bytes


@dataclass(frozen=True, slots=True)
class CatalogVersions:
    """All (writer, epoch, version) that the sender holds, sorted; `reply`: answer with what is newer, and with yours."""

    versions: tuple[tuple[PeerId, int, int], ...]
    reply: bool


@dataclass(frozen=True, slots=True)
class CatalogDelta:
    """Records (writer, version, key, value or None for removed), and the spans that they complete.

    A span (writer, epoch, base, top) says: whoever has everything of this writer's epoch up to `base` has, with these
    records, everything up to `top`.
    """

    spans: tuple[tuple[PeerId, int, int, int], ...]
    records: tuple[tuple[PeerId, int, str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Do you know this job (an id or a prefix of one, or a name)?"""

    ask: int
    text: str


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """The summaries that match a JobQuery, as catalogue values; empty when none."""

    ask: int
    summaries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SubmissionQuery:
    """A client submits `job` under `key`: do you know the one or the other?"""

    ask: int
    submitter: str
    key: str
    job: JobId


@dataclass(frozen=True, slots=True)
class SubmissionAnswer:
    """`same`: `job` is known, and `summary` its owner's word once that was given; `other`: the key belongs to `job`, another one;
    `deleted`: the job was, for good; `busy`: somebody else submits under this key at this moment."""

    ask: int
    verdict: Literal["unknown", "same", "other", "deleted", "busy"]
    job: JobId | None
    summary: bytes | None


@dataclass(frozen=True, slots=True)
class Draining:
    """The sender takes no more work and gives back what it has not begun."""

    state: Literal["draining", "active"]


@dataclass(frozen=True, slots=True)
class AccessRoot:
    """Hashes over the sender's API keys, by bucket (see `protocol.access`). `reply`: answer with yours when they differ."""

    buckets: tuple[bytes, ...]
    reply: bool


@dataclass(frozen=True, slots=True)
class AccessRows:
    """Records of API keys that the receiver may lack."""

    rows: tuple[KeyRecord, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """An owner asks a peer to render one finished frame once more, to compare. A favour: it may be lost, and is not renewed."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Audited:
    """The answer to an Audit; a failure says that the sender cannot tell."""

    job: JobId
    attempt: AttemptId
    result: FrameResult


WorkMessage = (
    Wake
    | Steal
    | Granted
    | Nothing
    | Renew
    | Revoke
    | Release
    | Report
    | InspectReport
    | Reported
    | Progress
    | Facts
    | FactsHeld
    | ForgetJob
    | CatalogRoot
    | CatalogVersions
    | CatalogDelta
    | JobQuery
    | JobAnswer
    | SubmissionQuery
    | SubmissionAnswer
    | Draining
    | AccessRoot
    | AccessRows
    | Audit
    | Audited
    | DeliveryMessage
    | KeyMessage
)
