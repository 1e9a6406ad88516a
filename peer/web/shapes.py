"""JSON as clients see it: the shapes, and how views become them. A contract: add to it, never change it.

TypedDicts, so that the type checker holds the code to what `openapi.py` tells the world.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from typing_extensions import TypedDict

from protocol.access.keys import KeyRecord
from protocol.access.roles import Role
from protocol.ids import PeerId
from protocol.jobs.results import Output
from protocol.views import EventRow, FrameState, FrameView, JobState, JobView, MeshKeysView, PeerView, Reason, Submitted


class Because(TypedDict):
    """Why something waits, is held or failed; `peer` is an id, empty for all."""

    code: str
    text: str
    remedy: str
    peer: str


class Counts(TypedDict):
    """Frames by state."""

    total: int
    pending: int
    running: int
    done: int
    failed: int
    held: int


class Durability(TypedDict):
    """How many peers hold the job durably."""

    copies: int


class Accepted(TypedDict):
    """A job that will not be lost."""

    id: str
    name: str
    state: JobState
    owner: str
    durability: Durability


class Delivery(TypedDict):
    """Done frames that lie in the job's destination, and those whose name there was another file's, which was kept."""

    frames: int
    conflicts: int


class Job(TypedDict):
    """One job. `eta_s` is null when there is no basis for it; `only_on` names the one peer that has it, if only one has.

    `same_key` names other jobs that were made under its Idempotency-Key while the network was cut."""

    id: str
    name: str
    state: JobState
    priority: int
    owner: str
    epoch: int
    replicas: list[str]
    frames: Counts
    progress: float
    eta_s: float | None
    waiting_because: list[Because]
    held_because: list[Because]
    error: str | None
    renderer: str
    engine: str
    blender: str
    frame_ranges: str
    labels: list[str]
    submitter: str
    submitted_at: str
    started_at: str | None
    finished_at: str | None
    durability: Durability
    only_on: str | None
    destination: str | None
    delivered: Delivery
    generation: int
    same_key: list[str]


class Jobs(TypedDict):
    """A page of jobs, newest first; `cursor` null: the last one."""

    jobs: list[Job]
    cursor: str | None


class Frame(TypedDict):
    """One frame."""

    frame: int
    state: FrameState
    peer: str | None
    attempts: int
    generation: int
    digest: str | None
    pixel_hash: str | None
    size: int | None
    seconds: float | None
    error: str | None


class Frames(TypedDict):
    """A page of frames in order; `cursor` null: the last one."""

    frames: list[Frame]
    cursor: str | None


class OutputFile(TypedDict):
    """One file of a frame: `name` is what it is saved as, `digest` BLAKE3-256 of its bytes."""

    name: str
    role: str
    digest: str
    pixel_hash: str
    size: int
    width: int
    height: int
    channels: int
    format: str


class Outputs(TypedDict):
    """The files of a done frame, the main one first."""

    frame: int
    generation: int
    outputs: list[OutputFile]


class Why(TypedDict):
    """Why a job waits, is held or failed."""

    job: str
    state: JobState
    reasons: list[Because]


class Slots(TypedDict):
    """Batches that a peer renders at once."""

    total: int
    free: int


class Peer(TypedDict):
    """One peer as the one that answers sees it."""

    id: str
    name: str
    state: str
    address: str
    slots: Slots
    labels: dict[str, str]
    capabilities: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    version: str
    rtt_ms: float | None
    draining: bool
    renderer_reasons: list[str]
    output_roots: list[str]
    me: bool


class Peers(TypedDict):
    """A page of peers; `cursor` null: the last one."""

    peers: list[Peer]
    cursor: str | None


class PingWay(TypedDict):
    """Answers in one way: milliseconds of each ask that was answered."""

    sent: int
    received: int
    rtt_ms: list[float]


class PingSeen(TypedDict):
    """How one peer is reached from another (`asker`): by datagram, by stream, and through helpers, who are named."""

    asker: str
    peer: str
    name: str
    datagram: PingWay
    stream: PingWay
    indirect: PingWay
    helpers: list[str]


class Sight(TypedDict):
    """One peer in the eyes of another."""

    id: str
    name: str
    state: str
    rtt_ms: float | None


class Sees(TypedDict):
    """Whom one peer sees; `error` says why it could not be asked."""

    peer: str
    sees: list[Sight]
    error: str | None


class MeshSeen(TypedDict):
    """Who sees whom."""

    me: str
    views: list[Sees]


class Setting(TypedDict):
    """One setting and where its value came from; secrets are masked."""

    name: str
    value: str
    origin: str


class Settings(TypedDict):
    """All settings of a peer."""

    settings: list[Setting]


class Check(TypedDict):
    """One check: passing, warning or critical."""

    name: str
    status: str
    output: str


class Health(TypedDict):
    """The worst of the checks, and the checks for those who may see them."""

    status: str
    checks: list[Check]


class Token(TypedDict):
    """One API key, without its secret."""

    id: str
    name: str
    role: Role
    created_at: str
    revoked: bool


class Tokens(TypedDict):
    """A page of API keys; `cursor` null: the last one."""

    tokens: list[Token]
    cursor: str | None


class NewToken(Token):
    """A key that was just made: `token` is shown this once."""

    token: str


class MeshKey(TypedDict):
    """One mesh key, without its secret. `missing` are peers that have not confirmed to hold it."""

    id: str
    primary: bool
    holders: int
    missing: list[str]


class MeshKeys(TypedDict):
    """The key ring; `unconfirmed` are peers that have not confirmed to hold the same."""

    keys: list[MeshKey]
    removed: list[str]
    unconfirmed: list[str]


class Whoami(TypedDict):
    """The caller: `key` is null without a key; `peer` is who answers."""

    name: str
    role: Role
    key: str | None
    peer: str


class JobRef(TypedDict):
    """The answer of `POST /render`."""

    jobId: str


class PidRef(TypedDict):
    """The answer of `POST /job`."""

    pid: str


def key_json(record: KeyRecord) -> Token:
    """An API key as clients see it."""
    return {
        "id": record.id,
        "name": record.name,
        "role": record.role,
        "created_at": rfc3339(record.created_ms),
        "revoked": record.revoked,
    }


def rfc3339(wall_ms: int) -> str:
    """UTC with milliseconds: `2025-01-31T12:00:00.000Z`."""
    return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _when(wall_ms: int | None) -> str | None:
    return None if wall_ms is None else rfc3339(wall_ms)


def because(reason: Reason) -> Because:
    """A reason."""
    return {"code": reason.code, "text": reason.text, "remedy": reason.remedy, "peer": reason.peer}


def job_json(view: JobView) -> Job:
    """A job."""
    counts = view.frames
    return {
        "id": view.id,
        "name": view.name,
        "state": view.state,
        "priority": view.priority,
        "owner": view.owner,
        "epoch": view.epoch,
        "replicas": list(view.replicas),
        "frames": {
            "total": counts.total,
            "pending": counts.pending,
            "running": counts.running,
            "done": counts.done,
            "failed": counts.failed,
            "held": counts.held,
        },
        "progress": view.progress,
        "eta_s": view.eta_s,
        "waiting_because": [because(reason) for reason in view.waiting_because],
        "held_because": [because(reason) for reason in view.held_because],
        "error": view.error,
        "renderer": view.renderer,
        "engine": view.engine,
        "blender": view.blender,
        "frame_ranges": view.frame_ranges,
        "labels": list(view.labels),
        "submitter": view.submitter,
        "submitted_at": rfc3339(view.submitted_ms),
        "started_at": _when(view.started_ms),
        "finished_at": _when(view.finished_ms),
        "durability": {"copies": view.copies},
        "only_on": view.only_on,
        "destination": view.destination or None,
        "delivered": {"frames": view.delivered, "conflicts": view.conflicts},
        "generation": view.generation,
        "same_key": list(view.same_key),
    }


def accepted_json(submitted: Submitted) -> Accepted:
    """The answer to a submission."""
    view = submitted.job
    return {
        "id": view.id,
        "name": view.name,
        "state": view.state,
        "owner": view.owner,
        "durability": {"copies": submitted.copies},
    }


def frame_json(view: FrameView) -> Frame:
    """A frame."""
    return {
        "frame": view.frame,
        "state": view.state,
        "peer": view.peer,
        "attempts": view.attempts,
        "generation": view.generation,
        "digest": view.digest,
        "pixel_hash": view.pixel_hash,
        "size": view.size,
        "seconds": view.seconds,
        "error": view.error,
    }


def output_json(output: Output, name: str) -> OutputFile:
    """One file of a frame under the name that it is saved as."""
    return {
        "name": name,
        "role": output.role,
        "digest": output.digest,
        "pixel_hash": output.pixel_hash,
        "size": output.size,
        "width": output.width,
        "height": output.height,
        "channels": output.channels,
        "format": output.format,
    }


def peer_json(view: PeerView) -> Peer:
    """A peer."""
    return {
        "id": view.id,
        "name": view.name,
        "state": view.state,
        "address": view.address,
        "slots": {"total": view.slots_total, "free": view.slots_free},
        "labels": view.labels,
        "capabilities": list(view.capabilities),
        "checks": list(view.checks),
        "version": view.version,
        "rtt_ms": view.rtt_ms,
        "draining": view.draining,
        "renderer_reasons": list(view.renderer_reasons),
        "output_roots": list(view.roots),
        "me": view.me,
    }


def event_json(row: EventRow, observer: PeerId) -> dict[str, Any]:
    """An event as `observer` has noted it. `peer` is whom it is about; where it is about nobody else, the observer."""
    own: dict[str, Any] = {"id": row.id, "time": rfc3339(row.wall_ms), "event": row.event, "level": row.level, "job": row.job}
    own["observer"] = observer
    return {"peer": observer, **{key: value for key, value in row.fields.items() if key not in own}, **own}


def mesh_keys_json(view: MeshKeysView) -> MeshKeys:
    """The key ring as clients see it."""
    rows: list[MeshKey] = [
        {"id": one.fingerprint, "primary": one.primary, "holders": one.holders, "missing": list(one.missing)} for one in view.keys
    ]
    return {"keys": rows, "removed": list(view.removed), "unconfirmed": list(view.unconfirmed)}
