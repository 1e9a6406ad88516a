"""`/archive`: every finished frame of a job in one zip, streamed.

Decides which files go in and under which names. Each blob is read twice, once for its checksum and once to be sent: the second
time it comes from the page cache.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import web

from peer.web.content import bring, pour
from peer.web.frames import named
from peer.web.guard import Rights
from peer.web.names import disposition, safe
from peer.web.problems import wrong_fields
from peer.web.relay import at_holder
from peer.web.replies import send
from peer.web.site import Site, site_of
from peer.web.zipstream import Archive
from protocol import limits
from protocol.errors import Conflict, Invalid
from protocol.ids import Digest
from protocol.jobs.frames import Frames, parse_frames
from protocol.views import JobView


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    digest: Digest
    size: int


async def get_archive(request: web.Request) -> web.StreamResponse:
    """The zip; `X-Frames-Missing` counts the frames that are not in it."""
    text = request.query.get("frames")
    try:
        frames = parse_frames(text) if text else None
    except Invalid as error:
        raise wrong_fields([{"field": "frames", "message": error.message.removeprefix("frames: ")}], code=error.code) from None

    async def handle(request: web.Request, view: JobView) -> web.StreamResponse:
        with site_of(request).archives.one():
            return await _stream(request, view, frames)

    return await at_holder(request, handle)


async def _stream(request: web.Request, view: JobView, frames: Frames | None) -> web.StreamResponse:
    site = site_of(request)
    done = _count_done(site, view, frames)
    if done == 0:
        raise Conflict("no_frame_done", f"no frame of job {view.name or view.id[:12]} is done yet")
    total = len(frames) if frames is not None else max(view.frames.total, done)
    response = web.StreamResponse(headers={"X-Frames-Missing": str(total - done)})
    response.content_type = "application/zip"
    response.headers["Content-Disposition"] = disposition(f"{safe(view.name) or view.id[:12]}.zip").replace(
        "inline", "attachment", 1
    )
    archive = Archive()
    try:
        async with aclosing(_entries(site, view, frames)) as entries:
            await _write(request, site, response, archive, entries)
    finally:
        archive.close()
    return response


async def _write(
    request: web.Request, site: Site, response: web.StreamResponse, archive: Archive, entries: AsyncIterator[_Entry]
) -> None:
    rights = Rights(request)
    async for entry in entries:
        checksum = await _crc32(site, entry.digest)
        rights.check()
        if not response.prepared:  # only now: until the first file is here, an error can still be said
            await response.prepare(request)
            if request.method == "HEAD":
                return
        await send(response, archive.entry(entry.name, size=entry.size, crc32=checksum))
        await pour(site, response, entry.digest, start=0, end=entry.size, rights=rights)
        archive.offset += entry.size
    for piece in archive.end():
        rights.check()
        await send(response, piece)
    await response.write_eof()


async def _entries(site: Site, view: JobView, frames: Frames | None) -> AsyncGenerator[_Entry, None]:
    """Files of done frames in order, each brought here first."""
    after: int | None = None
    while page := site.mesh.frames(view.id, state="done", after=after, limit=limits.PAGE_ITEMS_MAX):
        after = page[-1].frame
        for frame in page:
            files = site.mesh.files(view.id, frame.frame) if frames is None or frame.frame in frames else None
            if files is None:
                continue
            for output, name in zip(files.outputs, named(site, view, files), strict=True):
                await bring(site, output.digest, size=output.size, holders=files.holders)
                yield _Entry(name, output.digest, output.size)


def _count_done(site: Site, view: JobView, frames: Frames | None) -> int:
    done, after = 0, None
    while page := site.mesh.frames(view.id, state="done", after=after, limit=limits.PAGE_ITEMS_MAX):
        after = page[-1].frame
        done += sum(frames is None or frame.frame in frames for frame in page)
    return done


async def _crc32(site: Site, digest: Digest) -> int:
    value = 0
    async for piece in site.blobs.read(digest):
        value = zlib.crc32(piece, value)
    return value
