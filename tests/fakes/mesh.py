"""`peer.ports.Mesh` in memory: jobs that tests move along by hand, peers that they declare, and a log of events."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from peer.access import draw_key
from peer.ports import ControlAction, KeyAction
from protocol.access.keys import KeyRecord, is_key_name
from protocol.access.roles import Role
from protocol.errors import Conflict, Invalid, NotFound, Unavailable
from protocol.ids import Address, Digest, JobId, PeerId
from protocol.jobs.frames import parse_frames
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Inspection, Output
from protocol.jobs.spec import JobSpec, RenderSettings
from protocol.views import (
    FINAL_STATES,
    Counts,
    EventRow,
    FrameFiles,
    FrameView,
    JobView,
    MeshKeysView,
    MeshKeyView,
    PeerView,
    Pinged,
    Reason,
    Submitted,
)
from protocol.wire.seal import parse_mesh_key
from tests.fakes.memory_store import MemoryBlobs
from tests.fakes.registry import FakeRegistry

START_MS = 1_700_000_000_000


def peer_id(text: str) -> PeerId:
    """A peer's id that depends on `text` alone."""
    return PeerId(hashlib.sha256(text.encode()).hexdigest())


@dataclass(slots=True)
class FakeJob:
    """One job: what was submitted, how it stands, and its frames by number."""

    spec: JobSpec
    manifest: Manifest
    submitter: str
    view: JobView
    frames: dict[int, FrameView] = field(default_factory=dict)
    files: dict[int, FrameFiles] = field(default_factory=dict)
    inspection: Inspection | None = None


