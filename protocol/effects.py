"""Effects out: what the shell performs, in order.

What follows a `Persist` and says something to others (`Reply`, `SendStream`, `Deliver`) waits until it is durable;
`SendDatagram` and membership's `SendStream` (`urgent`) never wait.
Effects that start work (`Render`, `Verify`, `Inspect`, `Compare`, `FetchBlobs`, `RunCheck`, `Deliver`, `UseKeys`) come back as
exactly one event each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from protocol.ids import Address, Digest, JobId, PeerId, RequestId, TaskId, Ticket
from protocol.jobs.manifest import Manifest
from protocol.jobs.parcels import Parcel
from protocol.jobs.spec import RenderSettings
from protocol.records import Record
from protocol.services import CheckSpec
from protocol.wire.gossip import GossipMessage
from protocol.wire.seal import MeshKey
from protocol.wire.work import WorkMessage


@dataclass(frozen=True, slots=True)
class Persist:
    """Make rows durable before anything that follows is said."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Seal the messages into one datagram of at most `limits.DATAGRAM_BYTES_MAX`. Fire and forget.

    `peer` is the id that is believed to listen at `address`, None for a seed whose id is unknown."""

    address: Address
    peer: PeerId | None
    messages: tuple[GossipMessage, ...]


@dataclass(frozen=True, slots=True)
class BelieveSalt:
    """`peer` has echoed our random sequence under `salt`: the shell calls `wire.seal.Opener.believe` before it opens more."""

    peer: PeerId
    salt: bytes


@dataclass(frozen=True, slots=True)
class SendStream:
    """Deliver a message over the mesh port, in order per peer. Failure comes back as `StreamFailed`."""

    peer: PeerId
    address: Address
    message: WorkMessage | GossipMessage
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class SendToSeed:
    """Deliver a message over a stream to whoever of this mesh listens at a seed; `address` is its *gossip* address.

    Fire and forget: an answer comes as a stream of the seed's own."""

    address: Address
    message: GossipMessage


@dataclass(frozen=True, slots=True)
class FetchBlobs:
    """Bring blobs here, verified and durable, from any holder. Back: `BlobsEnded(ticket)`.

    `pin_for` protects them on behalf of a job; None leaves them in the cache."""

    ticket: Ticket
    items: tuple[tuple[Digest, int], ...]
    holders: tuple[PeerId, ...]
    pin_for: JobId | None


@dataclass(frozen=True, slots=True)
class PinBlobs:
    """Protect blobs that are here already."""

    job: JobId
    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class UnpinJob:
    """The job no longer protects any blob."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Render:
    """Render one frame in the slot's warm session, opening the scene first where needed. Back: `FrameRendered`.

    Several may be under way in one slot: they run in order. `shape` names what the frame looks like to people."""

    task: TaskId
    slot: int
    job: JobId
    manifest: Manifest
    settings: RenderSettings
    frame: int
    frame_timeout_s: float | None
    label: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Verify and take in the files of a rendered task. Back: `FrameVerified`."""

    task: TaskId
    job: JobId
    keep: bool = True  # protect them on behalf of the job; else they lie in the cache


@dataclass(frozen=True, slots=True)
class Compare:
    """Decode pairs of pictures whose blobs are here, and compare their samples. Back: `Compared`.

    They agree when of the samples at most the share `outliers` is off by more than a step of 8 bits."""

    ticket: Ticket
    pairs: tuple[tuple[Digest, Digest], ...]
    outliers: float


@dataclass(frozen=True, slots=True)
class StopTask:
    """Stop a task; its event still comes, as a failure of kind infrastructure."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class Inspect:
    """Open the scene in the slot's renderer and look. Back: `InspectEnded`."""

    task: TaskId
    slot: int
    job: JobId
    manifest: Manifest
    settings: RenderSettings


@dataclass(frozen=True, slots=True)
class Deliver:
    """Put frames, whose blobs are here, into `folder` of an output root of this peer. Back: `DeliverEnded`.

    Never a half-written file under a final name, and no other file than those of `replaces` gives way. `sweep`: write
    nothing, only look which of them are there; where a file of `replaces` lies, the frame is not."""

    ticket: Ticket
    job: JobId
    root: str
    folder: str
    sweep: bool
    parcels: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True)
class RunCheck:
    """Probe once, within the check's timeout, and only what may be probed. Back: `CheckEnded`."""

    ticket: Ticket
    spec: CheckSpec


@dataclass(frozen=True, slots=True)
class UseKeys:
    """Open with these keys and seal with the first, on datagrams and streams alike. Back: `KeysInUse(version)`."""

    keys: tuple[MeshKey, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer an ask. `value` is a plain row of `protocol.views` or a `protocol.errors.Refusal`."""

    request: RequestId
    value: Any


@dataclass(frozen=True, slots=True)
class Notice:
    """Something happened that people and gauges want to know: one name per fact, fields of plain values."""

    event: str
    level: Literal["debug", "info", "warning", "error"] = "info"
    job: JobId | None = None
    fields: dict[str, Any] = field(default_factory=dict)


Effect = (
    Persist
    | SendDatagram
    | BelieveSalt
    | SendStream
    | SendToSeed
    | FetchBlobs
    | PinBlobs
    | UnpinJob
    | Render
    | Verify
    | Compare
    | StopTask
    | Inspect
    | RunCheck
    | Deliver
    | UseKeys
    | Reply
    | Notice
)
