"""What the engine asks of the world: small protocols that the adapters satisfy. No logic.

Blocking work (disk, hashing, subprocess waits) happens on threads behind these; no method blocks the event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from protocol.access.keys import KeyRecord
from protocol.access.roles import Role
from protocol.ids import Address, Digest, JobId, PeerId
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Capabilities, Failure, Inspection
from protocol.jobs.spec import JobSpec, RenderSettings
from protocol.ledger.facts import Fact
from protocol.records import Record
from protocol.services import CheckRow, CheckSeen, Command, NodeSeen, ProtocolSeen, Service, ServiceSeen
from protocol.views import EventRow, FrameFiles, FrameView, JobView, MeshKeysView, PeerView, Pinged, Reason, Submitted

KeyAction = Literal["list", "install", "use", "remove"]
ControlAction = Literal["pause", "resume", "cancel", "retry", "priority", "on_warning", "accept", "delete"]


class StoreFull(Exception):
    """No space left (ENOSPC or a configured limit): nothing was acknowledged, and nothing half-written stays."""


class StoreBroken(Exception):
    """The disk lied or failed (EIO, checksum): this store must not acknowledge anything more."""


class Corrupt(Exception):
    """Bytes that do not have the digest that they should have."""


class RendererMissing(Exception):
    """This renderer cannot start here; the text says what is missing and how to get it."""


class RenderFailed(Exception):
    """A render, an open or a verification failed; `failure` says why, `log` is the renderer's own text."""

    def __init__(self, failure: Failure, *, log: str = "") -> None:
        super().__init__(failure.reason)
        self.failure = failure
        self.log = log


@dataclass(frozen=True, slots=True)
class ReportedFile:
    """One expected output: `path` in the attempt's folder, dimensions in pixels as the renderer reported them."""

    role: str
    name: str
    path: Path
    width: int
    height: int
    channels: int
    format: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """Files as the driver reported them, not yet verified. `seconds` is wall time inside the renderer."""

    files: tuple[ReportedFile, ...]
    seconds: float
    device: str
    log: str


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file that decodes fully and is what was reported. `pixel_hash` as in `protocol.jobs.results.Output`.

    `nans` counts the samples that are not a number: reported, never a failure by themselves."""

    file: ReportedFile
    pixel_hash: str
    nans: int = 0


class Journal(Protocol):
    """Durable rows. `commit` returns only when they are on the disk (fsync); callers in flight share one commit."""

    async def commit(self, records: Sequence[Record]) -> None:
        """Write all of `records` atomically. Raises `StoreFull` (ENOSPC) or `StoreBroken` (EIO)."""
        ...

    async def facts(self) -> list[Fact]:
        """Every stored fact, ordered by job, author, sequence."""
        ...

    async def values(self) -> Mapping[str, bytes]:
        """Every stored value by key."""
        ...


class BlobWriter(Protocol):
    """One blob being streamed in; hashes while writing, on a thread."""

    @property
    def offset(self) -> int:
        """Bytes held so far; above zero at the start when a partial transfer is resumed."""
        ...

    @property
    def path(self) -> Path:
        """Where the bytes lie that every finished `write` has added, for reading; gone when the transfer ends."""
        ...

    async def write(self, chunk: bytes) -> None:
        """Append. Raises `StoreFull`."""
        ...

    async def finish(self) -> tuple[Digest, int]:
        """fsync, verify the expected digest, link into place, fsync the folder; (digest, size).

        Raises `Corrupt` when the bytes are not the expected ones (they are dropped)."""
        ...

    async def abort(self, *, keep: bool) -> None:
        """Stop; `keep` leaves the partial bytes for a later resume (only with an expected digest)."""
        ...


class Blobs(Protocol):
    """Content-addressed bytes (BLAKE3-256). Pinned blobs never leave; the others form a cache with a size limit."""

    async def has(self, digest: Digest) -> bool: ...
    async def missing(self, digests: Sequence[Digest]) -> list[Digest]:
        """Those that are not here, in order."""
        ...

    async def size(self, digest: Digest) -> int | None: ...
    async def path(self, digest: Digest) -> Path | None:
        """Where the bytes lie, read-only, as long as the blob is pinned or in use; None when not held."""
        ...

    def read(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Stream bytes [start, end) in pieces of `limits.BLOB_CHUNK_BYTES`. Raises `NotFound` (`no_such_blob`)."""
        ...

    async def writer(self, expected: Digest | None = None, *, size: int | None = None) -> BlobWriter:
        """Begin or resume a transfer. Raises `StoreFull` at once when `size` cannot fit."""
        ...

    async def adopt(self, path: Path) -> tuple[Digest, int]:
        """Take a finished file on the same file system: hash, fsync, no-replace link, fsync the folder (C5)."""
        ...

    async def take_many(self, contents: Sequence[bytes]) -> list[tuple[Digest, int]]:
        """Take whole small files at once, as durable as one by one; (digest, size) of each. Raises `StoreFull`."""
        ...

    async def check(self, digest: Digest) -> None:
        """Hash a blob again. Raises `NotFound`, or `Corrupt`: then this copy is gone, and whoever needs it is told."""
        ...

    async def pin(self, owner: str, digests: Sequence[Digest]) -> None:
        """Protect blobs from eviction on behalf of `owner` (a job id), durably."""
        ...

    async def unpin(self, owner: str) -> None: ...

    async def materialise(self, manifest: Manifest) -> Path:
        """A read-only tree of links with the manifest's names, shared by its users; the folder's path."""
        ...


