"""Frames: the list, the pictures, their other outputs and their logs, from any peer."""

from __future__ import annotations

import re
from typing import Final, get_args

from aiohttp import web

from peer.web.content import bring, serve
from peer.web.names import content_type, disposition, output_names
from peer.web.problems import wrong_fields
from peer.web.relay import at_holder
from peer.web.replies import as_json
from peer.web.requests import bad_cursor, frame_number, page_limit
from peer.web.shapes import frame_json, output_json
from peer.web.site import Site, site_of
from protocol.errors import Conflict, NotFound
from protocol.jobs.results import Output
from protocol.views import FrameFiles, FrameState, JobView

_CURSOR: Final = re.compile(r"-?\d{1,7}\Z", re.ASCII)


async def list_frames(request: web.Request) -> web.StreamResponse:
    """A page, in order of frame numbers."""
    most, state, after = page_limit(request), request.query.get("state") or None, _after(request.query.get("cursor"))
    if state is not None and state not in get_args(FrameState):
        raise wrong_fields([{"field": "state", "message": f"{state[:40]!r} is none of {', '.join(get_args(FrameState))}"}])

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        found = site_of(request).mesh.frames(view.id, state=state, after=after, limit=most + 1)
        page = found[:most]
        cursor = str(page[-1].frame) if len(found) > most else None
        return as_json({"frames": [frame_json(frame) for frame in page], "cursor": cursor})

    return await at_holder(request, handle)


async def get_frame(request: web.Request) -> web.StreamResponse:
    """The main output's bytes."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        site = site_of(request)
        files = _done(site, view, frame_number(request))
        return await _serve(request, site, files, 0, named(site, view, files)[0])

    return await at_holder(request, handle)


async def list_outputs(request: web.Request) -> web.StreamResponse:
    """Every file of one frame, the main one first."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        site = site_of(request)
        files = _done(site, view, frame_number(request))
        rows = [output_json(output, name) for output, name in zip(files.outputs, named(site, view, files), strict=True)]
        return as_json({"frame": files.frame, "generation": files.generation, "outputs": rows})

    return await at_holder(request, handle)


async def get_output(request: web.Request) -> web.StreamResponse:
    """One file of a frame, by the name in the list of outputs or by the renderer's own."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        site, asked = site_of(request), request.match_info["name"]
        files = _done(site, view, frame_number(request))
        names = named(site, view, files)
        own = [output.name for output in files.outputs]
        index = names.index(asked) if asked in names else own.index(asked) if asked in own else None
        if index is None:
            raise NotFound("no_such_output", f"frame {files.frame} has no output {asked[:80]!r}; it has {', '.join(names[:10])}")
        return await _serve(request, site, files, index, names[index])

    return await at_holder(request, handle)


async def get_log(request: web.Request) -> web.StreamResponse:
    """What the renderer said while it made the frame."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        site, frame = site_of(request), frame_number(request)
        _check_frame(site, view, frame)
        files = site.mesh.files(view.id, frame)
        if files is None or files.log is None:
            raise NotFound("no_log", f"there is no log of frame {frame} yet")
        await bring(site, files.log, size=files.log_size, holders=files.holders)
        return await serve(request, files.log, content_type="text/plain")

    return await at_holder(request, handle)


def named(site: Site, view: JobView, files: FrameFiles) -> list[str]:
    """What the frame's files are called, main first."""
    template = site.mesh.spec(view.id).output
    return output_names(template, job=view.id, name=view.name, frame=files.frame, outputs=files.outputs)


def _check_frame(site: Site, view: JobView, frame: int) -> str:
    found = site.mesh.frames(view.id, state=None, after=frame - 1, limit=1)
    if not found or found[0].frame != frame:
        raise NotFound("no_such_frame", f"job {view.name or view.id[:12]} has no frame {frame}")
    return found[0].state


def _done(site: Site, view: JobView, frame: int) -> FrameFiles:
    state = _check_frame(site, view, frame)
    files = site.mesh.files(view.id, frame)
    if files is None or not files.outputs:
        raise Conflict("frame_not_done", f"frame {frame} is {state}; it has no picture yet")
    return files


async def _serve(request: web.Request, site: Site, files: FrameFiles, index: int, name: str) -> web.StreamResponse:
    output: Output = files.outputs[index]
    await bring(site, output.digest, size=output.size, holders=files.holders)
    return await serve(request, output.digest, content_type=content_type(output), disposition=disposition(name))


def _after(cursor: str | None) -> int | None:
    if not cursor:
        return None
    if not _CURSOR.match(cursor):
        raise bad_cursor()
    return int(cursor)
