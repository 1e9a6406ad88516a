"""What a scene is, as Blender sees it: its findings with remedies, and what was changed for a job's sake."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from peer.web import submission
from peer.web.content import bring
from peer.web.problems import wrong_fields
from peer.web.relay import at_holder, passed_headers
from peer.web.replies import as_json
from peer.web.requests import read_object, validated
from peer.web.site import Site, forwarded_by, site_of
from protocol import limits
from protocol.errors import NotFound, Unavailable
from protocol.ids import Digest, PeerId
from protocol.jobs.manifest import Manifest, ManifestEntry, make_manifest
from protocol.jobs.results import Inspection
from protocol.jobs.spec import JobSpec, render_settings
from protocol.views import JobView, PeerView


class Finding(TypedDict):
    """`kind` is info, which never holds a job, or picture, which decides by `on_warning`."""

    code: str
    kind: str
    text: str
    remedy: str


class InspectionSeen(TypedDict):
    """A scene as it was opened with a job's settings. `error` is why it cannot be rendered at all."""

    blender: str
    scene: str
    camera: str
    engine: str
    frame_start: int
    frame_end: int
    frame_step: int
    fps: float
    width: int
    height: int
    format: str
    warnings: list[Finding]
    notes: list[str]
    error: str | None


async def get_inspection(request: web.Request) -> web.StreamResponse:
    """What the scene of a job is."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        found = site_of(request).mesh.inspection(view.id)
        if found is None:
            raise NotFound("not_inspected", f"nobody has looked at the scene of job {view.name or view.id[:12]} yet")
        return as_json(inspection_json(found))

    return await at_holder(request, handle)


class Passed(BaseModel):
    """What a peer without a renderer sends to one that has it: each file as name, digest and size in bytes."""

    model_config = ConfigDict(extra="forbid")

    spec: JobSpec
    main: str
    files: tuple[tuple[str, str, int], ...]


async def inspect_scene(request: web.Request) -> web.StreamResponse:
    """Look at a scene without making a job: here, or on another peer whose renderer opens it."""
    sender = forwarded_by(request)
    if sender is None:
        return await submission.received(request, lambda spec, manifest: _inspect(request, spec, manifest))
    passed = validated(Passed, await read_object(request))
    files = [ManifestEntry(name, Digest(digest), size) for name, digest, size in passed.files]
    manifest = make_manifest(passed.main, files)
    for entry in manifest.files:
        await bring(site_of(request), entry.digest, size=entry.size, holders=[sender])
    return await _here(request, passed.spec, manifest)


async def _inspect(request: web.Request, spec: JobSpec, manifest: Manifest) -> web.StreamResponse:
    site = site_of(request)
    if spec.renderer != "null":
        if not manifest.main:
            raise wrong_fields([{"field": "scene", "message": submission.NO_SCENE}], code="no_scene")
        await submission.check_scene(site, manifest)
    able = [peer for peer in site.mesh.peers() if _can(peer, spec)]
    if any(peer.id == site.mesh.me for peer in able):
        return await _here(request, spec, manifest)
    return await _elsewhere(request, spec, manifest, [peer.id for peer in able])


def _can(peer: PeerView, spec: JobSpec) -> bool:
    """Whether a peer says that it has the renderer, of the version that is asked for."""
    wanted = f"{spec.blender}." if spec.blender else ""
    return peer.state == "alive" and any(
        row.get("renderer") == spec.renderer and str(row.get("version", "")).startswith(wanted) for row in peer.capabilities
    )


async def _here(request: web.Request, spec: JobSpec, manifest: Manifest) -> web.StreamResponse:
    site = site_of(request)
    with site.looks.one():
        return as_json(inspection_json(await site.mesh.look(manifest, render_settings(spec))))


async def _elsewhere(request: web.Request, spec: JobSpec, manifest: Manifest, peers: list[PeerId]) -> web.StreamResponse:
    """The answer of the first of `peers` that gives one; they fetch the files from here."""
    files = [(entry.name, entry.digest, entry.size) for entry in manifest.files]
    body = Passed(spec=spec, main=manifest.main, files=tuple(files)).model_dump_json(exclude_unset=True).encode()
    headers = [(name, value) for name, value in passed_headers(request) if name != "Content-Type"]
    headers.append(("Content-Type", "application/json"))
    said = ""
    for peer in peers[: limits.FORWARD_PEERS_MAX]:
        try:
            status, answer = await _ask(site_of(request), peer, headers, body)
        except Unavailable as error:
            said = error.message
            continue
        if status == 200:
            return web.Response(body=answer, content_type="application/json")
        said = f"peer {peer[:12]} answered {status}"
    wanted = f"{spec.renderer} {spec.blender or ''}".strip()
    why = f"no peer that has the renderer {wanted} gave an answer: {said}" if said else f"no peer has the renderer {wanted}"
    raise Unavailable("no_renderer", why, retry_after_s=10.0)


async def _ask(site: Site, peer: PeerId, headers: list[tuple[str, str]], body: bytes) -> tuple[int, bytes]:
    async def once() -> AsyncIterator[bytes]:
        yield body

    async with site.forward(peer, method="POST", path="api/v1/inspections", headers=headers, body=once()) as reply:
        pieces = []
        while piece := await reply.read():
            pieces.append(piece)
        return reply.status, b"".join(pieces)


def inspection_json(found: Inspection) -> InspectionSeen:
    """An inspection as clients see it."""
    return {
        "blender": found.blender,
        "scene": found.scene,
        "camera": found.camera,
        "engine": found.engine,
        "frame_start": found.frame_start,
        "frame_end": found.frame_end,
        "frame_step": found.frame_step,
        "fps": found.fps,
        "width": found.width,
        "height": found.height,
        "format": found.format,
        "warnings": [
            {"code": entry.code, "kind": entry.kind, "text": entry.text, "remedy": entry.remedy} for entry in found.warnings
        ],
        "notes": list(found.notes),
        "error": None if found.error is None else found.error.reason,
    }
