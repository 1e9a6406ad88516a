"""Passing a request on to the peer that can answer it, and its answer back, both as streams.

Decides which peer is asked next when one does not answer. A request that was passed on once is never passed on again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from peer.ports import ForwardedReply
from peer.web.guard import ROLE_HEADER, SUBMITTER_HEADER, Rights, may_still, submitter_of
from peer.web.replies import send
from peer.web.requests import read_body
from peer.web.site import ROLE, Site, forwarded_by, name_request, site_of
from protocol import limits
from protocol.errors import Unavailable
from protocol.ids import PeerId
from protocol.views import JobView

PASSED_ON: Final = (
    "Accept",
    "Range",
    "If-Range",
    "If-None-Match",
    "Last-Event-ID",
    "Content-Type",
    "Idempotency-Key",
    "traceparent",
    "tracestate",
)
KEY: Final = web.RequestKey("key", str)  # drawn here for a request without one, so that every peer that is asked gets the same
KEPT_BACK: Final = frozenset({"date", "server", "x-request-id", "connection", "transfer-encoding", "keep-alive"})
TRY_NEXT: Final = frozenset({404, 502, 503, 504})

JobHandler = Callable[[web.Request, JobView], Awaitable[web.StreamResponse]]


async def find_job(request: web.Request) -> JobView:
    """The job that `{job}` means, by id, prefix or name. Raises `NotFound`, `Conflict`."""
    return await site_of(request).mesh.locate(request.match_info["job"])


async def at_holder(request: web.Request, handle: JobHandler) -> web.StreamResponse:
    """Run `handle` here when this peer holds the job's frame detail, else on the first live peer that does."""
    site, view = site_of(request), await find_job(request)
    holders = site.mesh.where(view.id)
    if site.mesh.me in holders or forwarded_by(request) is not None:
        return await handle(request, view)
    return await relay(request, holders, path_of(request, view.id), what=_named(view), otherwise=_remedy(view))


async def at_owner(request: web.Request, handle: JobHandler) -> web.StreamResponse:
    """Run `handle` on the job's owner; where that is gone, on another holder, which may have taken the job over."""
    site, view = site_of(request), await find_job(request)
    holders = site.mesh.where(view.id)
    if view.owner == site.mesh.me or forwarded_by(request) is not None:
        return await handle(request, view)
    alive = [view.owner] if site.mesh.address(view.owner) is not None else []
    if not alive and site.mesh.me in holders:
        return await handle(request, view)
    others = [peer for peer in dict.fromkeys([*alive, *holders]) if peer != site.mesh.me]
    return await relay(request, others, path_of(request, view.id), what=_named(view), otherwise=_remedy(view))


def path_of(request: web.Request, name: str) -> str:
    """The raw path and query with the thing's full id, so that every peer means the same one: `/api/v1/KIND/{id}/...`."""
    parts = request.rel_url.raw_path.split("/")
    parts[4] = name
    query = request.rel_url.raw_query_string
    return "/".join(parts[1:]) + (f"?{query}" if query else "")


def _named(view: JobView) -> str:
    return f"job {view.name or view.id[:12]}"


def _remedy(view: JobView) -> str:
    holders = ", ".join(peer[:12] for peer in dict.fromkeys([view.owner, *view.replicas]))
    return f"; it is kept by {holders}: start one of them again, or ask a peer that can reach one"


async def relay(
    request: web.Request, peers: Sequence[PeerId], path: str, *, what: str, otherwise: str = ""
) -> web.StreamResponse:
    """The answer of the first of `peers` that has one. Raises `Unavailable` (`peers_unreachable`) naming who was
    asked, and what to do `otherwise`."""
    site = site_of(request)
    if forwarded_by(request) is not None:
        raise Unavailable("passed_on_already", f"{what} is not on this peer any more", retry_after_s=1.0)
    body = await read_body(request)
    asked: list[str] = []
    tried = peers[: limits.FORWARD_PEERS_MAX]
    for peer in tried:
        try:
            answer = await _ask(site, request, peer, path, body, last=peer == tried[-1])
        except Unavailable as error:
            if error.code != "peer_unreachable":
                raise
            answer = None
        if answer is not None:
            return answer
        asked.append(peer[:12])
    raise Unavailable(
        "peers_unreachable",
        f"no peer that holds {what} answers (asked: {', '.join(asked) or 'none is alive'}){otherwise}",
        retry_after_s=5.0,
    )


async def _ask(
    site: Site, request: web.Request, peer: PeerId, path: str, body: bytes, *, last: bool
) -> web.StreamResponse | None:
    headers = passed_headers(request)
    sent = _once(body) if body else None
    async with site.forward(peer, method=request.method, path=path, headers=headers, body=sent) as reply:
        if reply.status in TRY_NEXT and not last:
            return None
        return await _passed_back(request, reply)


def passed_headers(request: web.Request) -> list[tuple[str, str]]:
    """What the next peer must know: the caller's conditions, its role and name, and the id of this request."""
    kept = [(name, request.headers[name]) for name in PASSED_ON if name in request.headers]
    if KEY in request and "Idempotency-Key" not in request.headers:
        kept.append(("Idempotency-Key", request[KEY]))
    mine = [
        (ROLE_HEADER, request.get(ROLE, "")),
        (SUBMITTER_HEADER, submitter_of(request)),
        ("X-Request-Id", name_request(request)),
    ]
    return kept + mine


async def _passed_back(request: web.Request, reply: ForwardedReply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status)
    for name, value in reply.headers:
        if name.lower() not in KEPT_BACK:
            response.headers.add(name, value)
    lasting = response.headers.get("Content-Type", "").startswith("text/event-stream")
    rights = Rights(request) if request.method == "GET" and not lasting else None  # what a write has done is said in any case
    if rights is not None:
        rights.check()
    await response.prepare(request)
    if request.method != "HEAD":
        while piece := await (_while_allowed(request, reply) if lasting else reply.read()):
            if rights is not None:
                rights.check()
            await send(response, piece)
    await response.write_eof()
    return response


async def _while_allowed(request: web.Request, reply: ForwardedReply) -> bytes:
    """What comes next; nothing once the caller has no right to it any more. Only this peer knows the caller's key."""
    coming = asyncio.create_task(reply.read())
    try:
        while True:
            done, _ = await asyncio.wait((coming,), timeout=site_of(request).options.rights_look_s)
            if not may_still(request):
                return b""
            if done:
                return await coming
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
