"""The engine as the web layer sees it: asks that wait for an answer, and views that do not. Satisfies `peer.ports.Mesh`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from peer.access import NewKey, draw_key
from peer.engine import Engine, clock
from peer.eventlog import EventLog
from peer.hands import Fetcher
from peer.ports import Blobs, ControlAction, KeyAction, Registry, RenderFailed
from protocol import limits
from protocol.access.keys import KeyRecord
from protocol.access.roles import Role
from protocol.errors import Conflict, NotFound, Unavailable
from protocol.events import (
    ControlAsked,
    DrainAsked,
    KeyCreateAsked,
    KeyRevokeAsked,
    KeysAsked,
    LocateAsked,
    PingAsked,
    ReadmitAsked,
    SubmitAsked,
    UndrainAsked,
)
from protocol.ids import Address, Digest, JobId, PeerId
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Inspection
from protocol.jobs.spec import JobSpec, RenderSettings
from protocol.views import EventRow, FrameFiles, FrameView, JobView, MeshKeysView, PeerView, Pinged, Reason, Submitted

AMBIGUOUS_SHOWN = 4


class EngineMesh:
    """Invariant: reads never wait; asks raise `Refusal` kinds only."""

    def __init__(
        self, *, engine: Engine, log: EventLog, blobs: Blobs, fetcher: Fetcher, registry: Registry,
        settings: Callable[[], list[tuple[str, str, str]]],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._node = engine.node
        self._log = log
        self._blobs = blobs
        self._fetcher = fetcher
        self._settings = settings
        self.registry = registry

    @property
    def me(self) -> PeerId:
        return self._node.me

    # asks

    async def submit(
        self, spec: JobSpec, manifest: Manifest, *, submitter: str, key: str, on_this_peer: bool = False, named: bool = False
    ) -> Submitted:
        if self._engine.store_error is not None:
            raise Unavailable("store_full", f"this peer cannot store a job now: {self._engine.store_error}", retry_after_s=30)
        busy = self.busy() if on_this_peer else None
        if busy is not None:
            raise Unavailable("busy", "this peer is busy", retry_after_s=busy[0])
        answer = await self._engine.ask(lambda request: SubmitAsked(request, spec, manifest, submitter, key, on_this_peer, named))
        assert isinstance(answer, Submitted)
        return answer

    async def control(
        self, job: JobId, action: ControlAction, *, value: str = "", frames: str | None = None, include_done: bool = False,
        replaces: int | None = None,
    ) -> JobView:  # fmt: skip
        answer = await self._engine.ask(lambda request: ControlAsked(request, job, action, value, frames, include_done, replaces))
        assert isinstance(answer, JobView)
        return answer

    async def locate(self, text: str) -> JobView:
        known = self.job(text)
        if known is not None:
            return known
        answer = await self._engine.ask(lambda request: LocateAsked(request, text), timeout_s=10 * limits.LOCATE_S)
        assert isinstance(answer, JobView)
        return answer

    async def fetch(self, digest: Digest, size: int, holders: Sequence[PeerId]) -> None:
        if not await self._blobs.has(digest):
            await self._fetcher.fetch(digest, size, [peer for peer in holders if peer != self.me])

    async def look(self, manifest: Manifest, settings: RenderSettings) -> Inspection:
        try:
            return await self._engine.look(manifest, settings)
        except RenderFailed as error:
            raise Unavailable("no_look", f"this peer cannot open the scene: {error.failure.reason}", retry_after_s=10.0) from None

    async def drain(self, *, leave: bool) -> None:
        self._engine.tell(DrainAsked(leave))

    async def undrain(self) -> None:
        self._engine.tell(UndrainAsked())

    async def readmit(self, peer: PeerId) -> None:
        await self._engine.ask(lambda request: ReadmitAsked(request, peer))

    async def ping(self, peer: PeerId) -> Pinged:
        answer = await self._engine.ask(lambda request: PingAsked(request, peer), timeout_s=4 * limits.PING_S)
        assert isinstance(answer, Pinged)
        return answer

    async def create_key(self, *, name: str, role: Role) -> tuple[KeyRecord, str]:
        drawn = draw_key()
        return await self.register_key(drawn, name=name, role=role), drawn.text

    async def register_key(self, drawn: NewKey, *, name: str, role: Role) -> KeyRecord:
        """Make a key that was drawn already known to the mesh. Raises as `create_key`."""
        record = await self._engine.ask(lambda request: KeyCreateAsked(request, drawn.id, drawn.hash, name, role))
        assert isinstance(record, KeyRecord)
        return record

    async def revoke_key(self, text: str) -> KeyRecord:
        record = await self._engine.ask(lambda request: KeyRevokeAsked(request, text))
        assert isinstance(record, KeyRecord)
        return record

    async def mesh_keys(
        self, action: KeyAction, *, key: str = "", fingerprint: str = "", expel: Sequence[PeerId] = (), force: bool = False
    ) -> MeshKeysView:
        view = await self._engine.ask(
            lambda request: KeysAsked(request, action, key, fingerprint, tuple(expel), force), timeout_s=4 * limits.KEYS_CONFIRM_S
        )
        assert isinstance(view, MeshKeysView)
        return view

    # views

    def api_keys(self) -> list[KeyRecord]:
        return self._node.access.records()

    def jobs(self) -> list[JobView]:
        return self._node.jobs()

    def job(self, text: str) -> JobView | None:
        found = self._node.board.matches(text)
        if len(found) > 1 and all(view.id.startswith(text) for view in found):
            shown = ", ".join(view.id[: len(text) + 4] for view in found[:AMBIGUOUS_SHOWN])
            raise Conflict("ambiguous_job", f"{len(found)} jobs begin with {text!r} ({shown}, ...); give more digits")
        if found:
            return self._node.job(found[0].id)
        held = JobId(text)  # kept here for an owner that nobody has heard since the start
        return None if self._node.ledger.owns(held) else self._node.ledger.view(held)

    def where(self, job: JobId) -> list[PeerId]:
        return self._node.where(job)

    def frames(self, job: JobId, *, state: str | None, after: int | None, limit: int) -> list[FrameView]:
        return self._node.frames(job, state=state, after=after, limit=limit)

    def files(self, job: JobId, frame: int) -> FrameFiles | None:
        return self._node.files(job, frame)

    def spec(self, job: JobId) -> JobSpec:
        spec = self._node.spec(job)
        if spec is None:
            raise NotFound("no_such_job", f"this peer does not hold job {job}")
        return spec

    def scene(self, job: JobId) -> Manifest:
        scene = self._node.scene(job)
        if scene is None:
            raise NotFound("no_such_job", f"this peer does not hold job {job}")
        return scene

    def inspection(self, job: JobId) -> Inspection | None:
        return self._node.inspection(job)

    def explain(self, job: JobId) -> list[Reason]:
        return self._node.explain(job)

    def peers(self) -> list[PeerView]:
        return self._node.peers()

    def checks(self) -> list[tuple[str, str, str]]:
        return [(check.name, check.status, check.output) for check in self._node.roster.card.checks]

    def busy(self) -> tuple[float, list[str]] | None:
        return self._node.busy(clock())

    def address(self, peer: PeerId) -> Address | None:
        return self._node.roster.stream_address(peer)

    def events(self, *, after: int | None, job: JobId | None, follow: bool) -> AsyncIterator[EventRow]:
        return self._log.read(after=after, job=job, follow=follow)

    def settings(self) -> list[tuple[str, str, str]]:
        return self._settings()
