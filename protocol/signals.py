"""What one machine must tell the others: handed round by `Node` until none is left, never leaving the process.

(The design calls these facts; here they are signals, since a *fact* is a row of the ledger.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocol.cards import PeerCard
from protocol.ids import Address, AttemptId, Fence, JobId, PeerId
from protocol.jobs.frames import Frames
from protocol.jobs.manifest import Manifest
from protocol.jobs.parcels import Placed
from protocol.jobs.results import FrameResult, Inspection
from protocol.jobs.spec import JobSpec
from protocol.ledger.facts import FrameEnded
from protocol.views import JobView, Reason
from protocol.wire.work import WorkMessage

MemberState = Literal["alive", "suspect", "dead", "left"]


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """Membership says something new about `peer`.

    `run_epoch` grows with each restart of that peer: another value means that everything its old run held is gone.
    `address` is its gossip address, `mesh_port` its stream port, `meta` its small opaque digest (see `node_meta`).
    """

    peer: PeerId
    state: MemberState
    run_epoch: int
    address: Address
    mesh_port: int
    meta: bytes


@dataclass(frozen=True, slots=True)
class MemberForgotten:
    """Membership has dropped `peer`, which was dead or had left for long: nothing needs to be kept of it.

    Should it come back, `MemberChanged` speaks of it as of a new one."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class CatalogChanged:
    """A single-writer record has changed: `writer` now says `value` under `key` (None: removed)."""

    writer: PeerId
    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Publish:
    """Another machine asks the catalogue to publish `value` under `key` as this peer (None removes it)."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Send:
    """Deliver a message to a peer over a stream; to this very peer it comes back at once.

    `light`: it may be lost, because another round follows; then a datagram carries it where datagrams get through."""

    peer: PeerId
    message: WorkMessage
    light: bool = False


@dataclass(frozen=True, slots=True)
class PeerChanged:
    """What is known of a peer, membership and card together. `card` is None until it has been heard."""

    peer: PeerId
    state: MemberState
    run_epoch: int
    host: str
    card: PeerCard | None

    @property
    def live(self) -> bool:
        """Alive or merely suspected: it counts until it is dead or left."""
        return self.state in ("alive", "suspect")


@dataclass(frozen=True, slots=True)
class SummaryChanged:
    """The newest summary of a job, whoever wrote it; None: forgotten."""

    job: JobId
    view: JobView | None


@dataclass(frozen=True, slots=True)
class SlotsUsed:
    """How many of this peer's slots have nothing to do."""

    free: int


@dataclass(frozen=True, slots=True)
class WorkOpened:
    """The ledger to the dispatcher: this peer owns the job; here is all that is to be known to hand it out.

    Restated whole whenever it changes. `frames` None: the scene must be inspected first. `steps` has a byte for each
    frame (a `FrameStep`: PENDING, DONE or FAILED); `failures` are (frame, the peers that failed it and in which attempts) of
    the wanted generation; `generations` (frame, generation) only where it is not 0. `open_` False: hand nothing out now.
    `engine`: what the scene renders with. `comparable` False: two renders of a frame may differ with nothing wrong in either.
    `resumed`: another owner or another run has handed it out before; workers are given time to say what they have in flight.
    """

    job: JobId
    fence: Fence
    spec: JobSpec
    spec_json: str
    manifest: Manifest
    holders: tuple[PeerId, ...]
    priority: int
    submitter: str
    submitted_ms: int
    only_on: PeerId | None
    blender: str
    open_: bool
    frames: Frames | None
    steps: bytes
    failures: tuple[tuple[int, tuple[tuple[PeerId, AttemptId], ...]], ...]
    generations: tuple[tuple[int, int], ...]
    resumed: bool = False
    engine: str = ""
    comparable: bool = True


@dataclass(frozen=True, slots=True)
class WorkClosed:
    """The ledger to the dispatcher: hand out nothing more of this job and take back what is out.

    `ended` False: the job goes on elsewhere, and whoever has a result of it is to bring it there."""

    job: JobId
    reason: str
    ended: bool = True


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """The dispatcher to the ledger: what is going on in a job that this peer owns."""

    job: JobId
    running: int
    eta_s: float | None
    waiting_because: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class FrameCommitted:
    """The dispatcher to the ledger: this attempt has ended, its bytes are here; make it a fact."""

    job: JobId
    frame: int
    generation: int
    attempt: AttemptId
    peer: PeerId
    result: FrameResult


@dataclass(frozen=True, slots=True)
class SceneInspected:
    """The dispatcher to the ledger: somebody has looked at the scene."""

    job: JobId
    attempt: AttemptId
    peer: PeerId
    inspection: Inspection


@dataclass(frozen=True, slots=True)
class DeliveryDue:
    """The ledger to the delivery: these frames of an owned job are to be put into its destination; they add to earlier ones.

    `ended`: winners, each with the pixel hashes of what it may replace. `name` and `template` make the file names. `sweep`:
    these were delivered; look whether they are there, deliver again what is not, then say `DeliverySwept`."""

    job: JobId
    root: str
    folder: str
    name: str
    template: str
    holders: tuple[PeerId, ...]
    ended: tuple[tuple[FrameEnded, tuple[str, ...]], ...]
    sweep: bool


@dataclass(frozen=True, slots=True)
class DeliveryVoid:
    """The ledger to the delivery: what was due of this job until now counts no more; what is due from now on is told anew."""

    job: JobId


@dataclass(frozen=True, slots=True)
class FramesDelivered:
    """The delivery to the ledger: these lie in the destination, durably; make it a fact."""

    job: JobId
    peer: PeerId
    placed: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class DeliverySwept:
    """The delivery to the ledger: all that was to be swept has been looked at."""

    job: JobId


@dataclass(frozen=True, slots=True)
class DeliveryWaits:
    """The delivery to the ledger: why frames cannot be delivered now; empty: nothing hinders it."""

    job: JobId
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class PeerRefuted:
    """The auditor to the verdicts: two of three renders of a frame agree, and this peer's is the third."""

    peer: PeerId
    job: JobId
    frame: int
    voters: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """The verdicts to everybody: what speaks against a peer's frames; `reason` empty: nothing any more.

    `job`: in which it was found out; None where that was in an earlier run."""

    peer: PeerId
    reason: str
    job: JobId | None


Signal = (
    MemberChanged
    | MemberForgotten
    | CatalogChanged
    | Publish
    | Send
    | PeerChanged
    | SummaryChanged
    | SlotsUsed
    | WorkOpened
    | WorkClosed
    | WorkProgress
    | FrameCommitted
    | SceneInspected
    | DeliveryDue
    | DeliveryVoid
    | FramesDelivered
    | DeliverySwept
    | DeliveryWaits
    | PeerRefuted
    | TrustChanged
)
