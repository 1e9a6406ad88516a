"""What a scene is, as Blender sees it: its findings with remedies, and what was changed for a job's sake."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from peer.ports import RenderFailed
from peer.web import submission
from peer.web.content import bring
from peer.web.problems import wrong_fields
from peer.web.relay import at_holder, passed_headers
from peer.web.renderer import with_renderer
from peer.web.replies import as_json
from peer.web.requests import parse_object, read_body, validated
from peer.web.site import Site, forwarded_by, site_of
from protocol import limits
from protocol.errors import Invalid, Malformed, NotFound, Unavailable
from protocol.ids import PeerId
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Inspection
from protocol.jobs.spec import JobSpec, render_settings
from protocol.ledger.rows import manifest_from_wire
from protocol.views import JobView, PeerView

PASSED_BYTES_MAX: Final = 16 * 2**20  # a specification and `limits.FILES_PER_MANIFEST_MAX` names with digests


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
    files: tuple[tuple[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], int], ...]


async def inspect_scene(request: web.Request) -> web.StreamResponse:
    """Look at a scene without making a job: here, or on another peer whose renderer opens it."""
    sender = forwarded_by(request)
    if sender is None:
        return await submission.received(request, lambda spec, manifest: _inspect(request, spec, manifest))
    passed = validated(Passed, parse_object(await read_body(request, PASSED_BYTES_MAX)))
    try:
        manifest = manifest_from_wire([passed.main, [[name, bytes.fromhex(digest), size] for name, digest, size in passed.files]])
    except Malformed as error:
        raise Invalid("bad_manifest", str(error)) from None
    return await _here(request, passed.spec, manifest, holders=[sender])


async def _inspect(request: web.Request, spec: JobSpec, manifest: Manifest) -> web.StreamResponse:
    site = site_of(request)
    spec = with_renderer(site, spec, manifest)
    if spec.renderer != "null":
        if not manifest.main:
            raise wrong_fields([{"field": "scene", "message": submission.NO_SCENE}], code="no_scene")
        saved_by = await submission.check_scene(site, spec.renderer, manifest)
    else:
        saved_by = None
    able = {peer.id: there for peer in site.mesh.peers() if (there := _versions(peer, spec))}
    fit = [peer for peer, there in able.items() if any(_fits(version, spec, saved_by) for version in there)]
    if able and not fit and spec.blender is not None:
        known = ", ".join(sorted({version for there in able.values() for version in there}))
        raise wrong_fields(
            [{"field": "blender", "message": f"no peer has Blender {spec.blender}; there are: {known}"}], code="no_renderer"
        )
    peers = fit or list(able)
    if site.mesh.me in peers:
        return await _here(request, spec, manifest)
    return await _elsewhere(request, spec, manifest, peers)


def _versions(peer: PeerView, spec: JobSpec) -> list[str]:
    """Those of the renderer that a peer says it has; none of a peer that takes no work."""
    if peer.state != "alive" or peer.draining or peer.slots_total == 0:
        return []
    return [str(row.get("version", "")) for row in peer.capabilities if row.get("renderer") == spec.renderer]


def _fits(version: str, spec: JobSpec, saved_by: tuple[int, int] | None) -> bool:
    """Whether it is the version that is asked for, else one that opens the file."""
    if spec.blender is not None:
        return version.startswith(f"{spec.blender}.")
    found = re.match(r"(\d{1,4})\.(\d{1,4})", version, re.ASCII)
    return saved_by is None or (found is not None and (int(found[1]), int(found[2])) >= saved_by)


async def _here(request: web.Request, spec: JobSpec, manifest: Manifest, *, holders: Sequence[PeerId] = ()) -> web.StreamResponse:
    """Look at it on this peer. Files are fetched from `holders` first, while the look counts as one already."""
    site = site_of(request)
    with site.looks.one():
        for entry in manifest.files if holders else ():
            await bring(site, entry.digest, size=entry.size, holders=holders)
        try:
            seen = await site.mesh.look(manifest, render_settings(spec))
        except RenderFailed as error:
            raise Unavailable("no_renderer", error.failure.reason, retry_after_s=10.0) from error
        return as_json(inspection_json(seen))


async def _elsewhere(request: web.Request, spec: JobSpec, manifest: Manifest, peers: list[PeerId]) -> web.StreamResponse:
    """The answer of the first of `peers` that gives one; they fetch the files from here."""
    files = tuple((entry.name, entry.digest, entry.size) for entry in manifest.files)
    body = Passed(spec=spec, main=manifest.main, files=files).model_dump_json(exclude_unset=True).encode()
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
