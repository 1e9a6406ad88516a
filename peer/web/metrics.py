"""Metrics of this peer, and of the requests to it by route template (never by path: that would be the client's choice)."""

from __future__ import annotations

from aiohttp import web

from peer.telemetry.metrics import CONTENT_TYPE
from peer.web.site import Site, site_of


async def get_metrics(request: web.Request) -> web.StreamResponse:
    """Prometheus text format."""
    return web.Response(body=site_of(request).metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def count(site: Site, request: web.Request, *, status: int, seconds: float) -> None:
    """Note one answered request."""
    resource = request.match_info.route.resource
    route = "none" if resource is None else resource.canonical
    method = request.method if request.method in ("GET", "HEAD", "POST", "PATCH", "DELETE") else "other"
    site.metrics.http_requests.labels(route, method, str(status)).inc()
    site.metrics.http_seconds.labels(route).observe(seconds)
