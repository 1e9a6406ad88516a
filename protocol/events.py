"""Events in: everything that a machine may be told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from protocol.access.roles import Role
from protocol.ids import Address, Digest, JobId, PeerId, RequestId, TaskId, Ticket
from protocol.jobs.manifest import Manifest
from protocol.jobs.parcels import Placed
from protocol.jobs.results import Capabilities, FrameResult, Inspection
from protocol.jobs.spec import JobSpec
from protocol.ledger.facts import Fact
from protocol.services import Command
from protocol.wire.gossip import GossipMessage
from protocol.wire.work import WorkMessage


@dataclass(frozen=True, slots=True)
class Booted:
    """The first event: what the disk remembers. Many facts may be read from there only while somebody looks at them."""

    facts: Collection[Fact]
    values: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class DatagramReceived:
    """One unsealed, decoded datagram. `trusted`: its salt has been proven fresh (see wire.seal).

    `salt` names the sender's process, for `BelieveSalt`. `source` is where it came from, for the answer only;
    addresses are never learned from it."""

    sender: PeerId
    source: Address
    trusted: bool
    messages: tuple[GossipMessage, ...]
    salt: bytes = b""


@dataclass(frozen=True, slots=True)
class DatagramUnsent:
    """The operating system refused to send (no route, no buffer): our own trouble, no evidence about the peer there."""

    address: Address


@dataclass(frozen=True, slots=True)
class StreamReceived:
    """A message from a peer whose certificate proved `sender`."""

    sender: PeerId
    message: WorkMessage | GossipMessage


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """A stream message could not be delivered. `refused`: the host answered that nobody listens there."""

    peer: PeerId
    message: WorkMessage | GossipMessage
    refused: bool


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """A connection with a peer was refused, reset or cut without a goodbye, as when its process ends: no message says so."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class SeedsFound:
    """Candidates: gossip addresses, perhaps our own, perhaps nobody's. `lasting` ones were given by hand; discovery's are not,
    for whoever is on the network can make some up."""

    addresses: tuple[Address, ...]
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class LoopLagged:
    """The event loop was late by this much: our own slowness, not the others'."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SubmitAsked:
    """A client submits; the scene's blobs are in the local store and durable. Back: Reply with `views.Submitted`.

    `named`: the key is the client's own, so that others may know it; else it was drawn here for this very request."""

    request: RequestId
    spec: JobSpec
    manifest: Manifest
    submitter: str
    key: str
    on_this_peer: bool = False  # POST /job: rendered here, refused when busy
    named: bool = False


@dataclass(frozen=True, slots=True)
class ControlAsked:
    """A client steers a job. `frames` restricts a retry, `replaces` names the generation that it is to replace (None: each
    frame's own); `value` is the register's new value.

    Back: Reply with `views.JobView`."""

    request: RequestId
    job: JobId
    action: Literal["pause", "resume", "cancel", "retry", "priority", "on_warning", "accept", "delete"]
    value: str = ""
    frames: str | None = None
    include_done: bool = False
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class LocateAsked:
    """Find a job that nobody here has heard of: ask the others for at most `limits.LOCATE_S`. Back: JobView or NotFound."""

    request: RequestId
    text: str


@dataclass(frozen=True, slots=True)
class PingAsked:
    """A client wants to know how `peer` is reached from here. Back: Reply with `views.Pinged` within `limits.PING_S`."""

    request: RequestId
    peer: PeerId


@dataclass(frozen=True, slots=True)
class KeyCreateAsked:
    """An admin makes an API key: `key` (16 hex digits) and the secret were drawn by the shell; only its hash comes here.

    Back: Reply with `access.keys.KeyRecord`, durable here."""

    request: RequestId
    key: str
    hash: bytes
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class KeyRevokeAsked:
    """An admin revokes an API key, by id or by the name of the one valid key that has it. Back: Reply with the record."""

    request: RequestId
    text: str


