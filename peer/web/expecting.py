"""`Expect: 100-continue`, which curl asks before a large body: what is too large is refused before it is sent."""

from __future__ import annotations

from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from peer.web.problems import problem
from peer.web.requests import too_large
from peer.web.site import name_request, site_of
from protocol import limits

_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


async def expect(request: web.Request) -> web.StreamResponse | None:
    """Say 100, or answer 413 by the header. Any other expectation is no concern of ours and is ignored."""
    most = body_bytes_max(request)
    if (request.content_length or 0) > most:
        return problem(too_large(most), request_id=name_request(request))
    if request.version == HttpVersion11 and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(_GO_ON)
        request.writer.output_size = 0  # the answer itself has not begun
    return None


def body_bytes_max(request: web.Request) -> int:
    """Scenes are streamed to the disk; everything else is read whole."""
    return (
        site_of(request).options.scene_bytes_max if request.content_type == "multipart/form-data" else limits.HTTP_BODY_BYTES_MAX
    )
