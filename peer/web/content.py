"""Serving a blob: validators, one range, and bytes in pieces (RFC 9110, sections 13 and 14).

Decides 200, 206, 304 or 416. Refuses to know what the bytes are.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from aiohttp import web

from peer.web.guard import Rights
from peer.web.problems import Refused
from peer.web.replies import send
from peer.web.site import Site, site_of
from protocol.errors import NotFound
from protocol.ids import Digest, PeerId

_RANGE: Final = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*\Z", re.ASCII)


async def bring(site: Site, digest: Digest, *, size: int, holders: Sequence[PeerId]) -> None:
    """Have the blob here. Raises `Unavailable` (`blob_unreachable`)."""
    if not await site.blobs.has(digest):
        await site.mesh.fetch(digest, size, holders)


async def serve(request: web.Request, digest: Digest, *, content_type: str, disposition: str | None = None) -> web.StreamResponse:
    """Answer with a blob that is here. Raises `NotFound`, `Refused` 416, and 401 for a key that was revoked meanwhile."""
    site = site_of(request)
    size = await site.blobs.size(digest)
    if size is None:
        raise NotFound("no_such_blob", "the bytes are not on this peer any more; try again")
    headers = {"ETag": f'"{digest}"', "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if disposition is not None:
        headers["Content-Disposition"] = disposition
    if _matches(request.headers.get("If-None-Match"), digest):
        return web.Response(status=304, headers=headers)
    asked = wanted(request.headers.get("Range"), size) if _range_counts(request, digest) else None
    start, end = asked or (0, size)
    response = web.StreamResponse(status=200 if asked is None else 206, headers=headers)
    response.content_type = content_type
    response.content_length = end - start
    if content_type.startswith("text/"):
        response.charset = "utf-8"
    if asked is not None:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    rights = Rights(request)
    rights.check()  # the bytes may have been waited for
    await response.prepare(request)
    if request.method != "HEAD":
        await pour(site, response, digest, start=start, end=end, rights=rights)
    await response.write_eof()
    return response


async def pour(
    site: Site, response: web.StreamResponse, digest: Digest, *, start: int, end: int, rights: Rights
) -> None:  # fmt: skip
    """Write bytes [start, end) of a blob into a response that has begun. Raises `Refused` when its reader may have no more."""
    pieces = site.blobs.read(digest, start=start, end=end)
    try:
        async for piece in pieces:
            rights.check()
            await send(response, piece)
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """[start, end) of a single byte range; None for no range, several, or what is none: then everything is sent.

    Raises `Refused` 416 for a range that begins after the end."""
    match = _RANGE.match(header or "")
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
        if match[2] and int(match[2]) < start:
            return None
    if start >= end:
        raise Refused(416, "bad_range", f"there are {size:,} bytes", headers={"Content-Range": f"bytes */{size}"})
    return start, end


def _range_counts(request: web.Request, digest: Digest) -> bool:
    """If-Range: only for the same bytes; a date never matches, for we send none."""
    condition = request.headers.get("If-Range")
    return condition is None or condition.strip() == f'"{digest}"'


def _matches(header: str | None, digest: Digest) -> bool:
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or f'"{digest}"' in tags