class Renderer(Protocol):
    """One renderer in one home. Starts processes of its own; the daemon never imports a renderer's modules."""

    name: str

    async def probe(self) -> Capabilities:
        """Start it once and see what it can do. Raises `RendererMissing` with the reason and the remedy."""
        ...

    async def inspect(self, tree: Path, main: str, settings: RenderSettings) -> Inspection:
        """Open the scene and look. A broken scene is an `Inspection` with `error`, not an exception."""
        ...

    async def open(self, tree: Path, main: str, settings: RenderSettings, *, frame_timeout_s: float | None = None) -> Session:
        """A warm process with the scene open; `frame_timeout_s` is the longest that one frame may take in it.

        Raises `RenderFailed` when it does not open."""
        ...

    async def close(self) -> None:
        """End every process that it started."""
        ...


class Session(Protocol):
    """A scene kept open in a process of its own, rendering one frame at a time in the order of the calls."""

    async def render(self, frame: int, folder: Path, on_progress: Callable[[float], None]) -> Rendered:
        """Render into the private `folder`. Calls may overlap: the second waits inside the renderer's own queue.

        Raises `RenderFailed` (a `Failure` inside). The clock of `frame_timeout_s` and the stall clock run in here."""
        ...

    async def stop(self) -> None:
        """SIGTERM, one second, SIGKILL of the process group. Pending renders raise `RenderFailed`."""
        ...

    async def close(self) -> None: ...


class Verifier(Protocol):
    """Decodes in a limited child process; the daemon never decodes an image."""

    async def verify(self, files: Sequence[ReportedFile]) -> list[VerifiedFile]:
        """Decode every part of every file, compare with the report, hash the pixels.

        Raises `RenderFailed` with a `verification` failure that names the file and the fault."""
        ...

    async def close(self) -> None: ...


