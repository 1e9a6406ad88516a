"""Peers: who is there, draining one, and who sees whom."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from peer.web.jobs import Nothing
from peer.web.problems import Refused, wrong_fields
from peer.web.relay import passed_headers, path_of, relay
from peer.web.replies import as_json
from peer.web.requests import bad_cursor, page_limit, read_object, validated
from peer.web.shapes import MeshSeen, PingSeen, PingWay, Sees, peer_json
from peer.web.site import Site, forwarded_by, site_of
from protocol import limits
from protocol.errors import Conflict, NotFound, Unavailable
from protocol.ids import PeerId, is_hex
from protocol.views import PeerView, Pinged

PREFIX_MIN: Final = 4
_SEEN: Final = TypeAdapter(MeshSeen)


async def list_peers(request: web.Request) -> web.StreamResponse:
    """A page, by id."""
    most, cursor = page_limit(request), request.query.get("cursor", "")
    if cursor and not is_hex(cursor, 64):
        raise bad_cursor()
    views = sorted(site_of(request).mesh.peers(), key=lambda view: view.id)
    fitting = [view for view in views if view.id > cursor]
    page = fitting[:most]
    return as_json({"peers": [peer_json(view) for view in page], "cursor": page[-1].id if len(fitting) > most else None})


async def get_peer(request: web.Request) -> web.StreamResponse:
    """One peer, by id, prefix or name."""
    return as_json(peer_json(find_peer(site_of(request), request.match_info["peer"])))


async def drain_peer(request: web.Request) -> web.StreamResponse:
    """Take no new work there."""
    return await _steer(request, drain=True)


async def undrain_peer(request: web.Request) -> web.StreamResponse:
    """Take work again."""
    return await _steer(request, drain=False)


async def readmit_peer(request: web.Request) -> web.StreamResponse:
    """Trust its frames again; on that peer itself a conflict."""
    site = site_of(request)
    view = find_peer(site, request.match_info["peer"])
    validated(Nothing, await read_object(request, empty=True))
    await site.mesh.readmit(view.id)
    return as_json(peer_json(find_peer(site, view.id)))


async def _steer(request: web.Request, *, drain: bool) -> web.StreamResponse:
    site = site_of(request)
    view = find_peer(site, request.match_info["peer"])
    if view.id != site.mesh.me:
        return await relay(request, [view.id], path_of(request, view.id), what=f"peer {view.name}")
    validated(Nothing, await read_object(request, empty=True))
    if drain:
        await site.mesh.drain(leave=False)
    else:
        await site.mesh.undrain()
    return as_json(peer_json(find_peer(site, view.id)))


async def ping_peer(request: web.Request) -> web.StreamResponse:
    """How that peer is reached from this one."""
    site = site_of(request)
    view, count = find_peer(site, request.match_info["peer"]), _count(request)
    validated(Nothing, await read_object(request, empty=True))
    rounds: list[Pinged] = []
    while len(rounds) < count:
        if rounds:
            await asyncio.sleep(limits.PING_PAUSE_S)
        rounds.append(await site.mesh.ping(view.id))
    helpers = list(dict.fromkeys(one.helper for one in rounds if one.helper is not None))
    seen: PingSeen = {
        "asker": site.mesh.me,
        "peer": view.id,
        "name": view.name,
        "datagram": _way([one.datagram_s for one in rounds]),
        "stream": _way([one.stream_s for one in rounds]),
        "indirect": _way([one.indirect_s for one in rounds if one.helper is not None]),
        "helpers": [str(helper) for helper in helpers],
    }
    return as_json(seen)


def _count(request: web.Request) -> int:
    text, most = request.query.get("count", "1"), limits.PINGS_PER_ASK_MAX
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= most):
        raise wrong_fields([{"field": "count", "message": f"must be a whole number from 1 to {most}"}])
    return int(text)


def _way(took: list[float | None]) -> PingWay:
    answered = [round(1000 * seconds, 3) for seconds in took if seconds is not None]
    return {"sent": len(took), "received": len(answered), "rtt_ms": answered}


def find_peer(site: Site, text: str) -> PeerView:
    """By id, name or unique prefix. Raises `NotFound`, `Conflict` (`ambiguous_peer`)."""
    views = site.mesh.peers()
    exact = [view for view in views if view.id == text]
    named = [view for view in views if view.name == text]
    begun = [view for view in views if len(text) >= PREFIX_MIN and view.id.startswith(text)]
    found = exact or named or begun
    if not found:
        raise NotFound("no_such_peer", f"no peer is called {text[:80]!r}; see GET /api/v1/peers")
    if len(found) > 1:
        ids = ", ".join(view.id[:16] for view in found[:8])
        raise Conflict("ambiguous_peer", f"{text[:80]!r} means several peers: {ids}")
    return found[0]


async def see_mesh(request: web.Request) -> web.StreamResponse:
    """Who sees whom, asked of every live peer at once."""
    site = site_of(request)
    mine = _own(site)
    if forwarded_by(request) is not None:
        return as_json({"me": site.mesh.me, "views": [mine]})
    others = [view for view in site.mesh.peers() if view.state == "alive" and view.id != site.mesh.me]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_ask(request, view.id)) for view in others[: limits.MESH_VIEW_PEERS_MAX]]
    return as_json({"me": site.mesh.me, "views": [mine, *(task.result() for task in tasks)]})


def _own(site: Site) -> Sees:
    rows = [view for view in site.mesh.peers() if view.id != site.mesh.me]
    return {
        "peer": site.mesh.me,
        "sees": [{"id": row.id, "name": row.name, "state": row.state, "rtt_ms": row.rtt_ms} for row in rows],
        "error": None,
    }


async def _ask(request: web.Request, peer: PeerId) -> Sees:
    try:
        async with asyncio.timeout(limits.MESH_VIEW_S):
            return await _view_of(request, peer)
    except (TimeoutError, Unavailable, ValueError, ValidationError, Refused, ConnectionError) as error:
        reason = (
            error.message
            if isinstance(error, Unavailable)
            else "no answer in time"
            if isinstance(error, TimeoutError)
            else "an answer that says nothing"
        )
        return {"peer": peer, "sees": [], "error": reason}


async def _view_of(request: web.Request, peer: PeerId) -> Sees:
    site, headers = site_of(request), passed_headers(request)
    body = bytearray()
    async with site.forward(peer, method="GET", path="api/v1/mesh", headers=headers) as reply:
        while piece := await reply.read():
            body += piece
            if len(body) > limits.HTTP_BODY_BYTES_MAX:
                raise ValueError("too long")
    document: Any = json.loads(bytes(body))
    view = _SEEN.validate_python(document)["views"][:1]
    if not view or view[0]["peer"] != peer:
        raise ValueError("not its own view")
    return view[0]