@dataclass(frozen=True, slots=True)
class KeysAsked:
    """An admin turns the mesh's key. `key` is the text form of one to install, `fingerprint` names one of the ring, `expel`
    are peers that a key to install is not for, `force` acts although somebody would be cut off.

    Back: Reply with `views.MeshKeysView` once all live members have confirmed, or time is over."""

    request: RequestId
    action: Literal["list", "install", "use", "remove"]
    key: str = field(default="", repr=False)
    fingerprint: str = ""
    expel: tuple[PeerId, ...] = ()
    force: bool = False


@dataclass(frozen=True, slots=True)
class KeysInUse:
    """A `UseKeys` has been performed: datagrams and streams go by that ring."""

    version: int


@dataclass(frozen=True, slots=True)
class FrameRendered:
    """A Render has ended: files lie in the attempt's folder (`failure` None), or it failed. The slot is free again."""

    task: TaskId
    result: FrameResult


@dataclass(frozen=True, slots=True)
class FrameProgressed:
    """A lower bound of the frame under way, 0 to 1; the first report also says that it has begun."""

    task: TaskId
    fraction: float


@dataclass(frozen=True, slots=True)
class FrameVerified:
    """A Verify has ended: outputs in the local store, pinned for the job, or a failure."""

    task: TaskId
    result: FrameResult


@dataclass(frozen=True, slots=True)
class Compared:
    """A Compare has ended. `agree` None: it could not be done, and `text` says why; else `text` says how far apart they are."""

    ticket: Ticket
    agree: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class ReadmitAsked:
    """A client says that a peer whose frames were wrong may render again. Back: Reply with True, durable, or a refusal."""

    request: RequestId
    peer: PeerId


@dataclass(frozen=True, slots=True)
class InspectEnded:
    """An Inspect has ended."""

    task: TaskId
    inspection: Inspection


@dataclass(frozen=True, slots=True)
class BlobsEnded:
    """A FetchBlobs has ended. `error` empty: everything is here, durable."""

    ticket: Ticket
    error: str


@dataclass(frozen=True, slots=True)
class RenderersFound:
    """Probing has ended: what this peer can render with, and why not where it cannot."""

    capabilities: tuple[Capabilities, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """The peer's own checks: a critical peer takes no work. `checks` are (name, status, output)."""

    checks: tuple[tuple[str, Literal["passing", "warning", "critical"], str], ...]


@dataclass(frozen=True, slots=True)
class HealthAsked:
    """A client changes this peer's services and checks. Back: Reply with True, or a refusal; durable by then."""

    request: RequestId
    command: Command


@dataclass(frozen=True, slots=True)
class ForceLeaveAsked:
    """A client says that a dead peer will not come back. Back: Reply with True, or a refusal."""

    request: RequestId
    peer: PeerId


@dataclass(frozen=True, slots=True)
class DeliverEnded:
    """A Deliver has ended: what is dealt with, and a code with a reason when something hindered the rest."""

    ticket: Ticket
    placed: tuple[Placed, ...]
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BlobLost:
    """The copy of a blob here was damaged, and is gone; whoever needs it fetches it anew."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class CheckEnded:
    """A RunCheck has ended."""

    ticket: Ticket
    status: Literal["passing", "warning", "critical"]
    output: str


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """No new work from now on; `leave`: and then leave the mesh. `for_good`: and do not look for it after the next start
    (a planned reboot is a leave, and re-forms the mesh)."""

    leave: bool
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class UndrainAsked:
    """Take work again."""


@dataclass(frozen=True, slots=True)
class GraceEnded:
    """A leaving peer's time is over: stop what is still rendering and hand it back."""


Event = (
    Booted
    | DatagramReceived
    | DatagramUnsent
    | StreamReceived
    | StreamFailed
    | StreamBroken
    | SeedsFound
    | LoopLagged
    | SubmitAsked
    | ControlAsked
    | LocateAsked
    | PingAsked
    | KeyCreateAsked
    | KeyRevokeAsked
    | KeysAsked
    | KeysInUse
    | FrameRendered
    | FrameProgressed
    | FrameVerified
    | Compared
    | ReadmitAsked
    | InspectEnded
    | BlobsEnded
    | RenderersFound
    | HealthChanged
    | HealthAsked
    | ForceLeaveAsked
    | CheckEnded
    | DeliverEnded
    | BlobLost
    | DrainAsked
    | UndrainAsked
    | GraceEnded
)
