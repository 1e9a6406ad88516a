"""Events as they come (server-sent events, the WHATWG's format), resumable by `Last-Event-ID`.

The id on the line is `RUN.N`: N counts within one run of one peer, RUN names the run. An id of another run (the peer has
started anew, or another peer answers now) begins again with all that is kept: an event may come twice, none is lost.

A stream ends within `limits.RIGHTS_LOOK_S` after its key was revoked, with a comment that says so; asking again is a 401.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from aiohttp import web

from peer.web.guard import may_still
from peer.web.problems import wrong_fields
from peer.web.relay import at_holder
from peer.web.replies import send
from peer.web.requests import flag
from peer.web.shapes import event_json
from peer.web.site import Site, site_of
from protocol.ids import JobId
from protocol.views import EventRow, JobView

RIGHT_GONE: Final = b": the key of this stream does not count any more\n\n"
_ID: Final = re.compile(r"(?:([0-9a-f]{8})\.)?(\d{1,15})\Z", re.ASCII)


async def all_events(request: web.Request) -> web.StreamResponse:
    """Everything that this peer has noted."""
    return await _serve(request, None)


async def job_events(request: web.Request) -> web.StreamResponse:
    """What concerns one job."""

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        return await _serve(request, view.id)

    return await at_holder(request, handle)


async def _serve(request: web.Request, job: JobId | None) -> web.StreamResponse:
    site = site_of(request)
    follow, after = flag(request, "follow", default=True), _after(site, request)
    with site.streams.one():
        response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        if request.method != "HEAD":
            await _follow(site, request, response, site.mesh.events(after=after, job=job, follow=follow))
        await response.write_eof()
        return response


async def _follow(site: Site, request: web.Request, response: web.StreamResponse, rows: AsyncIterator[EventRow]) -> None:
    """Write rows as they come, and a comment where none comes, until they end, the peer does, or the caller's right to them."""
    loop, options = asyncio.get_running_loop(), site.options
    closing = asyncio.create_task(site.closing.wait())
    coming = asyncio.create_task(_next(rows))
    try:
        await send(response, b": the events of one peer\n\n")
        wait_s, said_s = min(options.heartbeat_s, options.rights_look_s), loop.time()
        while not closing.done():
            await asyncio.wait((coming, closing), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if not may_still(request):
                await send(response, RIGHT_GONE)
                return
            if not coming.done():
                if loop.time() - said_s >= options.heartbeat_s:
                    await send(response, b": still here\n\n")
                    said_s = loop.time()
                continue
            row = coming.result()
            if row is None:
                return
            await send(response, _line(site, row))
            said_s = loop.time()
            coming = asyncio.create_task(_next(rows))
    finally:
        for task in (coming, closing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if isinstance(rows, AsyncGenerator):
            await rows.aclose()


async def _next(rows: AsyncIterator[EventRow]) -> EventRow | None:
    try:
        return await anext(rows)
    except StopAsyncIteration:
        return None


def _line(site: Site, row: EventRow) -> bytes:
    data = json.dumps(event_json(row, site.mesh.me), separators=(",", ":"), default=str)
    return f"id: {site.run}.{row.id}\nevent: {row.event}\ndata: {data}\n\n".encode()


def _after(site: Site, request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return None
    match = _ID.match(text)
    if match is None:
        raise wrong_fields([{"field": "Last-Event-ID", "message": "not an id that this stream has sent"}])
    return int(match[2]) if match[1] in (None, site.run) else None
