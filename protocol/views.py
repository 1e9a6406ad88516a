"""What people and programs may see: plain rows, read-only copies of what the machines know.

A `JobView` is also a job's *summary*: its owner publishes it through the catalogue, so that every peer answers for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from protocol.ids import Digest, JobId, PeerId
from protocol.jobs.results import Output

JobState = Literal["inspecting", "queued", "running", "paused", "held", "completed", "failed", "cancelled"]
FrameState = Literal["pending", "running", "done", "failed", "held"]

FINAL_STATES: tuple[JobState, ...] = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something waits, is held or failed: a stable code, a sentence, what to do, and whom it is about ('' = all)."""

    code: str
    text: str
    remedy: str = ""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Frames by state; `total` is 0 until inspection has fixed the frames."""

    total: int = 0
    pending: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as its owner sees it. Times are wall milliseconds or None; `progress` is 0 to 1; `eta_s` None: no basis."""

    id: JobId
    name: str
    state: JobState
    priority: int
    owner: PeerId
    epoch: int
    replicas: tuple[PeerId, ...]
    frames: Counts
    progress: float
    eta_s: float | None
    waiting_because: tuple[Reason, ...]
    held_because: tuple[Reason, ...]
    error: str | None
    renderer: str
    engine: str
    blender: str
    frame_ranges: str
    labels: tuple[str, ...]
    submitter: str
    submitted_ms: int
    started_ms: int | None
    finished_ms: int | None
    copies: int
    only_on: PeerId | None = None
    version: int = 0  # grows with each change of facts, for ETags
    destination: str = ""
    delivered: int = 0
    conflicts: int = 0  # frames whose name in the destination was another file's, which was kept
    generation: int = 0  # the highest that any frame was asked for in
    key: str = ""  # hash of submitter and Idempotency-Key
    same_key: tuple[JobId, ...] = ()  # other jobs under it, made on another side of a cut network; not part of a summary


@dataclass(frozen=True, slots=True)
class FrameView:
    """One frame of one job. `seconds` is the winner's render time; `error` the last failure's reason."""

    frame: int
    state: FrameState
    peer: PeerId | None
    attempts: int
    generation: int
    digest: Digest | None
    pixel_hash: str | None
    size: int | None
    seconds: float | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """Where a done frame's bytes are: its outputs (main first), its log blob, and the peers that hold them."""

    frame: int
    generation: int
    outputs: tuple[Output, ...]
    log: Digest | None
    log_size: int
    holders: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a submission: `copies` peers hold it durably; `created` is False when the key was known."""

    job: JobView
    copies: int
    created: bool


@dataclass(frozen=True, slots=True)
class PeerView:
    """One peer as this one sees it. `address` is its user port's URL; `capabilities` and `checks` plain JSON values."""

    id: PeerId
    name: str
    state: Literal["alive", "suspect", "dead", "left"]
    address: str
    slots_total: int
    slots_free: int
    labels: dict[str, str]
    capabilities: tuple[dict[str, Any], ...]
    checks: tuple[dict[str, Any], ...]
    version: str
    rtt_ms: float | None
    draining: bool = False
    renderer_reasons: tuple[str, ...] = ()
    me: bool = False
    roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pinged:
    """Seconds from asking a peer to its answer in each way, None without one; `helper` is who was asked to ask, if anybody."""

    datagram_s: float | None
    stream_s: float | None
    indirect_s: float | None
    helper: PeerId | None


@dataclass(frozen=True, slots=True)
class MeshKeyView:
    """One key of the ring. `missing` are members that it is meant for and that have not confirmed to hold it."""

    fingerprint: str
    primary: bool
    holders: int
    missing: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class MeshKeysView:
    """The ring of this peer, without a secret; `unconfirmed` are members that have not confirmed to hold the same."""

    keys: tuple[MeshKeyView, ...]
    removed: tuple[str, ...]
    unconfirmed: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class EventRow:
    """One line of the event log: `id` grows by one per peer run; `fields` are plain JSON values."""

    id: int
    wall_ms: int
    event: str
    level: str
    job: JobId | None
    fields: dict[str, Any] = field(default_factory=dict)
