"""What a scene is, as Blender sees it: its findings with remedies, and what was changed for a job's sake."""

from __future__ import annotations

from aiohttp import web
from typing_extensions import TypedDict

from peer.web.relay import at_holder
from peer.web.replies import as_json
from peer.web.site import site_of
from protocol.errors import NotFound
from protocol.jobs.results import Inspection
from protocol.views import JobView


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
