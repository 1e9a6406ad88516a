"""The user port's application: one table of routes behind one guard, and errors that say what is wrong and no more.

Decides the order of things around a handler. Refuses to know machines: handlers ask the `Mesh` and `Blobs` ports.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware
from yarl import URL

from peer.ports import Blobs, Corrupt, Forward, Mesh, StoreBroken, StoreFull
from peer.telemetry.metrics import Metrics
from peer.web.consul.errors import is_consul, plain
from peer.web.guard import guard
from peer.web.metrics import count
from peer.web.multipart import ignore_reader_warnings
from peer.web.problems import Refused, from_aiohttp, from_refusal, from_store, problem
from peer.web.route import ROUTES, Route
from peer.web.routes import TABLE, add_routes
from peer.web.site import BEGUN, FORWARDER, SITE, Handler, Site, WebOptions, name_request
from protocol import limits
from protocol.errors import Refusal
from protocol.ids import PeerId

API_PREFIX: Final = "/mesh/v1/api"
_log = structlog.get_logger()


def make_app(mesh: Mesh, blobs: Blobs, forward: Forward, options: WebOptions, metrics: Metrics) -> web.Application:
    """The whole user port. Serve it with `serving()`; `make_forwarded_handler` serves it to other peers."""
    ignore_reader_warnings()
    site = Site(mesh, blobs, forward, options, metrics)
    app = web.Application(middlewares=[_around(site, _by_path(TABLE))], client_max_size=limits.HTTP_BODY_BYTES_MAX)
    app[SITE], app[ROUTES] = site, TABLE
    add_routes(app.router, TABLE)
    app.on_response_prepare.append(_finish_head)
    app.on_shutdown.append(_close)
    return app


def serving() -> dict[str, Any]:
    """Arguments for `web.AppRunner` that bound connections as this application wants them."""
    return {
        "keepalive_timeout": limits.HTTP_KEEPALIVE_S,
        "shutdown_timeout": limits.HTTP_SHUTDOWN_S,
        "access_log": None,
        "lingering_time": 2.0,
        "max_headers": 64,
    }


def make_forwarded_handler(app: web.Application) -> Callable[[web.Request, PeerId], Awaitable[web.StreamResponse]]:
    """The same handlers for requests that other peers pass on: `/mesh/v1/api/X` is answered as `/X`.

    The caller's role and name come with the request (the forwarder has checked them, and its certificate has proven it);
    nothing that came so is passed on again."""

    async def handle(request: web.Request, peer: PeerId) -> web.StreamResponse:
        if not app.frozen:
            app.freeze()
        inner = request.clone(rel_url=URL(request.raw_path.removeprefix(API_PREFIX), encoded=True))
        inner[FORWARDER] = peer
        response = await app._handle(inner)  # what its own server would call: a sub-application could not be shared by two
        if not response.prepared:
            await response.prepare(inner)
        return response

    return handle


def _by_path(routes: tuple[Route, ...]) -> Mapping[tuple[str, str], Route]:
    """By method and the path as the router names it."""
    canonical = re.compile(r"\{(\w+):[^}]*\}")
    return {(route.method, canonical.sub(r"{\1}", route.path)): route for route in routes}


def _around(site: Site, routes: Mapping[tuple[str, str], Route]) -> Middleware:
    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        began = loop.time()
        name_request(request)
        try:
            guard(site, routes, request)
            response = await handler(request)
        except Exception as error:
            response = _answer(request, error)
        count(site, request, status=response.status, seconds=loop.time() - began)
        return response

    return around


def _answer(request: web.Request, error: Exception) -> web.StreamResponse:
    """The problem document for an error; when the answer has begun already, the connection is cut so that the reader sees it."""
    refused = _refused(request, error)
    if BEGUN in request:
        _log.warning("http_answer_broken_off", path=request.path, request_id=name_request(request), reason=refused.code)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=499)  # goes nowhere; the number is what proxies count such breaks under
    return plain(request, refused) if is_consul(request) else problem(refused, request_id=name_request(request))


def _refused(request: web.Request, error: Exception) -> Refused:
    match error:
        case Refused():
            return error
        case Refusal():
            return from_refusal(error)
        case StoreFull() | StoreBroken() | Corrupt():
            _log.error("http_store_fault", request_id=name_request(request), reason=str(error))
            return from_store(error)
        case web.HTTPException():
            return from_aiohttp(error)
        case web.RequestPayloadError() | HttpProcessingError() | ConnectionError():
            return Refused(
                400, "body_broken", "the body broke off or cannot be unpacked; nothing was kept", headers={"Connection": "close"}
            )
        case _:
            _log.error("http_handler_failed", path=request.path, request_id=name_request(request), exc_info=error)
            return Refused(500, "internal", "something went wrong here; the peer's log has it under this request's id")


async def _finish_head(request: web.Request, response: web.StreamResponse) -> None:
    request[BEGUN] = True
    response.headers["X-Request-Id"] = name_request(request)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "rendermesh"


async def _close(app: web.Application) -> None:
    app[SITE].closing.set()
    app[SITE].mesh.registry.close()