class Mesh(Protocol):
    """What the web layer may ask of the engine. Methods raise `protocol.errors.Refusal` and its kinds."""

    @property
    def me(self) -> PeerId: ...

    async def submit(
        self, spec: JobSpec, manifest: Manifest, *, submitter: str, key: str, on_this_peer: bool = False, named: bool = False
    ) -> Submitted:
        """Accept a job whose blobs are in the store; returns once C1 holds. `named`: the key is the client's own, and others are
        asked for it. Raises Conflict (key reused), Unavailable."""
        ...

    async def control(
        self, job: JobId, action: ControlAction, *, value: str = "", frames: str | None = None, include_done: bool = False,
        replaces: int | None = None,
    ) -> JobView:  # fmt: skip
        """Steer a job that this peer owns; elsewhere the request is forwarded to `where(job)` first."""
        ...

    def jobs(self) -> list[JobView]:
        """Every job that this peer has heard of, newest first."""
        ...

    def job(self, text: str) -> JobView | None:
        """By id, unique prefix (8 or more digits) or name (the newest).

        Raises Conflict (`ambiguous_job`) when a prefix is not unique."""
        ...

    async def locate(self, text: str) -> JobView:
        """As `job`, but asks every live peer for at most `limits.LOCATE_S` before it raises NotFound (`no_such_job`)."""
        ...

    def where(self, job: JobId) -> list[PeerId]:
        """Live peers that hold the job's frame detail, best first: this peer if it does, then the owner, then replicas."""
        ...

    def frames(self, job: JobId, *, state: str | None, after: int | None, limit: int) -> list[FrameView]:
        """A page of frames in order, starting after frame number `after`. Only on a peer in `where(job)`."""
        ...

    def files(self, job: JobId, frame: int) -> FrameFiles | None:
        """A done frame's outputs, or a failed one's log (outputs empty); None while there is neither."""
        ...

    def spec(self, job: JobId) -> JobSpec:
        """What a job that is held here was asked for as. Raises NotFound (`no_such_job`)."""
        ...

    def scene(self, job: JobId) -> Manifest:
        """Its files. Raises NotFound (`no_such_job`)."""
        ...

    async def look(self, manifest: Manifest, settings: RenderSettings) -> Inspection:
        """What a scene is whose files are all here, without a job. Raises Unavailable (`no_look`) when nothing opens it."""
        ...

    def inspection(self, job: JobId) -> Inspection | None:
        """What a job's scene is, once somebody has looked at it."""
        ...

    def explain(self, job: JobId) -> list[Reason]:
        """Why this job waits, is held or failed, per requirement and per peer."""
        ...

    def peers(self) -> list[PeerView]: ...

    def checks(self) -> list[tuple[str, str, str]]:
        """This peer's own checks: (name, passing|warning|critical, output)."""
        ...

    def busy(self) -> tuple[float, list[str]] | None:
        """None when a slot is free; else the estimated seconds until one is, and URLs of peers that have one."""
        ...

    async def fetch(self, digest: Digest, size: int, holders: Sequence[PeerId]) -> None:
        """Bring a blob into the local store (cache). Raises Unavailable (`blob_unreachable`) naming who was asked."""
        ...

    def address(self, peer: PeerId) -> Address | None:
        """The mesh-port address of a live peer."""
        ...

    def events(self, *, after: int | None, job: JobId | None, follow: bool) -> AsyncIterator[EventRow]:
        """Kept events after the id (None: all that are kept), then new ones as they come when `follow`."""
        ...

    @property
    def registry(self) -> Registry:
        """Services and checks."""
        ...

    async def drain(self, *, leave: bool) -> None: ...
    async def undrain(self) -> None: ...
    async def readmit(self, peer: PeerId) -> None:
        """Trust a peer's frames again, durably. Raises Conflict (`own_verdict`) for this peer itself."""
        ...

    async def ping(self, peer: PeerId) -> Pinged:
        """Ask a peer in three ways at once. Raises NotFound (`no_such_peer`), Conflict (`own_peer`), Unavailable."""
        ...

    async def create_key(self, *, name: str, role: Role) -> tuple[KeyRecord, str]:
        """A new API key: its record, durable here, and its text, which nobody can read again.

        Raises Invalid (`bad_key_name`), Conflict (`too_many_keys`)."""
        ...

    async def revoke_key(self, text: str) -> KeyRecord:
        """By id or unique name, for good. Raises NotFound (`no_such_key`), Conflict (`last_admin_key`, `ambiguous_key`)."""
        ...

    async def mesh_keys(
        self, action: KeyAction, *, key: str = "", fingerprint: str = "", expel: Sequence[PeerId] = (), force: bool = False
    ) -> MeshKeysView:
        """Turn the mesh's key, or look. `key` is the text form of one to install, for all but `expel`; `fingerprint` names one.

        Returns once every live peer has confirmed, or time is over. Raises Invalid, NotFound, Conflict (`key_not_held`,
        `key_in_use`: somebody would be cut off, unless `force`), Unavailable."""
        ...

    def api_keys(self) -> list[KeyRecord]:
        """Every API key of the mesh that this peer knows, revoked ones too, oldest first."""
        ...

    def settings(self) -> list[tuple[str, str, str]]:
        """(name, value, origin) of every setting, secrets masked."""
        ...