class FakeMesh:
    """Satisfies `peer.ports.Mesh`. `blobs` is its store; `elsewhere` holds blobs that `fetch` finds, by digest.

    `others` are meshes of the same farm: `locate` asks them and their jobs are known here as summaries.
    """

    def __init__(self, name: str, blobs: MemoryBlobs) -> None:
        self.name = name
        self.blobs = blobs
        self.kept: dict[JobId, FakeJob] = {}
        self.ring: list[str] = ["f" * 16]
        self.behind: tuple[PeerId, ...] = ()
        self.key_orders: list[tuple[str, str, tuple[PeerId, ...], bool]] = []
        self.known: dict[tuple[str, str], JobId] = {}
        self.others: list[FakeMesh] = []
        self.alive: set[PeerId] = set()
        self.elsewhere: dict[Digest, bytes] = {}
        self.fetched: list[tuple[Digest, int, tuple[PeerId, ...]]] = []
        self.busy_for: tuple[float, list[str]] | None = None
        self.seen: Inspection | None = None  # of any scene, where this peer has a renderer
        self.blenders = ["5.0.1"]  # then
        self.look_fails: Exception | None = None
        self.slots = 1
        self.looked: list[tuple[Manifest, RenderSettings]] = []
        self.refusal: Exception | None = None
        self.own_checks: list[tuple[str, str, str]] = [("store", "passing", "open")]
        self.draining = False
        self.readmitted: list[PeerId] = []
        self.kept_keys: dict[str, KeyRecord] = {}
        self.log: list[EventRow] = []
        self.listeners = 0
        self.registry = FakeRegistry(self.me, name)
        self._noted = asyncio.Event()
        self._clock_ms = START_MS

    @property
    def me(self) -> PeerId:
        return peer_id(self.name)

    async def submit(
        self, spec: JobSpec, manifest: Manifest, *, submitter: str, key: str, on_this_peer: bool = False, named: bool = False
    ) -> Submitted:
        if self.refusal is not None:
            raise self.refusal
        if on_this_peer and self.busy_for is not None:
            raise Unavailable("busy", "the slot was taken meanwhile", retry_after_s=self.busy_for[0])
        known = self.known.get((submitter, key))
        if known is not None:
            job = self.kept[known]
            if job.spec != spec or job.manifest != manifest:
                raise Conflict("key_reused", "this Idempotency-Key belongs to another submission")
            return Submitted(job.view, copies=2, created=False)
        job = self._create(spec, manifest, submitter, key)
        return Submitted(job.view, copies=2, created=True)

    def _create(self, spec: JobSpec, manifest: Manifest, submitter: str, key: str) -> FakeJob:
        identity = JobId(hashlib.sha256(repr((submitter, key, spec, manifest)).encode()).hexdigest()[:32])
        numbers = list(parse_frames(spec.frames)) if spec.frames else []
        self._clock_ms += 1_000
        view = JobView(
            id=identity,
            name=spec.name,
            state="queued" if numbers else "inspecting",
            priority=spec.priority,
            epoch=1,
            owner=self.me,
            replicas=(self.me,),
            frames=Counts(total=len(numbers), pending=len(numbers)),
            progress=0.0,
            eta_s=None,
            waiting_because=(),
            held_because=(),
            error=None,
            renderer=spec.renderer,
            engine=spec.engine or "",
            blender="",
            frame_ranges=spec.frames or "",
            labels=spec.label,
            submitter=submitter,
            submitted_ms=self._clock_ms,
            started_ms=None,
            finished_ms=None,
            copies=2,
        )
        job = FakeJob(spec, manifest, submitter, view)
        job.frames = {number: FrameView(number, "pending", None, 0, 0, None, None, None, None) for number in numbers}
        self.kept[identity] = job
        self.known[submitter, key] = identity
        self.note("job_accepted", identity)
        return job

    def finish(
        self, job: JobId, frame: int, data: bytes, *, format: str = "PNG", name: str = "", more: tuple[Output, ...] = ()
    ) -> Digest:
        """A frame is done; its bytes are in this peer's store."""
        digest = self.blobs.add(data)
        self.finish_with(
            job, frame, Output("main", name or f"{frame:04d}.png", digest, "0" * 64, len(data), 4, 4, 3, format), *more
        )
        return digest

    def finish_with(self, job: JobId, frame: int, *outputs: Output, log: bytes = b"rendered\n") -> None:
        """A frame is done with these outputs, whose bytes may lie elsewhere."""
        kept, main = self.kept[job], outputs[0]
        kept.frames[frame] = FrameView(frame, "done", self.me, 1, 1, main.digest, main.pixel_hash, main.size, 0.5)
        kept.files[frame] = FrameFiles(frame, 1, outputs, self.blobs.add(log), len(log), (self.me,))
        self._recount(kept)

    def fail(self, job: JobId, frame: int, reason: str) -> None:
        """A frame has failed for good, with a log and without outputs."""
        kept = self.kept[job]
        kept.frames[frame] = replace(kept.frames[frame], state="failed", attempts=3, error=reason)
        kept.files[frame] = FrameFiles(frame, 1, (), self.blobs.add(reason.encode()), len(reason.encode()), (self.me,))
        self._recount(kept)

    def become(self, job: JobId, **changes: object) -> None:
        """Replace members of a job's view."""
        self.kept[job].view = replace(self.kept[job].view, **changes)  # type: ignore[arg-type]

    def _recount(self, job: FakeJob) -> None:
        states = [frame.state for frame in job.frames.values()]
        counts = Counts(
            len(states),
            *(states.count(state) for state in ("pending", "running", "done", "failed", "held")),
        )
        job.view = replace(job.view, frames=counts, progress=counts.done / len(states))
        if counts.done + counts.failed == counts.total:
            job.view = replace(job.view, state="failed" if counts.failed else "completed", finished_ms=self._clock_ms)

    async def control(
        self, job: JobId, action: ControlAction, *, value: str = "", frames: str | None = None, include_done: bool = False,
        replaces: int | None = None,
    ) -> JobView:  # fmt: skip
        kept = self.kept.get(job)
        if kept is None:
            raise Unavailable("not_owner", "this peer does not own the job")
        self.note(f"job_{action}", job, value=value, frames=frames, include_done=include_done, replaces=replaces)
        match action:
            case "pause":
                kept.view = replace(kept.view, state="paused")
            case "resume":
                kept.view = replace(kept.view, state="queued")
            case "cancel":
                kept.view = replace(kept.view, state="cancelled")
            case "priority":
                kept.view = replace(kept.view, priority=int(value))
            case "delete":
                if kept.view.state not in FINAL_STATES:
                    raise Conflict("job_not_ended", "only a job that has ended can be forgotten; cancel it first")
                del self.kept[job]
            case "retry" | "on_warning" | "accept":
                pass
        return kept.view

    def jobs(self) -> list[JobView]:
        views = [job.view for mesh in (self, *self.others) for job in mesh.kept.values()]
        return sorted(views, key=lambda view: -view.submitted_ms)

    def job(self, text: str) -> JobView | None:
        views = [job.view for job in self.kept.values()]
        exact = [view for view in views if view.id == text]
        named = sorted((view for view in views if view.name == text), key=lambda view: -view.submitted_ms)
        begun = [view for view in views if len(text) >= 8 and view.id.startswith(text)]
        if exact or named:
            return (exact or named)[0]
        if len(begun) > 1:
            raise Conflict("ambiguous_job", f"{text!r} is the beginning of {len(begun)} ids")
        return begun[0] if begun else None

    async def locate(self, text: str) -> JobView:
        for mesh in (self, *self.others):
            view = mesh.job(text)
            if view is not None:
                return view
        raise NotFound("no_such_job", f"no job {text[:80]!r} is known here or on any peer that answered")

    def where(self, job: JobId) -> list[PeerId]:
        return [mesh.me for mesh in (self, *self.others) if job in mesh.kept and (mesh is self or mesh.me in self.alive)]

    def frames(self, job: JobId, *, state: str | None, after: int | None, limit: int) -> list[FrameView]:
        rows = sorted(self.kept[job].frames.items())
        return [row for number, row in rows if (after is None or number > after) and state in (None, row.state)][:limit]

    def files(self, job: JobId, frame: int) -> FrameFiles | None:
        return self.kept[job].files.get(frame)

    def spec(self, job: JobId) -> JobSpec:
        return self.kept[job].spec

    def scene(self, job: JobId) -> Manifest:
        return self.kept[job].manifest

    async def look(self, manifest: Manifest, settings: RenderSettings) -> Inspection:
        if self.look_fails is not None:
            raise self.look_fails
        if self.seen is None:
            raise Unavailable("no_look", "this peer cannot open the scene", retry_after_s=1.0)
        self.looked.append((manifest, settings))
        return self.seen

    def inspection(self, job: JobId) -> Inspection | None:
        return self.kept[job].inspection

    def explain(self, job: JobId) -> list[Reason]:
        return list(self.kept[job].view.waiting_because)

    def peers(self) -> list[PeerView]:
        return [mesh.seen_by(self) for mesh in (self, *self.others)]

    def seen_by(self, other: FakeMesh) -> PeerView:
        """This peer in another's eyes."""
        state: Literal["alive", "dead"] = "alive" if other is self or self.me in other.alive else "dead"
        return PeerView(
            id=self.me,
            name=self.name,
            state=state,
            address=f"http://{self.name}.test:7700",
            slots_total=self.slots,
            slots_free=0 if self.busy_for else 1,
            labels={},
            capabilities=tuple({"renderer": "blender", "version": one} for one in self.blenders if self.seen is not None),
            checks=(),
            version="1.0",
            rtt_ms=1.5,
            draining=self.draining,
            me=other is self,
        )

    def checks(self) -> list[tuple[str, str, str]]:
        return self.own_checks

    def busy(self) -> tuple[float, list[str]] | None:
        return self.busy_for

    async def fetch(self, digest: Digest, size: int, holders: Sequence[PeerId]) -> None:
        self.fetched.append((digest, size, tuple(holders)))
        if digest not in self.elsewhere:
            raise Unavailable("blob_unreachable", f"nobody has {digest[:16]}", retry_after_s=5.0)
        self.blobs.add(self.elsewhere[digest])

    def address(self, peer: PeerId) -> Address | None:
        return Address("127.0.0.1", 7701) if peer in self.alive else None

    def note(self, event: str, job: JobId | None = None, **fields: object) -> None:
        """Add an event to the log."""
        self.log.append(EventRow(len(self.log) + 1, START_MS, event, "info", job, dict(fields)))
        self._noted.set()

    async def events(self, *, after: int | None, job: JobId | None, follow: bool) -> AsyncIterator[EventRow]:
        self.listeners += 1
        try:
            at = after or 0
            while True:
                self._noted.clear()
                for row in self.log[at:]:
                    at = row.id
                    if job is None or row.job == job:
                        yield row
                if not follow:
                    return
                if at >= len(self.log):
                    await self._noted.wait()
        finally:
            self.listeners -= 1

    async def ping(self, peer: PeerId) -> Pinged:
        if peer == self.me:
            raise Conflict("own_peer", "this is the peer that was asked")
        return Pinged(0.001, 0.002, None, None)

    async def create_key(self, *, name: str, role: Role) -> tuple[KeyRecord, str]:
        if not is_key_name(name):
            raise Invalid("bad_key_name", "name: letters and digits are needed")
        drawn = draw_key()
        self.kept_keys[drawn.id] = KeyRecord(drawn.id, name, role, drawn.hash, START_MS)
        return self.kept_keys[drawn.id], drawn.text

    async def revoke_key(self, text: str) -> KeyRecord:
        if text not in self.kept_keys:
            raise NotFound("no_such_key", "there is no such key")
        self.kept_keys[text] = replace(self.kept_keys[text], revoked=True)
        return self.kept_keys[text]

    async def mesh_keys(
        self, action: KeyAction, *, key: str = "", fingerprint: str = "", expel: Sequence[PeerId] = (), force: bool = False
    ) -> MeshKeysView:
        self.key_orders.append((action, key or fingerprint, tuple(expel), force))
        if action != "install" and fingerprint and fingerprint not in self.ring:
            raise NotFound("no_such_key", "no such key in the ring")
        if action == "install":
            self.ring.append(parse_mesh_key(key).fingerprint)
        elif action == "use" and self.behind and not force:
            raise Conflict("key_not_held", "somebody would be cut off")
        elif action == "remove":
            self.ring.remove(fingerprint)
        rows = tuple(MeshKeyView(one, one == self.ring[0], 1, self.behind) for one in self.ring)
        return MeshKeysView(rows, (), self.behind)

    def api_keys(self) -> list[KeyRecord]:
        return list(self.kept_keys.values())

    async def drain(self, *, leave: bool) -> None:
        self.draining = True

    async def readmit(self, peer: PeerId) -> None:
        if peer == self.me:
            raise Conflict("own_verdict", "a peer cannot speak for itself")
        self.readmitted.append(peer)

    async def undrain(self) -> None:
        self.draining = False

    def settings(self) -> list[tuple[str, str, str]]:
        return [("slots", "1", "default"), ("mesh_key", "********", "environment")]
