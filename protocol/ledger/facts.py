"""Facts: what the ledger knows about a job, each immutable and authored once.

A fact is identified by (job, author, seq); seq is gap-free from 1 per job and author. Merging two sets of facts is
set union, so replicas may meet in any order. Times are wall milliseconds, for display only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocol.ids import AttemptId, AuthorId, Fence, JobId, PeerId
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import FrameResult, Inspection

Register = Literal["cancelled", "paused", "priority", "on_warning", "accepted_warnings"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job exists. `spec` is the canonical JSON of the fields as sent; `key` the idempotency key."""

    spec: str
    manifest: Manifest
    submitter: str
    key: str
    wall_ms: int
    only_on: PeerId | None = None  # POST /job: rendered on this peer alone


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """Who keeps this job's facts and outputs, as of the owner's `fence` and `version` (the greater pair rules)."""

    fence: Fence
    version: int
    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who dispatches this job: the greatest fence rules."""

    fence: Fence


@dataclass(frozen=True, slots=True)
class Inspected:
    """What the scene is; fixes the job's frames. One without an error rules, of those the one with the lowest attempt."""

    attempt: AttemptId
    peer: PeerId
    inspection: Inspection
    wall_ms: int


@dataclass(frozen=True, slots=True)
class FrameEnded:
    """One attempt at one frame has ended on `peer` and the owner commits it.

    Winner of a frame: highest generation, then lowest attempt id among done ones.
    """

    frame: int
    generation: int
    attempt: AttemptId
    peer: PeerId
    result: FrameResult
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Control:
    """A register's value, ordered by (fence.epoch, counter, fence.peer), never by wall clock."""

    register: Register
    value: str
    fence: Fence
    counter: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Retried:
    """These frames (text as in `parse_frames`) are wanted again, as `generation`; a repeated request names the same one."""

    frames: str
    generation: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The owner has seen every frame safe (or failed, or the job cancelled): final until more than `retries` Retried."""

    state: Literal["completed", "failed", "cancelled"]
    fence: Fence
    retries: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """These frames (text as in `parse_frames`) lie in the job's destination since `peer` has put them there.

    `generation` is theirs, all alike; `conflicts` are (frame, name): somebody else's file has that name, and was kept."""

    frames: str
    generation: int
    conflicts: tuple[tuple[int, str], ...]
    peer: PeerId
    wall_ms: int


Body = Accepted | ReplicaSet | Owner | Inspected | FrameEnded | Control | Retried | Closed | Delivered


@dataclass(frozen=True, slots=True)
class Fact:
    """One authored statement about one job."""

    job: JobId
    author: AuthorId
    seq: int
    body: Body