class Registry(Protocol):
    """Services and checks: this peer's own, to change, and everyone's, to see. Methods raise `Refusal` and its kinds.

    Topics are made by `protocol.services`; an index is above zero and never falls, over restarts neither."""

    @property
    def me(self) -> PeerId: ...
    @property
    def datacenter(self) -> str:
        """The mesh's name, which stands where Consul has its data centre."""
        ...

    async def change(self, command: Command) -> None:
        """Do it, durably."""
        ...

    def own_services(self) -> list[Service]: ...
    def own_checks(self) -> list[CheckRow]:
        """With the newest output, which the others may hear of later."""
        ...

    def members(self) -> list[NodeSeen]:
        """Every peer, those that left included, by name."""
        ...

    def nodes(self) -> list[NodeSeen]: ...
    def node(self, text: str) -> NodeSeen | None:
        """By name or id."""
        ...

    def services(self, node: NodeSeen) -> list[ServiceSeen]: ...
    def checks(self, node: NodeSeen) -> list[CheckSeen]: ...
    def checks_of_all(self) -> Iterator[CheckSeen]: ...
    def instances(self, name: str) -> list[ServiceSeen]: ...
    def checks_for(self, instance: ServiceSeen) -> list[CheckSeen]:
        """The instance's own and its peer's."""
        ...

    def names(self) -> dict[str, list[str]]:
        """Services with the tags of all their instances."""
        ...

    def leader(self) -> NodeSeen | None: ...
    def protocols(self, peers: Sequence[PeerId]) -> list[ProtocolSeen]:
        """Which versions of the mesh's protocol each of them speaks."""
        ...

    def index_of(self, topic: str) -> int: ...
    @property
    def index(self) -> int:
        """The newest index of all."""
        ...

    async def changed(self, timeout_s: float) -> None:
        """Until something may have changed, at most so long."""
        ...

    def close(self) -> None:
        """Let everyone go who waits for a change."""
        ...

    def target_refusal(self, host: str) -> str | None:
        """Why a check may not be pointed at a literal address; None for one that may be, and for names."""
        ...

    async def join(self, text: str) -> None:
        """Meet the peer at HOST or HOST:PORT. Raises Invalid, Unavailable (`join_failed`) when it does not answer in time."""
        ...

    async def leave(self) -> None:
        """Finish what is under way, leave the mesh and end."""
        ...

    async def force_leave(self, peer: PeerId) -> None:
        """Take a failed peer out. Raises NotFound, Conflict (`peer_alive`)."""
        ...


class ForwardedReply(Protocol):
    """Another peer's answer while its body streams in, without hop-by-hop headers."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[str, str]]: ...

    async def read(self) -> bytes:
        """The next piece of the body, empty at its end. Raises Unavailable (`peer_lost`) when it breaks off."""
        ...


class Forward(Protocol):
    """Asks another peer's user API over the mesh port; both bodies stream."""

    def __call__(
        self,
        peer: PeerId,
        *,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: AsyncIterable[bytes] | None = None,
    ) -> AbstractAsyncContextManager[ForwardedReply]:
        """`path` is the raw path with its query, without a leading slash (`api/v1/jobs/...`).

        Raises Unavailable (`peer_unreachable`, `too_many_forwards`) on entering."""
        ...


Found = Callable[[tuple[Address, ...]], None]


class Provider(Protocol):
    """One way to find peers: an input, never an authority. What it tells are candidates; the mesh key decides."""

    async def run(self, found: Found) -> None:
        """Tell gossip addresses (literal, perhaps our own, perhaps nobody's) as they turn up.

        Ends only when cancelled, and takes back then what it has registered. Trouble is a notice, never an error."""
        ...
